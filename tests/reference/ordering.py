"""Extrema and orders along a dimension, found with Python's own ``sorted`` on the elements' places."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def places(x: np.ndarray, dim: int, function: Callable[[list[Any]], list[int]]) -> np.ndarray:
    """``function`` of the elements along a dimension gives the places to take there."""
    if x.ndim == 0:
        return np.array(function([x.item()])[0])
    dim %= x.ndim
    columns = {}
    for rest in itertools.product(*(range(side) for d, side in enumerate(x.shape) if d != dim)):
        columns[rest] = function([x[(*rest[:dim], k, *rest[dim:])].item() for k in range(x.shape[dim])])
    shape = list(x.shape)
    shape[dim] = len(next(iter(columns.values())))
    out = np.zeros(shape, int)
    for rest, column in columns.items():
        for k, place in enumerate(column):
            out[(*rest[:dim], k, *rest[dim:])] = place
    return out


def taken(x: np.ndarray, dim: int, keepdim: bool, chosen: np.ndarray) -> Pair:
    if x.ndim == 0:
        return x, chosen
    values = np.zeros(chosen.shape, x.dtype)
    for i in itertools.product(*map(range, chosen.shape)):
        source = list(i)
        source[dim] = chosen[i]
        values[i] = x[tuple(source)]
    return (values, chosen) if keepdim else (values.squeeze(dim), chosen.squeeze(dim))


def order(values: list[Any], descending: bool = False) -> list[int]:
    """The places of the elements in order, equal ones as they stand."""
    return sorted(range(len(values)), key=lambda k: -values[k] if descending else values[k])


def sort(x: np.ndarray, dim: int = -1, descending: bool = False, stable: bool = False) -> Pair:
    return taken(x, dim, True, places(x, dim, lambda values: order(values, descending)))


def argsort(x: np.ndarray, dim: int = -1, descending: bool = False, stable: bool = False) -> np.ndarray:
    return sort(x, dim, descending)[1]


def topk(x: np.ndarray, k: int, dim: int = -1, largest: bool = True) -> Pair:
    return taken(x, dim, True, places(x, dim, lambda values: order(values, largest)[:k]))


def maximum(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return np.array(max(x.ravel().tolist()))
    return taken(x, dim, keepdim, places(x, dim, lambda values: order(values, descending=True)[:1]))


def minimum(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return np.array(min(x.ravel().tolist()))
    return taken(x, dim, keepdim, places(x, dim, lambda values: order(values)[:1]))


def median(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return median(x.ravel(), 0)[0]
    return taken(x, dim, keepdim, places(x, dim, lambda values: [order(values)[(len(values) - 1) // 2]]))


def argmax(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    if dim is None:
        place = order(x.ravel().tolist(), descending=True)[0]
        return np.full([1] * x.ndim if keepdim else [], place)
    return maximum(x, dim, keepdim)[1]


def argmin(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return argmax(-x, dim, keepdim)
