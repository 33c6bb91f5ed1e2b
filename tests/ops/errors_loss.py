"""What ``ops/loss.py`` refuses."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError

from .errors_conv import x


def labels(*values: int, dtype: str = "int64") -> tg.Tensor:
    return tg.from_numpy(np.array(values, dtype))


def cross_entropy(*values: int, dtype: str = "int64", **kwargs):
    return lambda: F.cross_entropy(x(4, 5), labels(*values, dtype=dtype), **kwargs)


ERRORS = [
    ("cross_entropy/label", cross_entropy(0, 1, 2, 5), DimError, "target contains 5, but input has 5 classes, 0 to 4"),
    ("cross_entropy/negative", cross_entropy(0, 1, 2, -1), DimError, "target contains -1"),
    (
        "cross_entropy/ignored by mistake",
        cross_entropy(0, 1, 2, -100, ignore_index=0),
        DimError,
        r"target contains -100.*ignore_index=0",
    ),
    (
        "cross_entropy/count",
        cross_entropy(0, 1, 2),
        ShapeError,
        r"input.shape=\(4, 5\), target.shape=\(3,\)",
    ),
    (
        "cross_entropy/int32",
        cross_entropy(0, 1, 2, 3, dtype="int32"),
        DTypeError,
        "int64 or uint8.*got tinygrad_cnn.int32",
    ),
    ("cross_entropy/float labels", cross_entropy(0, 1, 2, 3, dtype="float32"), ShapeError, "probabilities"),
    ("cross_entropy/reduction", cross_entropy(0, 1, 2, 3, reduction="max"), ShapeError, "got 'max'"),
    ("cross_entropy/smoothing", cross_entropy(0, 1, 2, 3, label_smoothing=2), ShapeError, "between 0 and 1, got 2"),
    ("cross_entropy/weight", cross_entropy(0, 1, 2, 3, weight=x(4)), ShapeError, r"each of the 5 classes, got \(4,\)"),
    (
        "cross_entropy/weight dtype",
        cross_entropy(0, 1, 2, 3, weight=x(5, dtype="float64")),
        DTypeError,
        "weight is tinygrad_cnn.float64 but input is tinygrad_cnn.float32",
    ),
    (
        "cross_entropy/weight grad",
        cross_entropy(0, 1, 2, 3, weight=x(5).requires_grad_()),
        GraphError,
        "not differentiable by the class weights",
    ),
    ("cross_entropy/not a tensor", lambda: F.cross_entropy(x(4, 5), [0, 1]), DTypeError, "target must be a Tensor"),
    ("cross_entropy/no classes", lambda: F.cross_entropy(x(4, 0), labels()), ShapeError, r"input.shape=\(4, 0\)"),
    (
        "cross_entropy/integer logits",
        lambda: F.cross_entropy(x(4, 5, dtype="int64"), labels(0, 1, 2, 3)),
        DTypeError,
        "input must be float32 or float64, got tinygrad_cnn.int64",
    ),
    (
        "nll_loss/label",
        lambda: F.nll_loss(x(2, 3), labels(0, 3)),
        DimError,
        "target contains 3, but input has 3 classes",
    ),
    ("nll_loss/count", lambda: F.nll_loss(x(2, 3), labels(0)), ShapeError, r"target.shape=\(1,\)"),
    ("mse_loss/shapes", lambda: F.mse_loss(x(2, 3), x(2, 2)), ShapeError, r"\(2, 3\) and \(2, 2\)"),
    ("mse_loss/reduction", lambda: F.mse_loss(x(2), x(2), reduction="all"), ShapeError, "got 'all'"),
    ("l1_loss/not a tensor", lambda: F.l1_loss(x(2), 1), DTypeError, "target must be a Tensor, got int"),
]
