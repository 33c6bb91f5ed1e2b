"""The loss kernels: bits that do not depend on where the arrays lie, and an exp of their own."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_cnn import kernels


def run(x: np.ndarray, target: np.ndarray, smoothing: float, p: np.ndarray) -> np.ndarray:
    """Write softmax; returns the losses."""
    losses, reduced, none = np.empty(len(x), x.dtype), np.empty(1, x.dtype), np.empty(0, x.dtype)
    bad_row = np.empty(1, np.int64)
    program = kernels.loss.prepare("forward", x.shape, x.dtype, -100, smoothing, kernels.loss.SUM, with_weight=False)
    program(x, target, none, none, p, losses, reduced, bad_row)
    return losses


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [4, 5, 10, 33])
def test_softmax_right_behind_the_logits(classes, dtype):
    """Compilers guard vector loops by a check for overlap, and take another loop for neighbours in memory."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.standard_normal((4, classes)).astype(dtype)
        target = rng.integers(0, classes, 4)
        memory = np.zeros(4 * x.size, dtype)
        results = []
        for gap in (0, 16 // x.itemsize, 2 * x.size):
            held = memory[: x.size].reshape(x.shape)
            held[...] = x
            p = memory[x.size + gap :][: x.size].reshape(x.shape)
            losses = run(held, target, 0.1, p)
            results.append(losses.tobytes() + p.tobytes())
        assert len(set(results)) == 1


def softmax(x: np.ndarray) -> np.ndarray:
    p = np.empty_like(x)
    run(x, np.zeros(len(x), np.int64), 0.0, p)
    return p


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 3, 16, 37])
def test_exp_to_the_last_digits(classes, dtype):
    """Down to the smallest numbers that there are.  Differences of eighths are exact, so only exp and the sum round."""
    info = np.finfo(dtype)
    deepest = int(-np.log(float(info.smallest_subnormal))) + 3
    x = np.random.default_rng(classes).integers(-8 * deepest, 1, (400, classes)).astype(dtype) / 8
    x[:, 0] = 0
    exact = np.exp(x.astype(np.longdouble))
    exact /= exact.sum(axis=1, keepdims=True)
    error = np.abs(softmax(x) - exact)
    assert np.all(error <= np.maximum(4 * info.eps * exact, info.smallest_subnormal))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 16, 21])
def test_softmax_of_infinities_and_nan(classes, dtype):
    x = np.zeros((4, classes), dtype)
    x[0, 1] = -np.inf
    x[1, 0] = np.nan
    x[2, :] = -np.inf
    x[3, 1] = np.inf
    p = softmax(x)
    assert p[0, 1] == 0
    np.testing.assert_allclose(p[0].sum(), 1, rtol=1e-6)
    assert np.isnan(p[1]).all()
    assert np.isnan(p[2]).all()
    assert np.isnan(p[3, 1])
