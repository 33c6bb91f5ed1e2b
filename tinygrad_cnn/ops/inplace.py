"""In-place methods: the operation's result takes the Tensor's place, in memory and in the graph.

Where nothing is recorded they write straight into the Tensor's memory.  Where it is, the operation computes a new array
and ``autograd.inplace.write`` puts it in place; an operation that saves its first input for backward gets a copy of it,
because the original is about to be overwritten.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Generator, Tensor, default_generator, get_default_dtype, wrap
from ..autograd.dtype import can_cast
from ..autograd.grad_mode import recording
from ..autograd.inplace import Overwrite, check_writable, write
from ..errors import DTypeError, ShapeError
from .broadcast import Expand
from .cast import cast
from .promotion import as_operand, result_dtype


def _recorded(target: Tensor, *others: Any) -> bool:
    """Whether the graph must learn of an in-place operation on these."""
    return recording.get() and (
        target.requires_grad or any(isinstance(other, Tensor) and other.requires_grad for other in others)
    )


def snapshot(target: Tensor) -> Tensor:
    """The Tensor's values on memory of their own, at the same place in the graph."""
    out = wrap(target._array.copy(order="K"))
    if target.requires_grad:
        out._node, out._index, out._requires_grad = target._node, target._index, True
    return out


def _check_fits(name: str, target: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if shape != target._array.shape:
        try:
            fits = np.broadcast_shapes(shape, target._array.shape) == target._array.shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(
                f"{name}: an operand of shape {tuple(shape)} does not broadcast to the tensor's shape "
                f"{tuple(target.shape)}, which an in-place operation cannot change"
            )
    if not can_cast(dtype, target._array.dtype):
        raise DTypeError(f"{name}: result of dtype {dtype} cannot be written into a tensor of dtype {target.dtype}")


def binary(
    target: Tensor,
    other: Any,
    name: str,
    function: Callable[..., Tensor],
    ufunc: np.ufunc,
    keeps: bool = False,
    floating: bool = False,
) -> Tensor:
    """Replace the Tensor by ``function(target, other)``.

    Args:
        target: any shape.
        other: a Tensor or number that broadcasts to it.
        name: the method, for messages.
        function: the operation that is recorded.
        ufunc: the same on arrays, for when nothing is.
        keeps: the operation saves its first input.
        floating: the result is floating-point also for integers, as a quotient is.

    Returns:
        ``target``.

    Raises:
        ShapeError: other does not broadcast to target's shape.
        DTypeError: the result's dtype is of a higher category than target's.
        GraphError: a write that cannot be right, see ``autograd.inplace.check_writable``.
    """
    check_writable(target, name)
    other = as_operand(other, name, "other")
    array = target._array
    operand = other._array if isinstance(other, Tensor) else None
    if operand is None or operand.shape != array.shape or operand.dtype != array.dtype or floating:
        dtype = result_dtype(target, other)
        if floating and dtype.kind != "f":
            dtype = get_default_dtype().numpy_dtype
        if operand is None:
            operand = np.asarray(other).astype(dtype)
        _check_fits(name, target, operand.shape, dtype)
    else:
        dtype = array.dtype
    if _recorded(target, other) or dtype.kind == "b":
        source = snapshot(target) if keeps else target
        return write(target, function(source, source if other is target else other), name)
    with np.errstate(all="ignore"):
        ufunc(array, operand, out=array, casting="unsafe", dtype=dtype)
    target._mark_written()
    return target


def unary(
    target: Tensor, name: str, function: Callable[..., Tensor], ufunc: Callable[..., Any], keeps: bool = False
) -> Tensor:
    """Replace the Tensor by ``function(target)``; see ``binary``.

    Raises:
        DTypeError: the result's dtype is of a higher category than target's.
        GraphError: a write that cannot be right.
    """
    check_writable(target, name)
    recorded = _recorded(target)
    if target._array.dtype.kind == "f" and not recorded:
        with np.errstate(all="ignore"):
            ufunc(target._array, out=target._array)
        target._mark_written()
        return target
    return write(target, function(snapshot(target) if keeps and recorded else target), name)


def replace(target: Tensor, name: str, function: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    """Replace the Tensor by ``function(target, *args, **options)``.

    Raises:
        ShapeError: the result has another shape.
        DTypeError: the result's dtype is of a higher category than target's.
        GraphError: a write that cannot be right.
    """
    check_writable(target, name)
    source = snapshot(target) if _recorded(target, *args, *options.values()) else target
    return write(target, function(source, *args, **options), name)


# ---------------------------------------------------------------- values from elsewhere


def as_source(name: str, value: Any, target: Tensor) -> Tensor:
    """What is to be written into a Tensor, as a Tensor; a number takes the target's dtype.

    Raises:
        DTypeError: no Tensor, array or number.
    """
    value = as_operand(value, name, "value")
    if isinstance(value, Tensor):
        return value
    return _number(name, value, target._array.dtype)


def _number(name: str, value: Any, dtype: np.dtype) -> Tensor:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        finite = isinstance(value, int) or math.isfinite(value)
        if (
            not finite or not min(limits.min, -limits.max) <= math.trunc(value) <= limits.max
        ):  # down to -255 uint8 wraps
            raise DTypeError(f"{name}: {value} does not fit into dtype {dtype}")
        return wrap(np.array(math.trunc(value), np.int64).astype(dtype))
    return wrap(np.array(value).astype(dtype))


def assign(target: Tensor, source: Tensor, name: str) -> Tensor:
    """Let the Tensor hold the source's values, converted to its dtype; gradients flow to the source.

    Args:
        target: any shape.
        source: a Tensor that broadcasts to it.
        name: the method, for messages.

    Returns:
        ``target``.

    Raises:
        ShapeError: source does not broadcast to target's shape.
        GraphError: a write that cannot be right.
    """
    check_writable(target, name)
    _check_fits(name, target, source._array.shape, target._array.dtype)
    if not _recorded(target, source):
        np.copyto(target._array, source._array, casting="unsafe")
        target._mark_written()
        return target
    source = cast(source, target._array.dtype)
    if source._array.shape != target._array.shape:
        source = Expand.apply(source, shape=target._array.shape)
    return write(target, Overwrite.apply(target, source), name)


def copy_(input: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Take over the values of ``src``, which broadcasts to the Tensor's shape and is converted to its dtype.

    Raises:
        ShapeError: src does not broadcast to the Tensor's shape.
        DTypeError: src is no Tensor.
        GraphError: a write that cannot be right.
    """
    if not isinstance(src, Tensor):
        raise DTypeError(f"copy_: src must be a Tensor, got {type(src).__name__}")
    return assign(input, src, "copy_")


def fill_(input: Tensor, value: Any) -> Tensor:
    """Set every element to a number or to a 0-dimensional Tensor's value.

    Raises:
        ShapeError: value is a Tensor with dimensions.
        DTypeError: value is no number.
        GraphError: a write that cannot be right.
    """
    source = as_source("fill_", value, input)
    if source._array.ndim:
        raise ShapeError(f"fill_: value must be a number or 0-dimensional, got shape {tuple(source.shape)}")
    return assign(input, source, "fill_")


def zero_(input: Tensor) -> Tensor:
    """Set every element to 0."""
    return assign(input, wrap(np.zeros((), input._array.dtype)), "zero_")


# ---------------------------------------------------------------- random numbers


def uniform_(input: Tensor, low: float = 0.0, high: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers from [low, high).

    Raises:
        ShapeError: low is above high.
        DTypeError: the Tensor is not floating-point.
    """
    if low > high:
        raise ShapeError(f"uniform_: from={low} is above to={high}")
    values = _drawn_shape("uniform_", input)
    draws = (generator or default_generator).uniform_between(low, high, values.shape, values.dtype)
    return assign(input, wrap(draws), "uniform_")


def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers.

    Raises:
        ShapeError: std is negative.
        DTypeError: the Tensor is not floating-point.
    """
    if std < 0:
        raise ShapeError(f"normal_: std must not be negative, got {std}")
    values = _drawn_shape("normal_", input)
    draws = (generator or default_generator).normal(values.shape, values.dtype)
    return assign(input, wrap(draws * values.dtype.type(std) + values.dtype.type(mean)), "normal_")


def _drawn_shape(name: str, input: Tensor) -> np.ndarray:
    check_writable(input, name)
    if input._array.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a floating-point tensor, got {input.dtype}")
    return np.empty(input._array.shape, input._array.dtype)


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 where a uniform number is below ``p``, a number or Tensor that broadcasts, else with 0.

    Raises:
        ShapeError: a probability outside [0, 1], or a shape that does not broadcast.
    """
    check_writable(input, "bernoulli_")
    probability = p._array if isinstance(p, Tensor) else np.array(float(p))
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        raise ShapeError(f"bernoulli_: p must be in [0, 1], got {p}")
    _check_fits("bernoulli_", input, probability.shape, input._array.dtype)
    source = generator or default_generator
    if isinstance(p, Tensor):
        # PyTorch draws in the dtype of p where p is a tensor, in float64 where it is a number.
        draws = source.uniform(input._array.shape, probability.dtype) < probability
    else:
        draws = source.bernoulli(float(p), input._array.shape)
    return assign(input, wrap(draws), "bernoulli_")


def random_(input: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Fill with whole numbers from [low, high); with one number from [0, low).

    Raises:
        ShapeError: there is no number in that range.
    """
    check_writable(input, "random_")
    if high is None and low:
        low, high = 0, low
    if high is None:
        dtype = input._array.dtype
        digits = {"f": 2 ** (np.finfo(dtype).nmant + 1) + 1 if dtype.kind == "f" else 0, "b": 2}
        high = digits[dtype.kind] if dtype.kind in digits else int(np.iinfo(dtype).max) + 1
    if low >= high:
        raise ShapeError(f"random_: from={low} must be below to={high}")
    draws = (generator or default_generator).integers(low, high, input._array.shape)
    return assign(input, wrap(draws), "random_")
