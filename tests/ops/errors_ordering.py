"""Error rows for extrema and orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, ShapeError

x = tg.zeros(2, 3)
empty = tg.zeros(0, 3)

ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("max dim", lambda: x.max(2), DimError, r"max: dim must be in \[-2, 1\] for 2 dimensions, got 2"),
    ("max empty", lambda: empty.max(), ShapeError, r"max: no elements to choose from in shape \(0, 3\)$"),
    ("max along empty", lambda: empty.max(0), ShapeError, r"max: no elements .* shape \(0, 3\) along dim 0"),
    ("min dim", lambda: x.min(-3), DimError, "min: dim must be .* got -3"),
    ("min empty", lambda: empty.min(), ShapeError, r"min: no elements to choose from in shape \(0, 3\)$"),
    ("argmax empty", lambda: empty.argmax(), ShapeError, r"argmax: no elements to choose from in shape \(0, 3\)$"),
    ("argmax along empty", lambda: empty.argmax(0), ShapeError, "argmax: no elements .* along dim 0"),
    ("argmin dim", lambda: x.argmin(2), DimError, "argmin: dim must be .* got 2"),
    ("sort dim", lambda: x.sort(2), DimError, "sort: dim must be .* got 2"),
    ("argsort dim", lambda: x.argsort(2), DimError, "argsort: dim must be .* got 2"),
    ("topk dim", lambda: x.topk(1, 2), DimError, "topk: dim must be .* got 2"),
    ("topk too many", lambda: x.topk(4), ShapeError, r"k must be in \[0, 3\] for shape \(2, 3\) and dim 1, got 4"),
    ("topk negative", lambda: x.topk(-1), ShapeError, r"k must be in \[0, 3\] .* got -1"),
    ("median dim", lambda: x.median(2), DimError, "median: dim must be .* got 2"),
    ("median empty", lambda: empty.long().median(), ShapeError, r"median: no elements .* shape \(0, 3\)$"),
    ("median along empty", lambda: empty.median(0), ShapeError, r"median: no elements .* shape \(0, 3\) along dim 0"),
]
