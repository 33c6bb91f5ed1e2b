"""Rows for ``ops/arithmetic.py``."""

from __future__ import annotations

from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import arithmetic as reference
from . import draw
from .table import Case, OpSample, torch_function


@st.composite
def pairs(draw_: st.DrawFn) -> Case:
    a, b = draw_(draw.broadcastable())
    seed = draw_(draw.seeds)
    return Case((draw.normal(seed, a), draw.normal(seed + 1, b)))


@st.composite
def pairs_and_alpha(draw_: st.DrawFn) -> Case:
    return Case(draw_(pairs()).arrays, {"alpha": draw_(st.sampled_from([1, 2, -0.5]))})


SAMPLES = [
    OpSample("add", tg.add, pairs_and_alpha(), reference.add, torch_function("add"), exact=True),
    OpSample("mul", tg.mul, pairs(), reference.mul, torch_function("mul")),
]
