"""What all optimizers share: groups, gradients that are missing, closures, minimize, state dictionaries, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinygrad_cnn import optim
from tinygrad_cnn.autograd import Tensor, is_grad_enabled, wrap
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError


def leaf(*values: float) -> Tensor:
    return wrap(np.array(values, np.float32)).requires_grad_()


def test_a_parameter_without_gradient_stays_and_gets_no_state():
    a, b = leaf(1), leaf(1)
    optimizer = optim.Adam([a, b])
    a.grad = wrap(np.ones(1, np.float32))
    optimizer.step()
    assert a._array[0] != 1
    assert b._array[0] == 1
    assert b not in optimizer.state


def test_groups_have_their_own_settings():
    a, b = leaf(1), leaf(1)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    a.grad = b.grad = wrap(np.ones(1, np.float32))
    optimizer.step()
    assert (a._array[0], b._array[0]) == (0.75, 0.5)
    c = leaf(1)
    optimizer.add_param_group({"params": [c], "lr": 1.0})
    c.grad = wrap(np.ones(1, np.float32))
    optimizer.step()
    assert c._array[0] == 0


def test_named_parameters():
    a, b = leaf(1), leaf(2)
    optimizer = optim.SGD([("first", a), ("second", b)])
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(a), id(b)]
    assert optimizer.param_groups[0]["param_names"] == ["first", "second"]


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ones(3, np.float32), ShapeError, r"gradient of shape \(1,\) for a parameter of shape \(3,\)"),
        (np.ones(1, np.float64), DTypeError, "gradient of dtype float32 for a parameter of dtype float64"),
    ],
)
def test_a_gradient_that_no_longer_fits_changes_nothing(rule, values, error, message):
    a, b = leaf(1), leaf(1)
    optimizer = rule([{"params": [a]}, {"params": [b]}], lr=0.1)
    a.grad = b.grad = wrap(np.ones(1, np.float32))
    b.data = wrap(values)
    with pytest.raises(error, match=message):
        optimizer.step()
    assert a._array[0] == 1
    assert not optimizer.state


@pytest.mark.parametrize("change", ["nothing", "order", "subset", "copy", "loaded", "replaced"])
def test_every_parameter_counts_its_own_steps(change):
    """Adam's steps are counted in one array; whatever happens to the optimizer, every parameter keeps its number."""
    a, b, c = leaf(1), leaf(2), leaf(3)
    optimizer = optim.Adam([a, b, c], lr=0.1)
    for parameters in ((a, b, c), (a, c), (c,)):
        for p in (a, b, c):
            p.grad = wrap(np.ones(1, np.float32)) if p in parameters else None
        optimizer.step()
    expected = {a: 2, b: 1, c: 3}
    if change == "order":
        optimizer.param_groups[0]["params"].reverse()
    if change == "copy":
        before = optimizer
        optimizer = copy.deepcopy(optimizer)
        expected = dict(zip(optimizer.param_groups[0]["params"], (2, 1, 3)))
    if change == "loaded":
        optimizer.load_state_dict(optimizer.state_dict())
    if change == "replaced":
        optimizer.state[b]["step"] = wrap(np.full((), 7, np.float32))
        expected[b] = 7
    stepping = [p for p in expected if not (change == "subset" and p is b)]
    for p in expected:
        p.grad = wrap(np.ones(1, np.float32)) if p in stepping else None
    for _ in range(2):
        optimizer.step()
    for p, number in expected.items():
        assert optimizer.state[p]["step"].item() == number + (2 if p in stepping else 0)
    if change == "copy":
        assert [before.state[p]["step"].item() for p in (a, b, c)] == [2, 1, 3]


def test_zero_grad():
    a = leaf(1)
    optimizer = optim.SGD([a])
    a.grad = wrap(np.ones(1, np.float32))
    optimizer.zero_grad(set_to_none=False)
    assert a.grad._array.tolist() == [0]
    optimizer.zero_grad()
    assert a.grad is None


def test_minimize_is_zero_grad_backward_step():
    a = leaf(3)
    optimizer = optim.SGD([a], lr=0.1)
    a.grad = wrap(np.full(1, 100, np.float32))  # left over from before: must not count
    optimizer.minimize(a * a)
    np.testing.assert_allclose(a._array, [3 - 0.1 * 6], rtol=1e-6)
    assert a.grad._array.tolist() == [6]


def test_step_calls_the_closure_with_recording_on_and_returns_its_loss():
    from tinygrad_cnn import no_grad

    a = leaf(3)
    optimizer = optim.SGD([a], lr=0.1)

    def closure():
        assert is_grad_enabled()
        optimizer.zero_grad()
        loss = a * a
        loss.backward()
        return loss

    with no_grad():
        loss = optimizer.step(closure)
    assert loss._array.tolist() == [9]
    np.testing.assert_allclose(a._array, [2.4], rtol=1e-6)


def test_a_step_between_forward_and_backward_is_noticed():
    a, b = leaf(3), leaf(2)
    product = a * b
    optimizer = optim.SGD([a], lr=0.1)
    a.grad = wrap(np.ones(1, np.float32))
    optimizer.step()
    with pytest.raises(GraphError, match="modified by an in-place operation"):
        product.backward()


def test_state_dict_numbers_the_parameters_through_all_groups():
    a, b = leaf(1), leaf(1, 2)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25, momentum=0.9)
    a.grad, b.grad = wrap(np.ones(1, np.float32)), wrap(np.ones(2, np.float32))
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert state["param_groups"][1]["lr"] == 0.5
    assert set(state["state"]) == {0, 1}


def test_load_state_dict_checks_before_it_changes_anything():
    a = leaf(1)
    optimizer = optim.SGD([a], lr=0.25, momentum=0.9)
    other = optim.SGD([leaf(1, 2)], lr=0.5, momentum=0.9)
    other.param_groups[0]["params"][0].grad = wrap(np.ones(2, np.float32))
    other.step()
    with pytest.raises(ShapeError, match=r"momentum_buffer has shape \(2,\) for a parameter of shape \(1,\)"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert not optimizer.state
    with pytest.raises(ValueError, match="group 0 has 2 parameters in the dictionary, 1 here"):
        optimizer.load_state_dict(optim.SGD([leaf(1), leaf(2)]).state_dict())
    with pytest.raises(ValueError, match="2 parameter groups in the dictionary, 1 here"):
        optimizer.load_state_dict(optim.SGD([{"params": [leaf(1)]}, {"params": [leaf(2)]}]).state_dict())


def test_repr():
    assert repr(optim.SGD([leaf(1)], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


ERRORS = [
    (lambda: optim.SGD([]), ValueError, "got no parameters"),
    (lambda: optim.SGD(leaf(1)), TypeError, "single Tensor"),
    (lambda: optim.SGD([leaf(1), 3]), TypeError, "must contain Tensors, got int"),
    (lambda: optim.SGD([leaf(1) * leaf(2)]), ValueError, "only leaves can be optimized, but MulBackward"),
    (lambda: optim.SGD([leaf(1)] * 2), ValueError, r"parameter of shape \(1,\) occurs twice"),
    (lambda: optim.SGD([("a", leaf(1)), leaf(2)]), ValueError, "1 of 2 parameters have names"),
    (lambda: optim.SGD([leaf(1)]).add_param_group([leaf(2)]), TypeError, "must be a dictionary, got list"),
    (lambda: optim.SGD([leaf(1)], lr=-1), ValueError, "SGD: lr must be at least 0, got -1"),
    (lambda: optim.SGD([leaf(1)], lr=float("nan")), ValueError, "SGD: lr must be at least 0, got nan"),
    (lambda: optim.SGD([leaf(1)], momentum=-0.5), ValueError, "momentum must be at least 0, got -0.5"),
    (lambda: optim.SGD([leaf(1)], weight_decay=-1), ValueError, "weight_decay must be at least 0, got -1"),
    (lambda: optim.SGD([leaf(1)], nesterov=True), ValueError, "momentum=0, dampening=0"),
    (lambda: optim.SGD([leaf(1)], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "dampening=0.1"),
    (lambda: optim.Adam([leaf(1)], lr=-1), ValueError, "Adam: lr must be at least 0, got -1"),
    (lambda: optim.Adam([leaf(1)], eps=-1), ValueError, "eps must be at least 0, got -1"),
    (lambda: optim.AdamW([leaf(1)], weight_decay=-1), ValueError, "AdamW: weight_decay must be at least 0, got -1"),
    (lambda: optim.Adam([leaf(1)], betas=(0.9, 1.0)), ValueError, r"below 1, got \(0.9, 1.0\)"),
    (lambda: optim.Adam([leaf(1)], betas=(0.9,)), ValueError, "betas must be two numbers"),
    (lambda: optim.Optimizer([leaf(1)], {})._update([], [], [], {}), NotImplementedError, "Optimizer._update"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
