"""What ``ops/conv.py``, ``ops/linear.py`` and ``ops/window.py`` refuse."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DTypeError, ShapeError


def x(*shape: int, dtype: str = "float32") -> tg.Tensor:
    return tg.from_numpy(np.ones(shape, dtype))


def conv(input=(2, 3, 5, 5), weight=(4, 3, 3, 3), bias=None, **kwargs):
    return lambda: F.conv2d(x(*input), x(*weight), None if bias is None else x(*bias), **kwargs)


ERRORS = [
    (
        "conv2d/not a tensor",
        lambda: F.conv2d(np.ones((1, 1, 3, 3)), x(1, 1, 3, 3)),
        DTypeError,
        "input must be a Tensor",
    ),
    ("conv2d/weight no tensor", lambda: F.conv2d(x(1, 1, 3, 3), 3), DTypeError, "weight must be a Tensor, got int"),
    ("conv2d/bias no tensor", lambda: F.conv2d(x(1, 1, 3, 3), x(1, 1, 3, 3), 3), DTypeError, "bias must be a Tensor"),
    (
        "conv2d/integers",
        lambda: F.conv2d(x(1, 1, 3, 3, dtype="int64"), x(1, 1, 3, 3, dtype="int64")),
        DTypeError,
        "input must be float32 or float64, got tinygrad_cnn.int64",
    ),
    (
        "conv2d/two dtypes",
        lambda: F.conv2d(x(1, 1, 3, 3), x(1, 1, 3, 3, dtype="float64")),
        DTypeError,
        "weight is tinygrad_cnn.float64 but input is tinygrad_cnn.float32",
    ),
    (
        "conv2d/bias dtype",
        lambda: F.conv2d(x(1, 1, 3, 3), x(1, 1, 3, 3), x(1, dtype="float64")),
        DTypeError,
        "bias is tinygrad_cnn.float64 but input is tinygrad_cnn.float32",
    ),
    ("conv2d/2 dimensions", conv(input=(5, 5)), ShapeError, r"got 2 dimensions; input.shape=\(5, 5\)"),
    ("conv2d/weight dimensions", conv(weight=(4, 3, 3)), ShapeError, r"weight.shape=\(4, 3, 3\)"),
    (
        "conv2d/no filters",
        conv(weight=(0, 3, 3, 3)),
        ShapeError,
        r"without zero sizes, got weight.shape=\(0, 3, 3, 3\)",
    ),
    (
        "conv2d/channels",
        conv(weight=(4, 2, 3, 3)),
        ShapeError,
        r"input has 3 channels but weight expects 2; input.shape=\(2, 3, 5, 5\), weight.shape=\(4, 2, 3, 3\)",
    ),
    ("conv2d/groups", conv(weight=(4, 1, 3, 3), groups=3), ShapeError, "4 filters, which groups=3 does not divide"),
    ("conv2d/no groups", conv(groups=0), ShapeError, "groups must be a positive int, got 0"),
    ("conv2d/bias", conv(bias=(5,)), ShapeError, r"each of the 4 filters, got bias.shape=\(5,\)"),
    ("conv2d/stride 0", conv(stride=0), ShapeError, "stride must be at least 1, got 0"),
    ("conv2d/stride float", conv(stride=1.5), DTypeError, "stride must be an int or a pair of ints, got 1.5"),
    ("conv2d/stride of 3", conv(stride=(1, 1, 1)), ShapeError, "stride must be an int or a pair of ints, got 3 values"),
    ("conv2d/activation", conv(activation="tanh"), ValueError, "activation must be None or 'relu', got 'tanh'"),
    ("conv2d/padding", conv(padding=-1), ShapeError, "padding must be at least 0, got -1"),
    ("conv2d/padding name", conv(padding="full"), ShapeError, "'valid' or 'same', got 'full'"),
    ("conv2d/same with stride", conv(padding="same", stride=2), ShapeError, r"needs stride 1, got \(2, 2\)"),
    ("conv2d/dilation", conv(dilation=0), ShapeError, "dilation must be at least 1, got 0"),
    (
        "conv2d/window too large",
        conv(weight=(4, 3, 3, 3), dilation=3),
        ShapeError,
        r"window of \(7, 7\) pixels \(dilation \(3, 3\)\) is larger than the padded input of \(5, 5\)",
    ),
    ("linear/not a tensor", lambda: F.linear(1, x(4, 3)), DTypeError, "input must be a Tensor, got int"),
    (
        "linear/features",
        lambda: F.linear(x(2, 3), x(4, 2)),
        ShapeError,
        r"input has 3 features but weight expects 2; input.shape=\(2, 3\), weight.shape=\(4, 2\)",
    ),
    ("linear/no dimensions", lambda: F.linear(x(), x(4, 2)), ShapeError, "input has no features but weight expects 2"),
    (
        "linear/bias",
        lambda: F.linear(x(2, 3), x(4, 3), x(3)),
        ShapeError,
        r"bias must have shape \(4,\).*bias.shape=\(3,\)",
    ),
    (
        "linear/dtypes",
        lambda: F.linear(x(2, 3), x(4, 3, dtype="float64")),
        DTypeError,
        "got tinygrad_cnn.float32, tinygrad_cnn.float64",
    ),
    (
        "linear/bias dtype",
        lambda: F.linear(x(2, 3), x(4, 3), x(4, dtype="float64")),
        DTypeError,
        "bias is tinygrad_cnn.float64 but weight is tinygrad_cnn.float32",
    ),
]
