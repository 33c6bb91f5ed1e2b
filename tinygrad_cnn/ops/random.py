"""Tensors of random numbers, drawn from the one generator in PyTorch's order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Generator, Tensor, default_generator, wrap
from ..errors import DTypeError, ShapeError
from .copies import memory_format, preserve_format
from .creation import chosen_dtype, empty_as, finished, shape_of

_INT64 = np.dtype(np.int64)


def _floating(name: str, dtype: Any, default: np.dtype | None = None) -> np.dtype:
    found = chosen_dtype(dtype, default)
    if found.kind != "f":
        raise DTypeError(f"{name}: dtype must be float32 or float64, got {found}")
    return found


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers from [0, 1), the same as PyTorch's for the same seed.

    Args:
        size: the shape, ints or one sequence.
        generator: where to draw from.  Default: the one that ``manual_seed`` seeds.
        dtype: float32 or float64.  Default: the default dtype.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded.

    Returns:
        A Tensor of that shape.

    Raises:
        ShapeError: a negative size.
        DTypeError: another dtype.
    """
    values = (generator or default_generator).uniform(shape_of("rand", size), _floating("rand", dtype))
    return finished("rand", values, device, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal numbers, to rounding the same as PyTorch's for the same seed; arguments as ``rand``."""
    values = (generator or default_generator).normal(shape_of("randn", size), _floating("randn", dtype))
    return finished("randn", values, device, requires_grad)


def randint(
    *bounds_and_size: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Whole numbers from [low, high), the same as PyTorch's for the same seed: ``randint([low=0,] high, size)``.

    Args:
        low, high: ints; high is left out.
        size: the shape, a sequence of ints.
        generator: where to draw from.
        dtype: default int64.
        device: only ``"cpu"`` is there.
        requires_grad: whether operations on it are recorded (floating-point dtypes only).

    Returns:
        A Tensor of that shape.

    Raises:
        ShapeError: there is no number in that range, or a negative size.
        TypeError: high or size is missing.
    """
    given = list(bounds_and_size)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if low is None and given:
        low = given.pop()
    if high is None or size is None or given:
        raise TypeError("randint: expected randint(high, size) or randint(low, high, size)")
    values = _integers("randint", low or 0, high, shape_of("randint", (size,)), generator)
    return finished("randint", values.astype(chosen_dtype(dtype, _INT64), copy=False), device, requires_grad)


def _integers(name: str, low: int, high: int, shape: tuple[int, ...], generator: Generator | None) -> np.ndarray:
    if low >= high:
        raise ShapeError(f"{name}: low={low} must be below high={high}")
    return (generator or default_generator).integers(low, high, shape)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A random order of 0 .. n-1, shape (n,), int64 by default; the same as PyTorch's for the same seed.

    Raises:
        ShapeError: n is negative.
    """
    (count,) = shape_of("randperm", (n,))
    order = (generator or default_generator).randperm(count)
    return finished("randperm", order.astype(chosen_dtype(dtype, _INT64), copy=False), device, requires_grad)


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None
) -> Tensor:
    """Normal numbers of given mean and standard deviation.

    Args:
        mean, std: Tensors that broadcast together, or numbers.
        size: the shape, needed if both are numbers.
        generator: where to draw from.
        dtype: default: the Tensors', else the default dtype.

    Returns:
        A Tensor of that shape, or of the Tensors' common one; no gradient flows to mean and std.

    Raises:
        ShapeError: a negative std, or Tensors that do not broadcast.
        TypeError: the size is missing, or given beside a Tensor.
    """
    tensors = [value._array for value in (mean, std) if isinstance(value, Tensor)]
    if bool(tensors) == (size is not None):
        raise TypeError("normal: expected size exactly if mean and std are both numbers")
    deviation = std._array if isinstance(std, Tensor) else np.asarray(std)
    if deviation.size and deviation.min() < 0:
        raise ShapeError(f"normal: std must not be negative, got {deviation.min()}")
    wanted = _floating("normal", dtype, tensors[0].dtype if tensors else None)
    try:
        shape = np.broadcast_shapes(*(array.shape for array in tensors)) if tensors else shape_of("normal", (size,))
    except ValueError:
        raise ShapeError(f"normal: mean and std of shapes {[a.shape for a in tensors]} cannot be broadcast") from None
    values = (generator or default_generator).normal(shape, wanted)
    for operand, ufunc in ((deviation, np.multiply), (mean._array if isinstance(mean, Tensor) else mean, np.add)):
        ufunc(values, operand, out=values, casting="same_kind")
    return wrap(values)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that the input has in that place, else 0; the same as PyTorch's for the same seed.

    Args:
        input: probabilities in [0, 1], any shape, float32 or float64.
        generator: where to draw from.

    Returns:
        A Tensor of the input's shape and dtype, without gradient.

    Raises:
        DTypeError: the input is not floating-point.
        ShapeError: a probability outside [0, 1].
    """
    array = input._array
    if array.dtype.kind != "f":
        raise DTypeError(f"bernoulli: input must hold probabilities of a floating-point dtype, got {input.dtype}")
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ShapeError(f"bernoulli: input must be in [0, 1], got values from {array.min()} to {array.max()}")
    draws = (generator or default_generator).uniform(array.shape, array.dtype)
    return wrap((draws < array).astype(array.dtype))


# ---------------------------------------------------------------- of another Tensor's shape


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """``rand`` of the input's shape and, unless given, dtype and memory order."""
    array = empty_as("rand_like", input, dtype, memory_format)
    draws = (generator or default_generator).uniform(array.shape, _floating("rand_like", array.dtype))
    array[...] = draws
    return finished("rand_like", array, device, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """``randn`` of the input's shape and, unless given, dtype and memory order."""
    array = empty_as("randn_like", input, dtype, memory_format)
    array[...] = (generator or default_generator).normal(array.shape, _floating("randn_like", array.dtype))
    return finished("randn_like", array, device, requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """``randint([low=0,] high)`` of the input's shape and, unless given, dtype and memory order."""
    array = empty_as("randint_like", input, dtype, memory_format)
    first, last = (0, low) if high is None else (low, high)
    array[...] = _integers("randint_like", first, last, array.shape, generator)
    return finished("randint_like", array, device, requires_grad)
