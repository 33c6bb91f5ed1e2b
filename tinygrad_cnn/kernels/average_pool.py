"""Average pooling on (N, H, W, C) memory, adaptive or not, vectorised over the channels.

    forward     out[n, i, j, c] = Σ x[n, h, w, c] / (divisor_i · divisor_j) over the window (i, j)
    input_grad  its adjoint

The windows are small tables, so that one pair of kernels serves all kinds. The threads share the rows of the output,
and an element is always summed in the same order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._addresses import add_elements, cast, elements, get, size_of, zero_bytes
from ._jit import get_num_threads, helper
from ._tasks import FIRST, At, Program, Stage, task_kernel


def prepare(kind: str, shape: tuple[int, ...], out_size: tuple[int, int], dtype: np.dtype[Any]) -> Program:
    """What runs on as many threads as there are now.

    Args:
        kind: "forward" or "input_grad".
        shape: (N, H, W, C), of the images.
        out_size: (OH, OW): how many windows there are.
        dtype: float32 or float64.

    Returns:
        "forward": ``run(x, rows, columns, none, out)`` writes the averages to ``out (N, OH, OW, C)``. ``rows (OH, 3)``,
        int64: of each row of windows, the first row of pixels, the one after the last, and the divisor; ``columns
        (OW, 3)`` likewise.
        "input_grad": ``run(grad, rows, columns, none, out, users)`` spreads ``grad (N, OH, OW, C)`` evenly over the
        pixels. ``users (H, 2)``, int64: of each row of pixels, the first row of windows that contains it, and the one
        after the last.
    """
    return _prepare(kind, shape, out_size, dtype, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(
    kind: str, shape: tuple[int, ...], out_size: tuple[int, int], dtype: np.dtype[Any], threads: int
) -> Program:
    N, H, W, C = shape
    source, rows, columns, _, out, users = map(At, range(6))
    kernel = average_rows if kind == "forward" else spread_averages
    work = N * C * (H * W + out_size[0] * out_size[1])
    stage = Stage(kernel, work, (source, rows, columns, out, users), (), (*shape, *out_size))
    return Program(dtype, threads, [stage], 0, (out.operand,))


IMAGES, HEIGHT, WIDTH, CHANNELS, ROWS, COLUMNS = range(8 * FIRST, 8 * (FIRST + 6), 8)
"""Where the numbers of the task kernels lie."""


@task_kernel
def average_rows(worker, workers, numbers, zero):
    """Average over windows. Workers share the rows of windows.

    Floats: ``x (N, H, W, C)``; ``rows (OH, 3)`` and ``columns (OW, 3)``, int64; ``out (N, OH, OW, C)``, written.
    Numbers: N, H, W, C, OH, OW.
    """
    H, W, C = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS)
    OH, OW, step = get(numbers + ROWS), get(numbers + COLUMNS), C * size_of(zero)
    count = get(numbers + IMAGES) * OH
    for row in range(count * worker // workers, count * (worker + 1) // workers):
        top, bottom, high = _window(get(numbers + 8), row % OH)
        for j in range(OW):
            left, right, wide = _window(get(numbers + 16), j)
            total = get(numbers + 24) + (row * OW + j) * step
            zero_bytes(total, step)
            for h in range(top, bottom):
                for w in range(left, right):
                    add_elements(get(numbers) + ((row // OH * H + h) * W + w) * step, total, C, zero)
            averages, divisor = elements(total, 0, C, zero), cast(high * wide, zero)
            for c in range(C):
                averages[c] /= divisor


@task_kernel
def spread_averages(worker, workers, numbers, zero):
    """Spread every window's gradient evenly over its pixels. Workers share the rows of pixels.

    Floats: ``grad (N, OH, OW, C)``; ``rows`` and ``columns`` as in `average_rows`; ``out (N, H, W, C)``, written;
    ``users (H, 2)``, int64. Numbers: N, H, W, C, OH, OW.
    """
    H, W, C = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS)
    OH, OW, step = get(numbers + ROWS), get(numbers + COLUMNS), C * size_of(zero)
    count = get(numbers + IMAGES) * H
    for row in range(count * worker // workers, count * (worker + 1) // workers):
        pixels = get(numbers + 24) + row * W * step
        zero_bytes(pixels, W * step)
        users = get(numbers + 32) + row % H * 16
        for i in range(get(users), get(users + 8)):
            _, _, high = _window(get(numbers + 8), i)
            for j in range(OW):
                left, right, wide = _window(get(numbers + 16), j)
                grad = elements(get(numbers) + ((row // H * OH + i) * OW + j) * step, 0, C, zero)
                share = 1 / cast(high * wide, zero)
                for w in range(left, right):
                    pixel = elements(pixels + w * step, 0, C, zero)
                    for c in range(C):
                        pixel[c] += grad[c] * share


@helper
def _window(table, i):
    """A row of a table of windows."""
    return get(table + 24 * i), get(table + 24 * i + 8), get(table + 24 * i + 16)
