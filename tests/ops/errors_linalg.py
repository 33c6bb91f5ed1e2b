"""Error rows for matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, ShapeError

a = tg.zeros(2, 3)
b = tg.zeros(3, 4)
v = tg.zeros(3)
double = tg.zeros(3, 4, dtype=tg.float64)
stack = tg.zeros(5, 2, 3)

ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("matmul inner", lambda: a @ a, ShapeError, r"matmul: inner sizes differ: .* \(2, 3\) and \(2, 3\)"),
    ("matmul inner vector", lambda: b @ v, ShapeError, r"matmul: inner sizes differ: .* \(3, 4\) and \(3,\)"),
    ("matmul number", lambda: tg.matmul(a, tg.tensor(1.0)), ShapeError, r"matmul: both .* shapes \(2, 3\) and \(\)"),
    ("matmul leading", lambda: stack @ tg.zeros(4, 3, 2), ShapeError, r"of \(5, 2, 3\) and \(4, 3, 2\) cannot be"),
    ("matmul dtypes", lambda: a @ double, DTypeError, "matmul: expected one dtype, got .*float32 and .*float64"),
    ("matmul bools", lambda: (a > 0) @ (b > 0), DTypeError, "matmul: not defined for bools"),
    ("matmul no tensor", lambda: tg.matmul(a, [1.0]), DTypeError, "matmul: Tensors are needed, got Tensor and list"),
    ("mm dimensions", lambda: tg.mm(a, v), ShapeError, r"mm: operand 2 .* 2 dimensions, got shape \(3,\)"),
    ("mm inner", lambda: tg.mm(a, a), ShapeError, "mm: inner sizes differ"),
    ("bmm dimensions", lambda: tg.bmm(a, stack), ShapeError, r"bmm: operand 1 .* 3 dimensions, got shape \(2, 3\)"),
    (
        "bmm batch",
        lambda: tg.bmm(stack, tg.zeros(1, 3, 2)),
        ShapeError,
        r"differ: .* \(5, 2, 3\) and \(1, 3, 2\)",
    ),
    ("mv dimensions", lambda: tg.mv(a, b), ShapeError, r"mv: operand 2 .* 1 dimension, got shape \(3, 4\)"),
    ("mv inner", lambda: tg.mv(b, v), ShapeError, "mv: inner sizes differ"),
    ("dot dimensions", lambda: tg.dot(a, v), ShapeError, r"dot: operand 1 .* 1 dimension, got shape \(2, 3\)"),
    ("dot lengths", lambda: tg.dot(v, tg.zeros(2)), ShapeError, r"dot: inner sizes differ: .* \(3,\) and \(2,\)"),
    ("outer dimensions", lambda: tg.outer(a, v), ShapeError, r"outer: operand 1 .* got shape \(2, 3\)"),
    ("addmm inner", lambda: tg.addmm(v, a, a), ShapeError, "addmm: inner sizes differ"),
    ("addmm input", lambda: tg.addmm(v, a, b), ShapeError, r"addmm: shapes \(3,\) and \(2, 4\) cannot be broadcast"),
    (
        "addmm larger",
        lambda: tg.addmm(tg.zeros(5, 2, 4), a, b),
        ShapeError,
        r"\(5, 2, 4\) does not broadcast to",
    ),
    ("addmm dtypes", lambda: tg.addmm(double, a, b), DTypeError, "addmm: expected one dtype, got .*float64 and"),
    ("addmv dimensions", lambda: tg.addmv(v, v, v), ShapeError, "addmv: operand 1 of the product must have 2"),
    ("baddbmm batch", lambda: tg.baddbmm(v, stack, stack[:1]), ShapeError, "baddbmm: batch sizes differ"),
    ("einsum count", lambda: tg.einsum("ij,jk", a), ShapeError, "'ij,jk' has 2 operands, got 1 tensors"),
    ("einsum dimensions", lambda: tg.einsum("ijk", a), ShapeError, r"operand 0 has shape \(2, 3\), .* names 'ijk'"),
    ("einsum dots", lambda: tg.einsum("ijk...", a), ShapeError, "einsum: operand 0 has shape"),
    ("einsum letter", lambda: tg.einsum("i1", a), ShapeError, "'1' in 'i1' is not a letter"),
    ("einsum sizes", lambda: tg.einsum("ij,ij", a, b), ShapeError, "'i' has the sizes 2 and 3"),
    ("einsum diagonal", lambda: tg.einsum("ii", a), ShapeError, "'i' in 'ii' has the sizes 2 and 3 in operand 0"),
    (
        "einsum result",
        lambda: tg.einsum("ij->ik", a),
        ShapeError,
        "result 'ik' .* must name dimensions of the",
    ),
    ("einsum result twice", lambda: tg.einsum("ij->ii", a), ShapeError, "must name dimensions .* each once"),
    ("einsum dtypes", lambda: tg.einsum("ij,jk", a, double), DTypeError, "einsum: expected one dtype"),
    ("einsum no tensor", lambda: tg.einsum("i", [[1.0]]), DTypeError, "einsum: Tensors are needed, got list"),
]
