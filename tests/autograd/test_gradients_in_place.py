"""Operations that write over the gradient they get do so only where nothing else sees it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.autograd import grad
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.ops import buffers

SHAPE = (4, 8, 40, 40)  # large enough for the kernels


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape or SHAPE).astype(np.float32)


def leaf(seed):
    return tg.from_numpy(drawn(seed)).requires_grad_()


def relu(x):
    return F.relu(x)


def conv_relu(x):
    return F.conv2d(x, tg.from_numpy(drawn(1, 8, 8, 1, 1)), activation="relu")


def linear_relu(x):
    return F.linear(x, tg.from_numpy(drawn(1, 40, 40)), activation="relu")


def batch_norm(x):
    return F.batch_norm(x, None, None, training=True)


@pytest.fixture(params=[relu, conv_relu, linear_relu, batch_norm])
def function(request):
    return request.param


def backward(function, look=lambda y: None):
    """The gradient of Σ sin(function(x)) by x and by y = function(x), and what ``look(y)`` returned.

    The operation that makes y gets cos(y) as gradient: an array that belongs to nothing else, and not 0 where y is.
    """
    x = leaf(0)
    y = function(x)
    seen = look(y)
    y.sin().sum().backward()
    return x.grad.numpy(), np.cos(y.detach().numpy()), seen


def peak(*args):
    gc.collect()  # compiling a kernel may leave frames behind that hold arrays
    buffers.release()
    backward(*args)
    return buffers.statistics()["most_in_use"]


def test_the_gradient_is_overwritten_where_nothing_else_sees_it(function):
    watched = peak(function, lambda y: y.register_hook(lambda g: None))
    assert watched - peak(function) >= drawn(0).nbytes


def test_a_hook_may_keep_the_gradient(function):
    kept = []
    found, whole, _ = backward(function, lambda y: y.register_hook(kept.append))
    np.testing.assert_array_equal(kept[0].numpy(), whole)
    np.testing.assert_array_equal(found, backward(function)[0])


def test_a_retained_gradient_is_whole(function):
    def retain(y):
        y.retain_grad()
        return y

    _, whole, y = backward(function, retain)
    np.testing.assert_array_equal(y.grad.numpy(), whole)


def test_a_wanted_gradient_is_whole(function):
    x = leaf(0)
    y = function(x)
    by_x, by_y = grad(y.sin().sum(), [x, y])
    expected, whole, _ = backward(function)
    np.testing.assert_array_equal(by_y.numpy(), whole)
    np.testing.assert_array_equal(by_x.numpy(), expected)


def test_the_callers_gradient_is_whole(function):
    x = leaf(0)
    expected, whole, _ = backward(function)
    upstream = tg.from_numpy(whole.copy())
    function(x).backward(upstream)
    np.testing.assert_array_equal(upstream.numpy(), whole)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_a_gradient_that_two_operations_get(function):
    """Addition hands one array to both its operands."""
    a, b = leaf(0), leaf(3)
    total = function(a) + function(b)
    total.sin().sum().backward()
    for x in (a, b):
        alone = x.detach().requires_grad_()
        function(alone).backward(total.detach().cos())
        np.testing.assert_array_equal(x.grad.numpy(), alone.grad.numpy())


def test_two_walks_over_one_graph(function):
    x = leaf(0)
    loss = function(x).sin().sum()
    loss.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * first)


def test_a_recorded_walk_writes_over_nothing():
    x, factor = leaf(0), leaf(2)
    (first,) = grad((relu(x).sin() * factor).sum(), [x], create_graph=True)
    (second,) = grad(first.sum(), [factor])
    np.testing.assert_allclose(second.numpy(), np.cos(drawn(0)) * (drawn(0) > 0), rtol=1e-5)
