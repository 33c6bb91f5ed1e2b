"""Rows for ``ops/joining.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import shape as reference
from . import draw
from .samples_shape import a_dim, linear, one
from .table import Case, torch_function


def of_list(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its Tensors as separate arguments."""
    return lambda *tensors, **kwargs: function(tensors, **kwargs)


@st.composite
def to_cat(draw_: st.DrawFn, dims: tuple[int, int] = (1, 4), fixed: int | None = None) -> Case:
    sides = list(draw_(draw.shapes(*dims)))
    dim = a_dim(draw_, len(sides)) if fixed is None else min(fixed, len(sides) - 1)
    seed, arrays = draw_(draw.seeds), []
    for i in range(draw_(st.integers(1, 3))):
        sides[dim] = draw_(st.integers(1, 3))
        arrays.append(draw.normal(seed + i, tuple(sides)))
    return Case(tuple(arrays), {"dim": dim} if fixed is None else {})


@st.composite
def to_stack(draw_: st.DrawFn) -> Case:
    sides, seed = draw_(draw.shapes(0, 3)), draw_(draw.seeds)
    arrays = tuple(draw.normal(seed + i, sides) for i in range(draw_(st.integers(1, 3))))
    return Case(arrays, {"dim": a_dim(draw_, len(sides) + 1)})


def sections(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    if draw_(st.booleans()):
        return {"split_size_or_sections": draw_(st.integers(1, 4)), "dim": dim}
    first = draw_(st.integers(0, sides[dim]))
    return {"split_size_or_sections": [first, sides[dim] - first], "dim": dim}


def a_place(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    return {"dim": dim, "index": draw_(st.integers(-sides[dim], sides[dim] - 1))}


def a_range(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    start = draw_(st.integers(0, sides[dim] - 1))
    length = draw_(st.integers(1, sides[dim] - start))
    return {"dim": dim, "start": start - draw_(st.sampled_from([0, sides[dim]])), "length": length}


SAMPLES = [
    *(
        linear(name, of_list(getattr(tg, name)), to_cat(), reference.cat, of_list(torch_function(name)))
        for name in ("cat", "concat", "concatenate")
    ),
    linear("stack", of_list(tg.stack), to_stack(), reference.stack, of_list(torch_function("stack"))),
    linear("hstack", of_list(tg.hstack), to_cat(fixed=1), reference.hstack, of_list(torch_function("hstack"))),
    linear("vstack", of_list(tg.vstack), to_cat((2, 4), 0), reference.vstack, of_list(torch_function("vstack"))),
    linear(
        "split",
        tg.split,
        one(sections, 1),
        lambda x, split_size_or_sections, dim: reference.split(x, split_size_or_sections, dim),
    ),
    linear(
        "chunk",
        tg.chunk,
        one(lambda d, s: {"chunks": d(st.integers(1, 4)), "dim": a_dim(d, len(s))}, 1),
        reference.chunk,
    ),
    linear("unbind", tg.unbind, one(lambda d, s: {"dim": a_dim(d, len(s))}, 1), reference.unbind),
    linear("select", tg.select, one(a_place, 1), reference.select),
    linear("narrow", tg.narrow, one(a_range, 1), reference.narrow),
]
