"""Where reductions, orders and matrix products have edges, they have PyTorch's: values, dtypes and two gradients.

The rows of the table avoid ties, zeros, NaN, infinities and empty tensors by construction; here they are sought.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.testing.properties import gradient_equals_torch, value_equals_torch

from .table import Case, OpSample

nan, inf = math.nan, math.inf
TIES = [[2.0, 1.0, 2.0], [3.0, 3.0, 3.0]]
WITH_NAN = [[1.0, nan, 3.0], [nan, 0.0, nan], [4.0, 5.0, 6.0]]
INTEGERS = [[3, 0, 2], [1, 1, 250]]

Function = Callable[..., Any]


def case(*values: Any) -> tuple[np.ndarray, ...]:
    """Arrays of float64 unless they are arrays already."""
    return tuple(v if isinstance(v, np.ndarray) else np.array(v, np.float64) for v in values)


def empty(*shape: int) -> np.ndarray:
    return np.zeros(shape)


def agrees_with_torch(function: Function, arrays: tuple[np.ndarray, ...], order: int = 2) -> None:
    """``function(library, *tensors)`` has PyTorch's values and dtypes and so many of its derivatives."""
    torch = pytest.importorskip("torch")
    sample = OpSample("edge", lambda *t: function(tg, *t), None, None, lambda *t: function(torch, *t), order=order)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # both warn of a variance without degrees of freedom
        value_equals_torch(sample, Case(arrays))
        if order:
            gradient_equals_torch(sample, Case(arrays))


def edges(*rows: tuple[str, Function, tuple[np.ndarray, ...]]) -> Any:
    return pytest.mark.parametrize(("function", "arrays"), [pytest.param(f, a, id=name) for name, f, a in rows])


@edges(
    ("max shares", lambda lib, x: lib.max(x), case(TIES)),
    ("min shares", lambda lib, x: lib.min(x), case([[1.0, 1.0], [1.0, 4.0]])),
    ("max(dim) takes one", lambda lib, x: lib.max(x, 1), case(TIES)),
    ("min(dim) takes one", lambda lib, x: lib.min(x, 0), case([[1.0, 2.0], [1.0, 0.0]])),
    ("amax shares", lambda lib, x: lib.amax(x, 1), case(TIES)),
    ("amax shares over two", lambda lib, x: lib.amax(x, (0, 1), keepdim=True), case(TIES)),
    ("amin shares", lambda lib, x: lib.amin(x, -1), case(TIES)),
    ("median shares", lambda lib, x: lib.median(x), case([3.0, 3.0, 5.0, 5.0, 3.0])),
    ("argmax takes the first", lambda lib, x: lib.argmax(x, 1), case(TIES)),
    ("argmin takes the first", lambda lib, x: lib.argmin(x), case(TIES)),
    ("norm inf shares", lambda lib, x: lib.norm(x, inf), case([[2.0, -2.0], [1.0, 0.0]])),
    ("norm -inf shares", lambda lib, x: lib.norm(x, -inf), case([[2.0, -1.0], [1.0, -1.0]])),
)
def test_ties(function, arrays):
    agrees_with_torch(function, arrays)


@edges(
    *(
        (
            f"{name}{'' if dim is None else ' along 1'}",
            lambda lib, x, n=name, d=dim: _call(lib, n, x, d),
            case(WITH_NAN),
        )
        for name in ("max", "min", "argmax", "argmin", "median", "sum", "mean", "var", "std", "prod")
        for dim in (None, 1)
    ),
    ("sort", lambda lib, x: lib.sort(x, dim=1, stable=True), case(WITH_NAN)),
    ("sort descending", lambda lib, x: lib.sort(x, dim=1, descending=True, stable=True), case(WITH_NAN)),
    ("topk", lambda lib, x: lib.topk(x, 1, 1)[0], case(WITH_NAN)),
    ("topk smallest", lambda lib, x: lib.topk(x, 1, 1, largest=False)[0], case(WITH_NAN)),
    ("logsumexp", lambda lib, x: lib.logsumexp(x, 1), case(WITH_NAN)),
    ("norm", lambda lib, x: lib.norm(x, dim=1), case(WITH_NAN)),
    ("norm 0", lambda lib, x: lib.norm(x, 0, dim=1), case(WITH_NAN)),
    ("norm inf", lambda lib, x: lib.norm(x, inf, dim=1), case(WITH_NAN)),
    ("cumsum", lambda lib, x: lib.cumsum(x, 1), case(WITH_NAN)),
    ("count_nonzero", lambda lib, x: lib.count_nonzero(x, 1), case(WITH_NAN)),
    ("nonzero", lambda lib, x: lib.nonzero(x), case(WITH_NAN)),
    ("all", lambda lib, x: lib.all(x, 1), case(WITH_NAN)),
)
def test_nan(function, arrays):
    agrees_with_torch(function, arrays, order=1)


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_nan_gets_the_gradient_of_the_nan_it_made(name):
    agrees_with_torch(lambda lib, x: getattr(lib, name)(x, 1), case(WITH_NAN), order=0)
    x = tg.tensor(WITH_NAN, requires_grad=True)
    getattr(x, name)(1).backward(tg.ones(3))  # PyTorch gives NaN to the whole row
    ends = [0, 0, 1] if name == "amax" else [1, 0, 0]
    assert x.grad.tolist() == [[0, 1, 0], [0.5, 0, 0.5], ends]


def _call(lib: Any, name: str, x: Any, dim: int | None) -> Any:
    return getattr(lib, name)(x) if dim is None else getattr(lib, name)(x, dim)


@edges(
    *(
        (f"{name} of none", lambda lib, x, n=name: getattr(lib, n)(x), case(empty(0)))
        for name in ("sum", "mean", "prod", "var", "std", "norm", "all", "any", "count_nonzero", "nonzero", "argsort")
    ),
    *(
        (f"{name} along none", lambda lib, x, n=name: getattr(lib, n)(x, 0), case(empty(0, 2)))
        for name in ("sum", "mean", "prod", "var", "std", "logsumexp", "all", "any", "cumsum", "cumprod", "sort")
    ),
    *(
        (f"{name} of no rows", lambda lib, x, n=name: getattr(lib, n)(x, 1), case(empty(0, 2)))
        for name in ("sum", "mean", "prod", "amax", "max", "argmin", "logsumexp", "median", "cumprod", "sort")
    ),
    ("sum of no rows, kept", lambda lib, x: lib.sum(x, (1, -3), keepdim=True), case(empty(2, 0, 3))),
    ("topk 0", lambda lib, x: lib.topk(x, 0), case(TIES)),
    ("nonzero of 0", lambda lib, x: lib.nonzero(x), case(0.0)),
    ("nonzero of 1", lambda lib, x: lib.nonzero(x), case(1.0)),
    ("nonzero of 1 for indexing", lambda lib, x: lib.nonzero(x, as_tuple=True), case(1.0)),
    ("nonzero of zeros", lambda lib, x: lib.nonzero(x), case([[0.0, 0.0]])),
    ("matmul inner", lambda lib, a, b: lib.matmul(a, b), case(empty(2, 0), empty(0, 3))),
    ("matmul vectors", lambda lib, a, b: lib.matmul(a, b), case(empty(0), empty(0))),
    ("matmul no rows", lambda lib, a, b: lib.matmul(a, b), case(empty(0, 2), [[1.0], [2.0]])),
    ("bmm no matrices", lambda lib, a, b: lib.bmm(a, b), case(empty(0, 2, 3), empty(0, 3, 1))),
    ("outer", lambda lib, a, b: lib.outer(a, b), case(empty(0), [1.0, 2.0])),
    ("addmm inner", lambda lib, x, a, b: lib.addmm(x, a, b), case([1.0], empty(2, 0), empty(0, 3))),
    ("einsum", lambda lib, a, b: lib.einsum("ij,jk->ik", a, b), case(empty(2, 0), empty(0, 3))),
)
def test_empty(function, arrays):
    agrees_with_torch(function, arrays, order=1)


@edges(
    *(
        (f"{name} dim {dim}", lambda lib, x, n=name, d=dim: getattr(lib, n)(x, d), case(3.0))
        for name in ("sum", "mean", "prod", "amax", "max", "median", "cumsum", "cumprod", "sort", "argsort", "argmin")
        for dim in (0, -1)
    ),
    ("logsumexp", lambda lib, x: lib.logsumexp(x, 0), case(3.0)),
    ("norm", lambda lib, x: lib.norm(x), case(-3.0)),
    ("topk", lambda lib, x: lib.topk(x, 1), case(3.0)),
    ("var", lambda lib, x: lib.var(x, correction=0), case(3.0)),
    ("argmax kept", lambda lib, x: lib.argmax(x, keepdim=True), case(3.0)),
    ("einsum", lambda lib, x, y: lib.einsum(",->", x, y), case(3.0, 2.0)),
)
def test_zero_dimensional(function, arrays):
    agrees_with_torch(function, arrays, order=1)  # PyTorch's second derivative of some of them fails


@edges(
    ("unbiased of one", lambda lib, x: lib.var(x), case([2.0])),
    ("std unbiased of one", lambda lib, x: lib.std(x), case([2.0])),
    ("biased of one", lambda lib, x: lib.var(x, unbiased=False), case([2.0])),
    ("PyTorch's var(input, False)", lambda lib, x: lib.var(x, False), case(TIES)),
    ("std of equal ones", lambda lib, x: lib.std(x, 1), case(TIES)),
    ("var_mean unbiased of one", lambda lib, x: lib.var_mean(x, 0), case([[1.0, 2.0]])),
)
def test_variances(function, arrays):
    agrees_with_torch(function, arrays, order=1)


@pytest.mark.parametrize("correction", [2, 2.5, 3])
def test_a_correction_that_leaves_nothing(correction):
    agrees_with_torch(lambda lib, x: lib.var(x, 0, correction=correction), case(TIES), order=0)


def test_a_variance_without_degrees_of_freedom_warns():
    with pytest.warns(UserWarning, match="std: degrees of freedom is 0 <= 0") as caught, np.errstate(all="ignore"):
        assert math.isnan(tg.std(tg.ones(1)).item())
    assert caught[0].filename == __file__


@edges(
    ("one zero", lambda lib, x: lib.prod(x), case([2.0, 0.0, 3.0])),
    ("two zeros", lambda lib, x: lib.prod(x), case([2.0, 0.0, 3.0, 0.0])),
    ("three zeros", lambda lib, x: lib.prod(x), case([0.0, 0.0, 0.0, 4.0])),
    ("zeros along 1", lambda lib, x: lib.prod(x, 1), case([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])),
    ("only a zero", lambda lib, x: lib.prod(x, 0, keepdim=True), case([0.0])),
    ("cumprod one zero", lambda lib, x: lib.cumprod(x, 0), case([2.0, 0.0, 3.0, -1.0])),
    ("cumprod two zeros", lambda lib, x: lib.cumprod(x, 0), case([2.0, 0.0, 3.0, 0.0, 5.0])),
    ("cumprod zeros along 1", lambda lib, x: lib.cumprod(x, -1), case([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0]])),
)
def test_products_of_zeros(function, arrays):
    agrees_with_torch(function, arrays)


def test_second_derivative_of_a_product_with_two_zeros():
    x = tg.tensor([2.0, 0.0, 3.0, 0.0], dtype=tg.float64, requires_grad=True)
    (first,) = tg.autograd.grad(x.prod(), x, create_graph=True)
    assert first.tolist() == [0, 0, 0, 0]
    (second,) = tg.autograd.grad(first[1], x)
    assert second.tolist() == [0, 0, 0, 6]


@edges(
    ("-inf beside numbers", lambda lib, x: lib.logsumexp(x, 0), case([1.0, -inf, 2.0])),
    ("only -inf", lambda lib, x: lib.logsumexp(x, 0), case([-inf, -inf])),
    ("inf", lambda lib, x: lib.logsumexp(x, 0), case([1.0, inf])),
    ("two inf", lambda lib, x: lib.logsumexp(x, 0), case([inf, inf, -inf])),
    ("large", lambda lib, x: lib.logsumexp(x, (0, 1), keepdim=True), case([[1000.0, 1000.0], [-1000.0, 999.0]])),
    ("integers", lambda lib, x: lib.logsumexp(x, 0), case(np.array([2, 3]))),
    ("sum of infinities", lambda lib, x: lib.sum(x), case([inf, -inf])),
    ("norm of infinities", lambda lib, x: lib.norm(x), case([inf, 1.0])),
)
def test_infinities(function, arrays):
    agrees_with_torch(function, arrays, order=1)


@pytest.mark.parametrize("p", ["fro", None, 0, 0.5, 1, 1.5, 2, 3, -1, inf, -inf])
@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, -2.0, 0.5]], ids=["at 0", "beside 0"])
@pytest.mark.parametrize("dim", [None, 0])
def test_norms(p, values, dim):
    agrees_with_torch(lambda lib, x: lib.norm(x, p, dim), case(values), order=1)


DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, dtype) for name in ("sum", "prod") for dtype in DTYPES),
        *((name, dtype) for name in ("cumsum", "cumprod") for dtype in DTYPES[1:]),  # PyTorch has none for bool
        *(("mean", dtype) for dtype in DTYPES[-2:]),
    ],
)
def test_dtype_argument(name, dtype):
    def function(lib: Any, x: Any) -> Any:
        return getattr(lib, name)(x, *(0,) * name.startswith("cum"), dtype=getattr(lib, dtype))

    agrees_with_torch(function, (np.array(INTEGERS),), order=0)
    agrees_with_torch(function, case(TIES), order=0)


def test_the_gradient_has_the_dtype_of_the_input_not_of_the_sum():
    x = tg.tensor(TIES, requires_grad=True)
    total = x.sum(dtype=tg.float64) + x.norm(dtype=tg.float64) * 0
    assert total.dtype is tg.float64
    total.backward()
    assert x.grad.dtype is tg.float32
    assert x.grad.tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "function",
    [
        lambda lib, x: lib.sum(x, 1),
        lambda lib, x: lib.prod(x),
        lambda lib, x: lib.cumsum(x, 1),
        lambda lib, x: lib.amax(x, 1),
        lambda lib, x: lib.min(x),
        lambda lib, x: lib.max(x, 1)[0],
        lambda lib, x: lib.sort(x, dim=1, stable=True),
        lambda lib, x: lib.sort(x, dim=1, descending=True, stable=True),
        lambda lib, x: lib.all(x, 1),
        lambda lib, x: lib.any(x, (0, 1)),
        lambda lib, x: lib.count_nonzero(x, (0, 1)),
        lambda lib, x: lib.nonzero(x, as_tuple=True),
        lambda lib, x: lib.outer(x[0], x[1]),
    ],
    ids=[
        "sum",
        "prod",
        "cumsum",
        "amax",
        "min",
        "max(dim)",
        "sort",
        "descending",
        "all",
        "any",
        "count",
        "nonzero",
        "outer",
    ],
)
def test_every_dtype(function, dtype):
    agrees_with_torch(function, (np.array(INTEGERS).astype(dtype),), order=1)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
def test_medians_and_products_of_every_dtype(dtype):
    a, b = np.array([[1, 2], [3, 4]], dtype), np.array([[2, 0], [1, 3]], dtype)
    agrees_with_torch(lambda lib, a, b: (a @ b, lib.einsum("ij,jk->ik", a, b), lib.addmm(b, a, b)), (a, b), order=0)
    agrees_with_torch(lambda lib, a: (lib.median(a), *lib.median(a, 0)), (a,), order=0)


@edges(
    ("nothing", lambda lib, x: lib.sum(x, ()), case(TIES)),
    ("negative", lambda lib, x: lib.mean(x, (-1, 0), keepdim=True), case(TIES)),
    ("a list", lambda lib, x: lib.sum(x, [1]), case(TIES)),
    ("amax of nothing", lambda lib, x: lib.amax(x, ()), case(TIES)),
    ("all along nothing", lambda lib, x: lib.all(x, ()), case(TIES)),
    ("any along nothing", lambda lib, x: lib.any(x, (), keepdim=True), case(TIES)),
    ("count_nonzero", lambda lib, x: lib.count_nonzero(x, ()), case(TIES)),
    ("argmax kept", lambda lib, x: lib.argmax(x, keepdim=True), case(TIES)),
    ("max of two", lambda lib, x, y: lib.max(x, y), case(TIES, [[2.0, 5.0, 0.0]])),
    ("min of two", lambda lib, x, y: lib.min(x, y), case(TIES, [[2.0, 5.0, 0.0]])),
)
def test_dims(function, arrays):
    agrees_with_torch(function, arrays)


@pytest.mark.parametrize("descending", [False, True])
def test_equal_elements_keep_their_order(descending):
    x = tg.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    values, indices = x.sort(descending=descending)
    assert values.tolist() == sorted(x.tolist(), reverse=descending)
    assert indices.tolist() == ([0, 2, 4, 1, 3] if descending else [1, 3, 0, 2, 4])
    assert x.argsort(descending=descending).tolist() == indices.tolist()


def test_topk_is_in_order_even_if_not_asked_to():
    values, indices = tg.tensor([3.0, 1.0, 2.0]).topk(2, sorted=False)
    assert values.tolist() == [3, 2]
    assert indices.tolist() == [0, 2]
    assert tg.tensor([3.0, 1.0, 2.0]).topk(2, largest=False).values.tolist() == [1, 2]


A, B, C = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4), np.arange(4.0)
SQUARE = np.arange(27.0).reshape(3, 3, 3)


@edges(
    ("diagonal", lambda lib, x: lib.einsum("ii->i", x), case(SQUARE[0])),
    ("trace", lambda lib, x: lib.einsum("ii", x), case(SQUARE[0])),
    ("diagonal of three", lambda lib, x: lib.einsum("iii->i", x), case(SQUARE)),
    ("trace of a part", lambda lib, x: lib.einsum("iji->j", x), case(SQUARE)),
    ("diagonal beside a factor", lambda lib, x, y: lib.einsum("ii,i->", x, y), case(SQUARE[0], [1.0, 2.0, 3.0])),
    ("dots only in one", lambda lib, x, y: lib.einsum("...ij,jk->...ik", x, y), case(SQUARE, B)),
    ("dots of unequal lengths", lambda lib, x, y: lib.einsum("...i,...i->...", x, y), case(SQUARE, SQUARE[0])),
    ("dots without result", lambda lib, x: lib.einsum("...i", x), case(SQUARE)),
    ("dots summed", lambda lib, x: lib.einsum("...i->i", x), case(SQUARE)),
    ("dots in the middle", lambda lib, x: lib.einsum("i...j->j...i", x), case(np.arange(24.0).reshape(2, 3, 4))),
    ("three operands", lambda lib, a, b, c: lib.einsum("ij,jk,k->i", a, b, c), case(A, B, C)),
    ("three operands, letters left out", lambda lib, a, b, c: lib.einsum("ij,jk,k", a, b, c), case(A, B, C)),
    ("operands as a list", lambda lib, a, b: lib.einsum("ij,jk", [a, b]), case(A, B)),
    ("letters in alphabetical order", lambda lib, x: lib.einsum("ba", x), case(A)),
    ("capitals first", lambda lib, x: lib.einsum("aB", x), case(A)),
    ("size 1 stands for any", lambda lib, x, y: lib.einsum("ij,ij->ij", x, y), case(A, [[2.0], [3.0]])),
    ("size 1 summed", lambda lib, x, y: lib.einsum("ij,ij->", x, y), case(A, [[2.0]])),
    ("a constant operand", lambda lib, x, y: lib.einsum("ij,jk->ik", x.detach(), y), case(A, B)),
    ("squared", lambda lib, x: lib.einsum("ij,ij->i", x, x), case(A)),
    ("1-d 1-d", lambda lib, x, y: lib.matmul(x, y), case(C, C + 1)),
    ("1-d 2-d", lambda lib, x, y: lib.matmul(x, y), case([1.0, 2.0, 3.0], B)),
    ("2-d 1-d", lambda lib, x, y: lib.matmul(x, y), case(B, C)),
    ("1-d batched", lambda lib, x, y: lib.matmul(x, y), case([1.0, 2.0, 3.0], SQUARE)),
    ("batched 1-d", lambda lib, x, y: lib.matmul(x, y), case(SQUARE, [1.0, 2.0, 3.0])),
    ("batches broadcast", lambda lib, x, y: x[:, None] @ y, case(SQUARE, SQUARE[:2])),
    ("addmm beta 0 hides NaN", lambda lib, x, a, b: lib.addmm(x, a, b, beta=0), case([nan], A, B)),
    ("addmm alpha 0", lambda lib, x, a, b: lib.addmm(x, a, b, alpha=0), case([1.0], A, B)),
    ("mv of a NaN", lambda lib, a, v: lib.mv(a, v), case([[nan, 1.0], [2.0, 3.0]], [1.0, 0.0])),
)
def test_products(function, arrays):
    agrees_with_torch(function, arrays)
