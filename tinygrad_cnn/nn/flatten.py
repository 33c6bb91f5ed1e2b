"""Changes of shape as layers."""

from __future__ import annotations

from ..autograd import Tensor
from .module import Module


class Flatten(Module):
    """Merges a range of dimensions into one, as ``torch.nn.Flatten``: by default (N, C, H, W) -> (N, C·H·W).

    Args:
        start_dim: first dimension to merge.
        end_dim: last dimension to merge.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) -> (N, product of the rest)."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits one dimension into several, as ``torch.nn.Unflatten``.

    Args:
        dim: the dimension.
        unflattened_size: the sizes it is split into; one may be −1.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """(..., product of the sizes, ...) -> (..., *sizes, ...)."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
