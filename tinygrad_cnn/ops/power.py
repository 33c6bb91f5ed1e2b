"""Powers: a base to an exponent, both of which may be differentiated by."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from .arithmetic import Mul, mul, refuse_two_bools, sub
from .elementwise import log
from .promotion import binary_operands, check_fits
from .selection import masked


class Pow(Op):
    """base ** exponent with broadcasting."""

    broadcasts = True
    saves_inputs = (0, 1)
    saves_outputs = (0,)

    def forward(self, base: np.ndarray, exponent: np.ndarray) -> np.ndarray:
        if base.dtype.kind in "iu" and np.any(exponent < 0):
            return _truncated_power(base, exponent)
        with np.errstate(all="ignore"):
            return np.power(base, exponent)

    def backward(self, grad: Tensor, base: Tensor, exponent: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_base = by_exponent = None
        if self.needs(0):
            # The derivative of x ** 0 is 0 everywhere, also at x = 0 where 0 * x ** -1 is not a number.
            slope = Mul.apply(exponent, Pow.apply(base, sub(exponent, 1)))
            constant = exponent._array == 0
            slope = masked(constant, slope) if constant.any() else slope
            by_base = Mul.apply(grad, slope)
        if self.needs(1):
            # 0 ** y is 0 for y > 0: no slope there, though log(0) is infinite.  At y = 0 PyTorch says 0 too.
            flat = np.logical_and(base._array == 0, exponent._array >= 0)
            slope = masked(flat, Mul.apply(out, log(base)))
            by_exponent = Mul.apply(grad, slope)
        return by_base, by_exponent


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``, elementwise.

    Args:
        input, exponent: Tensors or numbers of broadcastable shapes, at least one of them a Tensor; dtypes are promoted.

    Returns:
        A Tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
        ValueError: integers to a negative Python integer.  (With a Tensor of exponents, what lies between -1 and 1 is
            cut off to 0.)
        DTypeError: both are bool, or an exponent that does not fit into the base's dtype.
    """
    if isinstance(input, Tensor) and input._array.dtype.kind == "f" and _is_two(exponent):
        return mul(input, input)
    base, power = binary_operands("pow", input, exponent)
    refuse_two_bools("pow", base)
    if base._array.dtype.kind != "f":
        if isinstance(exponent, int) and exponent < 0:
            raise ValueError("pow: integers to negative integer powers are not allowed")
        check_fits("pow", "exponent", exponent, base._array.dtype)
    return Pow.apply(base, power)


def _truncated_power(base: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """Powers of integers, those with a negative exponent truncated: only 1 and -1 have one that is not 0."""
    whole = np.power(base, np.maximum(exponent, 0))
    sign = np.where((base == -1) & (exponent % 2 != 0), -1, 1)
    return np.where(exponent >= 0, whole, np.where(np.abs(base) == 1, sign, 0)).astype(base.dtype)


def _is_two(exponent: Any) -> bool:
    return isinstance(exponent, int | float) and exponent == 2
