"""Checkpoint: the same gradients, without the intermediate arrays."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import Function, checkpoint, checkpoint_sequential, gradcheck, gradgradcheck
from tinygrad_cnn.autograd.op import Op
from tinygrad_cnn.errors import GraphError
from tinygrad_cnn.nn import functional as F


def leaf(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def small_network():
    tg.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 9, 5),
    )


def step(run):
    """Gradients of all parameters and of the input, the loss and the next random number."""
    model = small_network()
    x = leaf(3, 2, 8, 8).float().detach().requires_grad_()
    tg.manual_seed(2)
    loss = F.cross_entropy(run(model, x), tg.tensor([0, 3, 1]))
    loss.backward()
    return [p.grad.numpy() for p in model.parameters()] + [x.grad.numpy(), loss.item(), tg.rand(2).numpy()]


def in_two_pieces(model, x):
    layers = list(model)
    x = checkpoint(nn.Sequential(*layers[:3]), x, use_reentrant=False)
    return checkpoint(nn.Sequential(*layers[3:]), x, use_reentrant=False)


def nested(model, x):
    layers = list(model)

    def outer(x):
        return checkpoint(nn.Sequential(*layers[2:]), checkpoint(nn.Sequential(*layers[:2]), x))

    return checkpoint(outer, x)


RUNS = {
    "whole": lambda model, x: checkpoint(model, x),
    "reentrant": lambda model, x: checkpoint(model, x, use_reentrant=True),
    "two pieces": in_two_pieces,
    "nested": nested,
    "sequential": lambda model, x: checkpoint_sequential(model, 3, x, use_reentrant=False),
    "keyword": lambda model, x: checkpoint(lambda *, image: model(image), image=x),
    "nested result": lambda model, x: checkpoint(lambda x: {"out": [model(x), 3]}, x)["out"][0],
    "PyTorch's name": lambda model, x: tg.utils.checkpoint.checkpoint(model, x, use_reentrant=False),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_gradients_are_bit_for_bit_those_without(run):
    for plain, recomputed in zip(step(lambda model, x: model(x)), step(run)):
        np.testing.assert_array_equal(plain, recomputed)


def test_without_preserved_random_state_dropout_draws_again():
    x = tg.ones(64, requires_grad=True)
    tg.manual_seed(0)
    y = checkpoint(F.dropout, x, preserve_rng_state=False)
    before = tg.get_rng_state()
    y.sum().backward()
    assert not np.array_equal(x.grad, y.detach())
    assert tg.get_rng_state()["pos"] != before["pos"]


def wave(x, y):
    return (x * y).sin() * x.exp() + (y * y * x).sigmoid()


def test_higher_derivatives():
    x, y = leaf(3), leaf(3, seed=1)
    assert gradcheck(lambda x, y: checkpoint(wave, x, y), (x, y))
    assert gradgradcheck(lambda x, y: checkpoint(wave, x, y), (x, y))
    results = []
    for function in (wave, lambda x, y: checkpoint(wave, x, y)):
        (first,) = tg.autograd.grad(function(x, y).sum(), x, create_graph=True)
        (second,) = tg.autograd.grad(first.sum(), y, create_graph=True)
        results.append((first, second, *tg.autograd.grad(second.sum(), (x, y))))
    for plain, recomputed in zip(*results):
        np.testing.assert_array_equal(plain.detach(), recomputed.detach())


def test_hooks_and_gradients_of_closures_and_inner_tensors():
    x, w = leaf(3), leaf(3, seed=1)
    seen = []
    y = checkpoint(lambda x: (x * w).exp(), x * 2)
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.sum().backward(inputs=[w])
    assert seen == [[1, 1, 1]]
    assert x.grad is None
    np.testing.assert_allclose(w.grad, (2 * x * (2 * x * w).exp()).detach())


def test_saved_tensors_of_a_function():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, x * x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            _, square = ctx.saved_tensors
            return 3 * square * grad

    x = leaf(3)
    checkpoint(Cube.apply, x * 2).sum().backward()
    np.testing.assert_allclose(x.grad, 24 * x.detach().numpy() ** 2)


def test_the_names_of_pytorch():
    import tinygrad_cnn.utils.checkpoint as module
    from tinygrad_cnn.utils.checkpoint import checkpoint as named

    assert module.checkpoint is named is checkpoint
    assert module.checkpoint_sequential is checkpoint_sequential


def test_nothing_to_record():
    x = leaf(3)
    with tg.no_grad():
        assert not checkpoint(tg.exp, x).requires_grad
    assert not checkpoint(tg.exp, x.detach()).requires_grad
    assert checkpoint(lambda: 5) == 5


def test_the_function_runs_once_more_per_backward():
    runs = []

    def function(x):
        runs.append(tg.is_grad_enabled())
        return x.exp().sin().exp().sum()

    x = leaf(3)
    y = checkpoint(function, x)
    assert runs == [True]
    y.backward(retain_graph=True)
    assert len(runs) == 2
    y.backward()
    assert len(runs) == 3
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()
    assert len(runs) == 3


def test_contexts_of_the_two_runs():
    seen = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *exception):
            pass

    for recorded in (True, False):
        with tg.set_grad_enabled(recorded):
            y = checkpoint(tg.exp, leaf(3), context_fn=lambda: (Note("first"), Note("second")))
        if recorded:
            y.sum().backward()
    assert seen == ["first", "second", "first"]


# ------------------------------------------------------------------------------------------------ memory


class Deep:
    """A chain of operations that each save an array; remembers every array weakly."""

    length = 5

    def __init__(self):
        self.arrays = []

    def __call__(self, x):
        for _ in range(self.length):
            x = x.sin().exp()
            self.arrays.append(weakref.ref(x._array))
        return x

    def alive(self):
        return sum(reference() is not None for reference in self.arrays)


def graph_bytes(result):
    """How much memory the saved arrays of a graph hold, inputs aside."""
    arrays, stack, seen = {}, [result.grad_fn], set()
    while stack:
        node = stack.pop()
        if not isinstance(node, Op) or node in seen:
            continue
        seen.add(node)
        if isinstance(node.saved, list):
            arrays.update({id(entry[0]): entry[0].nbytes for entry in node.saved if entry is not None})
        stack += [source for source, _ in node.next_functions]
    return sum(arrays.values()), len(seen)


def test_nothing_is_stored_between_forward_and_backward():
    deep = Deep()
    plain = deep(leaf(1000))
    assert deep.alive() == deep.length
    plain_bytes, plain_nodes = graph_bytes(plain)
    assert plain_bytes == (deep.length + 1) * 8000
    deep = Deep()
    y = checkpoint(deep, leaf(1000))
    assert deep.alive() == 1  # y itself
    assert graph_bytes(y) == (0, plain_nodes)


@pytest.mark.parametrize("retain_graph", [False, True])
def test_backward_holds_the_arrays_of_one_segment_at_a_time(retain_graph):
    segments = [Deep() for _ in range(4)]
    peaks = []

    def count(grad):
        peaks.append(sum(segment.alive() for segment in segments))

    x = leaf(100)
    y = x
    for segment in segments:
        y = checkpoint(segment, y)
        y.register_hook(count)
    x.register_hook(count)
    del segment
    y.sum().backward(retain_graph=retain_graph)
    assert len(peaks) == 5
    between = len(segments)  # the outputs of segments are inputs of the next, kept by its checkpoint
    assert max(peaks) <= between + 1
    del y
    assert sum(segment.alive() for segment in segments) == 0


def test_arrays_of_the_second_run_are_let_go_one_by_one():
    arrays, alive = [], []

    def function(x):
        for _ in range(6):
            x = x.sin().exp()
            arrays.append(weakref.ref(x._array))
            x.register_hook(lambda grad: alive.append(sum(array() is not None for array in arrays)))
        return x

    checkpoint(function, leaf(3)).sum().backward()
    assert len(arrays) == 12
    assert alive[0] == 0
    assert alive[1:] == sorted(alive[1:], reverse=True)
    assert alive[-1] < alive[1]


def test_a_dead_graph_is_freed_without_the_collector():
    gc.disable()
    try:
        for backward in (False, True):
            x = leaf(10)
            y = checkpoint(Deep(), x * 2)
            node = weakref.ref(y.grad_fn)
            if backward:
                y.sum().backward(retain_graph=True)
            del y
            assert node() is None
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------------------ errors


@given(n=st.integers(1, 4))
def test_segments_out_of_range(n):
    for segments in (0, n + 1):
        with pytest.raises(ValueError, match=f"segments must be 1 to {n} functions, got {segments}"):
            checkpoint_sequential([tg.exp] * n, segments, tg.ones(2))


def test_an_unknown_check():
    with pytest.raises(ValueError, match="determinism_check must be 'default' or 'none', got 'always'"):
        checkpoint(tg.exp, tg.ones(2), determinism_check="always")


def alternating(*functions):
    """Calls the functions in turn."""
    remaining = iter(functions)
    return lambda x: next(remaining)(x)


def test_a_function_that_does_something_else_the_second_time():
    x = leaf(4)
    y = checkpoint(alternating(tg.exp, tg.sin), x)
    with pytest.raises(GraphError, match="recorded SinBackward instead of ExpBackward as operation 0"):
        y.sum().backward()
    y = checkpoint(alternating(tg.exp, lambda x: x.exp().exp()), x)
    with pytest.raises(GraphError, match="recorded 2 operations instead of 1"):
        y.sum().backward()
    shorter = alternating(lambda x: x[:3].exp().sum(), lambda x: x[:2].exp().sum())
    with pytest.raises(GraphError, match=r"ExpBackward saved an array of shape \(3,\) .* of shape \(2,\)"):
        checkpoint(shorter, x).backward()
    assert x.grad is None


def test_shapes_are_not_compared_where_that_is_not_wanted():
    shorter = alternating(lambda x: x[:3].exp().sum(), lambda x: x[:2].exp().sum())
    y = checkpoint(shorter, leaf(4), determinism_check="none")
    with pytest.raises(ValueError, match="could not be broadcast"):  # from the product with a gradient
        y.backward()


@pytest.mark.parametrize("what", ["argument", "parameter"])
def test_what_is_modified_before_the_repetition(what):
    x, bias = leaf(3), leaf(3, seed=1)
    y = checkpoint(lambda x: (x + bias).exp() * x, x)
    target = bias if what == "parameter" else x
    with tg.no_grad():
        target.mul_(2)
    with pytest.raises(GraphError, match=r"checkpoint: an argument or parameter of shape \(3,\) was modified"):
        y.sum().backward()


def test_replaced_data_is_noticed():
    x, bias = leaf(3), leaf(3, seed=1)
    y = checkpoint(lambda x: (x + bias).exp(), x)
    bias.data = tg.zeros(3, dtype=tg.float64)
    with pytest.raises(GraphError, match="was modified between the call and its repetition"):
        y.sum().backward()


def test_an_error_in_the_second_run_changes_nothing():
    def fail(x):
        raise ZeroDivisionError("the second time")

    tg.manual_seed(4)
    x = leaf(3)
    y = checkpoint(alternating(tg.exp, fail), x).sum() + x.sum()
    state = tg.get_rng_state()
    with pytest.raises(ZeroDivisionError, match="the second time"):
        y.backward()
    assert x.grad is None
    np.testing.assert_array_equal(tg.get_rng_state()["key"], state["key"])
    x.exp().sum().backward()
    np.testing.assert_allclose(x.grad, x.exp().detach())


# ------------------------------------------------------------------------------------------------ PyTorch


def program(library, checkpoint):
    x = library.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    w = library.tensor(np.random.default_rng(1).normal(size=(3, 3)), requires_grad=True)

    def block(x, w, scale=1.0):
        return (x @ w).tanh() * scale

    y = checkpoint(block, x, w, use_reentrant=False, preserve_rng_state=False, scale=2.0)
    y = checkpoint(block, y, w, use_reentrant=False)
    (y * y).sum().backward()
    return y, x.grad, w.grad


def test_a_program_gives_what_pytorch_gives():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint as theirs

    for a, b in zip(program(tg, checkpoint), program(torch, theirs)):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10)
