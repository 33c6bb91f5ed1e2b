"""Collation: samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..autograd.dtype import as_numpy_dtype
from ..errors import DTypeError, ShapeError


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension, as ``torch.utils.data.default_collate``.

    Args:
        batch: samples of one structure: Tensors, NumPy arrays, numbers, strings, or tuples, lists and dicts of them.

    Returns:
        The same structure with Tensors (B, ...) for arrays and numbers (float64 for Python floats, int64 for ints, as
        PyTorch's), lists for strings.

    Raises:
        DTypeError: a sample of another type.
        ShapeError: samples of different shapes or lengths.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return wrap(_stack([sample._array for sample in batch]))
    if isinstance(first, np.ndarray | np.generic):
        as_numpy_dtype(first.dtype, "default_collate")
        return wrap(_stack([np.asarray(sample) for sample in batch]))
    if isinstance(first, bool | int | float):
        return wrap(np.array(batch, np.float64 if isinstance(first, float) else None))
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple | list):
        if any(len(sample) != len(first) for sample in batch):
            raise ShapeError(f"default_collate: samples of different lengths: {sorted({len(s) for s in batch})}")
        columns = [default_collate(column) for column in zip(*batch)]
        if hasattr(first, "_fields"):  # a named tuple stays one
            return type(first)(*columns)
        return columns
    raise DTypeError(
        f"default_collate: samples must hold Tensors, arrays, numbers, strings, dicts or sequences, got "
        f"{type(first).__name__}; pass a collate_fn"
    )


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(f"default_collate: samples of different shapes: {sorted(shapes)}; pass a collate_fn")
    return np.stack(arrays)
