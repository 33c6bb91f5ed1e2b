"""Rows for ``ops/dropout.py``; each call seeds the generator, so that it is a function."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import dropout as reference
from . import draw
from .table import Case, OpSample, torch_function


def seeded(manual_seed: Any, function: Any) -> Any:
    def call(x: Any, p: float, seed: int) -> Any:
        manual_seed(seed)
        return function(x, p, training=True) * 1  # a probability of 0 gives the input itself

    return call


@st.composite
def cases(draw_: st.DrawFn) -> Case:
    seed = draw_(draw.seeds)
    kwargs = {"p": draw_(st.sampled_from([0.0, 0.2, 0.5, 1.0])), "seed": seed}
    return Case((draw.normal(seed, draw_(draw.shapes())),), kwargs)


SAMPLES = [
    OpSample(
        "dropout",
        seeded(tg.manual_seed, tg.dropout),
        cases(),
        reference.dropout,
        seeded(torch_function("manual_seed"), torch_function("nn.functional.dropout")),
        exact=False,
    ),
]
