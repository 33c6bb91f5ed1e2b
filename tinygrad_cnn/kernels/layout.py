"""Transposes: between the two orders of an image batch in memory, (N, C, H, W) and (N, H, W, C), and of matrices.

    to_channels_last: out[n, p, c] = x[n, c, p],      to_channels_first: out[n, c, p] = x[n, p, c],      p = h·W + w

Both are transposes of N matrices.  Reading rows and writing columns touches a new cache line with every element, so
the matrix is cut into square blocks of a vector's length, which are transposed in registers (64 images of 64 channels
of 12x12: 3 times as fast as element by element).
"""

from __future__ import annotations

import functools
from typing import Any

from ._addresses import copy_element, get, size_of
from ._emitter import VECTOR_BYTES
from ._jit import get_num_threads, helper
from ._simd import transpose_block
from ._tasks import FIRST, At, Program, Stage, task_kernel

STRIPE = 32
"""Columns of a matrix that are transposed at a time: two cache lines of float32, which are neighbours."""


def prepare(count: int, rows: int, columns: int, dtype: Any) -> Program:
    """What transposes ``count`` matrices, on as many threads as there are now.

    Returns:
        ``run(x, out)`` writes ``x (count, rows, columns)`` to ``out (count, columns, rows)``.
    """
    return _prepare(count, rows, columns, dtype, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(count: int, rows: int, columns: int, dtype: Any, threads: int) -> Program:
    return Program(dtype, threads, [transpose_stage(count, rows, columns, At(0), At(1))], 0, writes=(1,))


def transpose_stage(count: int, rows: int, columns: int, source: At, target: At) -> Stage:
    """The stage that transposes ``count`` matrices."""
    return Stage(transpose, count * rows * columns, (source, target), (), (count, rows, columns))


@task_kernel
def transpose(worker, workers, numbers, zero):
    """``out[n, j, i] = x[n, i, j]``. Workers share the stripes of `STRIPE` columns of all matrices.

    Floats: ``x (N, A, B)``; ``out (N, B, A)``, written.
    Numbers: N, A, B.
    """
    N, A, B = get(numbers + 8 * FIRST), get(numbers + 8 * FIRST + 8), get(numbers + 8 * FIRST + 16)
    stripes = (B + STRIPE - 1) // STRIPE
    for stripe in range(N * stripes * worker // workers, N * stripes * (worker + 1) // workers):
        place = stripe // stripes * A * B * size_of(zero)
        low = stripe % stripes * STRIPE
        turn(get(numbers) + place, get(numbers + 8) + place, A, B, low, min(B, low + STRIPE), zero)


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
