"""Memory for kernels: the same bytes as a flat or a channels-last array without a copy, and sums in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tracing import python_writes, tracing

Array = np.ndarray[Any, np.dtype[Any]]

LARGE = 1 << 14
"""From this many elements on, elementwise loops are kernels; below, NumPy is as quick."""

ABSENT = {np.dtype(d): np.empty(0, d) for d in (np.float32, np.float64)}
"""What a kernel gets for an optional array that is not there, by dtype: None would be another specialisation."""


def is_for_kernel(size: int) -> bool:
    """Whether a kernel computes so many elements: many, or any number where the programs that run are recorded."""
    return size >= LARGE or (size > 0 and tracing.get() is not None)


def flat_views(*arrays: Array) -> list[Array] | None:
    """All arrays as 1-d views in which equal places hold equal elements, or None if there are no such views.

    Args:
        *arrays: Of one shape. They must fill their memory without gaps, in one common order of the dimensions (the
            order of the first one: C, channels-last, transposed ...), and be writable and aligned.
    """
    if all([a.flags.carray for a in arrays]):
        return [a.reshape(-1) for a in arrays]
    order = memory_order(arrays[0])
    turned = [a.transpose(order) for a in arrays]
    if all([a.flags.carray for a in turned]):
        return [a.reshape(-1) for a in turned]
    return None


def memory_order(array: Array) -> list[int]:
    """The dimensions from the one with the largest steps in memory to the one with the smallest."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def inverse(order: Sequence[int]) -> list[int]:
    """The order of dimensions that undoes a transposition."""
    return sorted(range(len(order)), key=order.__getitem__)


def add_to(total: Array, array: Array) -> None:
    """``total += array`` for arrays of one shape, on all threads where that is quicker."""
    size = total.size
    if size == 1 and tracing.get() is None:
        # NumPy takes 1.8 µs for one element in place (for two, 0.7), this 0.5; a float64 sum of two float32 numbers
        # rounds to the same float32.
        total.fill(total.item() + array.item())
        return
    if is_for_kernel(size) and total.dtype == array.dtype and total.dtype in ABSENT:
        views = flat_views(total, array)
        if views is not None:
            from . import elementwise

            elementwise.prepare("add", size, total.dtype)(*views, views[0])
            return
    python_writes("a sum of gradients that lie in memory in different orders")
    np.add(total, array, total)


def in_layout_of(model: Array, array: Array) -> Array:
    """``array``, or where its memory is ordered otherwise than ``model``'s (of the same shape), a copy ordered so."""
    if flat_views(model, array) is not None:
        return array
    out = np.empty_like(model, dtype=array.dtype)
    np.copyto(out, array)
    return out


def is_channels_last(array: Array) -> bool:
    """Whether an (N, C, H, W) array lies in memory as writable, aligned, gapless (N, H, W, C)."""
    return array.transpose(0, 2, 3, 1).flags.carray


def memory_of(x: Array) -> Array | None:
    """The C-contiguous array that a kernel reads ``x`` as: itself or, of channels-last images, (N, H, W, C); else None.

    It is aligned and writable.
    """
    if x.flags.carray:
        return x
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 and is_channels_last(x) else None
