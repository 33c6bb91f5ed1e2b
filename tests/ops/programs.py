"""Random programs of views, in-place writes and ordinary operations that run on our Tensors and on PyTorch's alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

SHAPES = [(4,), (2, 3), (3, 3), (2, 3, 4), (2, 2, 2, 3)]

VIEWS = ("select", "narrow", "transpose", "flatten", "unsqueeze", "squeeze", "slice", "diagonal", "split", "same", "T")
WRITES = (
    "add_", "sub_", "mul_", "div_", "copy_", "zero_", "fill_", "mul_number", "neg_", "exp_", "sin_", "set", "set_list",
    "masked_fill_", "iadd", "square_",
)  # fmt: skip
OTHERS = ("mul", "sin", "add", "clone", "detach", "product")


@dataclass(frozen=True)
class Step:
    """One step: what, on which of the tensors that exist by then, with which numbers (taken modulo what fits)."""

    what: str
    target: int
    other: int
    a: int
    b: int


def programs(views: int = 1) -> st.SearchStrategy[list[Step]]:
    small = st.integers(0, 11)
    kinds = st.sampled_from(VIEWS * views + WRITES + OTHERS)
    return st.lists(st.builds(Step, kinds, small, small, small, small), min_size=1, max_size=9)


def run(library: Any, x: Any, steps: list[Step], apart: bool = False) -> list[Any]:
    """Run a program on a leaf; gives every tensor that it made, the leaf left out.

    ``apart`` copies the operands of writes: PyTorch reads what it has just written where they share memory.
    """
    tensors = [x * 1.5]
    for step in steps:
        target = tensors[step.target % len(tensors)]
        made = _view(target, step) if step.what in VIEWS else None
        if step.what in WRITES:
            other = tensors[step.other % len(tensors)]
            _write(library, target, other.clone() if apart else other, step)
        elif step.what in OTHERS:
            made = _other(target, tensors[step.other % len(tensors)], step)
        if made is not None:
            tensors.append(made)
    return tensors


def _view(t: Any, step: Step) -> Any:
    a, b, what = step.a, step.b, step.what
    if what == "same":
        return t[...]
    if what == "flatten":
        return t.flatten() if t.is_contiguous() else t[...]
    if what == "unsqueeze":
        return t.unsqueeze(a % (t.ndim + 1))
    if what == "squeeze":
        return t.squeeze()
    if t.ndim == 0:
        return None
    if what == "T":
        return t.permute(tuple(range(t.ndim - 1, -1, -1)))
    dim = a % t.ndim
    side = t.shape[dim]
    if what == "select":
        return t.select(dim, b % side)
    if what == "narrow":
        return t.narrow(dim, b % side, side - b % side)
    if what == "slice":
        return t[(slice(None),) * dim + (slice(b % side, None, 2),)]
    if what == "split":
        return t.split(2, dim)[-1]
    if what == "transpose":
        return t.transpose(dim, b % t.ndim)
    if what == "diagonal" and t.ndim > 1:
        return t.diagonal(0, 0, 1)
    return None


def _fitting(t: Any, other: Any) -> Any:
    """Something that broadcasts to t: other if it does, else a number made of it."""
    shape = tuple(other.shape)
    full = (1,) * (t.ndim - len(shape)) + shape
    fits = len(shape) <= t.ndim and all(own in (1, side) for own, side in zip(full, t.shape))
    return other if fits else other.reshape(-1)[0]


def _write(library: Any, t: Any, other: Any, step: Step) -> None:
    what, number = step.what, 0.5 + step.b / 8
    if what in ("add_", "sub_", "mul_", "copy_"):
        getattr(t, what)(_fitting(t, other))
    elif what == "div_":
        fitting = _fitting(t, other)
        t.div_(fitting * fitting + 1.0)
    elif what == "iadd":
        t += _fitting(t, other)
    elif what == "mul_number":
        t.mul_(number)
    elif what == "fill_":
        t.fill_(number)
    elif what == "exp_":
        t.sin_()
        t.exp_()
    elif what in ("zero_", "neg_", "sin_"):
        getattr(t, what)()
    elif what == "square_":
        t.sin_()
        t.square_()
    elif what == "masked_fill_":
        mask = (np.arange(int(np.prod(t.shape))) % (2 + step.a) == 0).reshape(tuple(t.shape))
        t.masked_fill_(library.tensor(mask), number)
    elif t.ndim:
        dim = step.a % t.ndim
        side = t.shape[dim]
        key: Any = step.b % side if what == "set" else [step.b % side]
        key = (slice(None),) * dim + (key,)
        t[key] = _fitting(t[key], other)


def _other(t: Any, other: Any, step: Step) -> Any:
    if step.what == "mul":
        return t * (0.5 + step.b / 8)
    if step.what in ("add", "product"):
        other = _fitting(t, other)
        return t + other if step.what == "add" else t * other
    return getattr(t, step.what)()
