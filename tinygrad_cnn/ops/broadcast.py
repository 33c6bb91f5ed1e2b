"""Broadcasting and its adjoint: Expand repeats along dimensions of size 1, SumTo adds up what was repeated."""

from __future__ import annotations

import numpy as np

from ..autograd import Op, Tensor


class Expand(Op):
    """The input broadcast to a larger shape, as a read-only view."""

    is_view = True
    shape: tuple[int, ...]
    source: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.source = x.shape
        return np.broadcast_to(x, self.shape)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (SumTo.apply(grad, shape=self.source),)


class SumTo(Op):
    """The input summed over the dimensions along which ``shape`` would be broadcast to the input's shape."""

    shape: tuple[int, ...]
    source: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.source = x.shape
        added = x.ndim - len(self.shape)
        axes = tuple(range(added)) + tuple(
            added + i for i, size in enumerate(self.shape) if size == 1 and x.shape[added + i] != 1
        )
        return np.add.reduce(x, axis=axes, keepdims=True).reshape(self.shape)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Expand.apply(grad, shape=self.source),)


def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient of an operand of this shape, from the gradient of the broadcast result."""
    return grad if grad._array.shape == shape else SumTo.apply(grad, shape=shape)
