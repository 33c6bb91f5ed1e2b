"""What ``ops/arithmetic.py``, ``power.py`` and ``promotion.py`` refuse."""

from __future__ import annotations

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, ShapeError

x = tg.tensor([1.0, -2.0])
three = tg.zeros(3)
whole = tg.tensor([1, -2])
zero = tg.tensor([1, 0])
truth = tg.tensor([True, False])
small = tg.tensor([1, 200], dtype=tg.uint8)

ERRORS = [
    ("add/shapes", lambda: x + three, ShapeError, r"add: shapes \(2,\) and \(3,\) cannot be broadcast"),
    ("add/shapes and dtypes", lambda: three + whole, ShapeError, r"add: shapes \(3,\) and \(2,\) cannot be broadcast"),
    ("add/str", lambda: x + "1", DTypeError, "add: other must be a Tensor or a number, got str"),
    ("add/None first", lambda: tg.add(None, x), DTypeError, "add: input must be a Tensor or a number, got NoneType"),
    ("add/huge integer", lambda: whole + 2**63, DTypeError, "add: an integer of 64 bits is too large"),
    ("mul/huge integer", lambda: x * 10**400, DTypeError, "mul: an integer of 1329 bits is too large"),
    ("sub/shapes", lambda: x - three, ShapeError, "sub: shapes"),
    ("sub/bools", lambda: truth - truth, DTypeError, "sub: not defined for bools; use logical_xor"),
    ("sub/a bool", lambda: x - truth, DTypeError, "sub: not defined for bools"),
    ("sub/a Python bool", lambda: x - True, DTypeError, "sub: not defined for bools"),
    ("sub/from a bool", lambda: True - x, DTypeError, "sub: not defined for bools"),
    ("rsub/bools", lambda: tg.rsub(truth, x), DTypeError, "sub: not defined for bools"),
    ("neg/bools", lambda: -truth, DTypeError, "neg: not defined for bools"),
    ("div/shapes", lambda: x / three, ShapeError, "div: shapes"),
    ("div/rounding_mode", lambda: tg.div(x, 2, rounding_mode="up"), ValueError, "'trunc' or 'floor', got 'up'"),
    ("div/bools", lambda: truth // truth, DTypeError, "div: not defined for two bools"),
    ("div/by zero", lambda: whole // zero, ZeroDivisionError, "div: integer division by zero"),
    (
        "div/trunc by zero",
        lambda: tg.div(whole, 0, rounding_mode="trunc"),
        ZeroDivisionError,
        "div: integer division by zero",
    ),
    ("remainder/by zero", lambda: whole % zero, ZeroDivisionError, "remainder: integer division by zero"),
    ("remainder/bools", lambda: truth % truth, DTypeError, "remainder: not defined for two bools"),
    ("remainder/shapes", lambda: x % three, ShapeError, "remainder: shapes"),
    ("fmod/by zero", lambda: tg.fmod(whole, 0), ZeroDivisionError, "fmod: integer division by zero"),
    ("fmod/bools", lambda: tg.fmod(truth, True), DTypeError, "fmod: not defined for two bools"),
    ("pow/shapes", lambda: x**three, ShapeError, "pow: shapes"),
    ("pow/bools", lambda: truth**truth, DTypeError, "pow: not defined for two bools"),
    ("pow/negative exponent", lambda: whole**-1, ValueError, "pow: integers to negative integer powers"),
    ("pow/uint8 to a negative", lambda: small**-1, ValueError, "pow: integers to negative integer powers"),
    ("pow/exponent too large", lambda: small**256, DTypeError, "pow: exponent=256 does not fit into uint8"),
]
