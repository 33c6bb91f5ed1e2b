"""Reductions to a number, or along dimensions: sum, mean, var, prod, amax, logsumexp, norm and their kin."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..autograd.dtype import as_numpy_dtype
from ..errors import DTypeError, ShapeError
from .arithmetic import Div, Mul, Sub, mul
from .broadcast import Expand
from .cast import cast
from .dims import wrap_dims
from .elementwise import Exp, Step, floating, log, sqrt
from .joining import cat
from .selection import masked, where

Dims = tuple[int, ...]


def reduced_dims(name: str, input: Tensor, dim: Any) -> Dims:
    """The dimensions to reduce, counted from the front; None and () mean all of them."""
    if dim is None or (isinstance(dim, tuple | list) and len(dim) == 0):
        return tuple(range(input.ndim))
    dims = wrap_dims(name, dim if isinstance(dim, tuple | list) else (dim,), input.ndim)
    return dims if input.ndim else ()


def restored(grad: Tensor, shape: tuple[int, ...], dims: Dims, keepdim: bool) -> Tensor:
    """A reduced Tensor spread over the shape it was reduced from, as a read-only view."""
    if not keepdim and dims:
        kept = tuple(1 if axis in dims else size for axis, size in enumerate(shape))
        grad = grad.reshape(kept)
    return grad if grad._array.shape == shape else Expand.apply(grad, shape=shape)


class Sum(Op):
    """The sum along dimensions."""

    dims: Dims
    keepdim: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.add.reduce(x, axis=self.dims, dtype=x.dtype, keepdims=self.keepdim)  # type: ignore[call-overload]

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (restored(grad, self.input_shape(0), self.dims, self.keepdim),)


class Prod(Op):
    """The product along one dimension; the derivative by a factor is the product of the others, also beside zeros."""

    saves_inputs = (0,)
    saves_outputs = (0,)
    dim: int
    keepdim: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.multiply.reduce(x, self.dim, x.dtype, keepdims=self.keepdim)  # type: ignore[call-overload]

    def backward(self, grad: Tensor, x: Tensor, out: Tensor) -> tuple[Tensor]:
        dims = (self.dim,)
        grad = restored(grad, x._array.shape, dims, self.keepdim)
        if np.all(x._array):
            return (Mul.apply(grad, Div.apply(restored(out, x._array.shape, dims, self.keepdim), x)),)
        # The product of all factors before times that of all after: two running products, shifted by one.
        n = x._array.shape[self.dim]
        ones = wrap(np.ones_like(x._array.take([0], axis=self.dim)))
        before = cat([ones, x.narrow(self.dim, 0, n - 1).cumprod(self.dim)], self.dim)
        after = cat([x.narrow(self.dim, 1, n - 1).flip(self.dim).cumprod(self.dim).flip(self.dim), ones], self.dim)
        return (Mul.apply(grad, Mul.apply(before, after)),)


class VarianceWithoutFreedom(Op):
    """Σ (x - mean)² / 0 along dimensions: the variance if its correction is not below N, the number of elements.

    The derivative is PyTorch's: ``2 (x - mean) / (N - correction)``, that is infinite or of the wrong sign, and where
    the variance of all elements was asked for, infinite in any case.
    """

    saves_inputs = (0,)
    dims: Dims
    keepdim: bool
    freedom: float
    of_all: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            count = x.size // builtins.max(x.sum(axis=self.dims).size, 1)
            centred = x - x.sum(axis=self.dims, keepdims=True) / x.dtype.type(count)
            return np.divide((centred * centred).sum(axis=self.dims, keepdims=self.keepdim), x.dtype.type(0))

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        centred = Sub.apply(x, mean(x, self.dims, keepdim=True))
        if self.of_all:
            slope = wrap(np.where(centred._array == 0, np.nan, np.inf).astype(x._array.dtype))
        else:
            slope = Div.apply(centred, _constant(self.freedom / 2, x))
        return (Mul.apply(restored(grad, x._array.shape, self.dims, self.keepdim), slope),)


class SharedExtremum(Op):
    """The largest or smallest element along dimensions; ties share the gradient."""

    saves_inputs = (0,)
    saves_outputs = (0,)
    dims: Dims
    keepdim: bool
    largest: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        reduce = np.max if self.largest else np.min
        return reduce(x, axis=self.dims, keepdims=self.keepdim)

    def backward(self, grad: Tensor, x: Tensor, out: Tensor) -> tuple[Tensor]:
        kept = restored(out, x._array.shape, self.dims, self.keepdim)._array
        chosen = (x._array == kept) | (np.isnan(x._array) & np.isnan(kept))
        count = wrap(chosen.sum(axis=self.dims, keepdims=True).astype(x._array.dtype))
        grad = restored(grad, x._array.shape, self.dims, self.keepdim)
        return (masked(~chosen, Div.apply(grad, count)),)


class CumSum(Op):
    """Running sums along a dimension, from the front or from the back."""

    makes_fresh_gradients = True
    dim: int
    reverse: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        if not self.reverse:
            return np.add.accumulate(x, axis=self.dim, dtype=x.dtype)
        return np.flip(np.add.accumulate(np.flip(x, self.dim), axis=self.dim, dtype=x.dtype), self.dim)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (CumSum.apply(grad, dim=self.dim, reverse=not self.reverse),)


# ---------------------------------------------------------------- functions


def _number_dtype(name: str, input: Tensor, dtype: Any) -> Tensor:
    """The input in the dtype a sum is computed in: as asked, else integers and bools as int64."""
    if dtype is not None:
        return cast(input, as_numpy_dtype(dtype))
    return input if input._array.dtype.kind == "f" else cast(input, np.dtype(np.int64))


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of all elements, or along dimensions.

    Args:
        input: any shape; integers and bools are summed as int64.
        dim: an int or a tuple of ints; None takes all of them.
        keepdim: keep the summed dimensions with size 1.
        dtype: convert the input first.

    Returns:
        A Tensor of the input's shape without ``dim`` (or with size 1 there).

    Raises:
        DimError: a dimension out of range.
        ShapeError: a dimension given twice.
    """
    dims = reduced_dims("sum", input, dim)
    return Sum.apply(_number_dtype("sum", input, dtype), dims=dims, keepdim=keepdim)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of all elements, or along dimensions: NaN where there are none.

    Args, Returns and Raises as for ``sum``; integers raise DTypeError unless a floating-point ``dtype`` is given.
    """
    x = _floating("mean", input, dtype)
    dims = reduced_dims("mean", x, dim)
    count = _count(x, dims)
    total = Sum.apply(x, dims=dims, keepdim=keepdim)
    return mul(total, 1 / count) if count and count & (count - 1) == 0 else Div.apply(total, _constant(count, x))


def var(
    input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The variance, Σ (x - mean)² / (N - correction), of all elements or along dimensions.

    Args:
        input: floating-point, any shape.
        dim: an int or a tuple of ints; None takes all of them.
        unbiased: False means a correction of 0, True of 1; ``correction`` overrides it.
        keepdim: keep the reduced dimensions with size 1.

    Raises:
        DimError, ShapeError: as ``sum``.
        DTypeError: the input is not floating-point.
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """The variance and the mean; arguments as for ``var``."""
    return _moments("var_mean", input, dim, unbiased, keepdim, correction)


def _moments(
    name: str, input: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: Any
) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):  # PyTorch's var(input, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased else 0
    x = _floating(name, input, None)
    dims = reduced_dims(name, x, dim)
    count = _count(x, dims) - correction
    average = mean(x, dims, keepdim=True) if dims else x
    if count <= 0:
        warnings.warn(f"{name}: degrees of freedom is {count} <= 0", stacklevel=3)
        of_all = dim is None or not dims
        variance = VarianceWithoutFreedom.apply(x, dims=dims, keepdim=keepdim, freedom=float(count), of_all=of_all)
    else:
        centred = Sub.apply(x, average)
        total = Sum.apply(Mul.apply(centred, centred), dims=dims, keepdim=keepdim)
        variance = Div.apply(total, _constant(count, x))
    return variance, average if keepdim or not dims else average.reshape(variance._array.shape)


def std(
    input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The standard deviation, the square root of ``var``; arguments as there.  Where it is 0, its gradient is 0."""
    return _root(_moments("std", input, dim, unbiased, keepdim, correction)[0], 2)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product of all elements, or along one dimension.

    Args:
        input: any shape; integers and bools are multiplied as int64.
        dim: an int; None takes all elements.
        keepdim: keep the dimension with size 1.
        dtype: convert the input first.

    Raises:
        DimError: ``dim`` is out of range.
    """
    x = _number_dtype("prod", input, dtype)
    if dim is None:
        return Prod.apply(x.reshape(-1), dim=0, keepdim=False)
    (axis,) = wrap_dims("prod", (dim,), x.ndim)
    if x.ndim == 0:
        return x.clone()
    return Prod.apply(x, dim=axis, keepdim=keepdim)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest element, of all or along dimensions; equal ones share the gradient evenly.

    Args:
        input: any shape.
        dim: an int or a tuple of ints; () takes all of them.
        keepdim: keep the reduced dimensions with size 1.

    Raises:
        DimError: a dimension out of range.
        ShapeError: there are no elements to choose from.
    """
    return _shared_extremum("amax", input, dim, keepdim, largest=True)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest element; see ``amax``."""
    return _shared_extremum("amin", input, dim, keepdim, largest=False)


def _shared_extremum(name: str, input: Tensor, dim: Any, keepdim: bool, largest: bool) -> Tensor:
    dims = reduced_dims(name, input, dim)
    if any_empty(input, dims):
        raise ShapeError(f"{name}: no elements to choose from in shape {tuple(input.shape)} along {dims}")
    return SharedExtremum.apply(input, dims=dims, keepdim=keepdim, largest=largest)


def any_empty(input: Tensor, dims: Dims) -> bool:
    """Whether a reduction over these dimensions has nothing to reduce but results to give."""
    shape = input._array.shape
    return builtins.any(shape[axis] == 0 for axis in dims)


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """``log Σ exp(input)`` along dimensions, shifted by the maximum so that nothing overflows.

    Args:
        input: any shape; integers and bools become the default floating-point dtype.
        dim: an int or a tuple of ints.
        keepdim: keep the reduced dimensions with size 1.

    Raises:
        DimError: a dimension out of range.
    """
    x = floating("logsumexp", input)
    dims = reduced_dims("logsumexp", x, dim)
    if any_empty(x, dims):
        return log(Sum.apply(x, dims=dims, keepdim=keepdim))
    shift = x._array.max(axis=dims, keepdims=True)
    shift = wrap(np.where(np.isfinite(shift), shift, 0).astype(shift.dtype))
    total = log(Sum.apply(Exp.apply(Sub.apply(x, shift)), dims=dims, keepdim=keepdim))
    return total + (shift if keepdim else shift.reshape(total._array.shape))


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The p-norm ``(Σ |x|ᵖ) ** (1/p)`` of all elements, or along dimensions.

    Args:
        input: floating-point, any shape.
        p: a number, inf, -inf, or "fro" for 2.
        dim: an int or a tuple of ints; None takes all of them.
        keepdim: keep the reduced dimensions with size 1.
        dtype: convert the input first.

    Returns:
        A Tensor; its gradient where the norm is 0 is 0, as PyTorch's.

    Raises:
        DimError: a dimension out of range.
        ValueError: another string than "fro".
    """
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p must be a number or 'fro', got {p!r}")
    order = 2.0 if p == "fro" or p is None else float(p)
    x = _floating("norm", input, dtype)
    dims = reduced_dims("norm", x, dim)
    magnitude = x.abs()
    if np.isinf(order):
        return _shared_extremum("norm", magnitude, dims, keepdim, largest=order > 0)
    if order == 0:
        return Sum.apply(Step.apply(x, function=_not_zero), dims=dims, keepdim=keepdim)
    if order == 1:
        return Sum.apply(magnitude, dims=dims, keepdim=keepdim)
    power = Mul.apply(x, x) if order == 2 else _power(magnitude, order)
    return _root(Sum.apply(power, dims=dims, keepdim=keepdim), order)


def _not_zero(x: np.ndarray) -> np.ndarray:
    return (x != 0).astype(x.dtype)


def _power(magnitude: Tensor, order: float) -> Tensor:
    """``magnitude ** order`` with the derivative 0 at 0, where that of an order below 1 is infinite."""
    zero = magnitude._array == 0
    if order > 1 or not zero.any():
        return magnitude**order
    return where(wrap(zero), 0.0 if order > 0 else float("inf"), where(wrap(zero), 1.0, magnitude) ** order)


def _root(total: Tensor, order: float) -> Tensor:
    """``total ** (1 / order)`` with the derivative 0 at 0: the root is left out there, so that no 0 / 0 arises."""
    zero = total._array == 0
    if not zero.any():
        return sqrt(total) if order == 2 else total ** (1 / order)
    safe = where(wrap(zero), 1.0, total)
    root = sqrt(safe) if order == 2 else safe ** (1 / order)
    return where(wrap(zero), 0.0 if order > 0 else float("inf"), root)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along a dimension.

    Args:
        input: any shape; integers and bools are summed as int64.
        dim: an int.
        dtype: convert the input first.

    Raises:
        DimError: ``dim`` is out of range.
    """
    (axis,) = wrap_dims("cumsum", (dim,), input.ndim)
    x = _number_dtype("cumsum", input, dtype)
    return CumSum.apply(x, dim=axis, reverse=False) if x.ndim else x.clone()


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along a dimension; arguments and errors as for ``cumsum``."""
    (axis,) = wrap_dims("cumprod", (dim,), input.ndim)
    x = _number_dtype("cumprod", input, dtype)
    if not x.ndim:
        return x.clone()
    return CumProd.apply(x, dim=axis)


class CumProd(Op):
    """Running products along a dimension."""

    saves_inputs = (0,)
    dim: int

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.multiply.accumulate(x, axis=self.dim, dtype=x.dtype)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        # d out[k] / d x[j] is the product of x[0..k] without x[j], for j <= k: exact beside zeros, O(n) products each.
        n = x._array.shape[self.dim]
        parts = []
        for j in range(n):
            rest = x.narrow(self.dim, j + 1, n - j - 1)
            tail = grad.narrow(self.dim, j, n - j)
            one = wrap(np.ones_like(x._array.take([0], axis=self.dim)))
            later = cat([one, rest.cumprod(self.dim)], self.dim) if n - j > 1 else one
            slope = sum(Mul.apply(tail, later), self.dim, keepdim=True)
            parts.append(Mul.apply(slope, prod(x.narrow(self.dim, 0, j), self.dim, keepdim=True)) if j else slope)
        return (cat(parts, self.dim) if parts else grad,)


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not 0, of all or along dimensions; int64, no gradient."""
    dims = reduced_dims("count_nonzero", input, dim)
    return wrap(np.count_nonzero(input._array, axis=dims) if dims else (input._array != 0).astype(np.int64))


def _floating(name: str, input: Tensor, dtype: Any) -> Tensor:
    x = input if dtype is None else cast(input, as_numpy_dtype(dtype))
    if x._array.dtype.kind != "f":
        raise DTypeError(f"{name}: input must be floating-point, got {x.dtype}; convert it, for example with .float()")
    return x


def _count(x: Tensor, dims: Dims) -> int:
    count = 1
    for axis in dims:
        count *= x._array.shape[axis]
    return count


def _constant(value: float, like: Tensor) -> Tensor:
    return wrap(np.array(value, like._array.dtype))
