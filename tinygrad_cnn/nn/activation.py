"""Nonlinearities as layers; each keeps its input's shape and points to the function that documents it."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """max(x, 0), see ``relu``.

    Args:
        inplace: write the result into the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x, see ``leaky_relu``.

    Args:
        negative_slope: the slope below 0.
        inplace: write the result into the input.
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class Sigmoid(Module):
    """1 / (1 + exp(−x)), see ``sigmoid``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent, see ``tanh``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.tanh(input)


class Softmax(Module):
    """Positive numbers that add up to 1 along a dimension, see ``softmax``.

    Not to be put before ``CrossEntropyLoss``, which contains it.

    Args:
        dim: the dimension.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of ``softmax``, computed without overflow, see ``log_softmax``.

    Args:
        dim: the dimension.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
