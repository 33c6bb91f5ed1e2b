"""Collation: samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, get_default_dtype, wrap
from ..autograd.dtype import check_supported
from ..errors import DTypeError, ShapeError


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension, as ``torch.utils.data.default_collate``.

    Args:
        batch: samples of one structure: Tensors, NumPy arrays, numbers, strings, or tuples, lists and dicts of them.

    Returns:
        The same structure with Tensors (B, ...) for arrays and numbers (float64 for Python floats, int64 for ints, as
        PyTorch's), lists for tuples and strings.  The Tensors are new and have no history.

    Raises:
        DTypeError: a sample of another type, or of another type than the first.
        ShapeError: no samples, or samples of different shapes, lengths or keys.
    """
    if len(batch) == 0:
        raise ShapeError("default_collate: the batch is empty")
    first = batch[0]
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Tensor | np.ndarray | np.generic):
        return wrap(_stack(batch))
    if isinstance(first, bool | int | float):
        return wrap(_numbers(batch))
    if isinstance(first, Mapping):
        _check_type(batch, Mapping)
        for sample in batch:
            if not first.keys() <= sample.keys():
                raise ShapeError(f"default_collate: samples of different keys: {list(first)} and {list(sample)}")
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple | list):
        _check_type(batch, (tuple, list))
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


def _check_type(batch: Sequence[Any], kinds: Any) -> None:
    for number, sample in enumerate(batch):
        if not isinstance(sample, kinds):
            raise DTypeError(
                f"default_collate: samples of different types: 0 is a {type(batch[0]).__name__}, {number} a "
                f"{type(sample).__name__}; pass a collate_fn"
            )


def _numbers(batch: Sequence[Any]) -> np.ndarray:
    _check_type(batch, (bool, int, float))
    array = np.array(batch)
    check_supported(array.dtype, "default_collate")  # ints beyond 64 bits
    if array.dtype.kind == "f" and not isinstance(batch[0], float):  # PyTorch looks at the first sample
        return array.astype(get_default_dtype().numpy_dtype)
    return array


def _stack(batch: Sequence[Any]) -> np.ndarray:
    arrays = [sample._array if isinstance(sample, Tensor) else np.asarray(sample) for sample in batch]
    for dtype in {array.dtype for array in arrays}:
        check_supported(dtype, "default_collate")
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(f"default_collate: samples of different shapes: {sorted(shapes)}; pass a collate_fn")
    return np.stack(arrays)
