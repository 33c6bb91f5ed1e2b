"""Choosing between numbers."""

from __future__ import annotations

from .arithmetic import elementwise

where = elementwise(lambda condition, a, b: a if condition else b)
maximum = elementwise(lambda a, b: a if a > b else b)
minimum = elementwise(lambda a, b: a if a < b else b)


def clamp(x, min=None, max=None):
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)
