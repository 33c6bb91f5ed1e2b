"""Rows for ``ops/conv.py``."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn.nn.functional as F

from ..reference import conv as reference
from . import draw
from .table import Case, OpSample, torch_function

pairs = st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 3), st.integers(1, 2)))


@st.composite
def convolutions(draw_: st.DrawFn) -> Case:
    """Every geometry, also the ugly ones: more padding than needed, windows that leave rows over, empty batches."""
    kernel_size = (draw_(st.integers(1, 3)), draw_(st.integers(1, 3)))
    stride, dilation = draw_(pairs), draw_(pairs)
    choices = [0, 1, (2, 0), (0, 3), "valid"]
    if stride in (1, (1, 1)):
        choices.append("same")
    padding = draw_(st.sampled_from(choices))
    groups = draw_(st.integers(1, 2))
    before_and_after = reference.padding_of(padding, kernel_size, reference.pair(dilation))
    size = [
        max(1, d * (k - 1) + 1 - sum(p)) + draw_(st.integers(0, 3))
        for k, d, p in zip(kernel_size, reference.pair(dilation), before_and_after)
    ]
    channels, filters = draw_(st.integers(1, 3)), groups * draw_(st.integers(1, 2))
    batch = draw_(st.sampled_from([(), (1,), (2,)]))
    seed = draw_(draw.seeds)
    arrays = [draw.normal(seed, (*batch, groups * channels, *size))]
    arrays.append(draw.normal(seed + 1, (filters, channels, *kernel_size)))
    if draw_(st.booleans()):
        arrays.append(draw.normal(seed + 2, (filters,)))
    return Case(tuple(arrays), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


SAMPLES = [
    OpSample(
        "conv2d",
        F.conv2d,
        convolutions(),
        reference.conv2d,
        torch_function("nn.functional.conv2d"),
        exact=True,
    ),
    OpSample(
        "conv2d/relu",
        lambda *tensors, **geometry: F.conv2d(*tensors, **geometry, activation="relu"),
        convolutions().map(draw.away_from_zero),
        lambda *arrays, **geometry: np.maximum(reference.conv2d(*arrays, **geometry), 0),
        lambda *tensors, **geometry: torch_function("nn.functional.conv2d")(*tensors, **geometry).relu(),
    ),
]
