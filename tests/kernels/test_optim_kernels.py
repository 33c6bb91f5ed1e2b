"""The optimizer kernels against their formulas in float64, for every layout and option."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cnn import kernels

SHAPE = (3, 4, 5, 2)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another memory order."""
    if layout == "channels_last":
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return array.copy(order="F" if layout == "F" else "C")


def arrays(seed: int, count: int, dtype: str, layout: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [laid_out(rng.standard_normal(SHAPE).astype(dtype), layout) for _ in range(count)]


def sgd_step(p, g, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    g = (-g if maximize else g) + weight_decay * p
    if momentum:
        buffer = g if first else momentum * buffer + (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    return p - lr * g, buffer


def adam_step(p, g, m, v, v_max, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    g = -g if maximize else g
    if decoupled:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    v_max = None if v_max is None else np.maximum(v_max, v)
    root = np.sqrt(v if v_max is None else v_max) / math.sqrt(1 - beta2**step)
    return p - lr / (1 - beta1**step) * m / (root + eps), m, v, v_max


def sgd(p, grad, buffer, first=False, **options):
    """One parameter's step."""
    state = [] if buffer is None else [[buffer]]
    kernels.optim.sgd(kernels.optim.Batch([p], *state), [grad], first=[first], **options)


def adam(p, grad, *state, step, **options):
    """One parameter's step; AMSGrad with three arrays of state."""
    batch = kernels.optim.Batch([p], *([array] for array in state))
    kernels.optim.adam(batch, [grad], steps=[step], amsgrad=len(state) == 3, **options)


layouts = st.sampled_from(["C", "F", "channels_last"])
seeds = st.integers(0, 2**32 - 1)


@given(seeds, layouts, layouts, st.sampled_from([0.0, 0.9]), st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans())
def test_sgd(seed, layout, grad_layout, momentum, weight_decay, nesterov, maximize):
    dampening = 0.0 if nesterov else 0.3
    (p,) = arrays(seed, 1, "float64", layout)
    buffer = np.full_like(p, np.nan) if momentum else None  # its contents must not matter at the first step
    expected, expected_buffer = p.copy(), None
    for step, grad in enumerate(arrays(seed + 1, 3, "float64", grad_layout)):
        options = dict(lr=0.1, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov)
        options |= dict(maximize=maximize, first=step == 0)
        sgd(p, grad, buffer, **options)
        expected, expected_buffer = sgd_step(expected, grad, expected_buffer, **options)
    np.testing.assert_allclose(p, expected, rtol=1e-12, atol=1e-13)
    if momentum:
        np.testing.assert_allclose(buffer, expected_buffer, rtol=1e-12, atol=1e-13)


@given(seeds, layouts, layouts, st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans(), st.booleans())
def test_adam(seed, layout, grad_layout, weight_decay, decoupled, amsgrad, maximize):
    (p,) = arrays(seed, 1, "float64", layout)
    m, v = np.zeros_like(p), np.zeros_like(p)
    v_max = np.zeros_like(p) if amsgrad else None
    expected = (p.copy(), m.copy(), v.copy(), None if v_max is None else v_max.copy())
    for step, grad in enumerate(arrays(seed + 1, 3, "float64", grad_layout), start=1):
        options = dict(step=step, lr=0.05, beta1=0.8, beta2=0.95, eps=1e-8, weight_decay=weight_decay)
        options |= dict(decoupled=decoupled, maximize=maximize)
        adam(p, grad, *[a for a in (m, v, v_max) if a is not None], **options)
        expected = adam_step(expected[0], grad, *expected[1:], **options)
    for found, wanted in zip((p, m, v, v_max), expected):
        if wanted is not None:
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("size", [7, 100_003])  # on this thread; on all threads
def test_infinite_values_stay_what_they_are(size):
    p = np.full(size, np.inf, "float32")
    grad = np.ones(size, "float32")
    sgd(p, grad, None, lr=0.1)
    assert np.isposinf(p).all(), "0 · infinity from the weight decay that is off"
    buffer = np.full(size, np.nan, "float32")
    sgd(p, grad, buffer, lr=0.1, momentum=0.9, first=True)
    assert np.isposinf(p).all()
    assert (buffer == 1).all()


@pytest.mark.parametrize("amsgrad", [False, True])
def test_float32_follows_float64(amsgrad):
    rng = np.random.default_rng(0)
    p = rng.standard_normal(50_000)
    state = [np.zeros_like(p) for _ in range(3 if amsgrad else 2)]
    p32, state32 = p.astype("float32"), [s.astype("float32") for s in state]
    for step in range(1, 6):
        grad = rng.standard_normal(p.size)
        adam(p, grad, *state, step=step, lr=0.01)
        adam(p32, grad.astype("float32"), *state32, step=step, lr=0.01)
    np.testing.assert_allclose(p32, p, rtol=1e-5, atol=1e-6)


def test_read_only_gradients_are_taken():
    p, grad = np.ones(4, "float32"), np.broadcast_to(np.float32(2), 4)
    sgd(p, grad, None, lr=0.5)
    assert (p == 0).all()


def test_many_parameters_step_as_each_alone():
    """Of any sizes, one without elements, cut between threads anywhere: the same bits."""
    rng = np.random.default_rng(0)
    sizes = [1, 7, 0, 70_003, 64, 3, 50_001]

    def fresh():
        draws = np.random.default_rng(1)
        return [[draws.standard_normal(n).astype("float32") for n in sizes] for _ in range(2)]

    (together, grads), (apart, _) = fresh(), fresh()
    states, others = ([[np.zeros_like(p) for p in together] for _ in range(2)] for _ in range(2))
    steps = list(rng.integers(1, 9, len(sizes)))
    kernels.optim.adam(kernels.optim.Batch(together, *states), grads, steps=steps, lr=0.1, weight_decay=0.01)
    for p, grad, m, v, step in zip(apart, grads, *others, steps):
        adam(p, grad, m, v, step=step, lr=0.1, weight_decay=0.01)
    for found, alone in zip(together, apart):
        np.testing.assert_array_equal(found, alone)
    buffers = [np.empty_like(p) for p in together]
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True}
    kernels.optim.sgd(kernels.optim.Batch(together, buffers), grads, first=[True] * len(sizes), **options)
    for p, grad in zip(apart, grads):
        sgd(p, grad, np.empty_like(p), first=True, **options)
    for found, alone in zip(together, apart):
        np.testing.assert_array_equal(found, alone)


def test_a_batch_knows_its_arrays():
    p, m, v = (np.ones(3, "float32") for _ in range(3))
    batch = kernels.optim.Batch([p], [m], [v])
    assert batch.holds([p], [m], [v])
    assert not batch.holds([p.copy()], [m], [v])
    assert not batch.holds([p], [m], [v.copy()])
    assert not batch.holds([p], [m])
    assert not batch.holds([p, p], [m, m], [v, v])


def test_a_copied_batch_changes_the_copies():
    p, grad = np.ones(3, "float32"), np.ones(3, "float32")
    batch = kernels.optim.Batch([p])
    memo: dict = {}
    copied = copy.deepcopy(batch, memo)
    kernels.optim.sgd(copied, [grad], lr=1.0)
    assert (p == 1).all()
    assert (memo[id(p)] == 0).all()
