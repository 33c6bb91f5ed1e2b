"""Rows for ``ops/ordering.py``: distinct values, because the choice between equal ones is a kink."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import ordering as reference
from . import draw
from .samples_reduction import a_dim, filled, one_dim
from .table import OpSample, torch_function


def ordered(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {"dim": a_dim(draw_, len(sides)), "descending": draw_(st.booleans()), "stable": draw_(st.booleans())}


def chosen(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    k = draw_(st.integers(0 if sides else 1, sides[dim] if sides else 1))
    return {"k": k, "dim": dim, "largest": draw_(st.booleans())}


def row(name: str, parameters: Any, slow: Any, **options: Any) -> OpSample:
    cases = filled(draw.distinct, parameters)
    return OpSample(name, getattr(tg, name), cases, slow, torch_function(name), **options)


SAMPLES = [
    row("max", one_dim, reference.maximum),
    row("min", one_dim, reference.minimum),
    row("median", one_dim, reference.median),
    row("argmax", one_dim, reference.argmax, value_only=True),
    row("argmin", one_dim, reference.argmin, value_only=True),
    row("sort", ordered, reference.sort),
    row("argsort", ordered, reference.argsort, value_only=True),
    row("topk", chosen, reference.topk),
]
