"""Tensor's methods: one typed one-line ``def`` each, pointing to the operation that does the work and documents it.

``Tensor`` names ``TensorMethods`` as its base for type checkers and editors; ``ops/__init__`` adds these methods to the
class in one loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arithmetic

if TYPE_CHECKING:
    from ..autograd import Tensor


class TensorMethods:
    """The methods and operators of a Tensor that are operations."""

    # ---------------------------------------------------------------- arithmetic (arithmetic.py)

    def add(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """See ``add``."""
        return arithmetic.add(self, other, alpha=alpha)

    def __add__(self: Any, other: Any) -> Tensor:
        return arithmetic.add(self, other)

    def __radd__(self: Any, other: Any) -> Tensor:
        return arithmetic.add(other, self)

    def mul(self: Any, other: Any) -> Tensor:
        """See ``mul``."""
        return arithmetic.mul(self, other)

    def __mul__(self: Any, other: Any) -> Tensor:
        return arithmetic.mul(self, other)

    def __rmul__(self: Any, other: Any) -> Tensor:
        return arithmetic.mul(other, self)

    # ---------------------------------------------------------------- elementwise functions (elementwise.py, activation.py)

    # ---------------------------------------------------------------- comparisons and predicates (comparison.py)

    # ---------------------------------------------------------------- reductions (reduction.py)

    # ---------------------------------------------------------------- matrix products (linalg.py)

    # ---------------------------------------------------------------- shape (shape.py)

    # ---------------------------------------------------------------- indexing (indexing.py)

    # ---------------------------------------------------------------- in place (inplace.py)

    # ---------------------------------------------------------------- dtype, copies, properties (copies.py)

    # ---------------------------------------------------------------- NumPy and Python protocols (interop.py, formatting.py)
