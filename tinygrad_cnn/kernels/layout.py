"""Transposes between the two orders of an image batch in memory: (N, C, H, W) and (N, H, W, C).

    to_channels_last: out[n, p, c] = x[n, c, p],      to_channels_first: out[n, c, p] = x[n, p, c],      p = h·W + w

Both are transposes of N matrices.  Reading rows and writing columns touches a new cache line with every element, so
the matrix is cut into tiles of `TILE` x `TILE` elements (4 KiB of float32), whose lines stay in the first-level cache
until they are full.
"""

from __future__ import annotations

from numba import prange

from ._jit import helper, kernel

TILE = 32


@kernel
def transpose(x, out):
    """``out[n, j, i] = x[n, i, j]`` for ``x (N, A, B)`` and ``out (N, B, A)``.

    Threads share the stripes of `TILE` rows of ``out`` of all N matrices.
    """
    N, A, B = x.shape
    stripes = (B + TILE - 1) // TILE
    for stripe in prange(N * stripes):
        n = stripe // stripes
        first = stripe % stripes * TILE
        for start in range(0, A, TILE):
            _tile(x[n], start, min(start + TILE, A), first, min(first + TILE, B), out[n])


@helper
def _tile(x, i0, i1, j0, j1, out):
    for j in range(j0, j1):
        for i in range(i0, i1):
            out[j, i] = x[i, j]
