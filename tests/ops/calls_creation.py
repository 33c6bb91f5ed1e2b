"""Calls of ``ops/creation.py``."""

from __future__ import annotations

import numpy as np

from .calls import Call

MADE = np.array([[1.5, -2.0], [0.0, 3.0]])
WHOLE = np.array([[1, 2, 3]], np.int32)

CALLS = [
    # from data
    *(
        Call(f"tensor/{name}", lambda lib, data=data: lib.tensor(data))
        for name, data in {
            "int": 3,
            "float": 2.5,
            "bool": True,
            "list": [[1, 2], [3, 4]],
            "mixed": [1, 2.5, False],
            "bools and ints": [True, 2],
            "nested tuples": ((1.0, 2.0), (3.0, 4.0)),
            "empty": [],
            "lists of nothing": [[], []],
            "array": MADE,
            "integer array": WHOLE,
            "array out of order": MADE.T,
            "NumPy scalar": np.float64(2),
            "NumPy scalars": [np.float64(1.5), np.float64(2.5)],
            "uint8": np.arange(3, dtype=np.uint8),
            "nan": [float("nan"), float("inf")],
        }.items()
    ),
    *(
        Call(
            f"tensor/{name} as {dtype}", lambda lib, data=data, dtype=dtype: lib.tensor(data, dtype=getattr(lib, dtype))
        )
        for name, data in {"floats": [1.9, -1.9, 0.0], "ints": [1, 0, 7], "array": MADE}.items()
        for dtype in ("float32", "float64", "int64", "int32", "bool")
    ),
    Call("tensor/of a tensor", lambda lib: (lib.tensor(lib.ones(2, 3)), lib.tensor(lib.ones(2), dtype=lib.int64))),
    Call("tensor/of tensors", lambda lib: lib.tensor([lib.tensor(1), lib.tensor(2.5)])),
    Call("tensor/requires grad", lambda lib: lib.tensor([1.0], requires_grad=True)),
    Call("tensor/device", lambda lib: lib.tensor([1.0], device="cpu")),
    Call("Tensor.new_tensor", lambda lib: lib.ones(1, dtype=lib.float64).new_tensor([1, 2])),
    Call("as_tensor/list", lambda lib: lib.as_tensor([1, 2])),
    Call("as_tensor/dtype", lambda lib: lib.as_tensor([1, 2], dtype=lib.float64)),
    Call("as_tensor/array", lambda lib: _written(lib.as_tensor, MADE)),
    Call("as_tensor/array as another dtype", lambda lib: lib.as_tensor(MADE, dtype=lib.float32)),
    Call("as_tensor/tensor", lambda lib: _same_tensor(lib, lib.float32)),
    Call("as_tensor/tensor as another dtype", lambda lib: _same_tensor(lib, lib.float64)),
    Call("as_tensor/gradient", lambda lib, x: lib.as_tensor(x, dtype=lib.float64) * 2, (MADE,)),
    Call("from_numpy", lambda lib: _written(lib.from_numpy, MADE)),
    Call("from_numpy/strides", lambda lib: _strided(lib)),
    # constants
    *(
        Call(f"{name}/{kind}", call)
        for name in ("zeros", "ones")
        for kind, call in {
            "sizes": lambda lib, name=name: getattr(lib, name)(2, 3),
            "tuple": lambda lib, name=name: getattr(lib, name)((2, 3)),
            "no dimensions": lambda lib, name=name: getattr(lib, name)(()),
            "empty": lambda lib, name=name: getattr(lib, name)(2, 0),
            "options": lambda lib, name=name: getattr(lib, name)(
                2, dtype=lib.float64, device="cpu", requires_grad=True
            ),
            "bool": lambda lib, name=name: getattr(lib, name)(2, dtype=lib.bool),
            "as another": lambda lib, name=name: getattr(lib.zeros(1, dtype=lib.int32), f"new_{name}")(2, 3),
            "as another, dtype": lambda lib, name=name: getattr(lib.zeros(1), f"new_{name}")((2,), dtype=lib.uint8),
            "like": lambda lib, name=name: getattr(lib, f"{name}_like")(lib.rand(2, 3, dtype=lib.float64)),
            "like, dtype": lambda lib, name=name: getattr(lib, f"{name}_like")(lib.rand(2), dtype=lib.int64),
        }.items()
    ),
    *(
        Call(f"{name}/{format}", lambda lib, name=name, format=format: _strides_like(lib, name, format))
        for name in ("zeros_like", "ones_like", "empty_like", "rand_like")
        for format in ("preserve_format", "contiguous_format", "channels_last")
    ),
    Call("zeros_like", lambda lib: lib.zeros_like(lib.ones(2), requires_grad=True)),
    Call("ones_like", lambda lib: lib.ones_like(lib.ones(2, 1).t())),
    Call("empty", lambda lib: lib.empty(2, 3).zero_()),
    Call("empty/channels last", lambda lib: lib.empty(2, 3, 4, 5, memory_format=lib.channels_last).stride()),
    Call("empty_like", lambda lib: lib.empty_like(lib.ones(2), dtype=lib.int32).fill_(4)),
    Call("Tensor.new_empty", lambda lib: lib.ones(1, dtype=lib.float64).new_empty(2).zero_()),
    *(
        Call(f"full/{name}", lambda lib, value=value: lib.full((2,), value))
        for name, value in {"int": 3, "float": 2.5, "bool": True, "nan": float("nan")}.items()
    ),
    Call("full/dtype", lambda lib: lib.full((2, 1), 2.9, dtype=lib.int64)),
    Call("full/tensor", lambda lib: lib.full((2,), lib.tensor(2.5))),
    Call("full_like", lambda lib: lib.full_like(lib.ones(2, dtype=lib.float64), 7)),
    Call("full_like/truncated", lambda lib: lib.full_like(lib.ones(2, dtype=lib.int64), 2.9)),
    Call("Tensor.new_full", lambda lib: lib.ones(1, dtype=lib.float64).new_full((2,), 3)),
    # sequences
    *(
        Call(f"arange/{arguments}", lambda lib, arguments=arguments: lib.arange(*arguments))
        for arguments in [(4,), (1, 4), (1, 8, 3), (5, 0, -2), (0.5, 2.0, 0.5), (3.5,), (2, 2), (0, 1, 0.25)]
    ),
    Call("arange/dtype", lambda lib: lib.arange(3, dtype=lib.float64)),
    Call("arange/keywords", lambda lib: lib.arange(start=1, end=3, step=1)),
    *(
        Call(f"linspace/{arguments}", lambda lib, arguments=arguments: lib.linspace(*arguments), rounding=True)
        for arguments in [(0, 1, 5), (-1.5, 2, 4), (3, 3, 3), (1, 2, 1), (1, 2, 0), (5, -5, 7)]
    ),
    Call("linspace/dtype", lambda lib: lib.linspace(0, 1, 3, dtype=lib.float64)),
    Call("linspace/integers", lambda lib: lib.linspace(0, 10, 5, dtype=lib.int64)),
    Call("eye", lambda lib: lib.eye(3)),
    Call("eye/columns", lambda lib: lib.eye(2, 3, dtype=lib.int64)),
]


def _written(function, array):
    """The tensor after a write to the array, which it must see."""
    array = array.copy()
    made = function(array)
    array[0, 0] = 9
    return made


def _strided(lib):
    tensor = lib.from_numpy(np.arange(12.0).reshape(3, 4).T)
    return tensor, tensor.stride()


def _same_tensor(lib, dtype):
    x = lib.ones(2)
    return lib.as_tensor(x, dtype=dtype) is x


def _strides_like(lib, name, format):
    """The strides that a factory gives to a tensor like one in channels-last memory, for a format."""
    like = lib.ones(2, 3, 4, 5).contiguous(memory_format=lib.channels_last)
    return getattr(lib, name)(like, memory_format=getattr(lib, format)).stride()
