"""Calls of ``ops/copies.py`` and ``ops/cast.py``: copies, conversions, and what a tensor says about its memory."""

from __future__ import annotations

import copy

import numpy as np

from .calls import Call

VALUES = np.array([[1.5, -2.0, 0.0], [300.5, 3.0, -0.5]])
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
SMALL = np.array([0, 1, 2, 200])


def last(lib, x):
    return x.contiguous(memory_format=lib.channels_last)


def with_strides(x):
    return x, x.stride(), x.is_contiguous()


def copied(lib):
    """A leaf, its gradient and another one, before and after a deep copy of both is written to."""
    x = lib.ones(2, requires_grad=True)
    (x * 2).backward(lib.ones(2))
    y, again = copy.deepcopy([x, x])
    with lib.no_grad():
        y.add_(5)
        y.grad.zero_()
    return x, x.grad, y, y.grad, y is again, y.data_ptr() == x.data_ptr()


def shallow(lib):
    x = lib.zeros(2, requires_grad=True)
    y = copy.copy(x)
    return y, y.is_leaf, y.data_ptr() == x.data_ptr()


CALLS = [
    *(
        Call(
            f"Tensor.to/{source} to {dtype}",
            lambda lib, x, source=source, dtype=dtype: x.to(getattr(lib, source)).to(getattr(lib, dtype)),
            (SMALL,),
        )
        for source in DTYPES
        for dtype in DTYPES
    ),
    *(
        Call(f"Tensor.{name}", lambda lib, x, name=name: getattr(x, name)(), (np.array([1, 0, 2]),))
        for name in ("float", "double", "long", "int", "byte", "bool", "cpu")
    ),
    Call("Tensor.to/the same", lambda lib, x: (x.to(lib.float64) is x, x.to("cpu") is x, x.to(x) is x), (VALUES,)),
    Call("Tensor.to/gradient", lambda lib, x: x.to(lib.float32) * 3, (VALUES,)),
    Call("Tensor.to/device and dtype", lambda lib, x: x.to("cpu", lib.float32), (VALUES,)),
    Call("Tensor.to/other", lambda lib, x: x.to(lib.zeros(1, dtype=lib.int64)), (VALUES,)),
    Call("Tensor.to/keywords", lambda lib, x: x.to(dtype=lib.float32, device="cpu", non_blocking=True), (VALUES,)),
    Call("Tensor.to/copy", lambda lib, x: _is(x, x.to(lib.float64, copy=True)), (VALUES,)),
    Call("Tensor.to/copy by position", lambda lib, x: _is(x, x.to(lib.float64, False, True)), (VALUES,)),
    Call("Tensor.to/copy and dtype", lambda lib, x: x.to(lib.float32, copy=True), (VALUES,)),
    Call("Tensor.to/memory format", lambda lib, x: with_strides(x.to(memory_format=lib.channels_last)), (IMAGE,)),
    Call(
        "Tensor.to/memory format and dtype",
        lambda lib, x: with_strides(x.to(lib.float32, memory_format=lib.channels_last)),
        (IMAGE,),
    ),
    Call("Tensor.float/memory format", lambda lib, x: with_strides(x.float(memory_format=lib.channels_last)), (IMAGE,)),
    Call("Tensor.type_as", lambda lib, x: x.type_as(lib.zeros(1, dtype=lib.int64)), (VALUES,)),
    *(Call(f"Tensor.type/{d}", lambda lib, d=d: lib.zeros(1, dtype=getattr(lib, d)).type()) for d in DTYPES),
    Call("Tensor.type/dtype", lambda lib, x: x.type(lib.int64), (VALUES,)),
    Call("Tensor.type/name", lambda lib, x: x.type(lib.zeros(1).type()), (VALUES,)),
    # copies
    Call("clone", lambda lib, x: _is(x, lib.clone(x)), (VALUES,)),
    *(
        Call(
            f"clone/{format}",
            lambda lib, x, format=format: [
                with_strides(t.clone(memory_format=getattr(lib, format))) for t in (x, last(lib, x))
            ],
            (IMAGE,),
        )
        for format in ("preserve_format", "contiguous_format", "channels_last")
    ),
    Call("Tensor.contiguous", lambda lib, x: (x.contiguous() is x, with_strides(x.t().contiguous())), (VALUES,)),
    Call("Tensor.contiguous/channels last", lambda lib, x: with_strides(last(lib, x)), (IMAGE,)),
    Call("Tensor.contiguous/already", lambda lib, x: _is(last(lib, x), last(lib, last(lib, x))), (IMAGE,)),
    Call(
        "Tensor.is_contiguous",
        lambda lib, x: [
            t.is_contiguous(memory_format=f)
            for t in (x, last(lib, x), x.transpose(0, 1), x[0])
            for f in (lib.contiguous_format, lib.channels_last)
        ],
        (IMAGE,),
    ),
    Call("memory_format", lambda lib: (repr(lib.channels_last), copy.deepcopy(lib.channels_last) is lib.channels_last)),
    Call("copy.deepcopy", copied),
    Call("copy.copy", shallow),
    Call("Tensor.detach", lambda lib, x: (x.detach(), (x * 2).detach().is_leaf), (VALUES,)),
    # out of the graph
    Call("Tensor.item", lambda lib: [lib.tensor(v).item() for v in (2.5, 3, True)]),
    Call("Tensor.item/one element", lambda lib: lib.tensor([[4.0]]).item()),
    Call("Tensor.tolist", lambda lib, x: (x.tolist(), x[0, 0].tolist(), x[:0].tolist()), (VALUES,)),
    Call("Tensor.numpy", lambda lib, x: (x.detach().numpy(), x.numpy(force=True)), (VALUES,)),
    # what the memory is like
    Call("Tensor.size", lambda lib, x: (x.size(), x.size(0), x.size(-1), lib.tensor(1.0).size()), (VALUES,)),
    Call("Tensor.shape", lambda lib, x: (x.shape, x.shape.numel(), x.t().shape), (VALUES,)),
    Call("Tensor.stride", lambda lib, x: (x.stride(), x.stride(0), x.t().stride(), x.t().stride(-2)), (VALUES,)),
    Call(
        "Tensor properties",
        lambda lib, x: (
            [x.dim(), x.ndim, x.ndimension(), x.numel(), x.nelement(), x.element_size(), x.itemsize, x.nbytes],
            [x.is_floating_point(), x.is_complex(), x.is_leaf, (x * 2).is_leaf, x.requires_grad, x.dtype],
        ),
        (VALUES,),
    ),
    Call("Tensor.data_ptr", lambda lib, x: x[1].data_ptr() - x.data_ptr(), (VALUES,)),
]


def _is(x, y):
    """What came out, and whether it is what went in, or lies on its memory."""
    return y, x is y, x.data_ptr() == y.data_ptr()
