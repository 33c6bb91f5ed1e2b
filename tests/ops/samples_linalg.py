"""Rows for ``ops/linalg.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import linalg as reference
from . import draw
from .table import Case, OpSample, torch_function

sizes = st.integers(1, 4)


def arrays(seed: int, shapes: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(draw.normal(seed + i, shape)) for i, shape in enumerate(shapes))


@st.composite
def products(draw_: st.DrawFn) -> Case:
    """Vectors, matrices and stacks of matrices whose leading dimensions broadcast."""
    n, k, m = draw_(sizes), draw_(sizes), draw_(sizes)
    a, b = draw_(draw.broadcastable(max_dims=2))
    left = (k,) if draw_(st.integers(0, 3)) == 0 else (*a, n, k)
    right = (k,) if draw_(st.integers(0, 3)) == 0 else (*b, k, m)
    return Case(arrays(draw_(draw.seeds), (left, right)))


def fixed(*patterns: str) -> st.SearchStrategy[Case]:
    """Arrays with a dimension per letter of their pattern."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        lengths = {letter: draw_(sizes) for letter in sorted(set("".join(patterns)))}
        return Case(arrays(draw_(draw.seeds), [tuple(lengths[c] for c in pattern) for pattern in patterns]))

    return build()


@st.composite
def added(draw_: st.DrawFn, left: str, right: str, result: str) -> Case:
    """A product and what is added to it, of a shape that broadcasts to the product's."""
    a, b = draw_(fixed(left, right)).arrays
    lengths = dict(zip(left + right, a.shape + b.shape))  # type: ignore[union-attr]
    shape = tuple(1 if draw_(st.booleans()) else lengths[c] for c in result)[draw_(st.integers(0, len(result))) :]
    factors = st.sampled_from([1, 0.5, -2, 0])
    input = draw.normal(draw_(draw.seeds), shape)
    return Case((np.asarray(input), a, b), {"beta": draw_(factors), "alpha": draw_(factors)})


EQUATIONS = [
    "ij,jk->ik",
    "ij,jk",
    "bij,bjk->bik",
    "ij,ij->",
    "i,j->ij",
    "ij->ji",
    "ij->j",
    "ij->",
    "ii->i",
    "ii",
    "iij->j",
    "ii,ij->j",
    "iji,jk->k",
    "i,i->i",
    "ijk,jil->kl",
    "ij,kl->ki",
    "ij,jk,kl->il",
    "i,i,i->",
    "b c , c d -> d b",
    "Ba,aB",
    "...ij,...jk->...ik",
    "...ij,...jk",
    "i...,i...->...",
    "...i->i...",
    "...i->",
    "...,...",
    "ij,...j->...i",
]


@st.composite
def summed(draw_: st.DrawFn) -> Case:
    """A size per letter; dimensions behind ``...`` may be missing or 1, and so may a letter's in one operand."""
    equation = draw_(st.sampled_from(EQUATIONS))
    terms = equation.split("->")[0].replace(" ", "").split(",")
    lengths = {letter: draw_(sizes) for letter in sorted(set("".join(terms)) - {"."})}
    dots = draw_(draw.broadcastable(len(terms), 2) if len(terms) > 1 else st.tuples(draw.shapes(max_dims=2)))
    shapes = []
    for term, leading in zip(terms, dots):
        front, _, back = term.partition("...")
        middle = leading if "..." in term else ()
        shapes.append((*(lengths[c] for c in front), *middle, *(lengths[c] for c in back)))
    if len(terms) > 1 and draw_(st.integers(0, 3)) == 0:  # PyTorch broadcasts a letter's size 1, too
        narrow = draw_(st.integers(0, len(terms) - 1))
        if len(set(terms[narrow])) == len(terms[narrow]):
            shapes[narrow] = tuple(1 if draw_(st.booleans()) else side for side in shapes[narrow])
    return Case(arrays(draw_(draw.seeds), shapes), {"equation": equation})


def equation_first(function: Any) -> Callable[..., Any]:
    return lambda *operands, equation: function(equation, *operands)


def row(name: str, cases: Any, slow: Any, exact: bool = True) -> OpSample:
    return OpSample(name, getattr(tg, name), cases, slow, torch_function(name), exact=exact)


SAMPLES = [
    row("matmul", products(), reference.matmul),
    row("mm", fixed("ij", "jk"), reference.matmul),
    row("bmm", fixed("bij", "bjk"), reference.matmul),
    row("mv", fixed("ij", "j"), reference.matmul),
    row("dot", fixed("i", "i"), reference.matmul),
    row("outer", fixed("i", "j"), reference.outer),
    row("addmm", added("ij", "jk", "ik"), reference.added),
    row("addmv", added("ij", "j", "i"), reference.added),
    row("baddbmm", added("bij", "bjk", "bik"), reference.added),
    OpSample(
        "einsum",
        equation_first(tg.einsum),
        summed(),
        reference.einsum,
        equation_first(torch_function("einsum")),
        exact=True,
    ),
]
