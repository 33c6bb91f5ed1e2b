"""Calls of ``ops/interop.py`` and ``ops/promotion.py``: NumPy and Python on the other side."""

from __future__ import annotations

import operator

import numpy as np

from .calls import Call

VALUES = np.array([[1.0, 4.0], [9.0, 16.0]])
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


def through_dlpack(lib):
    """Written to on both sides: there is one memory."""
    x = lib.zeros(2, 3)
    array = np.from_dlpack(x)
    x[0, 1] = 5
    source = np.arange(6, dtype=np.int64).reshape(2, 3)
    y = lib.from_dlpack(source)
    source[1, 2] = 9
    return array, y, x.__dlpack_device__()[1]


def two_results(lib, x):
    """(a number beside a tensor, what they promote to) for tensors with and without dimensions, and numbers."""
    small = lib.ones(2, dtype=lib.uint8)
    operands = [True, 2, 1.5, x, small, lib.tensor(2.0), lib.tensor(3), lib.ones(1, dtype=lib.bool)]
    return [lib.result_type(a, b) for a in (x.float(), small, lib.tensor(1)) for b in operands]


CALLS = [
    Call("numpy.asarray", lambda lib: np.asarray(lib.tensor(VALUES))),
    Call("numpy.asarray/dtype", lambda lib: (np.asarray(lib.tensor(VALUES), np.float32), np.array(lib.tensor(VALUES)))),
    Call("numpy.asarray/memory", lambda lib: _shares_memory(lib.tensor(VALUES))),
    Call("from_dlpack", through_dlpack),
    *(
        Call(f"from_dlpack/{dtype}", lambda lib, dtype=dtype: np.from_dlpack(lib.zeros(2, dtype=getattr(lib, dtype))))
        for dtype in DTYPES
    ),
    Call("numpy/mul by an array", lambda lib, x: x.detach() * np.full((2, 2), 3.0), (VALUES,)),
    Call("numpy/add a scalar", lambda lib, x: [x + np.float32(2), x + np.int64(3), x * np.bool_(True)], (VALUES,)),
    # Python
    Call("len", lambda lib, x: (len(x), len(x[0])), (VALUES,)),
    Call("iter", lambda lib, x: (list(x), [row.tolist() for row in x]), (VALUES,)),
    Call("bool", lambda lib: [bool(lib.tensor(v)) for v in (0, 1, 0.0, [2.5], True)]),
    Call("int and float", lambda lib: (int(lib.tensor(3.9)), float(lib.tensor(2)), int(lib.tensor([[-1]])))),
    Call(
        "operator.index",
        lambda lib: (operator.index(lib.tensor(2)), [10, 20, 30][lib.tensor(1)], lib.tensor(True).__index__()),
    ),
    Call("in", lambda lib, x: (4.0 in x, 5 in x, lib.tensor(9.0) in x, np.float64(1) in x), (VALUES,)),
    Call("format", lambda lib: (f"{lib.tensor(3.14159):.2f}", f"{lib.tensor(7):04d}", f"{lib.tensor([1.0])}")),
    Call("repr", lambda lib, x: (repr(x.detach()), str(x), repr(x.shape), repr(x.dtype)), (VALUES,)),
    # questions
    Call("is_tensor", lambda lib, x: (lib.is_tensor(x), lib.is_tensor([1]), lib.is_tensor(VALUES)), (VALUES,)),
    Call("is_floating_point", lambda lib, x: (lib.is_floating_point(x), lib.is_floating_point(x.long())), (VALUES,)),
    Call("numel", lambda lib, x: (lib.numel(x), lib.numel(x[:0]), lib.numel(lib.tensor(1))), (VALUES,)),
    Call("result_type", two_results, (VALUES,)),
    Call("allclose", lambda lib, x: (lib.allclose(x, x + 1e-9), lib.allclose(x, x + 1)), (VALUES,)),
    Call("equal", lambda lib, x: (lib.equal(x, x.clone()), lib.equal(x, x + 1), lib.equal(x, x[0])), (VALUES,)),
    *(
        Call(
            f"{name}/{first}",
            lambda lib, name=name, first=first: [
                getattr(lib, name)(getattr(lib, first), getattr(lib, second)) for second in DTYPES
            ],
        )
        for name in ("promote_types", "can_cast")
        for first in DTYPES
    ),
]


def _shares_memory(x):
    array = np.asarray(x)
    array[0, 0] = 7
    return x
