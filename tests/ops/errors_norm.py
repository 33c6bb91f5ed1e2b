"""What ``ops/norm.py`` and ``ops/dropout.py`` refuse."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DTypeError, ShapeError

from .errors_conv import x


def strided_statistics() -> None:
    F.batch_norm(x(4, 3), tg.from_numpy(np.ones((3, 2), "float32")[:, 0]), x(3), training=True)


ERRORS = [
    (
        "batch_norm/not a tensor",
        lambda: F.batch_norm([1.0], x(3), x(3)),
        DTypeError,
        "input must be a Tensor, got list",
    ),
    ("batch_norm/integers", lambda: F.batch_norm(x(4, 3, dtype="int64"), x(3), x(3)), DTypeError, "float32 or float64"),
    ("batch_norm/dimensions", lambda: F.batch_norm(x(3), x(3), x(3)), ShapeError, r"input.shape=\(3,\)"),
    ("batch_norm/running_mean", lambda: F.batch_norm(x(4, 3), None, x(3)), ShapeError, "running_mean is None"),
    ("batch_norm/running_var", lambda: F.batch_norm(x(4, 3), x(3), None), ShapeError, "running_var is None"),
    (
        "batch_norm/one value",
        lambda: F.batch_norm(x(1, 3, 1, 1), x(3), x(3), training=True),
        ShapeError,
        r"more than one value per channel.*input.shape=\(1, 3, 1, 1\)",
    ),
    (
        "batch_norm/weight",
        lambda: F.batch_norm(x(4, 3), x(3), x(3), x(2)),
        ShapeError,
        r"each of the 3 channels; weight.shape=\(2,\), input.shape=\(4, 3\)",
    ),
    (
        "batch_norm/bias dtype",
        lambda: F.batch_norm(x(4, 3), x(3), x(3), x(3), x(3, dtype="float64")),
        DTypeError,
        "bias is tinygrad_cnn.float64 but input is tinygrad_cnn.float32",
    ),
    (
        "batch_norm/bias",
        lambda: F.batch_norm(x(4, 3), x(3), x(3), None, 1),
        DTypeError,
        "bias must be a Tensor or None",
    ),
    (
        "batch_norm/eps",
        lambda: F.batch_norm(x(4, 3), x(3), x(3), eps=-1),
        ShapeError,
        "eps must not be negative, got -1",
    ),
    ("batch_norm/strided statistics", strided_statistics, ShapeError, "contiguous and writable"),
    ("dropout/p", lambda: F.dropout(x(3), 1.5), ShapeError, "p must be between 0 and 1, got 1.5"),
    ("dropout/not a tensor", lambda: F.dropout([1.0]), DTypeError, "input must be a Tensor, got list"),
    ("dropout/integers", lambda: F.dropout(x(3, dtype="int64")), DTypeError, "input must be float32 or float64"),
]
