"""Rows for ``ops/elementwise.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import elementwise as reference
from . import draw
from .samples_arithmetic import of_either_sign
from .table import Case, OpSample, torch_function

Values = Callable[[int, tuple[int, ...]], np.ndarray]


def one(values: Values, **options: list[Any]) -> st.SearchStrategy[Case]:
    """Cases with one array; an option is a list of values, one of which is drawn."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        array = values(draw_(draw.seeds), draw_(draw.shapes()))
        return Case((array,), {name: draw_(st.sampled_from(choices)) for name, choices in options.items()})

    return build()


def between(low: float, high: float) -> Values:
    return lambda seed, shape: draw.uniform(seed, shape, low, high)


def between_integers(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """At least 0.2 away from every integer."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.integers(-3, 3, shape) + rng.uniform(0.2, 0.8, shape))


def integers(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).integers(-3, 4, shape))


@st.composite
def between_halves(draw_: st.DrawFn) -> Case:
    """At least 0.1 units of the last decimal away from where rounding steps."""
    decimals = draw_(st.integers(-1, 2))
    rng = np.random.default_rng(draw_(draw.seeds))
    shape = draw_(draw.shapes())
    units = rng.integers(-30, 30, shape) + rng.uniform(-0.4, 0.4, shape)
    return Case((np.asarray(units / 10.0**decimals),), {"decimals": decimals})


def row(name: str, values: Values, variant: str = "", **options: Any) -> OpSample:
    return OpSample(
        name + variant, getattr(tg, name), one(values), getattr(reference, name), torch_function(name), **options
    )


SAMPLES = [
    row("exp", draw.normal),
    row("expm1", draw.normal),
    row("log", between(0.2, 3)),
    row("log2", between(0.2, 3)),
    row("log10", between(0.2, 3)),
    row("log1p", between(-0.7, 3)),
    row("sqrt", between(0.2, 3)),
    row("rsqrt", between(0.2, 3)),
    row("reciprocal", of_either_sign),
    row("square", draw.normal),
    row("sin", between(-7, 7)),
    row("cos", between(-7, 7)),
    row("tan", between(-1.2, 1.2)),
    row("tanh", draw.normal),
    row("erf", between(-1, 1), "/near 0"),
    row("erf", between(-8, 8)),
    row("abs", draw.distinct),
    row("sign", draw.distinct),
    row("floor", between_integers),
    row("ceil", between_integers),
    row("trunc", between_integers),
    OpSample("round", tg.round, between_halves(), reference.round_to, torch_function("round")),
    *(row(name, integers, "/integers", value_only=True) for name in ("abs", "sign", "floor", "ceil", "trunc")),
]
