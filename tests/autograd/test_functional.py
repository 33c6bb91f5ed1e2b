"""Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.autograd import functional, gradcheck
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError

SEEDS = st.integers(0, 1000)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def cubic(x):
    return (x**3).sum()


def mixed(x, y):
    """A scalar of x (2, 3) and y (3,) whose mixed second derivatives are not zero."""
    return (x * x * y.exp()).sum()


def pair(x, y):
    """Two outputs, (2, 3) and (2,), of x (2, 3) and y (3,)."""
    return (x * y).exp(), (x + y**3).sum(dim=1)


def assert_same(ours, theirs):
    """Equal values and equal nesting of tuples."""
    assert isinstance(ours, tuple) == isinstance(theirs, tuple)
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_same(a, b)
        return
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-13)


# ------------------------------------------------------------------------------------------------ known results


@given(seed=SEEDS, n=st.integers(1, 4), m=st.integers(0, 4))
def test_jacobian_of_a_linear_map_is_its_matrix(seed, n, m):
    matrix = tg.tensor(drawn(m, n, seed=seed))
    found = functional.jacobian(lambda x: matrix @ x, tg.tensor(drawn(n, seed=seed + 1)))
    np.testing.assert_array_equal(found, matrix)


@given(seed=SEEDS, n=st.integers(1, 4))
def test_second_derivatives_of_a_quadratic_form(seed, n):
    A = drawn(n, n, seed=seed)
    A = tg.tensor(A + A.T)
    x, v = tg.tensor(drawn(n, seed=seed + 1)), tg.tensor(drawn(n, seed=seed + 2))

    def form(x):
        return x.dot(A.mv(x)) / 2

    np.testing.assert_allclose(functional.hessian(form, x), A, rtol=1e-12, atol=1e-13)
    for product in (functional.hvp, functional.vhp):
        value, found = product(form, x, v)
        np.testing.assert_allclose(value, form(x))
        np.testing.assert_allclose(found, A.mv(v), rtol=1e-12, atol=1e-13)


@given(seed=SEEDS)
def test_products_agree_with_the_jacobian(seed):
    x, y = tg.tensor(drawn(2, 3, seed=seed)), tg.tensor(drawn(3, seed=seed + 1))
    u, v = tg.tensor(drawn(2, 3, seed=seed + 2)), tg.tensor(drawn(3, seed=seed + 3))
    w = tg.tensor(drawn(2, seed=seed + 4))
    rows = functional.jacobian(pair, (x, y))
    outputs, pushed = functional.jvp(pair, (x, y), (u, v))
    assert_same(outputs, pair(x, y))
    for row, found in zip(rows, pushed):
        np.testing.assert_allclose(found, np.tensordot(row[0], u, 2) + np.tensordot(row[1], v, 1), rtol=1e-10)
    _, pulled = functional.vjp(pair, (x, y), (u, w))
    for i, found in enumerate(pulled):
        expected = np.tensordot(u, rows[0][i], 2) + np.tensordot(w, rows[1][i], 1)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_shapes_and_nesting():
    x, y = tg.tensor(drawn(2, 3)), tg.tensor(drawn(3))
    single = functional.jacobian(lambda x: x.sum(dim=0), x)
    assert tuple(single.shape) == (3, 2, 3)
    rows = functional.jacobian(pair, (x, y))
    shapes = [[tuple(block.shape) for block in row] for row in rows]
    assert shapes == [[(2, 3, 2, 3), (2, 3, 3)], [(2, 2, 3), (2, 3)]]
    blocks = functional.hessian(mixed, (x, y))
    shapes = [[tuple(block.shape) for block in row] for row in blocks]
    assert shapes == [[(2, 3, 2, 3), (2, 3, 3)], [(3, 2, 3), (3, 3)]]
    assert isinstance(functional.hessian(cubic, (x,))[0], tuple)
    assert isinstance(functional.jacobian(lambda x: (x,), x), tuple)


def test_results_have_a_graph_only_with_create_graph():
    x = tg.tensor(drawn(3), requires_grad=True)
    for name in ("jacobian", "hessian"):
        assert not getattr(functional, name)(cubic, x).requires_grad
        assert getattr(functional, name)(cubic, x, create_graph=True).requires_grad
    for name in ("vjp", "jvp", "hvp", "vhp"):
        v = None if name == "vjp" else tg.ones(3, dtype=tg.float64)
        for create_graph in (False, True):
            value, product = getattr(functional, name)(cubic, x, v, create_graph)
            assert (value.requires_grad, product.requires_grad) == (create_graph, create_graph)
    assert x.grad is None


def test_results_can_be_differentiated():
    x, v = tg.tensor(drawn(3), requires_grad=True), tg.tensor(drawn(3, seed=1))
    assert gradcheck(lambda x: functional.jacobian(lambda z: z**3, x, create_graph=True), (x,))
    assert gradcheck(lambda x: functional.hessian(lambda z: (z**4).sum(), x, create_graph=True), (x,))
    for product in (functional.vjp, functional.jvp):
        assert gradcheck(lambda x, product=product: product(lambda z: z**3, x, v, create_graph=True)[1], (x,))
    for product in (functional.hvp, functional.vhp):
        assert gradcheck(lambda x, p=product: p(lambda z: (z**4).sum(), x, v, create_graph=True)[1], (x,))


def test_one_tensor_given_twice_is_two_variables():
    x = tg.tensor([2.0, 3.0])
    first, second = functional.jacobian(lambda a, b: (a * a * b).sum(), (x, x))
    assert first.tolist() == [8, 18]
    assert second.tolist() == [4, 9]
    x.requires_grad_()
    first, second = functional.jacobian(lambda a, b: (a * a * b).sum(), (x, x), create_graph=True)
    assert (first.tolist(), second.tolist()) == ([8, 18], [4, 9])
    first.sum().backward()
    assert x.grad.tolist() == [8, 12]


def test_an_input_without_influence_gives_zeros_or_is_refused():
    x, y = tg.ones(2), tg.ones(3)
    _, second = functional.jacobian(lambda a, b: a * 2, (x, y))
    assert second.tolist() == np.zeros((2, 3)).tolist()
    assert functional.jacobian(lambda a: tg.ones(2), x).tolist() == [[0, 0], [0, 0]]
    assert functional.hessian(lambda a: a.sum(), x).tolist() == [[0, 0], [0, 0]]
    assert functional.jvp(lambda a: tg.ones(2), x, x)[1].tolist() == [0, 0]
    assert functional.hvp(lambda a: a.sum(), x, x)[1].tolist() == [0, 0]
    assert functional.vhp(lambda a: a.sum(), x, x)[1].tolist() == [0, 0]
    for call in (
        lambda: functional.jacobian(lambda a: tg.ones(2), x, strict=True),
        lambda: functional.jacobian(lambda a, b: a * 2, (x, y), strict=True),
        lambda: functional.hessian(lambda a: a.sum(), x, strict=True),
        lambda: functional.vjp(lambda a, b: a.sum(), (x, y), strict=True),
        lambda: functional.jvp(lambda a, b: a, (x, y), (x, y), strict=True),
        lambda: functional.hvp(lambda a: a.sum(), x, x, strict=True),
        lambda: functional.vhp(lambda a: a.sum(), x, x, strict=True),
    ):
        with pytest.raises(GraphError, match=r"does not depend on .*\(strict=True\)"):
            call()


def test_works_where_nothing_is_recorded():
    with tg.no_grad():
        assert functional.jacobian(lambda x: x * 3, tg.ones(1)).tolist() == [[3]]
        assert functional.hvp(cubic, tg.ones(1), tg.ones(1))[1].tolist() == [6]


X = tg.ones(2)
ERRORS = [
    (lambda: functional.jacobian(lambda x: x, X, strategy="forward-mode"), ValueError, "strategy must be 'reverse-"),
    (lambda: functional.hessian(cubic, X, outer_jacobian_strategy="?"), ValueError, "outer_jacobian_strategy must be"),
    (lambda: functional.jacobian(lambda x: x, X, strict=True, vectorize=True), ValueError, "cannot be combined"),
    (lambda: functional.jacobian(lambda x: 3.0, X), DTypeError, "jacobian: output 0 must be a Tensor, got float"),
    (lambda: functional.jacobian(lambda x: x, (X, 1)), DTypeError, "input 1 must be a Tensor, got int"),
    (lambda: functional.hessian(lambda x: x, X), ShapeError, re.escape("with one element, got shape (2,)")),
    (lambda: functional.vhp(lambda x: (x.sum(), x), X, X), ShapeError, "got 2 Tensors"),
    (lambda: functional.vjp(lambda x: x, X), GraphError, "v can be left out only for one output with one element"),
    (lambda: functional.hvp(cubic, X), GraphError, "v can be left out only for one input with one element"),
    (lambda: functional.jvp(lambda x: x, X, (X, X)), ShapeError, "v has 2 Tensors for 1 inputs"),
    (lambda: functional.jvp(lambda x: x, X, tg.ones(3)), ShapeError, re.escape("v 0 has shape (3,), but input 0 has")),
    (lambda: functional.vjp(lambda x: x, X, X.double()), DTypeError, "v 0 has dtype tinygrad_cnn.float64"),
    (lambda: functional.vjp(lambda x: x, X, [1.0]), DTypeError, "v 0 must be a Tensor, got float"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------------ PyTorch


def everything(library, functional, seed):
    """All six functions on the same numbers, for this package or PyTorch."""
    x, y, u, v, w = (library.tensor(drawn(*s, seed=seed + i)) for i, s in enumerate([(2, 3), (3,), (2, 3), (3,), (2,)]))
    point = library.tensor(drawn(3, seed=seed), requires_grad=True)
    functional.jacobian(lambda z: z**3, point, create_graph=True).sin().sum().backward()
    return (
        functional.jacobian(pair, (x, y)),
        functional.jacobian(pair, (x, y), vectorize=True),
        functional.jacobian(lambda x: x.sum(), x),
        functional.jacobian(lambda x: (x.sum(),), (x,)),
        functional.hessian(cubic, x),
        functional.hessian(mixed, (x, y)),
        functional.vjp(pair, (x, y), (u, w)),
        functional.vjp(cubic, x),
        functional.jvp(pair, (x, y), (u, v)),
        functional.hvp(mixed, (x, y), (u, v)),
        functional.vhp(mixed, (x, y), (u, v)),
        functional.vhp(cubic, x, u),
        point.grad,
    )


@given(seed=SEEDS)
def test_results_are_those_of_pytorch(seed):
    torch = pytest.importorskip("torch")
    ours = everything(tg, functional, seed)
    theirs = everything(torch, torch.autograd.functional, seed)
    assert_same(ours, theirs)
