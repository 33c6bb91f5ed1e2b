"""Depthwise convolution: every channel has one filter of its own.

There is no sum over channels, so nothing here is a matrix product: a tile is some pixels of 2 vectors of channels, and
both operands of every multiply-add are vectors. With one load per multiply-add it is bound by the caches and not by
arithmetic, as any depthwise convolution is. The blocks and patches, the packed weights (a filter position's weights
side by side for all channels) and the chunks of the weight gradient are those of `conv_direct`. For 3x3 filters that
slide by one pixel there is `conv_depthwise_rows`.

Reference: F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _blocks
from ._addresses import add_rows, get, size_of, zero_bytes
from ._blocks import Grid, block_at, see
from ._dot import (
    BLOCKS,
    COUNT,
    FILTERS,
    MATRIX,
    PANEL_BYTES,
    PER_GROUP,
    PIECES,
    RELU,
    SCRATCH,
    SPLITS,
    Dot,
    Places,
    dot_stages,
    last_tile,
    phases_program,
    pixels_of_block,
    row_bytes,
)
from ._emitter import panel_width
from ._jit import helper
from ._outer import CHUNKS, Sums, block_pixels, sum_stage
from ._simd import DEPTHWISE_ROWS, TAPS, depthwise_outer_tile, depthwise_tile, lowest_of
from ._tasks import FIRST, Program, Stage, task_kernel
from ._workspace import LEFT, RIGHT, Carver, product, round_up
from .conv_direct import forward_grid, phases


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    carver = Carver(dtype)
    grid = forward_grid(x_shape, weight_shape, geometry)
    taps = np.arange(weight_shape[1] * weight_shape[2], dtype=np.int64)
    row = grid.horizontal.pixels * grid.channels
    dot = dot_of(grid, Places(0, grid.vertical.pixels * row, row, grid.channels), taps, taps.size)
    stages = dot_stages(dot, dtype, threads, carver, with_bias, relu, products=depthwise_products)
    return Program(dtype, threads, stages, carver.used)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`: one product per phase of the stride, as in `conv_direct.input_grad_plan`."""
    N, H, W, C = x_shape
    _, KH, KW, _ = weight_shape
    dots = []
    for vertical, horizontal in phases(x_shape, weight_shape, geometry):
        grid = Grid(N, vertical.axis, horizontal.axis, C)
        first = (vertical.first * W + horizontal.first) * C
        places = Places(first, H * W * C, geometry.stride[0] * W * C, geometry.stride[1] * C)
        taps = (vertical.positions[:, None] * KW + horizontal.positions).reshape(-1)
        dots.append(dot_of(grid, places, taps, KH * KW))
    return phases_program(dots, dtype, threads, depthwise_products)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    grid = forward_grid(x_shape, weight_shape, geometry)
    blocks = grid.cut(block_pixels(grid), dtype.itemsize, whole_rows=True)
    width = panel_width(dtype)
    panels = -(-grid.channels // width)
    taps = weight_shape[1] * weight_shape[2]
    chunks = min(CHUNKS, blocks.total)
    rows = np.arange(round_up(taps, TAPS))
    total = Sums(chunks, 1, grid.channels, TAPS, np.where(rows < taps, rows, -1), column_step=taps, group_step=0)
    # The last ones repeat, to fill a tile.
    offsets = blocks.pieces().reshape(-1)[np.minimum(rows, taps - 1)]
    carver = Carver(dtype)
    sums, column_sums = carver.take(total.size(dtype)), carver.take(chunks, panels, width)
    patch = round_up(blocks.patch_size, 64 // dtype.itemsize)
    stages = [
        Stage(
            depthwise_outer_products, product(x_shape),
            (LEFT, RIGHT, carver.take(threads, patch), sums, column_sums),
            (blocks.table() * dtype.itemsize, offsets * dtype.itemsize),
            (*blocks.numbers, blocks.total, grid.channels, panels, taps, chunks, patch),
        ),
        sum_stage(total, dtype, sums, column_sums, with_bias),
    ]  # fmt: skip
    return Program(dtype, threads, stages, carver.used)


def dot_of(grid: Grid, targets: Places, taps: Any, filter_size: int) -> Dot:
    """A product whose matrix has a row for each filter position, and a column for each channel."""
    return Dot(
        grid=grid,
        side_by_side=False,
        targets=targets,
        terms=taps,
        column_step=filter_size,
        group_step=0,
        groups=1,
        columns=grid.channels,
    )


@task_kernel
def depthwise_products(worker, workers, numbers, zero):
    """``out[n, t, c] = max(floor, start[c] + Σ_s window_s(n, t)[c] · weight[s, c])``.

    Arrays and numbers as in `_dot.dot_products`, a panel being a block of channels.
    """
    own = numbers + 8 * FIRST
    blocks, splits, panels = get(own + COUNT), get(own + SPLITS), get(own + MATRIX + PER_GROUP)
    patch = get(numbers + 32) + worker * get(own + SCRATCH) * size_of(zero)
    last = get(numbers + 80) + worker * 3 * 8 * DEPTHWISE_ROWS
    tasks = min(get(own + 8), blocks * splits) - get(own)
    for task in range(get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers):
        place = block_at(task % blocks, own + BLOCKS)
        origin = see(own + BLOCKS, place, get(numbers), patch, zero)
        count, target = pixels_of_block(numbers, place, zero)
        last_tile(numbers, count, DEPTHWISE_ROWS, last)
        split = task // blocks
        for panel in range(panels * split // splits, panels * (split + 1) // splits):
            _depthwise_panel(numbers, zero, count, panel, origin, target, last)


@helper
def _depthwise_panel(numbers, zero, count, panel, origin, target, last):
    """All tiles of a block for one panel of channels."""
    own = numbers + 8 * FIRST
    segments = get(own + PIECES)
    floor = zero if get(own + RELU) else lowest_of(zero)
    weights = get(numbers + 16) + panel * segments * PANEL_BYTES
    start = get(numbers + 24) + panel * PANEL_BYTES
    shift = panel * PANEL_BYTES
    left = get(own + MATRIX + FILTERS) - panel * (PANEL_BYTES // size_of(zero))
    weight_step = row_bytes(left, zero)
    tiles = (count + DEPTHWISE_ROWS - 1) // DEPTHWISE_ROWS
    for tile in range(tiles):
        place = tile * 8 * DEPTHWISE_ROWS
        rows, targets = get(numbers + 48) + place, get(numbers + 56) + place
        if tile == tiles - 1:
            rows, targets = last, last + 8 * DEPTHWISE_ROWS
        depthwise_tile(
            rows, origin + shift, get(numbers + 64), segments, weights, weight_step, start, floor, targets,
            target + shift, left,
        )  # fmt: skip


CHANNELS, PANELS, TAP_COUNT, CHUNK_COUNT, PATCH_SIZE = range(
    _blocks.NUMBERS_BYTES + 8, _blocks.NUMBERS_BYTES + 8 * 6, 8
)
"""Where the numbers of `depthwise_outer_products` lie."""


@task_kernel
def depthwise_outer_products(worker, workers, numbers, zero):
    """``sums[s, c] = Σ_t window_s(t)[c] · grad[t, c]``, by chunks of blocks, which are dealt to the workers in turn.

    Floats: ``x``; ``grad (pixels, channels)``; ``patches (workers, …)``, scratch; ``sums (chunks, tiles of
    filter positions, panels, tile, width)``, written; ``column_sums (chunks, panels, width)``, written: the
    chunk's sum of ``grad``.
    Ints: ``table (pixels of a block,)``, bytes from where a block is read from to its pixels; ``offsets (S,)``, bytes
    from a pixel to what each filter position sees, S rounded up to a multiple of `TAPS`.
    Numbers: those of the blocks, number of blocks, channels, panels, filter positions, chunks, elements per patch.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    blocks, channels, panels = get(own + _blocks.NUMBERS_BYTES), get(own + CHANNELS), get(own + PANELS)
    chunks = get(own + CHUNK_COUNT)
    chunk_bytes = (get(own + TAP_COUNT) + TAPS - 1) // TAPS * TAPS * panels * PANEL_BYTES
    patch = get(numbers + 16) + worker * get(own + PATCH_SIZE) * item
    height, width = get(own + _blocks.IMAGE_ROWS), get(own + _blocks.IMAGE_COLUMNS)
    for chunk in range(worker, chunks, workers):
        sums = get(numbers + 24) + chunk * chunk_bytes
        totals = get(numbers + 32) + chunk * panels * PANEL_BYTES
        zero_bytes(sums, chunk_bytes)
        zero_bytes(totals, panels * PANEL_BYTES)
        for block in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            place = block_at(block, own)
            origin = see(own, place, get(numbers), patch, zero)
            image, row, _, images, rows = place
            right = get(numbers + 8) + (image * height + row) * width * channels * item
            for panel in range(panels):
                _depthwise_outer_panel(panel, right, numbers, images * rows * width, origin, sums, totals, zero)


@helper
def _depthwise_outer_panel(panel, right, numbers, count, origin, sums, totals, zero):
    """All filter positions of one panel of channels, over one block of pixels."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    panels, taps, step = get(own + PANELS), get(own + TAP_COUNT), get(own + CHANNELS) * item
    shift = panel * PANEL_BYTES
    left = get(own + CHANNELS) - shift // item
    add_rows(right + shift, step, left, count, totals + shift, zero)
    for tap in range(0, taps, TAPS):
        tile = sums + (tap * panels + panel * TAPS) * PANEL_BYTES
        depthwise_outer_tile(
            get(numbers + 48), origin + shift, get(numbers + 56) + tap * 8, right + shift, step, count, zero, tile, left
        )  # fmt: skip
