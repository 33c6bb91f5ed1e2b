"""Arithmetic on two operands with broadcasting: add, sub, mul, div, pow and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from .broadcast import sum_to
from .promotion import binary_operands


class Add(Op):
    """a + b with broadcasting."""

    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        self.shapes = a.shape, b.shape
        return np.add(a, b)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.shapes
        return sum_to(grad, a) if self.needs(0) else None, sum_to(grad, b) if self.needs(1) else None


class Mul(Op):
    """a * b with broadcasting."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012  each factor is the other one's derivative
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        self.shapes = a.shape, b.shape
        return np.multiply(a, b)

    def backward(self, grad: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor | None, ...]:
        return (
            None if b is None else sum_to(Mul.apply(grad, b), self.shapes[0]),
            None if a is None else sum_to(Mul.apply(grad, a), self.shapes[1]),
        )


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
    return Add.apply(*binary_operands("add", input, other))


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``, elementwise.

    Args:
        input, other: Tensors or numbers of broadcastable shapes; dtypes are promoted.

    Returns:
        A Tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes cannot be broadcast together.
    """
    return Mul.apply(*binary_operands("mul", input, other))
