"""Error rows for reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, DTypeError, ShapeError

x = tg.zeros(2, 3)
whole = tg.zeros(2, 3, dtype=tg.int64)
empty = tg.zeros(0, 3)

ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("sum dim", lambda: x.sum(2), DimError, r"sum: dim must be in \[-2, 1\] for 2 dimensions, got 2"),
    ("sum dim of a number", lambda: tg.tensor(1.0).sum(1), DimError, r"\[-1, 0\] for 0 dimensions, got 1"),
    ("sum twice", lambda: x.sum((0, -2)), ShapeError, r"sum: a dimension appears twice in dim=\(0, -2\)"),
    ("sum no int", lambda: x.sum(1.5), DTypeError, "sum: dim must be an int, got float"),
    ("mean dim", lambda: x.mean(-3), DimError, "mean: dim must be .* got -3"),
    ("mean integers", lambda: whole.mean(), DTypeError, "mean: input must be floating-point, got .*int64"),
    ("mean as integers", lambda: x.mean(dtype=tg.int64), DTypeError, "mean: input must be floating-point"),
    ("var integers", lambda: whole.var(), DTypeError, "var: input must be floating-point, got .*int64"),
    ("var dim", lambda: x.var(2), DimError, "var: dim must be .* got 2"),
    ("std integers", lambda: whole.std(), DTypeError, "std: input must be floating-point"),
    ("std dim", lambda: x.std(2), DimError, "std: dim must be .* got 2"),
    ("var_mean integers", lambda: tg.var_mean(whole), DTypeError, "var_mean: input must be floating-point"),
    ("prod dim", lambda: x.prod(2), DimError, "prod: dim must be .* got 2"),
    ("prod dims", lambda: x.prod((0, 1)), DTypeError, "prod: dim must be an int, got tuple"),
    ("amax dim", lambda: x.amax(2), DimError, "amax: dim must be .* got 2"),
    ("amax empty", lambda: empty.amax(0), ShapeError, r"amax: no elements .* shape \(0, 3\) along \(0,\)"),
    ("amin empty", lambda: empty.amin(), ShapeError, r"amin: no elements .* shape \(0, 3\) along \(0, 1\)"),
    ("logsumexp dim", lambda: x.logsumexp(2), DimError, "logsumexp: dim must be .* got 2"),
    ("norm name", lambda: x.norm("nuc"), ValueError, "norm: p must be a number or 'fro', got 'nuc'"),
    ("norm integers", lambda: whole.norm(), DTypeError, "norm: input must be floating-point, got .*int64"),
    ("norm dim", lambda: x.norm(dim=2), DimError, "norm: dim must be .* got 2"),
    ("norm empty", lambda: empty.norm(float("inf")), ShapeError, r"norm: no elements .* shape \(0, 3\)"),
    ("cumsum dim", lambda: x.cumsum(2), DimError, "cumsum: dim must be .* got 2"),
    ("cumprod dim", lambda: x.cumprod(2), DimError, "cumprod: dim must be .* got 2"),
    ("count_nonzero dim", lambda: x.count_nonzero(2), DimError, "count_nonzero: dim must be .* got 2"),
    ("all dim", lambda: x.all(2), DimError, "all: dim must be .* got 2"),
    ("any dim", lambda: x.any((0, 0)), ShapeError, r"any: a dimension appears twice in dim=\(0, 0\)"),
]
