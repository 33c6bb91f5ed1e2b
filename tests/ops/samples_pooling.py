"""Rows for ``ops/pooling.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn.nn.functional as F

from ..reference import pooling as reference
from . import draw
from .table import Case, OpSample, torch_function

sizes = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@st.composite
def geometries(draw_: st.DrawFn, dilations: st.SearchStrategy[int]) -> tuple[list[int], dict[str, Any]]:
    """The size of an image and the parameters of windows that fit into it."""
    kernel_size, dilation = draw_(sizes), draw_(dilations)
    k = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    spans = [dilation * (side - 1) + 1 for side in k]
    padding = tuple(draw_(st.integers(0, side // 2)) for side in k)
    stride = draw_(st.one_of(st.none(), sizes))
    # An image narrower than the dilation can have a window that reads only padding: its maximum is -inf.
    size = [max(dilation, span - 2 * p) + draw_(st.integers(0, 4)) for span, p in zip(spans, padding)]
    kwargs = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": draw_(st.booleans())}
    return size, kwargs | ({"dilation": dilation} if dilation > 1 else {})


@st.composite
def max_pools(draw_: st.DrawFn) -> Case:
    size, kwargs = draw_(geometries(st.integers(1, 2)))
    batch = draw_(st.sampled_from([(), (1,), (2,)]))
    return Case((draw.distinct(draw_(draw.seeds), (*batch, draw_(st.integers(1, 3)), *size)),), kwargs)


@st.composite
def average_pools(draw_: st.DrawFn) -> Case:
    size, kwargs = draw_(geometries(st.just(1)))
    kwargs["count_include_pad"] = draw_(st.booleans())
    kwargs["divisor_override"] = draw_(st.sampled_from([None, 3]))
    batch = draw_(st.sampled_from([(), (1,), (2,)]))
    return Case((draw.normal(draw_(draw.seeds), (*batch, draw_(st.integers(1, 3)), *size)),), kwargs)


@st.composite
def adaptive_pools(draw_: st.DrawFn) -> Case:
    shape = draw_(draw.shapes(min_dims=3, max_dims=4, max_side=5))
    side = st.one_of(st.none(), st.integers(1, 6))
    output_size = draw_(st.one_of(st.integers(1, 4), st.tuples(side, side)))
    return Case((draw.normal(draw_(draw.seeds), shape),), {"output_size": output_size})


SAMPLES = [
    OpSample("max_pool2d", F.max_pool2d, max_pools(), reference.max_pool2d, torch_function("nn.functional.max_pool2d")),
    OpSample(
        "max_pool2d/relu",
        lambda x, **window: F.max_pool2d(x, **window, activation="relu"),
        max_pools(),
        lambda x, **window: np.maximum(reference.max_pool2d(x, **window), 0),
        lambda x, **window: torch_function("nn.functional.max_pool2d")(x, **window).relu(),
    ),
    OpSample(
        "avg_pool2d", F.avg_pool2d, average_pools(), reference.avg_pool2d, torch_function("nn.functional.avg_pool2d")
    ),
    OpSample(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        adaptive_pools(),
        reference.adaptive_avg_pool2d,
        torch_function("nn.functional.adaptive_avg_pool2d"),
    ),
]
