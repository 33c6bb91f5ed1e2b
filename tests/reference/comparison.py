"""Comparisons by Python's operators, element by element."""

from __future__ import annotations

import math

import numpy as np

from .arithmetic import elementwise

eq = elementwise(lambda a, b: a == b)
ne = elementwise(lambda a, b: a != b)
lt = elementwise(lambda a, b: a < b)
le = elementwise(lambda a, b: a <= b)
gt = elementwise(lambda a, b: a > b)
ge = elementwise(lambda a, b: a >= b)
logical_and = elementwise(lambda a, b: bool(a) and bool(b))
logical_or = elementwise(lambda a, b: bool(a) or bool(b))
logical_xor = elementwise(lambda a, b: bool(a) != bool(b))
logical_not = elementwise(lambda a: not a)
bitwise_and = elementwise(lambda a, b: a & b)
bitwise_or = elementwise(lambda a, b: a | b)
bitwise_xor = elementwise(lambda a, b: a ^ b)
bitwise_not = elementwise(lambda a: not a if isinstance(a, bool) else -1 - a)
isnan = elementwise(math.isnan)
isinf = elementwise(math.isinf)
isfinite = elementwise(math.isfinite)


def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    def close(p, q):
        if math.isnan(p) or math.isnan(q):
            return equal_nan and math.isnan(p) and math.isnan(q)
        return p == q or (math.isfinite(q) and abs(p - q) <= atol + rtol * abs(q))

    return elementwise(close)(a, b)


def nonzero(x, as_tuple=False):
    x = np.atleast_1d(x) if as_tuple else x
    places = [place for place in np.ndindex(x.shape) if x[place]]
    indices = np.array(places, np.int64).reshape(len(places), x.ndim)
    return tuple(indices[:, i] for i in range(x.ndim)) if as_tuple else indices


def along(combine):
    def call(x, dim=None, keepdim=False):
        dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
        result = x != 0
        for d in sorted({d % max(1, x.ndim) for d in dims}, reverse=True):
            if x.ndim:
                result = combine(list(np.moveaxis(result, d, 0)), result.any(d))
                result = np.expand_dims(result, d) if keepdim else result
        return result

    return call


def _all(slices, like):
    result = np.ones_like(like)
    for s in slices:
        result = result & s
    return result


def _any(slices, like):
    result = np.zeros_like(like)
    for s in slices:
        result = result | s
    return result


all = along(_all)
any = along(_any)
