"""Several Tensors into one and one into several: cat, stack, split, chunk, unbind and their kin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from ..errors import DimError, DTypeError, ShapeError
from .cast import cast
from .dims import wrap_dim
from .promotion import promote_types
from .shape import unsqueeze
from .views import Reshape, Slice

_FULL = slice(None)


class Cat(Op):
    """The inputs one after the other along a dimension."""

    dim: int
    ends: tuple[int, ...]

    def forward(self, *arrays: np.ndarray) -> np.ndarray:
        self.ends = tuple(itertools.accumulate(array.shape[self.dim] for array in arrays))
        return np.concatenate(arrays, axis=self.dim)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        before = (_FULL,) * self.dim
        return tuple(
            Slice.apply(grad, key=(*before, slice(start, end), Ellipsis)) if self.needs(i) else None
            for i, (start, end) in enumerate(zip((0, *self.ends), self.ends))
        )


def _checked(name: str, tensors: Any) -> list[Tensor]:
    """The Tensors of a sequence, in the dtype they promote to."""
    given = list(tensors)
    if not given:
        raise ShapeError(f"{name}: tensors is empty")
    for i, tensor in enumerate(given):
        if not isinstance(tensor, Tensor):
            raise DTypeError(f"{name}: tensors[{i}] must be a Tensor, got {type(tensor).__name__}")
    dtype = given[0]._array.dtype
    for tensor in given:
        dtype = promote_types(dtype, tensor._array.dtype)
    return [cast(tensor, dtype) for tensor in given]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The Tensors one after the other along a dimension.

    Args:
        tensors: at least one, of shapes that are equal but for ``dim``; empty ones of shape (0,) are left out.  Dtypes
            are promoted.
        dim: the dimension along which they are joined.

    Returns:
        A Tensor whose size along ``dim`` is the sum of theirs.

    Raises:
        ShapeError: no Tensor, a 0-dimensional one, or shapes that differ elsewhere.
        DimError: dim is out of range.
        DTypeError: something else than Tensors.
    """
    given = _checked("cat", tensors)
    kept = [tensor for tensor in given if tensor._array.shape != (0,)] or given[:1]
    first = kept[0]._array.shape
    for i, tensor in enumerate(given):
        if not tensor._array.ndim:
            raise ShapeError(f"cat: tensors[{i}] has no dimensions; use stack()")
    dim = wrap_dim("cat", dim, len(first))
    for tensor in kept:
        shape = tensor._array.shape
        if len(shape) != len(first) or shape[:dim] + shape[dim + 1 :] != first[:dim] + first[dim + 1 :]:
            raise ShapeError(f"cat: shapes must be equal except in dim {dim}, got {tuple(first)} and {tuple(shape)}")
    return Cat.apply(*kept, dim=dim)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The Tensors, all of one shape, along a new dimension.

    Args:
        tensors: at least one; dtypes are promoted.
        dim: where the new dimension goes in the result.

    Returns:
        A Tensor with the number of Tensors as its size along ``dim``.

    Raises:
        ShapeError: no Tensor, or different shapes.
        DimError: dim is out of range.
        DTypeError: something else than Tensors.
    """
    given = _checked("stack", tensors)
    first = given[0]._array.shape
    for i, tensor in enumerate(given):
        if tensor._array.shape != first:
            raise ShapeError(f"stack: shapes must be equal, got {tuple(first)} and tensors[{i}] of {tensor.size()}")
    dim = wrap_dim("stack", dim, len(first) + 1)
    return Cat.apply(*(unsqueeze(tensor, dim) for tensor in given), dim=dim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dim 1, or dim 0 if they have one dimension; see ``cat``."""
    given = [_at_least(tensor, 1) for tensor in _checked("hstack", tensors)]
    return cat(given, 0 if given[0]._array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dim 0, after one-dimensional ones have become rows; see ``cat``."""
    return cat([_at_least(tensor, 2) for tensor in _checked("vstack", tensors)], 0)


def _at_least(tensor: Tensor, ndim: int) -> Tensor:
    shape = tensor._array.shape
    return tensor if len(shape) >= ndim else Reshape.apply(tensor, shape=(1,) * (ndim - len(shape)) + shape)


# ---------------------------------------------------------------- one into several


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view at one place of a dimension, which disappears.

    Raises:
        DimError: dim or index is out of range.
    """
    size, dim = _size("select", input, dim)
    index = int(index)
    if not -size <= index < size:
        raise DimError(f"select: index {index} is out of range for dim {dim} of size {size}")
    return Slice.apply(input, key=(*(_FULL,) * dim, index, Ellipsis))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The view of ``length`` places of a dimension from ``start`` on.

    Args:
        input: at least one dimension.
        dim: the dimension.
        start: the first place; negative counts from the end.
        length: how many, at least 0.

    Returns:
        A view with size ``length`` along ``dim``.

    Raises:
        DimError: dim is out of range, or the places are.
    """
    size, dim = _size("narrow", input, dim)
    start = int(start)
    first = start + size if start < 0 else start
    if not 0 <= first <= size or length < 0 or first + length > size:
        raise DimError(f"narrow: start={start}, length={length} is out of range for dim {dim} of size {size}")
    return _narrow(input, dim, first, first + length)


def _narrow(input: Tensor, dim: int, start: int, end: int) -> Tensor:
    return Slice.apply(input, key=(*(_FULL,) * dim, slice(start, end), Ellipsis))


def _size(name: str, input: Tensor, dim: int) -> tuple[int, int]:
    """The size of a dimension and its number."""
    if not input._array.ndim:
        raise DimError(f"{name}: the tensor has no dimensions")
    dim = wrap_dim(name, dim, input._array.ndim)
    return input._array.shape[dim], dim


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of a Tensor cut along a dimension.

    Args:
        tensor: at least one dimension.
        split_size_or_sections: the size of every part (the last may be smaller), or a sequence of sizes.
        dim: the dimension that is cut.

    Returns:
        A tuple of views.

    Raises:
        ShapeError: a size below 1 (0 for an empty dimension), or sizes that do not add up.
        DimError: dim is out of range.
    """
    size, dim = _size("split", tensor, dim)
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size):
            raise ShapeError(f"split: split_size must be positive, got {step}")
        starts = range(0, size, step) if size else range(1)
        return tuple(_narrow(tensor, dim, start, min(start + step, size)) for start in starts)
    sections = [int(section) for section in split_size_or_sections]
    if sum(sections) != size or any(section < 0 for section in sections):
        raise ShapeError(f"split: sections {sections} must add up to size {size} of dim {dim}")
    ends = list(itertools.accumulate(sections))
    return tuple(_narrow(tensor, dim, start, end) for start, end in zip([0, *ends], ends))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of a Tensor, of equal size but for the last.

    Raises:
        ShapeError: chunks is below 1.
        DimError: dim is out of range.
    """
    if chunks < 1:
        raise ShapeError(f"chunk: chunks must be at least 1, got {chunks}")
    size, dim = _size("chunk", input, dim)
    if size == 0:
        return tuple(_narrow(input, dim, 0, 0) for _ in range(chunks))
    return split(input, -(-size // chunks), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views at all places of a dimension, which disappears.

    Raises:
        DimError: dim is out of range.
    """
    size, dim = _size("unbind", input, dim)
    before = (_FULL,) * dim
    return tuple(Slice.apply(input, key=(*before, place, Ellipsis)) for place in range(size))
