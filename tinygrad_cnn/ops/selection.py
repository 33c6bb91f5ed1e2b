"""Choosing between elements: where, maximum, minimum, clamp."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..errors import DTypeError
from ..tracing import python_reads
from .arithmetic import Mul
from .promotion import as_operand, binary_operands, broadcast_shape, check_fits

_ZERO = {np.dtype(kind): wrap(np.zeros((), kind)) for kind in (np.float32, np.float64)}
_HALF = {np.dtype(kind): wrap(np.full((), 0.5, kind)) for kind in (np.float32, np.float64)}


class Where(Op):
    """a where the condition (bool) holds, else b, with broadcasting."""

    broadcasts = True
    saves_inputs = (0,)

    def forward(self, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(condition, a, b)

    def backward(self, grad: Tensor, condition: Tensor) -> tuple[Tensor | None, ...]:
        zero = _ZERO[grad._array.dtype]
        return (
            None,
            Where.apply(condition, grad, zero) if self.needs(1) else None,
            Where.apply(condition, zero, grad) if self.needs(2) else None,
        )


class Extremum(Op):
    """max(a, b) or min(a, b) with broadcasting; NaN if one is NaN."""

    broadcasts = True
    saves_inputs = (0, 1)
    largest: bool

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(a, b) if self.largest else np.minimum(a, b)

    def backward(self, grad: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        # As PyTorch: a tie gives each half.  The comparisons are with the other operand, so NaN gets no gradient.
        above, below = a._array > b._array, a._array < b._array
        halves = Where.apply(wrap(a._array == b._array), Mul.apply(grad, _HALF[grad._array.dtype]), grad)
        loses_a, loses_b = (below, above) if self.largest else (above, below)
        return (
            masked(loses_a, halves) if self.needs(0) else None,
            masked(loses_b, halves) if self.needs(1) else None,
        )


class Clamp(Op):
    """x limited to [low, high], either of which may be absent; the gradient is 1 on both edges, 0 at NaN."""

    saves_inputs = (0,)
    low: float | None
    high: float | None

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, self.low, self.high)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        inside = x._array >= (-np.inf if self.low is None else self.low)  # False for NaN
        if self.high is not None:
            inside &= x._array <= self.high
        return (masked(np.logical_not(inside), grad),)


def masked(zeroed: np.ndarray, grad: Tensor) -> Tensor:
    """The gradient with 0 where ``zeroed`` (bool, broadcastable) holds."""
    return Where.apply(wrap(zeroed), _ZERO[grad._array.dtype], grad)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition holds, else ``other``, elementwise.

    Args:
        condition: bool Tensor.
        input, other: Tensors or numbers; all three broadcast, and the dtypes of these two are promoted.

    Returns:
        A Tensor of the broadcast shape.  With the condition alone, the indices where it holds, as
        ``nonzero(as_tuple=True)``.

    Raises:
        DTypeError: the condition is not a bool Tensor.
        ShapeError: the shapes cannot be broadcast together.
    """
    if not isinstance(condition, Tensor) or condition._array.dtype not in (np.bool_, np.uint8):
        found = condition.dtype if isinstance(condition, Tensor) else type(condition).__name__
        raise DTypeError(f"where: condition must be a bool Tensor, got {found}")
    if input is None and other is None:
        python_reads("where")
        return tuple(wrap(places) for places in np.nonzero(condition._array))
    a, b = binary_operands("where", input, other)
    broadcast_shape("where", condition._array.shape, np.broadcast_shapes(a._array.shape, b._array.shape))
    condition = condition if condition._array.dtype == np.bool_ else wrap(condition._array.astype(bool))
    return Where.apply(condition, a, b)


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two elements; NaN if one is NaN.  Where they are equal, each gets half of the gradient.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
    """
    return Extremum.apply(*binary_operands("maximum", input, other), largest=True)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two elements; NaN if one is NaN.  See ``maximum``."""
    return Extremum.apply(*binary_operands("minimum", input, other), largest=False)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``input`` limited to [min, max], elementwise; the gradient is 1 inside and on both edges, 0 outside.

    Args:
        input: any shape.
        min, max: numbers, or Tensors that broadcast with the input; either may be None.  If min > max, the result is
            max.

    Raises:
        ValueError: both are None.
        DTypeError: a bound is no number and no Tensor, or does not fit into the input's integer dtype.
        ShapeError: the shapes cannot be broadcast together.
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    low, high = _bound(min, "min"), _bound(max, "max")
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        # A float bound turns integers into floats, as PyTorch's promotion does.
        x = input
        for argument, bound in (("min", low), ("max", high)):
            if bound is not None:
                check_fits("clamp", argument, bound, x._array.dtype)
                x = binary_operands("clamp", x, bound)[0]
        return Clamp.apply(x, low=low, high=high)
    result = input
    if low is not None:
        result = _limit(result, low, largest=True)
    return result if high is None else _limit(result, high, largest=False)


def _bound(value: Any, argument: str) -> Any:
    return None if value is None else as_operand(value, "clamp", argument)


def _limit(input: Tensor, bound: Any, largest: bool) -> Tensor:
    """max(input, bound) or min(input, bound) where the input keeps the whole gradient on the edge."""
    x, limit = binary_operands("clamp", input, bound)
    inside = x._array >= limit._array if largest else x._array <= limit._array
    return Where.apply(wrap(inside | np.isnan(x._array) if x._array.dtype.kind == "f" else inside), x, limit)
