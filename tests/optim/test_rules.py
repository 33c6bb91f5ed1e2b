"""SGD, Adam and AdamW against the formulas written out, and against PyTorch, over many steps."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from tinygrad_cnn import optim
from tinygrad_cnn.autograd import Tensor, wrap

STEPS = 60

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.02, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "lr": 0.1}),
    ("Adam", {"maximize": True, "betas": (0.0, 0.5)}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.3}),
]
IDS = [f"{name}-{'-'.join(map(str, kwargs))}" for name, kwargs in RULES]
DTYPES = [np.float32, np.float64]


def parameters(dtype) -> list[tuple[np.ndarray, Tensor]]:
    """The same values as plain arrays and as leaves: C order, channels-last memory, a view with gaps, one number."""
    rng = np.random.default_rng(7)
    filters, matrix, row, number = (rng.normal(size=s).astype(dtype) for s in [(4, 3, 2, 2), (5, 6), (7,), ()])
    arrays = [matrix, np.ascontiguousarray(filters.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), row, number]
    gaps = np.zeros(14, dtype)
    gaps[::2] = row
    leaves = [matrix.copy(), arrays[1].copy(order="K"), gaps[::2], number.copy()]
    return [(a.copy(), wrap(leaf).requires_grad_()) for a, leaf in zip(arrays, leaves)]


def gradients(shape, dtype) -> list[np.ndarray]:
    rng = np.random.default_rng(math.prod(shape))
    return [rng.normal(size=shape).astype(dtype) for _ in range(STEPS)]


def reference_steps(name, p, grads, lr=1e-3, **kwargs) -> np.ndarray:
    """The rules as their papers write them, in float64, one array operation after the other."""
    p, sign = p.astype(np.float64), -1 if kwargs.get("maximize") else 1
    decay = kwargs.get("weight_decay", 0.01 if name == "AdamW" else 0.0)
    decoupled = name == "AdamW" or kwargs.get("decoupled_weight_decay", False)
    beta1, beta2 = kwargs.get("betas", (0.9, 0.999))
    mu, velocity, m, v, v_max = kwargs.get("momentum", 0.0), None, 0.0, 0.0, 0.0
    for t, grad in enumerate(grads, start=1):
        g = sign * grad.astype(np.float64) + (0.0 if decoupled else decay * p)
        if name == "SGD":
            velocity = g if velocity is None else mu * velocity + (1 - kwargs.get("dampening", 0.0)) * g
            p = p - lr * (g + mu * velocity if kwargs.get("nesterov") else velocity if mu else g)
            continue
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        v_max = np.maximum(v_max, v)
        root = np.sqrt((v_max if kwargs.get("amsgrad") else v) / (1 - beta2**t))
        p = p * (1 - lr * decay if decoupled else 1) - lr * m / (1 - beta1**t) / (root + kwargs.get("eps", 1e-8))
    return p


def tolerance(dtype) -> dict[str, float]:
    return {"rtol": 2e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kwargs"), RULES, ids=IDS)
def test_equals_the_formula(name, kwargs, dtype):
    for start, leaf in parameters(dtype):
        optimizer = getattr(optim, name)([leaf], **kwargs)
        for grad in gradients(start.shape, dtype):
            leaf.grad = wrap(grad.copy())
            optimizer.step()
        expected = reference_steps(name, start, gradients(start.shape, dtype), **kwargs)
        assert leaf._array.dtype == dtype
        np.testing.assert_allclose(leaf._array, expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kwargs"), RULES, ids=IDS)
def test_equals_pytorch(name, kwargs, dtype):
    torch = pytest.importorskip("torch")
    for start, leaf in parameters(dtype):
        theirs = torch.tensor(start, requires_grad=True)
        ours, oracle = getattr(optim, name)([leaf], **kwargs), getattr(torch.optim, name)([theirs], **kwargs)
        for grad in gradients(start.shape, dtype):
            leaf.grad, theirs.grad = wrap(grad.copy()), torch.tensor(grad)
            ours.step()
            oracle.step()
        np.testing.assert_allclose(leaf._array, theirs.detach().numpy(), **tolerance(dtype))
        remembered = ours.state_dict()["state"].get(0, {})
        assert set(remembered) == set(oracle.state_dict()["state"].get(0, {}))
        for key, value in oracle.state_dict()["state"].get(0, {}).items():
            np.testing.assert_allclose(remembered[key]._array, value.numpy(), **tolerance(dtype))


@pytest.mark.parametrize(("name", "kwargs"), RULES, ids=IDS)
def test_goes_on_from_a_state_dict_bit_for_bit(name, kwargs):
    for start, leaf in parameters(np.float32):
        grads = gradients(start.shape, np.float32)
        optimizer = getattr(optim, name)([leaf], **kwargs)
        for i, grad in enumerate(grads):
            if i == STEPS // 2:
                saved, twin = copy.deepcopy(optimizer.state_dict()), wrap(leaf._array.copy()).requires_grad_()
            leaf.grad = wrap(grad)
            optimizer.step()
        resumed = getattr(optim, name)([twin], lr=123.0)
        resumed.load_state_dict(saved)
        for grad in grads[STEPS // 2 :]:
            twin.grad = wrap(grad)
            resumed.step()
        assert twin._array.tobytes() == leaf._array.tobytes()


@pytest.mark.parametrize(("name", "kwargs"), RULES, ids=IDS)
def test_nan_gradient_gives_nan_there_and_nowhere_else(name, kwargs):
    leaf = wrap(np.ones(5, np.float32)).requires_grad_()
    leaf.grad = wrap(np.array([1, 2, np.nan, 3, 4], np.float32))
    getattr(optim, name)([leaf], **kwargs).step()
    assert np.isnan(leaf._array).tolist() == [False, False, True, False, False]
