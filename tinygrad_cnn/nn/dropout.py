"""Dropout as a layer."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .arguments import probability
from .module import Module


class Dropout(Module):
    """In training, sets elements to 0 at random and scales the rest up; in evaluation, nothing.  See ``dropout``.

    Args:
        p: the probability of an element to become 0.
        inplace: write the result into the input.

    Raises:
        ValueError: p lies outside 0..1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = probability("Dropout", "p", p)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
