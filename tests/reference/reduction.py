"""Slow, obvious reductions: the elements that one result is made of are a list of Python numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np


def reduced(x: np.ndarray, dim: Any, keepdim: bool, function: Callable[[list[Any]], Any]) -> np.ndarray:
    """``function`` of the elements along the dimensions, for every place of the others."""
    dims = range(x.ndim) if dim is None or dim == () else [d % (x.ndim or 1) for d in np.atleast_1d(dim).tolist()]
    kept = [1 if d in dims else side for d, side in enumerate(x.shape)]
    places = list(itertools.product(*map(range, kept)))
    results = []
    for place in places:
        chosen = tuple(slice(None) if d in dims else k for d, k in enumerate(place))
        results.append(function(np.ravel(x[chosen]).tolist()))
    shape = kept if keepdim else [side for d, side in enumerate(x.shape) if d not in dims]
    return np.array(results).reshape(shape)


def sum(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, math.fsum if x.dtype.kind == "f" else lambda values: np.sum(values, dtype=int))


def mean(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, lambda values: math.fsum(values) / len(values))


def var(
    x: np.ndarray, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None
) -> np.ndarray:
    lost = int(unbiased) if correction is None else correction

    def of(values: list[float]) -> float:
        middle = math.fsum(values) / len(values)
        return math.fsum((value - middle) ** 2 for value in values) / (len(values) - lost)

    return reduced(x, dim, keepdim, of)


def std(x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
    return np.sqrt(var(x, *args, **kwargs))


def var_mean(x: np.ndarray, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
    return var(x, dim, keepdim=keepdim, **kwargs), mean(x, dim, keepdim)


def prod(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, math.prod)


def amax(x: np.ndarray, dim: Any = (), keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, max)


def amin(x: np.ndarray, dim: Any = (), keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, min)


def logsumexp(x: np.ndarray, dim: Any, keepdim: bool = False) -> np.ndarray:
    return reduced(x, dim, keepdim, lambda values: math.log(math.fsum(map(math.exp, values))))


def norm(x: np.ndarray, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> np.ndarray:
    order = 2.0 if p == "fro" else float(p)

    def of(values: list[float]) -> float:
        sizes = [abs(value) for value in values]
        if math.isinf(order):
            return max(sizes) if order > 0 else min(sizes)
        if order == 0:
            return len([size for size in sizes if size])
        return math.fsum(size**order for size in sizes) ** (1 / order)

    return reduced(x, dim, keepdim, of)


def running(x: np.ndarray, dim: int, function: Callable[[list[Any]], Any]) -> np.ndarray:
    """``function`` of all elements from the front up to each place."""
    if x.ndim == 0:
        return x
    dim %= x.ndim
    fronts = [
        reduced(x[(slice(None),) * dim + (slice(k + 1),)], dim, keepdim=True, function=function)
        for k in range(x.shape[dim])
    ]
    return np.concatenate(fronts, dim)


def cumsum(x: np.ndarray, dim: int) -> np.ndarray:
    return running(x, dim, math.fsum if x.dtype.kind == "f" else lambda values: np.sum(values, dtype=int))


def cumprod(x: np.ndarray, dim: int) -> np.ndarray:
    return running(x, dim, math.prod)


def count_nonzero(x: np.ndarray, dim: Any = None) -> np.ndarray:
    return reduced(x, dim, False, lambda values: len([value for value in values if value != 0]))
