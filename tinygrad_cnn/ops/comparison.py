"""Comparisons, logic and predicates: they give bool tensors and carry no gradient."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import DTypeError
from ..tracing import python_reads
from .dims import wrap_dims
from .promotion import binary_operands


def _compare(name: str, function: np.ufunc, input: Any, other: Any) -> Tensor:
    a, b = binary_operands(name, input, other)
    return wrap(function(a._array, b._array))


def eq(input: Any, other: Any) -> Tensor:
    """``input == other``, elementwise with broadcasting; a bool Tensor.

    Args:
        input, other: Tensors or numbers; dtypes are promoted before the comparison.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
    """
    return _compare("eq", np.equal, input, other)


def ne(input: Any, other: Any) -> Tensor:
    """``input != other``; see ``eq``."""
    return _compare("ne", np.not_equal, input, other)


def lt(input: Any, other: Any) -> Tensor:
    """``input < other``; see ``eq``."""
    return _compare("lt", np.less, input, other)


def le(input: Any, other: Any) -> Tensor:
    """``input <= other``; see ``eq``."""
    return _compare("le", np.less_equal, input, other)


def gt(input: Any, other: Any) -> Tensor:
    """``input > other``; see ``eq``."""
    return _compare("gt", np.greater, input, other)


def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``; see ``eq``."""
    return _compare("ge", np.greater_equal, input, other)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both are not 0, elementwise with broadcasting; a bool Tensor."""
    return _compare("logical_and", np.logical_and, input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether one is not 0, elementwise with broadcasting; a bool Tensor."""
    return _compare("logical_or", np.logical_or, input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one is not 0, elementwise with broadcasting; a bool Tensor."""
    return _compare("logical_xor", np.logical_xor, input, other)


def logical_not(input: Tensor) -> Tensor:
    """Whether an element is 0, any shape; a bool Tensor."""
    return wrap(np.logical_not(input._array))


def _bitwise(name: str, function: np.ufunc, input: Any, other: Any) -> Tensor:
    a, b = binary_operands(name, input, other)
    if a._array.dtype.kind == "f":
        raise DTypeError(f"{name}: not defined for {a.dtype}; integers or bools are needed")
    return wrap(function(a._array, b._array))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """``input & other`` of integers or bools, elementwise with broadcasting.

    Raises:
        DTypeError: an operand is floating-point.
    """
    return _bitwise("bitwise_and", np.bitwise_and, input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """``input | other``; see ``bitwise_and``."""
    return _bitwise("bitwise_or", np.bitwise_or, input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """``input ^ other``; see ``bitwise_and``."""
    return _bitwise("bitwise_xor", np.bitwise_xor, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """``~input`` of integers or bools, any shape.

    Raises:
        DTypeError: the input is floating-point.
    """
    if input._array.dtype.kind == "f":
        raise DTypeError(f"bitwise_not: not defined for {input.dtype}; integers or bools are needed")
    return wrap(np.invert(input._array))


def isnan(input: Tensor) -> Tensor:
    """Where the elements are NaN; a bool Tensor of the input's shape."""
    return wrap(np.isnan(input._array))


def isinf(input: Tensor) -> Tensor:
    """Where the elements are infinite; a bool Tensor of the input's shape."""
    return wrap(np.isinf(input._array))


def isfinite(input: Tensor) -> Tensor:
    """Where the elements are neither infinite nor NaN; a bool Tensor of the input's shape."""
    return wrap(np.isfinite(input._array))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``; a bool Tensor of the broadcast shape.

    Raises:
        DTypeError: the dtypes differ.
        ShapeError: the shapes cannot be broadcast together.
    """
    if input._array.dtype != other._array.dtype:
        raise DTypeError(f"isclose: input has dtype {input.dtype}, other has {other.dtype}")
    a, b = binary_operands("isclose", input, other)
    return wrap(np.isclose(a._array, b._array, rtol, atol, equal_nan))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see ``isclose``."""
    python_reads("allclose")
    return builtins.bool(np.all(isclose(input, other, rtol, atol, equal_nan)._array))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shape, dtype and all elements are the same."""
    python_reads("equal")
    a, b = input._array, other._array
    return a.shape == b.shape and a.dtype == b.dtype and builtins.bool(np.array_equal(a, b))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0.

    Args:
        input: any shape.
        as_tuple: one int64 Tensor (K,) per dimension, for indexing, instead of one Tensor (K, ndim).
    """
    python_reads("nonzero")
    if as_tuple:
        return tuple(wrap(places) for places in np.nonzero(np.atleast_1d(input._array)))
    return wrap(np.argwhere(input._array))


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements along the dimensions are not 0; bool (uint8 for uint8), True for none.

    Args:
        input: any shape.
        dim: an int or a tuple of ints; None takes all of them.
        keepdim: keep the dimensions with size 1.

    Raises:
        DimError: a dimension out of range.
    """
    return _over(np.all, "all", input, dim, keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether an element along the dimensions is not 0; bool (uint8 for uint8), False for none.  See ``all``."""
    return _over(np.any, "any", input, dim, keepdim)


def _over(function: Any, name: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    axis = None
    if dim is not None:
        axis = wrap_dims(name, dim if isinstance(dim, tuple | list) else (dim,), input.ndim)
        axis = axis if input.ndim else None
    result = np.asarray(function(input._array, axis=axis, keepdims=keepdim))
    return wrap(result.astype(np.uint8) if input._array.dtype == np.uint8 else result)
