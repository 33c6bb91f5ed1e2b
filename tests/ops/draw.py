"""Strategies that the rows share: those that the package offers to its users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from tinygrad_cnn.testing import Case
from tinygrad_cnn.testing.strategies import broadcastable, distinct, normal, seeds, shapes, uniform

__all__ = ["away_from_zero", "broadcastable", "distinct", "large", "normal", "seeds", "shapes", "uniform"]


def away_from_zero(case: Case) -> Case:
    """Input and weight of eighths and a bias of odd 128ths: no weighted sum comes nearer to 0 than 1/128."""
    x, weight, *_ = case.arrays
    bias = np.random.default_rng(weight.size).standard_normal(weight.shape[:1])
    return Case((np.round(x * 8) / 8, np.round(weight * 8) / 8, (np.floor(bias * 64) + 0.5) / 64), case.kwargs)


def large(values: Callable[[int, tuple[int, ...]], np.ndarray], count: int = 1) -> st.SearchStrategy[Case]:
    """Images of more elements than the kernels' threshold; below it NumPy computes."""
    shape = (2, 8, 32, 33)
    return seeds.map(lambda seed: Case(tuple(values(seed + i, shape) for i in range(count))))
