"""Strategies that the rows share: Hypothesis draws shapes, parameters and a seed, NumPy fills the arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy:
    """Tuples of sizes."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


seeds = st.integers(0, 2**32 - 1)


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float64 values."""
    return np.random.default_rng(seed).standard_normal(shape)


def uniform(seed: int, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Uniform float64 values in [low, high)."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def distinct(seed: int, shape: tuple[int, ...], gap: float = 0.1) -> np.ndarray:
    """A shuffled arithmetic progression around 0 that leaves 0 out: no ties, no kink within ``gap / 2``."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2 + 0.5) * gap
    return np.random.default_rng(seed).permutation(values).reshape(shape)


@st.composite
def broadcastable(draw: st.DrawFn, count: int = 2, max_dims: int = 4) -> tuple[tuple[int, ...], ...]:
    """``count`` shapes that broadcast together: some dimensions set to 1, some leading ones dropped."""
    full = draw(shapes(max_dims=max_dims))
    result = []
    for _ in range(count):
        kept = full[draw(st.integers(0, len(full))) :]
        result.append(tuple(1 if draw(st.booleans()) and draw(st.booleans()) else size for size in kept))
    result[draw(st.integers(0, count - 1))] = full
    return tuple(result)
