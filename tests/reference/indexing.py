"""Slow, obvious gathering and scattering: one element at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np


def _everywhere(index: np.ndarray, dim: int) -> Any:
    """Pairs (i, where i reaches): every position of the index, and the same with entry ``dim`` replaced."""
    for i in itertools.product(*map(range, index.shape)):
        yield i, (*i[:dim], int(index[i]), *i[dim + 1 :])


def gather(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    out = np.zeros(index.shape, x.dtype)
    for i, source in _everywhere(index, dim % x.ndim):
        out[i] = x[source]
    return out


def scatter(x: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
    out = x.copy()
    for i, target in _everywhere(index, dim % x.ndim):
        out[target] = src[i] if src.ndim else src
    return out


def scatter_add(x: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
    out = x.copy()
    for i, target in _everywhere(index, dim % x.ndim):
        out[target] += src[i]
    return out


def _rows(x: np.ndarray, index: np.ndarray, dim: int) -> Any:
    before = (slice(None),) * (dim % x.ndim)
    for k, place in enumerate(index.tolist()):
        yield (*before, k), (*before, place)


def index_add(x: np.ndarray, index: np.ndarray, source: np.ndarray, dim: int, alpha: float = 1) -> np.ndarray:
    out = x.copy()
    for k, place in _rows(x, index, dim):
        out[place] += alpha * source[k]
    return out


def index_copy(x: np.ndarray, index: np.ndarray, source: np.ndarray, dim: int) -> np.ndarray:
    out = x.copy()
    for k, place in _rows(x, index, dim):
        out[place] = source[k]
    return out


def index_fill(x: np.ndarray, index: np.ndarray, value: np.ndarray, dim: int) -> np.ndarray:
    out = x.copy()
    for _, place in _rows(x, index, dim):
        out[place] = value
    return out


def take(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    flat = [x[i] for i in itertools.product(*map(range, x.shape))]
    out = np.zeros(index.shape, x.dtype)
    for i in itertools.product(*map(range, index.shape)):
        out[i] = flat[int(index[i])]
    return out


def masked_fill(x: np.ndarray, mask: np.ndarray, value: np.ndarray) -> np.ndarray:
    x, mask = np.broadcast_arrays(x, mask)
    out = x.copy()
    for i in itertools.product(*map(range, x.shape)):
        if mask[i]:
            out[i] = value
    return out


def masked_select(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    x, mask = np.broadcast_arrays(x, mask)
    return np.array([x[i] for i in itertools.product(*map(range, x.shape)) if mask[i]], x.dtype)


def getitem(x: np.ndarray, key: Any) -> np.ndarray:
    return np.array(x[key])


def setitem(x: np.ndarray, value: np.ndarray, key: Any) -> np.ndarray:
    out = x.copy()
    out[key] = value
    return out


def index_put(x: np.ndarray, values: np.ndarray, key: Any, accumulate: bool) -> np.ndarray:
    if not accumulate:
        return setitem(x, values, key)
    out = x.copy()
    places = np.arange(x.size).reshape(x.shape)[key]
    for place, value in zip(places.flat, np.broadcast_to(values, places.shape).flat):
        out.reshape(-1)[place] += value
    return out
