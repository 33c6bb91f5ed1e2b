"""Dimensions and sizes as users give them: negative, as separate arguments or as one sequence."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..errors import DimError, DTypeError, ShapeError


def wrap_dim(name: str, dim: Any, ndim: int, argument: str = "dim") -> int:
    """``dim`` counted from the front; a 0-dimensional tensor takes 0 and -1, as in PyTorch.

    Raises:
        DimError: dim is outside [-ndim, ndim).
        DTypeError: dim is not an integer.
    """
    if type(dim) is not int:
        try:
            dim = operator.index(dim)
        except TypeError:
            raise DTypeError(f"{name}: {argument} must be an int, got {type(dim).__name__}") from None
    span = ndim or 1
    if -span <= dim < span:
        return dim if dim >= 0 else dim + span
    raise DimError(f"{name}: {argument} must be in [{-span}, {span - 1}] for {ndim} dimensions, got {dim}")


def wrap_dims(name: str, dims: Sequence[Any], ndim: int, argument: str = "dim") -> tuple[int, ...]:
    """Every one of ``dims`` counted from the front.

    Raises:
        DimError: one is out of range.
        ShapeError: one appears twice.
    """
    wrapped = tuple(wrap_dim(name, dim, ndim, argument) for dim in dims)
    if len(set(wrapped)) != len(wrapped):
        raise ShapeError(f"{name}: a dimension appears twice in {argument}={tuple(dims)}")
    return wrapped


def sizes(name: str, arguments: tuple[Any, ...], argument: str = "shape") -> tuple[int, ...]:
    """The ints of ``f(2, 3)`` or of ``f((2, 3))``.

    Raises:
        DTypeError: one of them is not an integer.
    """
    if len(arguments) == 1 and isinstance(arguments[0], Sequence):
        arguments = tuple(arguments[0])
    try:
        return tuple(size if type(size) is int else operator.index(size) for size in arguments)
    except TypeError:
        raise DTypeError(f"{name}: {argument} must be ints, got {arguments}") from None
