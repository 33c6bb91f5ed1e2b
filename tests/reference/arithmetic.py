"""Slow, obvious arithmetic on arrays."""

from __future__ import annotations

import math

import numpy as np


def elementwise(function):
    """A function of numbers applied to arrays that are broadcast together, one element at a time."""

    def call(*operands):
        arrays = np.broadcast_arrays(*operands)
        results = [function(*(a[place].item() for a in arrays)) for place in np.ndindex(arrays[0].shape)]
        return np.array(results).reshape(arrays[0].shape)

    return call


def add(a, b, alpha=1):
    return a + alpha * b


def sub(a, b, alpha=1):
    return a - alpha * b


def rsub(a, b, alpha=1):
    return b - alpha * a


def mul(a, b):
    return a * b


def neg(x):
    return 0 - x


def div(a, b, rounding_mode=None):
    if rounding_mode is None:
        return elementwise(lambda p, q: p / q)(a, b)
    return floor_divide(a, b) if rounding_mode == "floor" else elementwise(truncated)(a, b)


def truncated(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return float(math.trunc(a / b))


floor_divide = elementwise(lambda a, b: a // b)
remainder = elementwise(lambda a, b: a % b)
fmod = elementwise(lambda a, b: a - b * truncated(a, b))
pow = elementwise(lambda a, b: a**b)
