"""What ``ops/comparison.py`` refuses."""

from __future__ import annotations

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, DTypeError, ShapeError

x = tg.tensor([1.0, -2.0])
three = tg.zeros(3)
whole = tg.tensor([1, -2])

ERRORS = [
    *(
        (f"{name}/shapes", lambda name=name: getattr(tg, name)(x, three), ShapeError, f"{name}: shapes .2,. and .3,.")
        for name in ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "isclose"]
    ),
    *(
        (f"{name}/floats", lambda name=name: getattr(tg, name)(whole, x), DTypeError, f"{name}: .* integers or bools")
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ),
    ("bitwise_not/floats", lambda: ~x, DTypeError, "bitwise_not: not defined for tinygrad_cnn.float32"),
    ("lt/str", lambda: x < "1", DTypeError, "lt: other must be a Tensor or a number, got str"),
    ("isclose/dtypes", lambda: tg.isclose(x, whole), DTypeError, "input has dtype .*float32, other has .*int64"),
    ("allclose/dtypes", lambda: tg.allclose(x, whole), DTypeError, "isclose: input has dtype"),
    ("all/dim", lambda: tg.all(x, 1), DimError, r"all: dim must be in \[-1, 0\] .*, got 1"),
    ("any/dims", lambda: tg.any(x, (0, 0)), ShapeError, "any: .*twice"),
]
