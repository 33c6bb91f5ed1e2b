"""In-place operations: on bases, views, siblings and chains, the gradient is right or an error is raised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError

from . import draw
from .programs import SHAPES, Step, programs, run


def weights(shape, i):
    """The upstream gradient of tensor number i: different for every element."""
    return np.cos(np.arange(int(np.prod(shape))) * 1.7 + i).reshape(shape)


def value_at(array, steps):
    """The number whose gradient is taken: all elements of all tensors, weighted."""
    arrays = [t.numpy() for t in run(tg, tg.tensor(array), steps)]
    return sum((a * weights(a.shape, i)).sum() for i, a in enumerate(arrays))


def largest(array, steps):
    """The largest number in a program's result: differences of it are known to so many digits only."""
    return max(abs(t.numpy()).max(initial=0) for t in run(tg, tg.tensor(array), steps))


def differences(array, steps, eps=1e-6):
    """The derivative of a program by central differences; detach() breaks them, so programs leave it out.

    Two of them, extrapolated (Richardson): a square of products is steep enough for one to be off by 1e-4.
    """
    grad = np.zeros_like(array)
    for i in np.ndindex(array.shape):
        wide, narrow = (_difference(array, steps, i, step) for step in (eps, eps / 2))
        grad[i] = (4 * narrow - wide) / 3
    return grad


def _difference(array, steps, index, eps):
    moved = [array.copy(), array.copy()]
    moved[0][index] += eps
    moved[1][index] -= eps
    return (value_at(moved[0], steps) - value_at(moved[1], steps)) / (2 * eps)


def gradient(library, array, steps, apart=False):
    x = library.tensor(array.copy(), requires_grad=True)
    made = [(t, library.tensor(weights(tuple(t.shape), i))) for i, t in enumerate(run(library, x, steps, apart))]
    made = [(t, upstream) for t, upstream in made if t.requires_grad]
    library.autograd.backward([t for t, _ in made], [upstream for _, upstream in made])
    return np.zeros_like(array) if x.grad is None else x.grad.numpy()


cases = st.tuples(st.sampled_from(SHAPES), draw.seeds, programs(views=2))


@given(cases)
@settings(max_examples=100)
def test_a_gradient_that_comes_out_is_right(case):
    shape, seed, steps = case
    steps = [step for step in steps if step.what != "detach"]
    array = draw.normal(seed, shape)
    try:
        found = gradient(tg, array, steps)
    except GraphError:
        event("refused")
        return
    event("computed")
    noise = 1e-5 + 1e-8 * largest(array, steps)
    np.testing.assert_allclose(found, differences(array, steps), rtol=1e-5, atol=noise)


@given(cases)
@settings(max_examples=100)
def test_where_pytorch_has_a_value_and_a_gradient_ours_are_the_same(case):
    torch = pytest.importorskip("torch")
    shape, seed, steps = case
    array = draw.normal(seed, shape)
    try:
        expected = [t.detach().numpy().copy() for t in run(torch, torch.tensor(array, requires_grad=True), steps, True)]
        expected_grad = gradient(torch, array, steps, True)
    except RuntimeError:
        event("PyTorch refuses")
        return
    event("compared")
    found = run(tg, tg.tensor(array, requires_grad=True), steps, True)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gradient(tg, array, steps, True), expected_grad, rtol=1e-9, atol=1e-9)


@given(cases)
def test_values_do_not_depend_on_recording(case):
    shape, seed, steps = case
    array = draw.normal(seed, shape)
    recorded = run(tg, tg.tensor(array, requires_grad=True), steps)
    with tg.no_grad():
        quick = run(tg, tg.tensor(array), steps)
    for a, b in zip(recorded, quick):
        np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


def test_second_derivative_through_a_write_to_a_view():
    x = tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64, requires_grad=True)
    y = x * x
    y[1:].mul_(x[:2])  # x0², x1²·x0, x2²·x1
    ones = tg.ones(3, dtype=tg.float64)
    (first,) = tg.autograd.grad(y, [x], ones, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), [2 + 4, 2 * 2 * 1 + 9, 2 * 3 * 2])
    (second,) = tg.autograd.grad(first, [x], ones)
    np.testing.assert_allclose(second.numpy(), [2 + 4, 2 * 2 + 2 * 1 + 6, 2 * 3 + 2 * 2])


# ---------------------------------------------------------------- what must be refused


def test_backward_names_the_operation_whose_saved_tensor_was_overwritten():
    x = tg.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(GraphError, match=r"MulBackward: .* is at version 1, expected version 0"):
        z.backward(tg.ones(3))
    assert x.grad is None


def test_a_write_through_a_view_or_detach_is_noticed_too():
    x = tg.ones(3, requires_grad=True)
    for write in (lambda y: y[0].zero_(), lambda y: y.detach().zero_(), lambda y: y.view(3, 1)[1:].add_(1)):
        y = x * 2
        z = y * y
        with tg.no_grad():
            write(y)
        with pytest.raises(GraphError, match="MulBackward"):
            z.backward(tg.ones(3))


def test_a_leaf_that_requires_grad_and_its_views_refuse_writes_while_recording():
    x = tg.ones(2, 3, requires_grad=True)
    for write in (lambda: x.add_(1), lambda: x[0].zero_(), lambda: x.t().mul_(2), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises(GraphError, match="leaf that requires grad"):
            write()
    assert (x.detach().numpy() == 1).all()
    with tg.no_grad():
        x[0] += 1
    assert x.detach().numpy().tolist() == [[2] * 3, [1] * 3]


def test_expanded_memory_is_read_only():
    with pytest.raises(GraphError, match="share one place"):
        tg.ones(3, 1).expand(3, 4).add_(1)


def test_the_copy_made_for_a_view_of_channels_last_memory_refuses_writes():
    h = tg.ones(2, 3, 4, 5).contiguous(memory_format=tg.channels_last)
    for flat in (h.view(2, -1), h.reshape(-1), h.flatten(1), h.view(2, -1)[0], h.view(2, -1).detach()):
        with pytest.raises(GraphError, match="had to copy here"):
            flat.zero_()
    assert (h.numpy() == 1).all()
    h.permute(0, 2, 3, 1).reshape(-1).zero_()  # a view here, a copy in PyTorch
    h.transpose(0, 1).reshape(-1).zero_()  # a copy in PyTorch too


def test_dtypes_and_shapes_of_results():
    with pytest.raises(DTypeError, match=r"float32 cannot be written into a tensor of dtype tinygrad_cnn.int64"):
        tg.arange(3).add_(0.5)
    with pytest.raises(DTypeError, match="cannot be written"):
        tg.arange(3).div_(2)
    with pytest.raises(DTypeError, match="cannot be written"):
        tg.ones(3, dtype=tg.bool).add_(1)
    with pytest.raises(ShapeError, match=r"\(2, 3\) does not broadcast to the tensor's shape \(3,\)"):
        tg.ones(3).add_(tg.ones(2, 3))
    x = tg.tensor([250, 3], dtype=tg.uint8)
    x += tg.tensor([10, 1])
    assert x.tolist() == [4, 4]
    assert x.dtype is tg.uint8


def test_a_failed_write_changes_nothing():
    x = tg.ones(3)
    with pytest.raises(ShapeError):
        x.copy_(tg.ones(4))
    with pytest.raises(ShapeError):
        x[:2] = tg.ones(3)
    assert x.tolist() == [1, 1, 1]


# ---------------------------------------------------------------- single facts


def test_augmented_assignment_writes_in_place():
    x = tg.ones(3)
    same = x
    x += 1
    x *= 3
    x -= 1
    x /= 5
    assert same is x
    assert x.tolist() == [1, 1, 1]
    assert x.data_ptr() == same.data_ptr()


def test_retained_gradient_is_that_of_the_latest_value():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * y).backward(tg.ones(2))
    assert y.grad.tolist() == [12.0, 24.0]
    assert x.grad.tolist() == [72.0, 144.0]


def test_assignment_drops_leading_ones_and_casts():
    x = tg.zeros(2, 3)
    x[0] = tg.ones(1, 1, 3, dtype=tg.int64)
    x[1, [0, 2]] = tg.tensor([[5.0, 7.0]])
    assert x.tolist() == [[1, 1, 1], [5, 0, 7]]


@given(st.lists(st.sampled_from(["select", "transpose", "narrow"]), min_size=5, max_size=12), draw.seeds)
def test_long_chains_of_views(kinds, seed):
    steps = [Step(kind, i, 0, i, i + 1) for i, kind in enumerate(kinds)]
    steps.append(Step("mul_number", len(kinds), 0, 0, 3))
    array = draw.normal(seed, (2, 3, 4))
    np.testing.assert_allclose(gradient(tg, array, steps), differences(array, steps), rtol=1e-5, atol=1e-6)
