"""Arithmetic on two operands with broadcasting: add, sub, mul, div, remainder and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, wrap
from ..errors import DTypeError
from ..kernels._memory import flat_views, is_for_kernel
from . import buffers
from .promotion import binary_operands

_BOOLS = (bool, np.bool_)
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Add(Op):
    """a + b with broadcasting."""

    broadcasts = True

    @staticmethod
    def forward(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if is_for_kernel(a.size) and a.shape == b.shape and a.dtype == b.dtype and a.dtype.kind == "f":
            out = buffers.empty_like(a)
            views = flat_views(out, a, b)
            if views is not None:  # a residual connection: twice NumPy's speed on two cores
                kernels.elementwise.prepare("add", a.size, a.dtype)(views[1], views[2], views[0])
                return out
        return np.add(a, b)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, grad


class Sub(Op):
    """a - b with broadcasting."""

    broadcasts = True
    forward: Any = staticmethod(np.subtract)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, Neg.apply(grad) if self.needs(1) else None


class Neg(Op):
    """-x."""

    makes_fresh_gradients = True

    forward: Any = staticmethod(np.negative)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Neg.apply(grad),)


class Mul(Op):
    """a * b with broadcasting."""

    broadcasts = True
    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012  each factor is the other one's derivative

    forward: Any = staticmethod(np.multiply)

    def backward(self, grad: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor | None, ...]:
        return None if b is None else Mul.apply(grad, b), None if a is None else Mul.apply(grad, a)


class Div(Op):
    """a / b with broadcasting, floating point."""

    broadcasts = True
    saves_inputs = {0: (1,), 1: (0, 1)}  # noqa: RUF012

    forward: Any = staticmethod(np.divide)

    def backward(self, grad: Tensor, a: Tensor | None, b: Tensor) -> tuple[Tensor | None, ...]:
        by_a = Div.apply(grad, b)
        return by_a, None if a is None else Neg.apply(Mul.apply(by_a, Div.apply(a, b)))


class RoundedDiv(Op):
    """floor(a / b) or trunc(a / b) of floating-point numbers with broadcasting; its gradient is 0."""

    truncate: bool

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.trunc(np.divide(a, b)) if self.truncate else np.floor_divide(a, b)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(wrap(np.zeros(self.input_shape(i), grad._array.dtype)) if self.needs(i) else None for i in (0, 1))


class Remainder(Op):
    """a - b * floor(a / b), or with ``truncate`` a - b * trunc(a / b); a step function of b between its kinks."""

    broadcasts = True
    saves_inputs = {0: (1,), 1: (1,)}  # noqa: RUF012
    truncate: bool

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.fmod(a, b) if self.truncate else np.remainder(a, b)

    def backward(self, grad: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor | None, ...]:
        by_b = None
        if a is not None and b is not None:
            quotient = div(a, b, rounding_mode="trunc" if self.truncate else "floor")
            by_b = Neg.apply(Mul.apply(grad, quotient))
        return grad, by_b


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``, elementwise.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted.
        alpha: a number that multiplies ``other`` first.

    Returns:
        A Tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
    """
    if alpha != 1:
        other = mul(other, alpha)
    a, b = binary_operands("add", input, other)
    return Add.apply(a, b)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, elementwise; see ``add``.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
        DTypeError: an operand is bool, for which subtraction is not defined.
    """
    refuse_bool("sub", input)
    refuse_bool("sub", other)
    if alpha != 1:
        other = mul(other, alpha)
    a, b = binary_operands("sub", input, other)
    return Sub.apply(a, b)


def operator(operation: type[Op], function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """``a + b`` and its kin: the function, or at once the operation where nothing is to promote or refuse.

    Most operands are floating-point Tensors of one dtype. The checks would cost them half as much as the sum.
    """
    apply = operation.apply

    def operate(self: Any, other: Any) -> Tensor:
        if isinstance(other, Tensor):
            dtype = self._array.dtype
            if dtype is other._array.dtype and (dtype is _FLOAT32 or dtype is _FLOAT64):
                try:
                    return apply(self, other)
                except ValueError:
                    pass  # NumPy's, for shapes that cannot be broadcast: the function names them both
        return function(self, other)

    return operate


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``other - alpha * input``; see ``sub``."""
    return sub(other, input, alpha=alpha)


def neg(input: Tensor) -> Tensor:
    """``-input``, any shape.

    Raises:
        DTypeError: the input is bool.
    """
    refuse_bool("neg", input)
    return Neg.apply(input)


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``, elementwise.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted.

    Returns:
        A Tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
    """
    a, b = binary_operands("mul", input, other)
    return Mul.apply(a, b)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, elementwise.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted, and without rounding integers
            become the default floating-point dtype.
        rounding_mode: None, "trunc" (towards zero) or "floor" (towards minus infinity); a rounded quotient has the
            gradient 0 and keeps integers as they are.

    Returns:
        A Tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
        ValueError: an unknown rounding mode.
        DTypeError: a rounded quotient of bools.
        ZeroDivisionError: a rounded integer division by zero.
    """
    if rounding_mode is None:
        return Div.apply(*binary_operands("div", input, other, floating=True))
    if rounding_mode not in ("trunc", "floor"):
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    a, b = binary_operands("div", input, other)
    refuse_two_bools("div", a)
    if a._array.dtype.kind != "f":
        return _integer_quotient(a, b, rounding_mode)
    return RoundedDiv.apply(a, b, truncate=rounding_mode == "trunc")


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded towards minus infinity; see ``div``."""
    return div(input, other, rounding_mode="floor")


def remainder(input: Any, other: Any) -> Tensor:
    """``input - other * floor(input / other)``: the remainder has the sign of ``other``, as Python's ``%``.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
        DTypeError: both are bool.
        ZeroDivisionError: integers divided by zero.
    """
    return _remainder("remainder", input, other, truncate=False)


def fmod(input: Any, other: Any) -> Tensor:
    """``input - other * trunc(input / other)``: the remainder has the sign of ``input``, as C's ``fmod``.

    Args and Raises as for ``remainder``.
    """
    return _remainder("fmod", input, other, truncate=True)


def _remainder(name: str, input: Any, other: Any, truncate: bool) -> Tensor:
    a, b = binary_operands(name, input, other)
    refuse_two_bools(name, a)
    _refuse_zeros(name, a, b)
    return Remainder.apply(a, b, truncate=truncate)


def refuse_two_bools(name: str, promoted: Tensor) -> None:
    """Refuse an operation whose operands have been promoted to bool.

    Raises:
        DTypeError: they are bool.
    """
    if promoted._array.dtype.kind == "b":
        raise DTypeError(f"{name}: not defined for two bools")


def refuse_bool(name: str, x: Any) -> None:
    """Refuse a bool, or a Tensor of them.

    Raises:
        DTypeError: it is one.
    """
    if (x._array.dtype.kind == "b") if isinstance(x, Tensor) else isinstance(x, _BOOLS):
        raise DTypeError(f"{name}: not defined for bools; use logical_xor or logical_not (~)")


def _refuse_zeros(name: str, a: Tensor, b: Tensor) -> None:
    if a._array.dtype.kind != "f" and a._array.size and not np.all(b._array):
        raise ZeroDivisionError(f"{name}: integer division by zero")


def _integer_quotient(a: Tensor, b: Tensor, rounding_mode: str) -> Tensor:
    _refuse_zeros("div", a, b)
    floored = np.floor_divide(a._array, b._array)
    if rounding_mode == "trunc":
        inexact = np.multiply(floored, b._array) != a._array
        floored = floored + np.logical_and(inexact, np.less(floored, 0)).astype(floored.dtype)
    return wrap(floored.astype(a._array.dtype, copy=False))
