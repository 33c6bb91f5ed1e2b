"""What ``ops/pooling.py`` refuses."""

from __future__ import annotations

import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DTypeError, ShapeError

from .errors_conv import x

ERRORS = [
    ("max_pool2d/not a tensor", lambda: F.max_pool2d([[1.0]], 1), DTypeError, "input must be a Tensor, got list"),
    ("max_pool2d/integers", lambda: F.max_pool2d(x(1, 4, 4, dtype="int64"), 2), DTypeError, "float32 or float64"),
    ("max_pool2d/dimensions", lambda: F.max_pool2d(x(4, 4), 2), ShapeError, "got 2 dimensions"),
    (
        "max_pool2d/kernel_size",
        lambda: F.max_pool2d(x(1, 4, 4), 0),
        ShapeError,
        "kernel_size must be at least 1, got 0",
    ),
    ("max_pool2d/stride", lambda: F.max_pool2d(x(1, 4, 4), 2, 0), ShapeError, "stride must be at least 1, got 0"),
    ("max_pool2d/dilation", lambda: F.max_pool2d(x(1, 4, 4), 2, dilation=0), ShapeError, "dilation must be at least 1"),
    (
        "max_pool2d/padding",
        lambda: F.max_pool2d(x(1, 4, 4), 2, padding=2),
        ShapeError,
        r"padding=\(2, 2\), kernel_size=\(2, 2\), dilation=\(1, 1\)",
    ),
    (
        "max_pool2d/too small",
        lambda: F.max_pool2d(x(1, 4, 4), 5),
        ShapeError,
        r"no window of kernel_size=\(5, 5\).*input.shape=\(1, 4, 4\)",
    ),
    ("max_pool2d/no channels", lambda: F.max_pool2d(x(2, 0, 4, 4), 2), ShapeError, r"input.shape=\(2, 0, 4, 4\)"),
    (
        "max_pool2d/activation",
        lambda: F.max_pool2d(x(1, 4, 4), 2, activation="tanh"),
        ValueError,
        "activation must be None or 'relu', got 'tanh'",
    ),
    (
        "max_pool2d/activation and indices",
        lambda: F.max_pool2d(x(1, 4, 4), 2, return_indices=True, activation="relu"),
        ValueError,
        "activation='relu'.*return_indices must be False",
    ),
    ("avg_pool2d/too small", lambda: F.avg_pool2d(x(1, 4, 4), 5), ShapeError, "no window"),
    (
        "avg_pool2d/divisor",
        lambda: F.avg_pool2d(x(1, 4, 4), 2, divisor_override=0),
        ShapeError,
        "divisor_override must not be 0",
    ),
    (
        "adaptive_avg_pool2d/size",
        lambda: F.adaptive_avg_pool2d(x(1, 4, 4), -1),
        ShapeError,
        "output_size must be at least 0, got -1",
    ),
    (
        "adaptive_avg_pool2d/no pixels",
        lambda: F.adaptive_avg_pool2d(x(1, 0, 4), 1),
        ShapeError,
        r"no pixels; input.shape=\(1, 0, 4\)",
    ),
]
