"""The row for ``ops/conv_pool.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import Tensor
from tinygrad_cnn.ops.conv_pool import conv2d_relu_max_pool2d

from ..reference import conv, pooling
from .samples_conv import convolutions
from .table import Case, OpSample, torch_function


@st.composite
def pooled_convolutions(draw_: st.DrawFn) -> Case:
    """A convolution and windows that fit into its result."""
    case = draw_(convolutions())
    x, *others = case.arrays
    if x.ndim == 3 or len(x) == 1:  # too few images to be cut
        x = np.stack([x.reshape(x.shape[-3:]), x.reshape(x.shape[-3:])[..., ::-1]])
    sides = conv.conv2d(x, *others, **case.kwargs).shape[-2:]
    kernel_size = tuple(draw_(st.integers(1, min(side, 3))) for side in sides)
    stride = draw_(st.one_of(st.none(), st.integers(1, 3)))
    window = {"kernel_size": kernel_size, "stride": stride, "ceil_mode": draw_(st.booleans())}
    return Case((x, *others), {"convolution": case.kwargs, "window": window})


def one_image_at_a_time(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, convolution: dict[str, Any], window: dict[str, Any]
) -> Tensor:
    """Or, where the function finds nothing to cut, one operation after the other."""
    geometry = tuple(convolution[name] for name in ("stride", "padding", "dilation", "groups"))
    pooled = (window["kernel_size"], window["stride"], 0, 1, window["ceil_mode"])
    out = conv2d_relu_max_pool2d(x, weight, bias, geometry, pooled, chunk_bytes=1)
    if out is None:
        return F.max_pool2d(F.conv2d(x, weight, bias, **convolution, activation="relu"), **window)
    return out


def expected(*arrays: np.ndarray, convolution: dict[str, Any], window: dict[str, Any]) -> np.ndarray:
    return pooling.max_pool2d(np.maximum(conv.conv2d(*arrays, **convolution), 0), **window)


def in_torch(*tensors: Any, convolution: dict[str, Any], window: dict[str, Any]) -> Any:
    convolved = torch_function("nn.functional.conv2d")(*tensors, **convolution)
    return torch_function("nn.functional.max_pool2d")(convolved.relu(), **window)


SAMPLES = [OpSample("conv2d/relu/max_pool2d", one_image_at_a_time, pooled_convolutions(), expected, in_torch)]
