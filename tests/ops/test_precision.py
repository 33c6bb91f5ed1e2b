"""``set_float32_matmul_precision``: what it changes, and that gradients are right either way."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F


@pytest.fixture(autouse=True)
def _default():
    yield
    tg.set_float32_matmul_precision("high")


def results(precision: str, dtype: str) -> list[np.ndarray]:
    """A convolution of 64 channels and its gradients."""
    tg.set_float32_matmul_precision(precision)
    rng = np.random.default_rng(0)
    shapes = ((4, 64, 16, 16), (64, 64, 3, 3), (64,))
    x, weight, bias = (tg.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes)
    out = F.conv2d(x, weight, bias, padding=1)
    out.backward(tg.tensor(rng.standard_normal(out.shape).astype(dtype)))
    return [t.numpy() for t in (out.detach(), x.grad, weight.grad, bias.grad)]


def test_highest_leaves_out_the_large_tiles():
    right = results("high", "float64")
    errors = {
        precision: [
            np.abs(found - exact).max() / np.abs(exact).max()
            for found, exact in zip(results(precision, "float32"), right)
        ]
        for precision in ("highest", "high", "medium")
    }
    assert errors["high"] == errors["medium"]
    assert max(errors["high"]) < 2e-5
    assert all(exact < rounded for exact, rounded in zip(errors["highest"][:3], errors["high"][:3]))


def test_float64_does_not_depend_on_it():
    for a, b in zip(results("highest", "float64"), results("high", "float64")):
        assert a.tobytes() == b.tobytes()


def test_it_is_remembered_and_other_words_are_refused():
    assert tg.get_float32_matmul_precision() == "high"
    tg.set_float32_matmul_precision("highest")
    with pytest.raises(ValueError, match="'highest', 'high' or 'medium', got 'low'"):
        tg.set_float32_matmul_precision("low")
    assert tg.get_float32_matmul_precision() == "highest"
