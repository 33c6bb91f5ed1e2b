"""Long chains, wide fans, and what a graph leaves behind: nothing, and without the garbage collector's help."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.autograd import Function, grad
from tinygrad_cnn.nn import functional as F

from .test_function import Exp

LENGTH = 100_000


@pytest.fixture
def no_collector():
    """The collector has run and is off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Pass(Function):
    """Keeps its input on the ctx, as saved tensors do not."""

    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return x * 1.0

    @staticmethod
    def backward(ctx, grad):
        return grad


CHAINS = {
    "saves nothing": lambda y, x: y + x,
    "saves inputs": lambda y, x: y * x,
    "saves outputs": lambda y, x: y.sigmoid(),
    "views": lambda y, x: y.view(1),
    "Function": lambda y, x: Pass.apply(y),
}


@pytest.mark.parametrize("link", CHAINS.values(), ids=CHAINS)
def test_a_chain_of_100_000_operations(link, no_collector):
    limit = sys.getrecursionlimit()
    x = tg.ones(1, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = link(y, x)
    first = weakref.ref(y.grad_fn.next_functions[0][0])
    y.backward()
    assert x.grad is not None
    assert sys.getrecursionlimit() == limit
    del y  # frees node after node: must not overflow the stack
    assert first() is None


def test_a_chain_that_never_went_backward_is_freed_too(no_collector):
    x = tg.ones(1, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y * x
    last = weakref.ref(y.grad_fn)
    del y
    assert last() is None


def test_a_long_chain_in_grad():
    x = tg.ones(1, requires_grad=True)
    middle = x * 1
    y = middle
    for _ in range(LENGTH // 10):
        y = y + x
    found = grad(y, [middle, x])
    assert [g.item() for g in found] == [1, LENGTH // 10 + 1]


def test_a_tensor_used_10_000_times():
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    h = x * 1
    total = tg.stack([h * i for i in range(10_000)]).sum()
    total.backward()
    assert x.grad.tolist() == [sum(range(10_000))] * 2
    y = tg.tensor(0.0, dtype=tg.float64)
    for _ in range(10_000):
        y = y + x.sum()
    y.backward()
    assert x.grad.tolist() == [sum(range(10_000)) + 10_000] * 2


def network():
    tg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(18, 3),
    )


def our_objects():
    """What the collector knows of this package's objects: nodes, Tensors, views, contexts ..."""
    return [o for o in gc.get_objects() if str(type(o).__module__).startswith(("tinygrad_cnn", __name__))]


def array_bytes():
    """The memory of all arrays that NumPy has allocated since tracing began and that are still there."""
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)


@pytest.fixture
def garbage():
    """A function that runs the collector and names what it found of this package's objects."""

    def find():
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [type(o).__name__ for o in gc.garbage if str(type(o).__module__).startswith("tinygrad_cnn")]

    yield find
    gc.set_debug(0)
    gc.garbage.clear()
    tracemalloc.stop()


def test_1000_training_steps_leave_no_garbage_and_no_growth(no_collector, garbage):
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, labels = tg.randn(4, 1, 8, 8), tg.tensor([0, 1, 2, 0])
    objects, arrays = set(), set()
    for step in range(1, 1001):
        hidden = model[0](images)
        hidden.retain_grad()
        hidden.register_hook(lambda gradient: gradient * 1.0)
        loss = F.cross_entropy(model[1:](hidden), labels) + Pass.apply(hidden).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 300 == 100:
            objects.add(len(our_objects()))
        if step == 700:
            tracemalloc.start()  # makes everything slow, so not from the beginning
        if step in (800, 900, 1000):
            arrays.add(array_bytes())
    del hidden, loss
    assert len(objects) == 1
    assert len(arrays) == 1
    assert garbage() == []


def double_backward(x):
    (first,) = grad((x**3).sum(), x, create_graph=True)
    first.sum().backward()


def failing_backward(x):
    y = x * 2
    y.register_hook(lambda gradient: gradient[:1])
    with pytest.raises(tg.autograd.engine.ShapeError):
        y.sum().backward()


def in_place(x):
    y = x * 1
    y[0] = 3.0
    y.view(-1).mul_(2)
    y.sum().backward()


def function_twice(x):
    (first,) = grad(Exp.apply(Exp.apply(x)).sum(), x, create_graph=True)
    first.sum().backward()


PROGRAMS = {
    "Function": function_twice,
    "double backward": double_backward,
    "in place": in_place,
    "retained": lambda x: (x * 2).sum().backward(retain_graph=True),
    "jacobian": lambda x: tg.autograd.functional.hessian(lambda z: (z**3).sum(), x),
    "checkpoint": lambda x: tg.autograd.checkpoint(lambda z: z.exp().sum(), x).backward(),
    "anomaly": tg.autograd.detect_anomaly()(lambda x: (x * 2).sum().backward()),
    "no backward": lambda x: (x * 2).sum().detach(),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_programs_leave_nothing(program, no_collector):
    x = tg.tensor(np.arange(3.0), requires_grad=True)
    program(x)
    x.grad = None
    before = len(our_objects())
    for _ in range(3):
        program(x)
        x.grad = None
    assert len(our_objects()) == before


def test_a_failed_backward_leaves_nothing():
    """The traceback of an error refers to the walk; when it is gone, so is the graph."""
    x = tg.tensor(np.arange(3.0), requires_grad=True)
    failing_backward(x)
    gc.collect()
    before = len(our_objects())
    for _ in range(3):
        failing_backward(x)
    gc.collect()
    assert len(our_objects()) == before
