"""Rows for ``ops/comparison.py``: values only, there is nothing to differentiate."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import comparison as reference
from . import draw
from .samples_arithmetic import number_last, two, with_number
from .samples_elementwise import one
from .table import Case, OpSample, torch_function

KINDS = ["float64", "int64", "int32", "uint8", "bool"]


def few_values(seed: int, shape: tuple[int, ...], kinds: list[str] = KINDS) -> np.ndarray:
    """Small integers of some dtype, so that many are equal or 0."""
    return np.asarray(np.random.default_rng(seed).integers(0, 4, shape).astype(kinds[seed % len(kinds)]))


def pairs(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return few_values(seed, a), few_values(seed // 7, b)


def integer_pairs(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return few_values(seed, a, KINDS[1:]), few_values(seed // 7, b, KINDS[1:])


def specials(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).choice([0.0, 1.5, np.nan, np.inf, -np.inf], shape))


@st.composite
def nearly_equal(draw_: st.DrawFn) -> Case:
    """Pairs on both sides of the tolerances, and pairs of special values."""
    a, b = draw_(draw.broadcastable())
    rng = np.random.default_rng(draw_(draw.seeds))
    x = np.asarray(rng.choice([0.0, 1.0, -50.0, np.nan, np.inf, -np.inf], a))
    y = np.asarray(rng.choice([0.0, 1.0, 1.004, 1.02, -50.3, np.nan, np.inf], b))
    return Case((x, y), {"rtol": 0.01, "atol": draw_(st.sampled_from([0.0, 0.1])), "equal_nan": draw_(st.booleans())})


@st.composite
def some_dims(draw_: st.DrawFn) -> Case:
    sides = draw_(draw.shapes(min_side=0))
    kwargs: dict[str, Any] = {}
    if draw_(st.booleans()):
        ndim = max(1, len(sides))
        kwargs = {"dim": draw_(st.integers(-ndim, ndim - 1)), "keepdim": draw_(st.booleans())}
        if sides and draw_(st.booleans()):
            kwargs["dim"] = tuple(draw_(st.lists(st.integers(0, ndim - 1), min_size=1, unique=True)))
    return Case((few_values(draw_(draw.seeds), sides),), kwargs)


def row(name: str, cases: Any) -> OpSample:
    return OpSample(name, getattr(tg, name), cases, getattr(reference, name), torch_function(name), value_only=True)


def number_row(name: str) -> OpSample:
    functions = (getattr(tg, name), getattr(reference, name), torch_function(name))
    ours, right, theirs = map(number_last, functions)
    return OpSample(f"{name}/number", ours, with_number(few_values, [1, 2.0, 0.5]), right, theirs, value_only=True)


ORDER = ("eq", "ne", "lt", "le", "gt", "ge")

SAMPLES = [
    *(row(name, two(pairs)) for name in (*ORDER, "logical_and", "logical_or", "logical_xor")),
    *map(number_row, ORDER),
    *(row(name, two(integer_pairs)) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")),
    row("bitwise_not", one(lambda seed, shape: few_values(seed, shape, ["int64", "int32", "bool"]))),
    row("logical_not", one(few_values)),
    *(row(name, one(specials)) for name in ("isnan", "isinf", "isfinite")),
    row("isclose", nearly_equal()),
    row("nonzero", one(few_values, as_tuple=[False, True])),
    row("all", some_dims()),
    row("any", some_dims()),
]
