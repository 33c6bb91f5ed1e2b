"""Depthwise convolution by 3x3 filters that slide by one pixel (stride and dilation 1), on the rows of `_sliding`.

The tiles of `conv_depthwise` load a pixel for each of the 9 filter positions, from a patch with zeros around it. Here a
row of outputs is computed at once, a vector of channels at a time: each pixel is loaded for the three filter rows only,
and nothing is copied. The input gradient is the forward pass of the gradient, with the filters turned around. 64 images
on 2 cores of Zen 4, milliseconds, and in brackets what those tiles take:

                          AVX-512                            AVX2
                          forward        weight gradient     forward        weight gradient
    128 channels @16      0.28 (0.46)    0.42 (0.57)         0.40 (0.49)    0.48 (0.54)
    32 channels @32       0.21 (0.43)    0.24 (0.49)         0.32 (0.46)    0.46 (0.55)
    512 channels @4       0.10 (0.15)    0.13 (0.20)         0.15 (0.17)    0.17 (0.21)

**Threads.** Workers share the rows of all images, or parts of their channels where there are few rows. The weights'
gradients are summed by chunks of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._addresses import get, size_of, zero_bytes
from ._blocks import one_to_one
from ._dot import PANEL_BYTES, Places, pack, row_bytes
from ._emitter import VECTOR_BYTES, VECTORS, lanes, panel_width
from ._image import zeros_for
from ._outer import CHUNKS, Sums, sum_stage
from ._simd import lowest_of
from ._sliding import SIDE, depthwise_outer_row, depthwise_row
from ._tasks import FIRST, LAUNCH_WORK, Program, Stage, portion, task_kernel
from ._workspace import LEFT, OUT, RIGHT, Carver
from .conv_depthwise import dot_of

TAPS = SIDE * SIDE


def fits(weight_shape: tuple[int, ...], geometry: Any) -> bool:
    """Whether every channel has one filter, and it slides."""
    O, KH, KW, C = weight_shape
    return (
        (KH, KW) == (SIDE, SIDE) and geometry.stride == geometry.dilation == (1, 1) and geometry.groups == O and C == 1
    )


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    size = geometry.output_size((H, W), (SIDE, SIDE))
    return _program(N, C, (H, W), size, geometry.padding, np.arange(TAPS), dtype, threads, with_bias, relu)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    size = geometry.output_size((H, W), (SIDE, SIDE))
    padding = (SIDE - 1 - geometry.padding[0], SIDE - 1 - geometry.padding[1])
    return _program(N, C, size, (H, W), padding, np.arange(TAPS)[::-1].copy(), dtype, threads, False, False)


def _program(
    N: int,
    C: int,
    source: tuple[int, int],
    target: tuple[int, int],
    padding: tuple[int, int],
    taps: Any,
    dtype: Any,
    threads: int,
    with_bias: bool,
    relu: bool,
) -> Program:
    """Pack the filters, their positions in the order of ``taps``; then all rows of the target, (height, width)."""
    carver = Carver(dtype)
    dot = dot_of(one_to_one(N * target[0] * target[1], C), Places(0, 0, 0, C), taps, TAPS)
    stage, packed = pack(dot, dtype, carver, with_bias)
    zeros = zeros_for(source[1] * C, dtype)
    rows, work = N * target[0], target[1] * C
    parts = -(-C // lanes(dtype)) if rows < 4 * threads else 1  # of a row
    step = max(threads, LAUNCH_WORK // (work * TAPS))
    products = [
        Stage(
            depthwise_rows, min(step, rows - first) * work, (LEFT, packed.panels, packed.starts, OUT), (zeros,),
            (first, min(rows, first + step), *source, C, *target, *padding, relu, parts),
        )
        for first in range(0, rows, step)
    ]  # fmt: skip
    return Program(dtype, threads, [stage, *products], carver.used)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    OH, OW = geometry.output_size((H, W), (SIDE, SIDE))
    panels, chunks = -(-C // panel_width(dtype)), min(CHUNKS, N * OH)
    total = Sums(chunks, 1, C, SIDE, np.arange(TAPS), column_step=TAPS, group_step=0)
    carver = Carver(dtype)
    sums, column_sums = carver.take(total.size(dtype)), carver.take(chunks, panels, panel_width(dtype))
    zeros = zeros_for(W * C, dtype)
    step = max(threads, chunks * LAUNCH_WORK // (N * OH * OW * C * TAPS))
    products = [
        Stage(
            depthwise_outer_rows, N * OH * OW * C * min(step, chunks - first) // chunks,
            (LEFT, RIGHT, sums, column_sums), (zeros,),
            (first, min(chunks, first + step), H, W, C, OH, OW, *geometry.padding, N * OH, chunks),
        )
        for first in range(0, chunks, step)
    ]  # fmt: skip
    return Program(dtype, threads, [*products, sum_stage(total, dtype, sums, column_sums, with_bias)], carver.used)


(
    START, END, HEIGHT, WIDTH, CHANNELS, OUT_HEIGHT, OUT_WIDTH, PAD_TOP, PAD_LEFT, RELU, PARTS,
) = range(8 * FIRST, 8 * FIRST + 8 * 11, 8)  # fmt: skip
ROWS, CHUNK_COUNT = RELU, PARTS
"""Where the numbers of the kernels lie: their first row (or chunk) and the one after the last, the sizes of what is
read and of the output, padding; then for `depthwise_rows` 1 for ReLU and the parts that a row's channels are cut into,
for `depthwise_outer_rows` the rows of all images and the chunks that they are cut into."""


@task_kernel
def depthwise_rows(worker, workers, numbers, zero):
    """``out[n, i, j, c] = max(floor, start[c] + Σ_{p,q} source[n, i + p − pad, j + q − pad, c] · panel[p, q, c])``.

    Each worker takes neighbouring rows, or parts of rows.

    Floats: ``source (N, H, W, C)``; ``panels (panels, 9, width)``; ``starts (panels, width)``, the bias; ``out (N, OH,
    OW, C)``, written.
    Ints: ``zeros``, as many as a row of the source has.
    """
    item = size_of(zero)
    lane_count = VECTOR_BYTES // item
    start, end, parts = get(numbers + START), get(numbers + END), get(numbers + PARTS)
    H, W, channels = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS)
    height, width = get(numbers + OUT_HEIGHT), get(numbers + OUT_WIDTH)
    floor = zero if get(numbers + RELU) else lowest_of(zero)
    pixel, left = channels * item, -get(numbers + PAD_LEFT)
    low, high = portion(worker, workers, (end - start) * parts)
    for task in range(low, high):
        row = start + task // parts
        source, target = get(numbers) + row // height * H * W * pixel, get(numbers + 24) + row * width * pixel
        top = row % height - get(numbers + PAD_TOP)
        first_vector, last_vector = portion(task % parts, parts, (channels + lane_count - 1) // lane_count)
        for first in range(first_vector * lane_count, last_vector * lane_count, lane_count):
            panel, shift = first // (VECTORS * lane_count), first * item
            step = row_bytes(channels - panel * VECTORS * lane_count, zero)
            weights = get(numbers + 8) + panel * TAPS * PANEL_BYTES + shift % PANEL_BYTES
            depthwise_row(
                source + shift, H, W, pixel, get(numbers + 48), top, left, width, weights, step,
                get(numbers + 16) + shift, floor, target + shift, channels - first,
            )  # fmt: skip


@task_kernel
def depthwise_outer_rows(worker, workers, numbers, zero):
    """``sums[p, q, c] = Σ_{n,i,j} x[n, i + p − pad, j + q − pad, c] · grad[n, i, j, c]``, by chunks of rows.

    The chunks are dealt to the workers in turn.

    Floats: ``x (N, H, W, C)``; ``grad (N, OH, OW, C)``; ``sums (chunks, 3, panels, 3, width)``, written; ``column_sums
    (chunks, panels, width)``, written: the chunk's sum of ``grad``.
    Ints: ``zeros``, as many as a row of x has.
    """
    item = size_of(zero)
    channels, height, width = get(numbers + CHANNELS), get(numbers + OUT_HEIGHT), get(numbers + OUT_WIDTH)
    rows, chunks = get(numbers + ROWS), get(numbers + CHUNK_COUNT)
    pixel = channels * item
    totals_bytes = (pixel + PANEL_BYTES - 1) // PANEL_BYTES * PANEL_BYTES
    for chunk in range(get(numbers + START) + worker, get(numbers + END), workers):
        sums = get(numbers + 16) + chunk * TAPS * totals_bytes
        totals = get(numbers + 24) + chunk * totals_bytes
        zero_bytes(sums, TAPS * totals_bytes)
        zero_bytes(totals, totals_bytes)
        low, high = portion(chunk, chunks, rows)
        for row in range(low, high):
            image = get(numbers) + row // height * get(numbers + HEIGHT) * get(numbers + WIDTH) * pixel
            grads, top = get(numbers + 8) + row * width * pixel, row % height - get(numbers + PAD_TOP)
            for shift in range(0, pixel, VECTOR_BYTES):
                tile = sums + shift // PANEL_BYTES * SIDE * PANEL_BYTES + shift % PANEL_BYTES
                depthwise_outer_row(
                    image + shift, get(numbers + HEIGHT), get(numbers + WIDTH), pixel, get(numbers + 48), top,
                    -get(numbers + PAD_LEFT), width, grads + shift, zero, tile, SIDE * totals_bytes, totals + shift,
                    channels - shift // item,
                )  # fmt: skip
