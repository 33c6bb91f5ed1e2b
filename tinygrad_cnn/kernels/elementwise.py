"""Elementwise loops that networks spend time in: sums, ReLU and its gradient, and the product with a dropout mask.

All arrays are flat views (n,) of one memory order; the threads share the elements. Both sides of a choice are loaded
before it is made, so that the compiler can turn it into a vector select.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._addresses import address
from ._bits import WORD, keep_words, relu_words
from ._jit import helper, kernel

CHUNK = 256 * WORD
"""Elements that a thread takes at a time where each has a bit: whole bytes of bits, so no two threads write one."""


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
def relu_with_bits(x, out, bits):
    """``out = max(x, 0)``, and bit ``i % 8`` of ``bits[i // 8]`` is 1 where ``x[i]`` is not ``<= 0``.

    Args:
        x: (n,).
        out: (n,), written.
        bits: (⌈n / 8⌉,) uint8, written.
    """
    zero, item = out.dtype.type(0), out.itemsize
    for chunk in prange(-(-x.size // CHUNK)):
        first = chunk * CHUNK
        words = min(CHUNK, x.size - first) // WORD
        relu_words(address(x) + first * item, address(out) + first * item, address(bits) + first // 8, words, zero)
        for i in range(first + words * WORD, min(first + CHUNK, x.size)):
            value = x[i]
            passes = not value <= zero
            out[i] = value if passes else zero
            _put_bit(bits, i, passes)


@kernel
def where_bits(grad, bits, out):
    """``out = grad`` where the bit of ``relu_with_bits`` is 1, else 0; ``out`` may be ``grad``."""
    zero, item = out.dtype.type(0), out.itemsize
    for chunk in prange(-(-grad.size // CHUNK)):
        first = chunk * CHUNK
        words = min(CHUNK, grad.size - first) // WORD
        keep_words(address(grad) + first * item, address(bits) + first // 8, address(out) + first * item, words, zero)
        for i in range(first + words * WORD, min(first + CHUNK, grad.size)):
            out[i] = grad[i] if bits[i // 8] >> (i % 8) & 1 else zero


@helper
def _put_bit(bits, i, bit):
    """Write bit number i; the bits after it in its byte become 0."""
    before = bits[i // 8] if i % 8 else np.uint8(0)
    bits[i // 8] = np.uint8(before | (np.uint8(bit) << np.uint8(i % 8)))


@kernel
def scale_where(x, mask, scale, out):
    """``out = x·(mask·scale)`` for a uint8 mask of zeros and ones: as in PyTorch, 0·NaN is NaN and 0·(−1) is −0."""
    factor = out.dtype.type(scale)
    for i in prange(out.size):
        out[i] = x[i] * (out.dtype.type(mask[i]) * factor)
