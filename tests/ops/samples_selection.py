"""Rows for ``ops/selection.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import selection as reference
from . import draw
from .samples_arithmetic import two
from .samples_elementwise import integers, one
from .table import Case, OpSample, torch_function

GAP = 0.1


def untied(seed: int, *shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Arrays on shifted grids: any two elements of two of them differ by at least a gap / 4."""
    grids = (0.0, 0.5, 0.25)
    return tuple(np.asarray(draw.distinct(seed + i, s, GAP) + grids[i] * GAP) for i, s in enumerate(shapes))


@st.composite
def choices(draw_: st.DrawFn) -> Case:
    condition, a, b = draw_(draw.broadcastable(3))
    seed = draw_(draw.seeds)
    holds = np.asarray(np.random.default_rng(seed).random(condition) < 0.5)
    return Case((holds, draw.normal(seed, a), draw.normal(seed + 1, b)))


@st.composite
def choices_and_number(draw_: st.DrawFn) -> Case:
    holds, a, _ = draw_(choices()).arrays
    return Case((holds, a), {"number": draw_(st.sampled_from([2, -0.5, True]))})


@st.composite
def limits(draw_: st.DrawFn) -> Case:
    """Numbers that leave some elements on each side, one of them absent or the two crossed."""
    array = draw.distinct(draw_(draw.seeds), draw_(draw.shapes()), GAP)
    numbers = draw_(st.sampled_from([(-0.2, 0.3), (None, 0.1), (-0.1, None), (0.2, -0.2), (0, None), (-1, 1)]))
    return Case((array,), dict(zip(("min", "max"), numbers)))


@st.composite
def limiting_tensors(draw_: st.DrawFn) -> Case:
    x, low, high = untied(draw_(draw.seeds), *draw_(draw.broadcastable(3)))
    absent = draw_(st.sampled_from([(), (1,), (2,)]))
    return Case(tuple(None if i in absent else a for i, a in enumerate((x, low, high))))


@st.composite
def a_tensor_and_a_number(draw_: st.DrawFn) -> Case:
    x, low = untied(draw_(draw.seeds), *draw_(draw.broadcastable()))
    return Case((x, low), {"number": 0.226})


def integer_pairs(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return integers(seed, a), integers(seed + 1, b)


def row(name: str, variant: str, cases: Any, **options: Any) -> OpSample:
    return OpSample(name + variant, getattr(tg, name), cases, getattr(reference, name), torch_function(name), **options)


def torch_clamp(x: Any, low: Any, high: Any) -> Any:
    """Broadcast before, because PyTorch's own backward fails where a bound has more elements than the input."""
    for bound in (low, high):
        x = x if bound is None else torch_function("broadcast_tensors")(x, bound)[0]
    return torch_function("clamp")(x, low, high)


SAMPLES = [
    row("where", "", choices(), exact=True),
    OpSample(
        "where/number",
        lambda condition, x, number: tg.where(condition, x, number),
        choices_and_number(),
        lambda condition, x, number: reference.where(condition, x, number),
        lambda condition, x, number: torch_function("where")(condition, x, number),
        exact=True,
    ),
    row("maximum", "", two(untied)),
    row("minimum", "", two(untied)),
    row("maximum", "/integers", two(integer_pairs), value_only=True),
    row("clamp", "", limits()),
    OpSample("clamp/tensors", tg.clamp, limiting_tensors(), reference.clamp, torch_clamp),
    OpSample(
        "clamp/tensor and number",
        lambda x, low, number: tg.clamp(x, low, number),
        a_tensor_and_a_number(),
        lambda x, low, number: reference.clamp(x, low, number),
    ),  # PyTorch takes two tensors or two numbers
    row("clamp", "/integers", one(integers, min=[-1, 0], max=[1, 2]), value_only=True),
]
