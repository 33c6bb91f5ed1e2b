"""Type promotion and the preparation of operands: what PyTorch does before an elementwise operation starts.

The rule: dtypes have three categories, bool < integer < floating point.  Tensors with dimensions decide; a
0-dimensional tensor matters only if its category is higher than theirs, a Python number only if its category is
higher than all tensors'.  A Python float then stands for the default dtype, an int for int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, get_default_dtype, wrap
from ..autograd.dtype import CATEGORY
from ..errors import DTypeError, ShapeError
from .cast import cast

Number = int | float | bool

_BOOL = np.dtype(bool)
_INT64 = np.dtype(np.int64)


def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest dtype of the higher category that holds both: float32 with int64 gives float32."""
    if a == b:
        return a
    if CATEGORY[a.kind] != CATEGORY[b.kind]:
        return a if CATEGORY[a.kind] > CATEGORY[b.kind] else b
    return np.promote_types(a, b)


def result_dtype(*operands: Any) -> np.dtype:
    """The dtype in which an elementwise operation on these Tensors and Python numbers is computed."""
    levels: list[np.dtype | None] = [None, None, None]  # with dimensions, 0-dimensional, Python numbers
    for operand in operands:
        level, found = _level_and_dtype(operand)
        present = levels[level]
        levels[level] = found if present is None else promote_types(present, found)
    present_levels = [found for found in levels if found is not None]
    result = present_levels[0]
    for found in present_levels[1:]:
        if CATEGORY[found.kind] > CATEGORY[result.kind]:
            result = promote_types(result, found)
    return result


def _level_and_dtype(operand: Any) -> tuple[int, np.dtype]:
    if isinstance(operand, Tensor):
        return (0 if operand._array.ndim else 1), operand._array.dtype
    if isinstance(operand, bool):
        return 2, _BOOL
    if isinstance(operand, int):
        return 2, _INT64
    return 2, get_default_dtype().numpy_dtype


def as_operand(value: Any, name: str, argument: str) -> Tensor | Number:
    """A Tensor or Python number as it is, a NumPy scalar or array as a Tensor.

    Raises:
        DTypeError: anything else.
    """
    if isinstance(value, Tensor | int | float):  # bool is an int, np.float64 a float
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.ndarray):
        from .creation import from_numpy

        return from_numpy(value)
    raise DTypeError(f"{name}: {argument} must be a Tensor or a number, got {type(value).__name__}")


def broadcast_shape(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of two operands.

    Raises:
        ShapeError: they cannot be broadcast together.
    """
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"{name}: shapes {tuple(a)} and {tuple(b)} cannot be broadcast together") from None


def binary_operands(name: str, input: Any, other: Any, floating: bool = False) -> tuple[Tensor, Tensor]:
    """Both operands as Tensors of the dtype the operation is computed in, after a check that they broadcast.

    Args:
        name: the operation, for messages.
        input, other: Tensors, numbers or NumPy arrays of any broadcastable shapes.
        floating: integers are computed in the default floating-point dtype, as for division.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
        DTypeError: an operand is neither Tensor nor number, or an integer beyond int64.
    """
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        a, b = input._array, other._array
        if a.dtype is b.dtype and (not floating or a.dtype.kind == "f"):  # by far the most frequent case
            if a.shape != b.shape:
                broadcast_shape(name, a.shape, b.shape)
            return input, other
    input, other = as_operand(input, name, "input"), as_operand(other, name, "other")
    dtype = result_dtype(input, other)
    if floating and dtype.kind != "f":
        dtype = get_default_dtype().numpy_dtype
    x, y = _as_dtype(name, input, dtype), _as_dtype(name, other, dtype)
    if x._array.shape != y._array.shape:
        broadcast_shape(name, x._array.shape, y._array.shape)
    return x, y


def _as_dtype(name: str, value: Tensor | Number, dtype: np.dtype) -> Tensor:
    if isinstance(value, Tensor):
        return value if value._array.dtype == dtype else cast(value, dtype)
    try:
        return wrap(np.array(value, dtype))
    except OverflowError:
        if dtype.kind == "f" or not -(2**63) <= value < 2**63:
            raise DTypeError(f"{name}: an integer of {int(value).bit_length()} bits is too large") from None
        return wrap(np.array(value, np.int64).astype(dtype))  # wraps, as in PyTorch


def check_fits(name: str, argument: str, value: Any, dtype: np.dtype) -> None:
    """Refuse a Python integer that an integer dtype cannot hold, where wrapping would change the meaning.

    Raises:
        DTypeError: it does not fit.
    """
    if isinstance(value, int) and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise DTypeError(f"{name}: {argument}={value} does not fit into {dtype.name}")


def is_comparable(value: Any) -> bool:
    """Whether == compares elementwise with this; a Tensor is simply not equal to a string, None or a list."""
    return isinstance(value, Tensor | int | float | np.ndarray | np.generic)
