"""Transposes: between the two orders of an image batch in memory, (N, C, H, W) and (N, H, W, C), and of matrices.

    to_channels_last: out[n, p, c] = x[n, c, p],      to_channels_first: out[n, c, p] = x[n, p, c],      p = h·W + w

Both are transposes of N matrices.  Reading rows and writing columns touches a new cache line with every element, so
the matrix is cut into square blocks of a vector's length, which are transposed in registers (64 images of 64 channels
of 12x12: 3 times as fast as element by element).
"""

from __future__ import annotations

from numba import prange

from ._addresses import address, copy_element, get, size_of
from ._emitter import VECTOR_BYTES
from ._jit import helper, kernel
from ._simd import transpose_block
from ._tasks import FIRST, task_kernel

STRIPE = 32
"""Columns of a matrix that are transposed at a time: two cache lines of float32, which are neighbours."""


@kernel
def transpose(x, out):
    """``out[n, j, i] = x[n, i, j]`` for ``x (N, A, B)`` and ``out (N, B, A)``.

    Threads share the stripes of `STRIPE` columns of all N matrices.
    """
    N, A, B = x.shape
    zero, item = x.dtype.type(0), x.itemsize
    stripes = (B + STRIPE - 1) // STRIPE
    for stripe in prange(N * stripes):
        place = stripe // stripes * A * B * item
        low = stripe % stripes * STRIPE
        turn(address(x) + place, address(out) + place, A, B, low, min(B, low + STRIPE), zero)


@helper
def turn(source, target, A, B, low, high, zero):
    """Write the columns ``low`` to ``high`` of a matrix (A, B) to the rows of its transpose (B, A)."""
    item = size_of(zero)
    lanes = VECTOR_BYTES // item
    for i in range(0, A, lanes):
        for j in range(low, high, lanes):
            here, there = source + (i * B + j) * item, target + (j * A + i) * item
            if i + lanes <= A and j + lanes <= high:
                transpose_block(here, B * item, there, A * item, zero)
                continue
            for row in range(min(lanes, A - i)):
                for column in range(min(lanes, high - j)):
                    copy_element(here + (row * B + column) * item, there + (column * A + row) * item, zero)


@task_kernel
def transpose_matrix(worker, workers, numbers, zero):
    """``out[j, i] = a[i, j]``. Workers share the columns of ``a``.

    Floats: ``a (A, B)``; ``out (B, A)``, written.
    Numbers: A, B.
    """
    A, B = get(numbers + 8 * FIRST), get(numbers + 8 * FIRST + 8)
    stripes = (B + STRIPE - 1) // STRIPE
    for stripe in range(stripes * worker // workers, stripes * (worker + 1) // workers):
        low = stripe * STRIPE
        turn(get(numbers), get(numbers + 8), A, B, low, min(B, low + STRIPE), zero)
