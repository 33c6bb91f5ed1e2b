"""Which element is the largest: max and min with places, argmax, sort, topk, median."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import ShapeError
from . import selection
from .dims import wrap_dim
from .gathering import Gather, masked_select
from .reduction import SharedExtremum, any_empty


class Extrema(NamedTuple):
    """What ``max(dim)``, ``sort``, ``topk`` and ``median`` return."""

    values: Tensor
    indices: Tensor


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along a dimension, with its place.

    Args:
        input: any shape.
        dim: None for all elements (equal ones then share the gradient); an int; or a Tensor, for ``maximum``.
        keepdim: keep the dimension with size 1.

    Returns:
        A Tensor without dimensions, or ``(values, indices)``: one of the largest elements and its int64 index, which
        alone gets the gradient.  NaN counts as largest.

    Raises:
        DimError: ``dim`` is out of range.
        ShapeError: there are no elements to choose from.
    """
    return _extremum("max", input, dim, keepdim, largest=True)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; along a dimension, with its place.  See ``max``."""
    return _extremum("min", input, dim, keepdim, largest=False)


def _extremum(name: str, input: Tensor, dim: Any, keepdim: bool, largest: bool) -> Any:
    if isinstance(dim, Tensor):
        return selection.maximum(input, dim) if largest else selection.minimum(input, dim)
    if dim is None:
        dims = tuple(range(input.ndim))
        if any_empty(input, dims):
            raise ShapeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}")
        return SharedExtremum.apply(input, dims=dims, keepdim=False, largest=largest)
    places = _places(name, input, dim, largest)
    return _gathered(input, wrap_dim(name, dim, input.ndim), places, keepdim)


def _places(name: str, input: Tensor, dim: int, largest: bool) -> np.ndarray:
    """Where the extremum is along a dimension, which is kept with size 1."""
    axis = wrap_dim(name, dim, input.ndim)
    if input.ndim == 0:
        return np.zeros((), np.int64)
    if input._array.shape[axis] == 0:
        raise ShapeError(f"{name}: no elements to choose from in shape {tuple(input.shape)} along dim {axis}")
    return (np.argmax if largest else np.argmin)(input._array, axis=axis, keepdims=True)


def _gathered(input: Tensor, axis: int, places: np.ndarray, keepdim: bool) -> Extrema:
    indices = wrap(np.asarray(places, order="C"))
    if input.ndim == 0:
        return Extrema(input.clone(), indices)
    values = Gather.apply(input, indices, dim=axis)
    return Extrema(values, indices) if keepdim else Extrema(values.squeeze(axis), indices.squeeze(axis))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 index of the largest element, of all (counted through) or along a dimension; NaN counts as largest.

    Args:
        input: any shape.
        dim: an int; None takes all elements.
        keepdim: keep the dimension with size 1.

    Raises:
        DimError: ``dim`` is out of range.
        ShapeError: there are no elements to choose from.
    """
    return _argument("argmax", input, dim, keepdim, largest=True)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 index of the smallest element; see ``argmax``."""
    return _argument("argmin", input, dim, keepdim, largest=False)


def _argument(name: str, input: Tensor, dim: int | None, keepdim: bool, largest: bool) -> Tensor:
    if dim is None:
        if input._array.size == 0:
            raise ShapeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}")
        place = (np.argmax if largest else np.argmin)(input._array)
        return wrap(np.full((1,) * input.ndim if keepdim else (), place, np.int64))
    places = _places(name, input, dim, largest)
    return wrap(places if keepdim or not input.ndim else places.squeeze(wrap_dim(name, dim, input.ndim)))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Extrema:
    """The elements in order along a dimension, and where they were; NaN counts as largest.

    Args:
        input: any shape.
        dim: an int.
        descending: largest first.
        stable: accepted; equal elements always keep their order.

    Returns:
        ``(values, indices)`` of the input's shape.

    Raises:
        DimError: ``dim`` is out of range.
    """
    axis = wrap_dim("sort", dim, input.ndim)
    return _gathered(input, axis, _order(input, axis, descending), keepdim=True)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that ``sort`` returns."""
    return wrap(_order(input, wrap_dim("argsort", dim, input.ndim), descending))


def _order(input: Tensor, axis: int, descending: bool) -> np.ndarray:
    if input.ndim == 0:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(input._array, axis=axis, kind="stable")
    # From the back, twice reversed, so that equal elements still keep their order.
    backwards = np.argsort(np.flip(input._array, axis), axis=axis, kind="stable")
    return np.flip(input._array.shape[axis] - 1 - backwards, axis)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extrema:
    """The k largest (or smallest) elements along a dimension in order, and where they were.

    Args:
        input: any shape.
        k: how many.
        dim: an int.
        largest: the largest ones; False for the smallest.
        sorted: accepted; the result is always in order.

    Returns:
        ``(values, indices)`` with size k in ``dim``.

    Raises:
        DimError: ``dim`` is out of range.
        ShapeError: k is negative or larger than the dimension.
    """
    axis = wrap_dim("topk", dim, input.ndim)
    size = input._array.shape[axis] if input.ndim else 1
    if not 0 <= k <= size:
        raise ShapeError(f"topk: k must be in [0, {size}] for shape {tuple(input.shape)} and dim {axis}, got {k}")
    if input.ndim == 0:
        return sort(input)
    order = _order(input, axis, descending=largest)
    return _gathered(input, axis, order[(slice(None),) * axis + (slice(k),)], keepdim=True)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element in order, the lower of two; NaN if there is one, or no element at all.

    Arguments and result as for ``max``: without ``dim`` equal ones share the gradient.

    Raises:
        DimError: ``dim`` is out of range.
        ShapeError: there are no elements along ``dim``, or none at all and they are integers.
    """
    if dim is None:
        if input._array.size == 0:
            if input._array.dtype.kind == "f":
                return input.sum() * float("nan")
            raise ShapeError(f"median: no elements to choose from in shape {tuple(input.shape)}")
        middle = median(input.detach().reshape(-1), 0).values._array
        chosen = np.isnan(input._array) if np.isnan(middle) else input._array == middle
        return SharedExtremum.apply(masked_select(input, wrap(chosen)), dims=(0,), keepdim=False, largest=True)
    axis = wrap_dim("median", dim, input.ndim)
    if input.ndim == 0:
        return _gathered(input, axis, np.zeros((), np.int64), keepdim)
    size = input._array.shape[axis]
    if size == 0:
        raise ShapeError(f"median: no elements to choose from in shape {tuple(input.shape)} along dim {axis}")
    middle = np.take(_order(input, axis, descending=False), [(size - 1) // 2], axis)
    if input._array.dtype.kind == "f":
        nans = np.isnan(input._array)
        middle = np.where(nans.any(axis, keepdims=True), nans.argmax(axis, keepdims=True), middle)
    return _gathered(input, axis, middle, keepdim)
