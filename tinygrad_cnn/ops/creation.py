"""Tensors from data and Tensors of constants: tensor, from_numpy, zeros, full, arange, eye and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, get_default_dtype, wrap
from ..autograd.dtype import as_numpy_dtype, check_supported
from ..errors import DTypeError, ShapeError
from .cast import cast
from .copies import check_device, empty_in_format, memory_format, preserve_format
from .dims import sizes
from .promotion import promote_types

_BOOL = np.dtype(bool)
_INT64 = np.dtype(np.int64)


def chosen_dtype(dtype: Any, default: np.dtype | None = None) -> np.dtype:
    """The NumPy dtype for a ``dtype=`` argument; None stands for ``default``, and that for the default dtype."""
    if dtype is not None:
        return as_numpy_dtype(dtype)
    return get_default_dtype().numpy_dtype if default is None else default


def finished(name: str, array: np.ndarray, device: Any, requires_grad: bool) -> Tensor:
    """A leaf on this array.

    Raises:
        DTypeError: requires_grad for a dtype that is not floating-point.
        RuntimeError: another device than the CPU.
    """
    if device is not None:
        check_device(name, device)
    out = wrap(array)
    if requires_grad:
        out.requires_grad = True
    return out


# ---------------------------------------------------------------- from data


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A leaf with a copy of the data.

    Args:
        data: a number, nested sequences of numbers and Tensors, a NumPy array or a Tensor; any shape.
        dtype: of the result.  Default: an array's or Tensor's own; bool, int64 or the default dtype for Python numbers.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded.

    Returns:
        A Tensor of the data's shape, without history.

    Raises:
        ShapeError: sequences of different lengths side by side.
        DTypeError: data that are no numbers, an integer that does not fit, an array of a dtype that is not supported.
    """
    if isinstance(data, Tensor):
        array = np.array(data._array, dtype=chosen_dtype(dtype, data._array.dtype), order="K")
    elif isinstance(data, np.ndarray | np.generic):
        array = _from_array(data, dtype)
    else:
        array = _from_sequence(data, dtype)
    return finished("tensor", array, device, requires_grad)


def _from_array(data: np.ndarray | np.generic, dtype: Any) -> np.ndarray:
    if dtype is None or data.dtype.kind not in "fiub":
        check_supported(data.dtype, "tensor")
    return np.array(data, dtype=chosen_dtype(dtype, data.dtype), order="C")


def _from_sequence(data: Any, dtype: Any) -> np.ndarray:
    found = _infer(data)
    wanted = chosen_dtype(dtype, found)
    plain = _without_tensors(data)
    try:
        if wanted.kind in "iu" and found is not None and found.kind == "f":
            return np.array(plain, dtype=found).astype(wanted)  # truncates, as PyTorch
        return np.array(plain, dtype=wanted)
    except OverflowError:
        raise DTypeError(f"tensor: an integer in the data does not fit into {wanted}") from None
    except ValueError:
        raise ShapeError("tensor: the data are nested sequences of different lengths") from None


def _infer(data: Any) -> np.dtype | None:
    """The dtype of nested sequences of numbers; None if there is no number."""
    if isinstance(data, Tensor | np.ndarray | np.generic):
        if not isinstance(data, Tensor):
            check_supported(data.dtype, "tensor")
        return np.dtype(data._array.dtype if isinstance(data, Tensor) else data.dtype)
    if isinstance(data, bool):
        return _BOOL
    if isinstance(data, int):
        return _INT64
    if isinstance(data, float):
        return get_default_dtype().numpy_dtype
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise DTypeError(f"tensor: cannot make a Tensor from {type(data).__name__}")
    kinds = set(map(type, data))
    found: np.dtype | None = None
    for element in [next(e for e in data if type(e) is kind) for kind in kinds] if kinds <= _SCALARS else data:
        inner = _infer(element)
        if inner is not None:
            found = inner if found is None else promote_types(found, inner)
    return found


_SCALARS = {bool, int, float}


def _without_tensors(data: Any) -> Any:
    """The same nested sequences with Tensors replaced by arrays."""
    if isinstance(data, Tensor):
        return data._array
    if isinstance(data, Sequence) and not set(map(type, data)) <= _SCALARS:
        return [_without_tensors(element) for element in data]
    return data


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a Tensor, without copying where that is possible.

    Args:
        data: a Tensor (kept with its history), a NumPy array (memory is shared), or what ``tensor`` takes.
        dtype: of the result.  Default: the data's.
        device: only ``"cpu"`` is there.

    Returns:
        A Tensor of the data's shape.

    Raises:
        ShapeError, DTypeError: as ``tensor``.
    """
    check_device("as_tensor", device)
    if isinstance(data, Tensor):
        wanted = chosen_dtype(dtype, data._array.dtype)
        return cast(data, wanted)
    if isinstance(data, np.ndarray) and chosen_dtype(dtype, data.dtype) == data.dtype:
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor on a NumPy array's memory: a write to either is seen in both, but not noticed by the graph.

    Args:
        array: any shape and strides; float32, float64, int64, int32, uint8 or bool in native byte order.  A read-only
            array gives a Tensor that in-place operations refuse.

    Returns:
        A Tensor of the array's shape and dtype.

    Raises:
        DTypeError: no NumPy array, or one of another dtype.
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    check_supported(array.dtype, "from_numpy")
    return wrap(np.asarray(array))


# ---------------------------------------------------------------- constants


def shape_of(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape for ``size``: ints, or one sequence of them.

    Raises:
        ShapeError: a negative size.
    """
    shape = sizes(name, size, "size")
    if any(side < 0 for side in shape):
        raise ShapeError(f"{name}: size must not be negative, got {shape}")
    return shape


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of shape ``size`` (ints or one sequence) filled with 0; default dtype unless ``dtype`` is given."""
    return finished("zeros", np.zeros(shape_of("zeros", size), chosen_dtype(dtype)), device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of shape ``size`` (ints or one sequence) filled with 1; default dtype unless ``dtype`` is given."""
    return finished("ones", np.ones(shape_of("ones", size), chosen_dtype(dtype)), device, requires_grad)


def empty(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A Tensor of shape ``size`` (ints or one sequence) with arbitrary contents.

    Raises:
        ShapeError: a negative size; channels_last for other than four dimensions.
    """
    array = empty_in_format(shape_of("empty", size), chosen_dtype(dtype), memory_format, "empty")
    return finished("empty", array, device, requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of shape ``size`` (a sequence of ints) filled with a number.

    Args:
        size: the shape.
        fill_value: a number or a Tensor of one element.
        dtype: default: bool, int64 or the default dtype, by the type of ``fill_value``.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded.

    Raises:
        ShapeError: a negative size.
        DTypeError: ``fill_value`` is no number.
    """
    shape = shape_of("full", (size,))
    value = _number("full", fill_value)
    found = _infer(fill_value)
    return finished("full", _filled(np.empty(shape, chosen_dtype(dtype, found)), value), device, requires_grad)


def _number(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, bool | int | float | np.generic):
        return value
    raise DTypeError(f"{name}: fill_value must be a number, got {type(value).__name__}")


def _filled(array: np.ndarray, value: Any) -> np.ndarray:
    if array.dtype.kind in "iu" and isinstance(value, float | np.floating) and math.isfinite(value):
        value = int(value)
    try:
        array.fill(value)
    except (OverflowError, ValueError):
        raise DTypeError(f"full: fill_value={value} does not fit into {array.dtype}") from None
    return array


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """Zeros of the input's shape and, unless given, dtype and memory order."""
    return _like("zeros_like", input, 0, dtype, device, requires_grad, memory_format)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """Ones of the input's shape and, unless given, dtype and memory order."""
    return _like("ones_like", input, 1, dtype, device, requires_grad, memory_format)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A Tensor of the input's shape and, unless given, dtype and memory order, filled with a number."""
    value = _number("full_like", fill_value)
    return _like("full_like", input, value, dtype, device, requires_grad, memory_format)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A Tensor of the input's shape and, unless given, dtype and memory order, with arbitrary contents."""
    array = empty_as("empty_like", input, dtype, memory_format)
    return finished("empty_like", array, device, requires_grad)


def empty_as(name: str, input: Tensor, dtype: Any, format: memory_format = preserve_format) -> np.ndarray:
    """An array for a ``*_like`` factory.

    Raises:
        DTypeError: input is no Tensor.
    """
    if not isinstance(input, Tensor):
        raise DTypeError(f"{name}: input must be a Tensor, got {type(input).__name__}")
    array = input._array
    return empty_in_format(array.shape, chosen_dtype(dtype, array.dtype), format, name, array)


def _like(
    name: str, input: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool, format: memory_format
) -> Tensor:
    return finished(name, _filled(empty_as(name, input, dtype, format), value), device, requires_grad)


# ---------------------------------------------------------------- sequences of numbers


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers ``start, start + step, ...`` below ``end``; with one argument from 0 up to it.

    Args:
        start, end, step: numbers; ``end`` is left out of the result.
        dtype: default: int64 if all are ints, else the default dtype.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded.

    Returns:
        A Tensor of shape (ceil((end - start) / step),).

    Raises:
        ShapeError: step is 0, or leads away from end.
    """
    if end is None:
        start, end = 0, start
    first, last, by = (_number("arange", value) for value in (start, end, step))
    if by == 0 or (last - first) * by < 0 or not math.isfinite(last - first):
        raise ShapeError(f"arange: step={by} does not lead from start={first} to end={last}")
    whole = all(isinstance(value, int | np.integer) for value in (first, last, by))
    count = -((first - last) // by) if whole else math.ceil((last - first) / by)
    values = first + by * np.arange(count, dtype=_INT64 if whole else np.float64)
    array = values.astype(chosen_dtype(dtype, _INT64 if whole else None))
    return finished("arange", array, device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` numbers at equal distances from ``start`` to ``end``, both included, built from both ends inwards.

    Args:
        start, end: numbers.
        steps: how many, at least 0.
        dtype: default: the default dtype.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded.

    Returns:
        A Tensor of shape (steps,).

    Raises:
        ShapeError: steps is negative.
    """
    (count,) = shape_of("linspace", (steps,))
    wanted = chosen_dtype(dtype)
    computed = wanted if wanted.kind == "f" else np.dtype(np.float64)
    first, last = (computed.type(_number("linspace", value)) for value in (start, end))
    places = np.arange(count)
    by = (last - first) / computed.type(count - 1) if count > 1 else computed.type(0)
    ahead = first + by * places.astype(computed)
    behind = last - by * places[::-1].astype(computed)
    values = np.where(places < count // 2, ahead, behind) if count > 1 else ahead
    return finished("linspace", values.astype(wanted), device, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal and zeros elsewhere, shape (n, m); m defaults to n.

    Raises:
        ShapeError: a negative size.
    """
    rows, columns = shape_of("eye", (n, n if m is None else m))
    return finished("eye", np.eye(rows, columns, dtype=chosen_dtype(dtype)), device, requires_grad)
