"""What ``ops/interop.py`` and ``ops/copies.py`` refuse."""

from __future__ import annotations

import operator
import pickle

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError

x = tg.zeros(2, 3)
scalar = tg.tensor(1.0)
recorded = tg.ones(2, requires_grad=True)

ERRORS = [
    ("asarray/requires grad", lambda: np.asarray(recorded), GraphError, r"requires grad; use tensor.detach\(\).numpy"),
    (
        "asarray/without a copy",
        lambda: x.__array__(np.float64, copy=False),
        ValueError,
        "float32 cannot become float64 without a copy",
    ),
    ("dlpack/requires grad", lambda: np.from_dlpack(recorded), GraphError, r"__dlpack__: .* use tensor.detach\(\)"),
    ("from_dlpack/list", lambda: tg.from_dlpack([1]), DTypeError, "an object with __dlpack__, got list"),
    ("from_dlpack/complex", lambda: tg.from_dlpack(np.zeros(2, complex)), DTypeError, "complex128 is not one of"),
    ("len", lambda: len(scalar), TypeError, "len: a tensor without dimensions has no length"),
    ("iter", lambda: iter(scalar), TypeError, "without dimensions cannot be iterated over"),
    ("bool", lambda: bool(x), ShapeError, r"the truth of a tensor of shape \(2, 3\) is ambiguous"),
    ("bool/nothing", lambda: bool(x[:0]), ShapeError, r"shape \(0, 3\) is ambiguous"),
    ("index/float", lambda: operator.index(scalar), DTypeError, "integer tensor of one element .*, got .*float32"),
    ("index/several", lambda: operator.index(tg.arange(2)), DTypeError, r"got .*int64 of shape \(2,\)"),
    ("in", lambda: "a" in x, DTypeError, "element must be a number or a Tensor, got str"),
    ("item", lambda: x.item(), ShapeError, r"one element is needed, got shape \(2, 3\)"),
    ("int", lambda: int(x), ShapeError, r"one element is needed, got shape \(2, 3\)"),
    ("format", lambda: f"{x:.2f}", TypeError, "unsupported format string"),
    ("to/dtype", lambda: x.to("float16"), RuntimeError, "device must be 'cpu', got 'float16'"),
    ("to/positions", lambda: x.to("cpu", tg.float32, False, True, None), TypeError, "too many"),
    ("type", lambda: x.type("HalfTensor"), DTypeError, "HalfTensor"),
    ("size/dim", lambda: x.size(2), DimError, r"size: dim must be in \[-2, 1\] for 2 dimensions, got 2"),
    ("pickle", lambda: pickle.dumps(x), TypeError, "cannot be pickled .* safetensors"),
    (
        "set_float32_matmul_precision",
        lambda: tg.set_float32_matmul_precision("low"),
        ValueError,
        "'highest', 'high' or 'medium', got 'low'",
    ),
]
