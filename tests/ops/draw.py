"""Strategies that the rows share: those that the package offers to its users."""

from __future__ import annotations

from tinygrad_cnn.testing.strategies import broadcastable, distinct, normal, seeds, shapes, uniform

__all__ = ["broadcastable", "distinct", "normal", "seeds", "shapes", "uniform"]
