"""What ``ops/elementwise.py`` refuses."""

from __future__ import annotations

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError

truth = tg.tensor([True, False])

FLOATING = ["exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan", "tanh"]

ERRORS = [
    *(
        (
            f"{name}/not a tensor",
            lambda name=name: getattr(tg, name)(1.0),
            DTypeError,
            f"{name}: input must be a Tensor",
        )
        for name in [
            "exp",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "sin",
            "cos",
            "tan",
            "tanh",
            "erf",
            "sigmoid",
        ]
    ),
    *(
        (f"{name}/bools", lambda name=name: getattr(tg, name)(truth), DTypeError, f"{name}: not defined for bool")
        for name in ("abs", "floor", "ceil", "trunc", "round")
    ),
    (
        "round/decimals of integers",
        lambda: tg.round(tg.tensor([15]), decimals=-1),
        DTypeError,
        "round: decimals=-1 needs a floating-point input, got tinygrad_cnn.int64",
    ),
]
