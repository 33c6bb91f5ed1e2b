"""Rows for ``ops/activation.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

from ..reference import activation as reference
from . import draw
from .samples_elementwise import between, integers, one
from .table import Case, OpSample, torch_function


@st.composite
def along_a_dim(draw_: st.DrawFn) -> Case:
    sides = draw_(draw.shapes())
    ndim = max(1, len(sides))  # a number has one dimension to name
    return Case((draw.normal(draw_(draw.seeds), sides),), {"dim": draw_(st.integers(-ndim, ndim - 1))})


def away_from_threshold(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Both sides of the threshold 2 for beta 0.5 and 2, the kink at a distance."""
    values = draw.uniform(seed, shape, -6, 6)
    return np.where((abs(values - 4) < 0.2) | (abs(values - 1) < 0.2), 0.5, values)


def functional(name: str) -> Any:
    return torch_function(f"nn.functional.{name}")


SAMPLES = [
    OpSample("relu", tg.relu, one(draw.distinct), reference.relu, torch_function("relu")),
    OpSample("relu/large", tg.relu, draw.large(draw.distinct), reference.relu, torch_function("relu")),
    OpSample("relu/integers", tg.relu, one(integers), reference.relu, torch_function("relu"), value_only=True),
    OpSample(
        "leaky_relu",
        F.leaky_relu,
        one(draw.distinct, negative_slope=[0.01, 0.3, 0.0, -0.5]),
        reference.leaky_relu,
        functional("leaky_relu"),
    ),
    OpSample(
        "leaky_relu/in place",
        lambda x, negative_slope: F.leaky_relu(x.clone(), negative_slope, inplace=True),
        one(draw.distinct, negative_slope=[0.01, 0.3]),
        reference.leaky_relu,
        lambda x, negative_slope: functional("leaky_relu")(x.clone(), negative_slope, inplace=True),
    ),
    OpSample("sigmoid", tg.sigmoid, one(between(-8, 8)), reference.sigmoid, torch_function("sigmoid")),
    OpSample("silu", F.silu, one(between(-8, 8)), reference.silu, functional("silu")),
    OpSample("softplus", F.softplus, one(between(-8, 8)), reference.softplus, functional("softplus")),
    OpSample(
        "softplus/threshold",
        F.softplus,
        one(away_from_threshold, beta=[0.5, 2], threshold=[2]),
        reference.softplus,
        functional("softplus"),
    ),
    OpSample("softmax", tg.softmax, along_a_dim(), reference.softmax, torch_function("softmax")),
    OpSample("log_softmax", tg.log_softmax, along_a_dim(), reference.log_softmax, torch_function("log_softmax")),
]
