"""Rows for ``ops/linear.py``."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn.nn.functional as F

from ..reference import conv as reference
from . import draw
from .table import Case, OpSample, torch_function


@st.composite
def layers(draw_: st.DrawFn) -> Case:
    features = draw_(st.integers(1, 5))
    outputs = draw_(st.sampled_from([(), (1,), (4,)]))
    seed = draw_(draw.seeds)
    arrays = [draw.normal(seed, (*draw_(draw.shapes(max_dims=3)), features))]
    arrays.append(draw.normal(seed + 1, (*outputs, features)))
    if outputs and draw_(st.booleans()):  # PyTorch refuses a bias where weight is a vector
        arrays.append(draw.normal(seed + 2, outputs))
    return Case(tuple(arrays))


SAMPLES = [
    OpSample(
        "linear",
        F.linear,
        layers(),
        reference.linear,
        torch_function("nn.functional.linear"),
        exact=True,
    ),
    OpSample(
        "linear/relu",
        lambda *tensors: F.linear(*tensors, activation="relu"),
        layers().filter(lambda case: case.arrays[1].ndim == 2).map(draw.away_from_zero),
        lambda *arrays: np.maximum(reference.linear(*arrays), 0),
        lambda *tensors: torch_function("nn.functional.linear")(*tensors).relu(),
    ),
]
