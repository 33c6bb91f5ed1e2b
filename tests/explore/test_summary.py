"""Measured times: they are there, belong to the right rows and leave nothing behind."""

from __future__ import annotations

import time

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.explore import plan, summary

from .networks import lecture_cnn, lenet5, resnet20


def without_times(result):
    names = ("path", "kind", "output_shape", "size", "parameters", "multiply_adds", "receptive_field", "warnings")
    return [tuple(getattr(row, name) for name in names) for row in result.rows]


@pytest.mark.parametrize("network", [lecture_cnn, lenet5])
def test_it_is_the_plan_with_times(network):
    net, images = network(nn), tg.rand(3, 1, 28, 28)
    result = summary(net, images, repeats=2)
    assert without_times(result) == without_times(plan(net, (3, 1, 28, 28)))
    for row in result.rows:
        assert row.backward_seconds > 0
        if not row.is_function:
            assert row.forward_seconds > 0
    lines = str(result).split("\n")
    assert lines[0] == f"{type(net).__name__}, input 3 times 1×28×28"
    assert lines[2].split()[-5:] == ["memory", "forward", "ms", "backward", "ms"]
    assert any(line.startswith("measured in these rows: forward ") for line in lines)


class Slow(tg.autograd.function.Function):
    """The identity, but forward takes 10 ms and backward 30."""

    @staticmethod
    def forward(ctx, x):
        time.sleep(0.01)
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        time.sleep(0.03)
        return grad


class SlowLayer(nn.Module):
    def forward(self, x):
        return Slow.apply(x)


class Mixed(nn.Module):
    """A slow layer and a slow function among quick ones."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.slow = SlowLayer()
        self.shift = nn.Parameter(tg.ones(4))
        self.last = nn.Linear(4, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, x):
        x = self.slow(self.first(x)).relu()
        return self.last(Slow.apply(x) + self.shift)


def test_the_time_stands_in_the_row_that_took_it():
    result = summary(Mixed(), tg.rand(2, 4), repeats=1)
    rows = {row.path + row.kind: row for row in result.rows}
    assert list(rows) == [
        "Mixed",
        "firstLinear",
        "slowSlowLayer",
        "F.relu",
        "Slow",
        "+",
        "lastLinear",
        "unusedLinear",
    ]
    assert rows["Mixed"].forward_seconds is None  # it only stands for the parameter
    assert (rows["unusedLinear"].forward_seconds, rows["unusedLinear"].backward_seconds) == (None, None)
    assert rows["slowSlowLayer"].forward_seconds >= 0.01
    assert rows["slowSlowLayer"].backward_seconds >= 0.03
    # Functions between two layers are timed together forward, at the last of them.
    assert [rows[name].forward_seconds for name in ("F.relu", "Slow")] == [None, None]
    assert rows["+"].forward_seconds >= 0.01
    assert rows["Slow"].backward_seconds >= 0.03


def test_nothing_is_left_behind():
    net = resnet20(nn)
    net.fc.weight.grad = tg.ones(10, 64)
    before = {name: t._array.copy() for name, t in net.state_dict().items()}
    state = tg.get_rng_state()
    images = tg.rand(2, 3, 32, 32)
    tg.set_rng_state(state)
    with tg.no_grad():
        summary(net, images, repeats=1)
    assert all(np.array_equal(t._array, before[name]) for name, t in net.state_dict().items())
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["fc.weight"]
    assert np.array_equal(net.fc.weight.grad._array, np.ones((10, 64)))
    assert net.training
    assert net.bn.training
    assert tg.get_rng_state()["pos"] == state["pos"]
    assert not images.requires_grad
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_network_without_gradient_has_no_time_backward():
    class Sign(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Identity()

        def forward(self, x):
            return self.part(x) > 0

    (row,) = [row for row in summary(Sign(), tg.ones(2, 3), repeats=1).rows if row.path]
    assert row.forward_seconds > 0
    assert row.backward_seconds is None
    (row,) = summary(nn.Flatten(), tg.ones(2, 3, 2).to(tg.int64), repeats=1).rows
    assert (row.output_shape, row.backward_seconds) == ((2, 6), None)


def test_a_network_that_goes_another_way_every_time():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(2, 2), 0

        def forward(self, x):
            self.calls += 1
            for _ in range(self.calls):
                x = self.layer(x)
            return x

    assert len(summary(Growing(), tg.ones(1, 2), repeats=2).rows) == 3


ERRORS = [
    (lambda: summary(lenet5, tg.ones(1, 1, 28, 28)), TypeError, "summary: model must be a Module, got function"),
    (lambda: summary(lenet5(nn), (1, 1, 28, 28)), DTypeError, "summary: input must be a Tensor, got tuple"),
    (lambda: summary(lenet5(nn), tg.ones(1, 1, 28, 28), 0), ShapeError, "summary: repeats must be at least 1, got 0"),
    (lambda: summary(lenet5(nn), tg.ones(1, 1, 8, 8)), ShapeError, r"^conv2 = Conv2d\(6, 16"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
