"""``autograd.Function``: PyTorch's way to write an operation."""

from __future__ import annotations

import gc
import re
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.autograd import Function, FunctionCtx, grad, gradcheck, gradgradcheck, once_differentiable
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        out = x.exp()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        return grad * out


class ScaledProduct(Function):
    """Two Tensors, a number in between, two outputs, and a setup_context."""

    @staticmethod
    def forward(x, factor, y):
        return x * y * factor, x + y

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, factor, y = inputs
        ctx.save_for_backward(x, y)
        ctx.factor = factor

    @staticmethod
    def backward(ctx, grad_product, grad_sum):
        x, y = ctx.saved_tensors
        return grad_product * y * ctx.factor + grad_sum, None, grad_product * x * ctx.factor + grad_sum


class MaxWithIndex(Function):
    @staticmethod
    def forward(ctx, x):
        values, indices = x.max(dim=1)
        ctx.mark_non_differentiable(indices)
        ctx.save_for_backward(indices)
        ctx.shape = x.shape
        return values, indices

    @staticmethod
    def backward(ctx, grad, grad_of_indices):
        ctx.seen = grad_of_indices
        (indices,) = ctx.saved_tensors
        return tg.zeros(*ctx.shape, dtype=grad.dtype).scatter_add(1, indices.unsqueeze(1), grad.unsqueeze(1))


def leaf(*shape, seed=0, dtype=np.float64):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype), requires_grad=True)


def make(forward, backward=lambda ctx, grad: grad):
    """A Function with these two methods."""
    return type("Made", (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


@given(shape=st.lists(st.integers(0, 3), max_size=3), seed=st.integers(0, 99))
def test_gradients_of_first_and_second_order(shape, seed):
    x, y = leaf(*shape, seed=seed), leaf(*shape, seed=seed + 1)
    assert gradcheck(Square.apply, (x,))
    assert gradcheck(Exp.apply, (x,))
    assert gradcheck(lambda a, b: ScaledProduct.apply(a, 3.0, b), (x, y))
    assert gradgradcheck(Square.apply, (x,))
    assert gradgradcheck(Exp.apply, (x,))
    assert gradgradcheck(lambda a, b: ScaledProduct.apply(a, 3.0, b), (x, y))


def test_third_derivative():
    x = tg.tensor(2.0, requires_grad=True)
    (first,) = grad(Square.apply(Square.apply(x)), x, create_graph=True)
    (second,) = grad(first, x, create_graph=True)
    (third,) = grad(second, x)
    assert (first.item(), second.item(), third.item()) == (32, 48, 48)


def test_what_the_result_is():
    x = leaf(3)
    y = Square.apply(x)
    assert y.grad_fn.name() == "SquareBackward"
    assert y.grad_fn.next_functions[0][0].variable is x
    assert not y.is_leaf
    product, total = ScaledProduct.apply(x, 2.0, leaf(3, seed=1))
    assert product.grad_fn is total.grad_fn
    assert (product.output_nr, total.output_nr) == (0, 1)
    assert product.grad_fn.next_functions[1] == (None, 0)


def test_nothing_is_recorded_without_need():
    assert Square.apply(leaf(3).detach()).grad_fn is None
    with tg.no_grad():
        assert Square.apply(leaf(3)).grad_fn is None
        assert not make(lambda ctx, x: x).apply(leaf(3)).requires_grad
    with tg.inference_mode():
        y = Square.apply(leaf(3))
    with pytest.raises(GraphError, match="inference tensor"):
        leaf(3) * y


def test_forward_runs_without_recording_on_the_tensors_themselves():
    seen = []

    def forward(ctx, x):
        seen.append((x, tg.is_grad_enabled(), x.requires_grad, (x * 2).requires_grad))
        return x * 2

    x = leaf(2)
    make(forward).apply(x)
    assert seen[0][0] is x
    assert seen[0][1:] == (False, True, False)
    assert tg.is_grad_enabled()


def test_needs_input_grad():
    seen = []

    def backward(ctx, grad):
        seen.append(ctx.needs_input_grad)
        return grad, grad, None

    x, y = leaf(2), leaf(2).detach()
    make(lambda ctx, a, b, c: a + b * c, backward).apply(x, y, 5).sum().backward()
    assert seen == [(True, False, False)]
    assert y.grad is None
    np.testing.assert_array_equal(x.grad, np.ones(2))


def test_gradients_of_unwanted_outputs_are_zeros_or_none():
    received = []

    def forward(ctx, x, materialize):
        ctx.set_materialize_grads(materialize)
        return x * 2, x.to(tg.float32), 7

    def backward(ctx, *grads):
        received.append(grads)
        return grads[0], None

    for materialize in (True, False):
        first, _, number = make(forward, backward).apply(leaf(3), materialize)
        assert number == 7
        first.sum().backward()
    (_, zeros, last), (_, nothing, _) = received
    assert zeros.dtype is tg.float32
    assert zeros.tolist() == [0, 0, 0]
    assert nothing is None
    assert last is None  # 7 is not a Tensor


def test_non_differentiable_output():
    x = leaf(4, 3)
    values, indices = MaxWithIndex.apply(x)
    assert not indices.requires_grad
    values.sum().backward()
    expected = np.zeros((4, 3))
    expected[range(4), x.detach().numpy().argmax(1)] = 1
    np.testing.assert_array_equal(x.grad, expected)
    assert values.grad_fn.ctx.seen.dtype is tg.int64
    floating = make(lambda ctx, x: (x * 2, ctx.mark_non_differentiable(out := x * 3) or out))
    assert [out.requires_grad for out in floating.apply(x)] == [True, False]


def test_an_output_that_is_returned_twice():
    first, second = make(lambda ctx, x: (out := x * 2, out), lambda ctx, a, b: a * 2 + b * 100).apply(x := leaf(2))
    (first + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [102, 102])
    first.mul_(2)
    with pytest.raises(GraphError, match="returned by a Function"):
        second.sum()


def test_once_differentiable():
    def backward(ctx, grad):
        assert not tg.is_grad_enabled()
        return grad * 3

    triple = make(lambda ctx, x: x * 3, once_differentiable(backward))
    x = leaf(2)
    triple.apply(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 3])
    (first,) = grad((triple.apply(x) + x**2).sum(), x, create_graph=True)
    with pytest.raises(GraphError, match="once_differentiable"):
        first.sum().backward()
    pair = make(lambda ctx, x, n: x * n, once_differentiable(lambda ctx, grad: (grad * 2, None)))
    (first,) = grad(pair.apply(x, 2).sum(), x, create_graph=True)
    assert first.requires_grad


def test_gradients_are_fitted_to_the_input_as_in_pytorch():
    widened = make(lambda ctx, x: x.sum(), lambda ctx, grad: tg.ones(4, 2, 3, dtype=tg.float32))
    x = leaf(2, 1)
    widened.apply(x).backward()
    assert x.grad.dtype is tg.float64
    np.testing.assert_array_equal(x.grad, [[12], [12]])
    extra = make(lambda ctx, x: x * 2, lambda ctx, grad: (grad, None))  # PyTorch drops trailing None
    extra.apply(x)[0, 0].backward()
    assert make(lambda ctx, x: x * 2, lambda ctx, grad: None).apply(x).sum().backward() is None


def test_saved_tensors_are_checked_for_writes():
    x = leaf(3)
    y = Square.apply(x)
    with tg.no_grad():
        x.mul_(2)
    with pytest.raises(GraphError, match=r"SquareBackward: a tensor of shape .* was modified by an in-place operation"):
        y.sum().backward()
    out = Exp.apply(leaf(3))
    out.mul_(2)
    with pytest.raises(GraphError, match=r"ExpBackward: a tensor of shape .* in-place"):
        out.sum().backward()


def test_saved_tensors_are_freed_and_retained():
    x = leaf(3)
    y = Square.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 4 * x.detach().numpy())
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()


def test_an_input_that_is_returned_and_written_to():
    same = make(lambda ctx, x: x, lambda ctx, grad: grad * 5)
    x = leaf(3)
    y = same.apply(x)
    assert y is not x
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 5, 5])
    inner = x * 1
    with pytest.raises(GraphError, match="returned by a Function"):
        same.apply(inner).mul_(2)
    with pytest.raises(GraphError, match="view of a leaf"):
        make(lambda ctx, x: x.reshape(3, 1)).apply(x).mul_(2)
    y = same.apply(inner)
    inner.mul_(2)
    with pytest.raises(GraphError, match="returned by a Function"):
        y.sum().backward()
    with tg.no_grad():
        same.apply(x).zero_()
    assert x.tolist() == [0, 0, 0]


def keep_on_ctx(ctx, x):
    ctx.x, ctx.out = x, x * 2
    return ctx.out


@pytest.mark.parametrize("function", [Square.apply, Exp.apply, make(keep_on_ctx).apply], ids=["input", "output", "ctx"])
def test_a_dead_graph_is_freed_without_the_collector(function):
    gc.disable()
    try:
        y = function(leaf(3))
        references = [weakref.ref(y), weakref.ref(y.grad_fn), weakref.ref(y.grad_fn.ctx)]
        y.sum().backward()
        del y
        assert [reference() for reference in references] == [None] * 3
        y = function(leaf(3))
        references = [weakref.ref(y), weakref.ref(y.grad_fn), weakref.ref(y.grad_fn.ctx)]
        del y  # never went backward
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


def test_saved_arrays_are_freed_by_backward_while_the_output_lives():
    arrays = []

    def forward(ctx, x):
        inner = x * 2
        ctx.save_for_backward(inner)
        arrays.append(weakref.ref(inner._array))
        return inner + 1

    y = make(forward, lambda ctx, upstream: upstream * ctx.saved_tensors[0]).apply(leaf(3)).sum()
    assert arrays[0]() is not None
    y.backward()
    assert arrays[0]() is None
    with pytest.raises(GraphError, match="only available while backward runs"):
        y.grad_fn.next_functions[0][0].ctx.saved_tensors  # noqa: B018


def test_an_error_in_backward_changes_no_gradient():
    def fail(ctx, grad):
        raise ZeroDivisionError("in backward")

    broken = make(lambda ctx, x: x * 2, fail)
    x, w = leaf(3), leaf(3, seed=1)
    (x * w).sum().backward()
    hidden = w * 3
    hidden.retain_grad()
    before = x.grad.numpy().copy(), w.grad.numpy().copy()
    loss = (broken.apply(x) * hidden).sum() + w.sum()
    with pytest.raises(ZeroDivisionError, match="in backward"):
        loss.backward()
    np.testing.assert_array_equal(x.grad, before[0])
    np.testing.assert_array_equal(w.grad, before[1])
    assert hidden.grad is None
    assert tg.is_grad_enabled()
    x.grad = w.grad = None
    (Square.apply(x) * w).sum().backward()  # the next step
    np.testing.assert_allclose(x.grad, (2 * x * w).detach())
    np.testing.assert_allclose(w.grad, (x * x).detach())


def test_backward_inside_backward():
    """A checkpoint as users write it: run the function again and go backward through that."""

    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with tg.enable_grad():
            y = ctx.run(x)
        tg.autograd.backward(y, upstream)
        return None, x.grad

    def forward(ctx, run, x):
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    x, w = leaf(3), leaf(3, seed=1)
    make(forward, backward).apply(lambda z: (z * w).exp(), x * 2).sum().backward()
    found = x.grad.numpy(), w.grad.numpy()
    x.grad = w.grad = None
    (x * 2 * w).exp().sum().backward()
    np.testing.assert_allclose(found[0], x.grad)
    np.testing.assert_allclose(found[1], w.grad)


def test_an_output_that_is_a_view_of_what_forward_made():
    """Writing to it is refused, as PyTorch refuses it."""
    y = make(lambda ctx, x: (x * 2).reshape(3, 1)).apply(leaf(3))
    with pytest.raises(GraphError, match="returned by a Function"):
        y.mul_(2)
    with tg.no_grad():
        y.mul_(2)


# ------------------------------------------------------------------------------------------------ errors


class NotStatic(Function):
    def forward(self, ctx, x):
        return x

    backward = staticmethod(lambda ctx, grad: grad)


class BackwardNotStatic(Function):
    forward = staticmethod(lambda ctx, x: x)

    def backward(self, ctx, grad):
        return grad


def write(ctx, x):
    x.mul_(2)
    return x


ERRORS_IN_FORWARD = [
    pytest.param(NotStatic, TypeError, "forward must be a static method", id="forward not static"),
    pytest.param(BackwardNotStatic, TypeError, "backward must be a static method", id="backward not static"),
    pytest.param(make(lambda ctx, x: 3.0), DTypeError, "forward must return a Tensor .* got float", id="a number"),
    pytest.param(make(lambda ctx, x: None), DTypeError, "got NoneType", id="nothing"),
    pytest.param(make(lambda ctx, x: (1, "a")), DTypeError, "got a tuple of int, str", id="a tuple without Tensors"),
    pytest.param(make(lambda ctx, x: ()), DTypeError, "got a tuple of nothing", id="an empty tuple"),
    pytest.param(make(lambda ctx, x: [x]), DTypeError, "got list", id="a list"),
    pytest.param(make(lambda ctx, x: x.detach().numpy()), DTypeError, "got ndarray", id="an array"),
    pytest.param(make(lambda ctx, x: ctx.save_for_backward(x, 3)), DTypeError, "got int as argument 1", id="saves 3"),
    pytest.param(make(lambda ctx, x: ctx.saved_tensors), GraphError, "only available while backward", id="reads"),
    pytest.param(make(lambda ctx, x: ctx.mark_dirty(x)), GraphError, "mark_dirty", id="mark_dirty"),
    pytest.param(make(write), GraphError, "forward wrote to its input 0", id="in place"),
    pytest.param(Function, NotImplementedError, "forward must be defined", id="no forward"),
]


@pytest.mark.parametrize(("function", "error", "message"), ERRORS_IN_FORWARD)
def test_errors_in_forward(function, error, message):
    with pytest.raises(error, match=message):
        function.apply(leaf(3))


ERRORS_IN_BACKWARD = [
    pytest.param(lambda ctx, g: (g, g), GraphError, "returned 2 gradients, expected 1", id="too many"),
    pytest.param(lambda ctx, g: (), GraphError, "returned 0 gradients, expected 1", id="too few"),
    pytest.param(lambda ctx, g: 3.0, DTypeError, "expected a Tensor or None as gradient 0, got float", id="a number"),
    pytest.param(lambda ctx, g: g.numpy(), DTypeError, "got ndarray", id="an array"),
    pytest.param(lambda ctx, g: g[:2], ShapeError, re.escape("shape (2,), expected (3,)"), id="shape"),
    pytest.param(lambda ctx, g: g.sum(), ShapeError, re.escape("shape (), expected (3,)"), id="rank"),
]


@pytest.mark.parametrize(("backward", "error", "message"), ERRORS_IN_BACKWARD)
def test_errors_in_backward(backward, error, message):
    x = leaf(3)
    y = make(lambda ctx, x: x * 2, backward).apply(x)
    with pytest.raises(error, match=f"MadeBackward: .*{message}"):
        y.sum().backward()
    assert x.grad is None


def test_a_gradient_for_what_is_no_tensor():
    y = make(lambda ctx, x, n: x * n, lambda ctx, grad: (grad, grad)).apply(leaf(3), 2)
    with pytest.raises(GraphError, match="gradient 1 is not None, but argument 1 is not a Tensor"):
        y.sum().backward()


def test_missing_methods():
    with pytest.raises(NotImplementedError, match="setup_context"):
        Function.setup_context(FunctionCtx(()), (), None)
    only_forward = type("OnlyForward", (Function,), {"forward": staticmethod(lambda ctx, x: x * 2)})
    with pytest.raises(NotImplementedError, match="backward must be defined"):
        only_forward.apply(leaf(3)).sum().backward()


# ------------------------------------------------------------------------------------------------ PyTorch


def program(library):
    """A small program with Functions, for this package or PyTorch; everything it computes."""

    class LeakyCube(library.autograd.Function):
        @staticmethod
        def forward(ctx, x, slope):
            out = x**3
            ctx.save_for_backward(x, out)
            ctx.slope = slope
            return out + slope * x

        @staticmethod
        def backward(ctx, grad):
            x, out = ctx.saved_tensors
            return grad * (3 * out / x + ctx.slope), None

    x = library.tensor([1.0, -2.0, 0.5], dtype=library.float64, requires_grad=True)
    y = LeakyCube.apply(x * 2, 0.1)
    (first,) = library.autograd.grad((y * y).sum(), x, create_graph=True)
    first.sin().sum().backward()
    return y, first, x.grad


def test_a_program_gives_what_pytorch_gives():
    torch = pytest.importorskip("torch")
    for ours, theirs in zip(program(tg), program(torch)):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
