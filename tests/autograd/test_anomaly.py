"""``detect_anomaly``: the operation and the line that made a NaN."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import Function, checkpoint, detect_anomaly, grad, set_detect_anomaly
from tinygrad_cnn.errors import GraphError


def line_of(text):
    """The line of this file that holds the text, which is unique but for this call."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = [i for i, line in enumerate(file, 1) if line.rstrip().endswith(f"# {text}")]
    return number


def message_of(call):
    with detect_anomaly(), pytest.raises(GraphError) as caught:
        call()
    return str(caught.value)


def at(text):
    return f'File "{__file__}", line {line_of(text)}, in'


def test_a_nan_in_a_gradient():
    def call():
        x = tg.tensor([0.0, 1.0], requires_grad=True)
        root = (x * 1).sqrt()  # makes infinity in backward
        y = (root * 0).sum()  # makes zeros in backward
        y.backward()

    message = message_of(call)
    assert message.startswith("SqrtBackward: returned NaN values in the gradient for input 0")
    assert at("makes infinity in backward") in message
    assert "(x * 1).sqrt()" in message
    assert at("makes zeros in backward") not in message
    assert "tinygrad_cnn/ops" not in message


def test_a_nan_in_forward_is_named_when_backward_starts_from_it():
    def call():
        x = tg.tensor([-1.0, 1.0], requires_grad=True)
        logarithm = x.log()  # makes NaN in forward
        y = (logarithm * 2).sum()
        y.backward()

    message = message_of(call)
    assert message.startswith("backward: the tensor has NaN values; LogBackward made the first in forward")
    assert at("makes NaN in forward") in message


def test_a_nan_in_forward_that_spoils_a_gradient_elsewhere():
    def call():
        x = tg.tensor([-1.0, 1.0], requires_grad=True)
        w = tg.tensor([2.0, 2.0], requires_grad=True)
        logarithm = x.log()  # makes the NaN
        product = logarithm * w  # has saved the NaN
        grad(tg.where(x > 0, product, w), [w], tg.ones(2))

    message = message_of(call)
    assert message.startswith("MulBackward: returned NaN values in the gradient for input")
    assert at("has saved the NaN") in message
    assert "The NaN was made in forward by LogBackward" in message
    assert at("makes the NaN") in message


def test_the_line_is_the_users_also_through_modules_and_functions():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return grad * float("nan")

    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())

    def through_function():
        Broken.apply(model(tg.ones(1, 2))).sum().backward()  # calls Broken

    message = message_of(through_function)
    assert message.startswith("BrokenBackward")
    assert at("calls Broken") in message

    def through_module():
        with tg.no_grad():
            model[0].weight.fill_(float("inf"))
        y = model(tg.tensor([[1.0, -1.0]]))  # calls the model
        y.sum().backward()

    message = message_of(through_module)
    assert "made the first in forward" in message
    assert at("calls the model") in message


def test_nan_in_the_data_is_not_blamed_on_an_operation():
    def call():
        x = tg.tensor([float("nan")], requires_grad=True)
        (x * x).backward()

    message = message_of(call)
    assert message.startswith("MulBackward: returned NaN")
    assert "made in forward" not in message


def test_an_error_in_backward_tells_where_the_operation_was_called():
    with detect_anomaly():
        x = tg.ones(3, requires_grad=True)
        y = x.exp()  # saves its output
        y.mul_(2)
        with pytest.raises(GraphError, match="in-place") as caught:
            y.sum().backward()
    (note,) = caught.value.__notes__
    assert "raised in ExpBackward" in note
    assert at("saves its output") in note


def test_what_was_recorded_outside_has_no_line():
    x = tg.tensor([0.0], requires_grad=True)
    y = x.sqrt() * 0
    message = message_of(y.backward)
    assert "recorded outside detect_anomaly" in message
    x.grad = None
    y = x.exp()
    y.mul_(2)
    with detect_anomaly(), pytest.raises(GraphError, match="in-place") as caught:
        y.backward()
    assert not hasattr(caught.value, "__notes__")


def nan_gradient():
    x = tg.tensor([0.0], requires_grad=True)
    (x.sqrt() * 0).backward()
    return x.grad


def test_nothing_is_looked_for_by_default():
    assert np.isnan(nan_gradient()).all()
    with detect_anomaly(check_nan=False):
        assert np.isnan(nan_gradient()).all()


def test_a_finite_program_passes():
    with detect_anomaly():
        x = tg.ones(3, requires_grad=True)
        checkpoint(lambda x: x.exp().log(), x).sum().backward()
    np.testing.assert_allclose(x.grad, [1, 1, 1], rtol=1e-6)


def test_no_gradient_changes_when_it_raises():
    x, w = tg.tensor([0.0], requires_grad=True), tg.ones(1, requires_grad=True)
    with detect_anomaly(), pytest.raises(GraphError, match="NaN"):
        (x.sqrt() * 0 + w).backward()
    assert x.grad is None
    assert w.grad is None


def test_states():
    assert (tg.is_anomaly_enabled(), tg.is_anomaly_check_nan_enabled()) == (False, True)
    with detect_anomaly(check_nan=False):
        assert (tg.is_anomaly_enabled(), tg.is_anomaly_check_nan_enabled()) == (True, False)
        with set_detect_anomaly(False):
            assert not tg.is_anomaly_enabled()
            with pytest.raises(ZeroDivisionError), detect_anomaly():
                raise ZeroDivisionError
            assert not tg.is_anomaly_enabled()
        assert tg.is_anomaly_enabled()
    assert not tg.is_anomaly_enabled()
    set_detect_anomaly(True)
    try:
        with pytest.raises(GraphError):
            nan_gradient()
    finally:
        set_detect_anomaly(False)
    assert np.isnan(nan_gradient()).all()


def test_as_decorators():
    @detect_anomaly()
    def enabled():
        return tg.is_anomaly_enabled()

    @set_detect_anomaly(True)
    def switched():
        return tg.is_anomaly_enabled()

    assert not tg.is_anomaly_enabled()
    assert enabled()
    assert switched()
    assert not tg.is_anomaly_enabled()


def test_the_state_belongs_to_the_thread():
    seen = []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: seen.append(tg.is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_the_arguments_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for ours, theirs in (
        (detect_anomaly, torch.autograd.detect_anomaly),
        (set_detect_anomaly, torch.autograd.set_detect_anomaly),
    ):
        assert list(inspect.signature(ours.__init__).parameters) == list(inspect.signature(theirs.__init__).parameters)
