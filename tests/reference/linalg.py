"""Matrix products, one sum of products per element."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    leading = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, leading + left.shape[-2:])
    right = np.broadcast_to(right, leading + right.shape[-2:])
    out = np.zeros((*leading, left.shape[-2], right.shape[-1]), a.dtype)
    for place in itertools.product(*map(range, out.shape)):
        *stack, row, column = place
        pairs = zip(left[(*stack, row)].tolist(), right[(*stack, slice(None), column)].tolist())
        out[place] = sum(x * y for x, y in pairs)
    if a.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if b.ndim == 1 else out


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[x * y for y in b.tolist()] for x in a.tolist()])


def added(input: np.ndarray, a: np.ndarray, b: np.ndarray, beta: float = 1, alpha: float = 1) -> np.ndarray:
    return beta * input + alpha * matmul(a, b)


def einsum(*operands: np.ndarray, equation: str) -> np.ndarray:
    """The sum over all values of all letters, an element of every operand looked up for each of them."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    most = max(x.ndim - len(term.replace("...", "")) for term, x in zip(terms, operands))
    dots = "0123"[:most]  # the dimensions behind ... , counted from the right as broadcasting does
    named = [
        term.replace("...", dots[len(dots) - (x.ndim - len(term.replace("...", ""))) :])
        for term, x in zip(terms, operands)
    ]
    if not arrow:
        result = "..." + "".join(sorted(c for c in set("".join(terms)) - {"."} if "".join(terms).count(c) == 1))
    result = result.replace("...", dots)
    sizes: dict[str, int] = {}
    for term, x in zip(named, operands):
        for name, size in zip(term, x.shape):
            sizes[name] = max(size, sizes.get(name, 1))
    out: Any = np.zeros([sizes[name] for name in result])
    for values in itertools.product(*(range(size) for size in sizes.values())):
        place = dict(zip(sizes, values))
        factors = [
            x[tuple(place[name] if size > 1 else 0 for name, size in zip(term, x.shape))].item()
            for term, x in zip(named, operands)
        ]
        out[tuple(place[name] for name in result)] += math.prod(factors)
    return out
