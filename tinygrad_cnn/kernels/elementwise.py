"""Elementwise loops that networks spend time in: sums, ReLU and its gradient, and the product with a dropout mask.

All arrays are flat views (n,) of one memory order; the threads share the elements. Both sides of a choice are loaded
before it is made, so that the compiler can turn it into a vector select.
"""

from __future__ import annotations

from numba import prange

from ._jit import kernel


@kernel
def add(a, b, out):
    """``out = a + b``."""
    for i in prange(out.size):
        out[i] = a[i] + b[i]


@kernel
def relu(x, out):
    """``out = max(x, 0)``; NaN stays NaN, because it is not ``<= 0``."""
    zero = out.dtype.type(0)
    for i in prange(out.size):
        value = x[i]
        out[i] = zero if value <= zero else value


@kernel
def relu_grad(grad, y, out):
    """``out = grad`` where ``y`` (ReLU's output or input) is not ``<= 0``, else 0."""
    zero = out.dtype.type(0)
    for i in prange(out.size):
        value = grad[i]
        out[i] = zero if y[i] <= zero else value


@kernel
def scale_where(x, mask, scale, out):
    """``out = x·(mask·scale)`` for a uint8 mask of zeros and ones: as in PyTorch, 0·NaN is NaN and 0·(−1) is −0."""
    factor = out.dtype.type(scale)
    for i in prange(out.size):
        out[i] = x[i] * (out.dtype.type(mask[i]) * factor)
