"""What ``ops/selection.py`` refuses."""

from __future__ import annotations

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, ShapeError

x = tg.tensor([1.0, -2.0])
three = tg.zeros(3)
truth = tg.tensor([True, False])
small = tg.tensor([1, 200], dtype=tg.uint8)

ERRORS = [
    ("where/condition", lambda: tg.where(x, x, x), DTypeError, "must be a bool Tensor, got tinygrad_cnn.float32"),
    ("where/a number", lambda: tg.where(True, x, x), DTypeError, "where: condition must be a bool Tensor, got bool"),
    ("where/one choice", lambda: tg.where(truth, x), DTypeError, "where: other must be a Tensor or a number, got None"),
    ("where/choices", lambda: tg.where(truth, x, three), ShapeError, r"where: shapes \(2,\) and \(3,\) cannot"),
    ("where/shapes", lambda: tg.where(truth, three, three), ShapeError, r"where: shapes \(2,\) and \(3,\) cannot"),
    ("maximum/shapes", lambda: tg.maximum(x, three), ShapeError, "maximum: shapes"),
    ("minimum/list", lambda: tg.minimum(x, [1.0, 2.0]), DTypeError, "minimum: other must be .*, got list"),
    ("clamp/no bounds", lambda: tg.clamp(x), ValueError, "clamp: at least one of min and max must be given"),
    ("clamp/min", lambda: tg.clamp(x, "0"), DTypeError, "clamp: min must be a Tensor or a number, got str"),
    ("clamp/max", lambda: tg.clamp(x, max="0"), DTypeError, "clamp: max must be a Tensor or a number, got str"),
    ("clamp/shapes", lambda: tg.clamp(x, three), ShapeError, "clamp: shapes"),
    ("clamp/min too small", lambda: tg.clamp(small, -1), DTypeError, "clamp: min=-1 does not fit into uint8"),
    ("clamp/max too large", lambda: tg.clamp(small, 0, 300), DTypeError, "clamp: max=300 does not fit into uint8"),
]
