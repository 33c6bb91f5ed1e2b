"""The table of calls: what is no row of the table of operations, as the same line of code for both libraries.

That is what makes Tensors, copies and converts them, draws random numbers and talks to NumPy, and the edges of
operations (empty, 0-dimensional, integers) that a random case seldom meets.  A row is run with this package and with
PyTorch, and everything that it gives must be the same: values, dtypes, shapes, ``requires_grad``, gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_cnn as tg


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        name: the public name, with "/" and a variant where there are several rows.
        call: called with the library (``tinygrad_cnn`` or ``torch``, seeded) and a tensor per array; gives tensors,
            arrays, numbers, strings, dtypes, or tuples and lists of them.
        arrays: what the tensors are made of; the floating-point ones require grad.
        rounding: the numbers may differ by rounding.
    """

    name: str
    call: Callable[..., Any]
    arrays: tuple[np.ndarray, ...] = ()
    rounding: bool = False


def outcome(library: Any, row: Call) -> tuple[Any, list[np.ndarray | None]]:
    """What the call gives, and the gradient by each floating-point tensor for an upstream gradient of cosines."""
    library.manual_seed(5)
    tensors = [library.tensor(a.copy(), requires_grad=a.dtype.kind == "f") for a in row.arrays]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # both warn, for instance of a broadcast loss
        result = row.call(library, *tensors)
    outs = [out for out in flat(result) if getattr(out, "requires_grad", False) and out.grad_fn is not None]
    if outs:
        library.autograd.backward(outs, [library.tensor(upstream(out)).to(out.dtype) for out in outs])
    return result, [None if t.grad is None else t.grad.numpy() for t in tensors]


def upstream(out: Any) -> np.ndarray:
    shape = tuple(out.shape)
    return np.cos(np.arange(int(np.prod(shape)))).reshape(shape)


def flat(result: Any) -> list[Any]:
    """The result's parts, with tuples and lists opened."""
    if isinstance(result, tuple | list):
        return [part for item in result for part in flat(item)]
    return [result]


def plain(value: Any) -> Any:
    """The value without its library: what can be compared with the other library's."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, False, value
    if isinstance(value, str):
        return value.replace("torch.", "tinygrad_cnn.")
    if hasattr(value, "detach"):
        array = value.detach().numpy()
        return str(value.dtype).split(".")[1], array.shape, value.requires_grad, array
    if value.__class__.__name__ in ("dtype", "memory_format"):
        return str(value).split(".")[-1]
    return value


def assert_same(ours: Any, theirs: Any, rounding: bool) -> None:
    """Raise unless two plain values are the same."""
    assert type(ours) is type(theirs), f"{ours!r} and PyTorch's {theirs!r}"
    if isinstance(ours, np.ndarray):
        if rounding:
            tolerance = 1e-5 if ours.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(ours, theirs)
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), f"{ours!r} and PyTorch's {theirs!r}"
        for a, b in zip(ours, theirs):
            assert_same(a, b, rounding)
    elif isinstance(ours, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6 if rounding else 0)
    else:
        assert ours == theirs, f"{ours!r}, PyTorch gives {theirs!r}"


def check(row: Call) -> None:
    """Raise unless both libraries give the same."""
    import torch

    with np.errstate(all="ignore"):
        (ours, our_gradients), (theirs, their_gradients) = outcome(tg, row), outcome(torch, row)
    assert_same(plain(ours), plain(theirs), row.rounding)
    for mine, right in zip(our_gradients, their_gradients):
        assert (mine is None) == (right is None), "one library has a gradient, the other none"
        if mine is not None and right is not None:
            np.testing.assert_allclose(mine, right, rtol=1e-9, atol=1e-12)
