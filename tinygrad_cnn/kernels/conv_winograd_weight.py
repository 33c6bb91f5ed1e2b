"""The weight gradient of a 3x3 convolution by Winograd's method: F(2x2) and F(4x4) read backwards.

With the tiles and matrices of `conv_winograd`, d_t the patch of input pixels that tile t of the output sees and dy_t
the gradient of that tile,

    V[ξ][t][c] = (Bᵀ d_t B)[ξ]     Y[ξ][t][o] = (A dy_t Aᵀ)[ξ]     S[ξ] = V[ξ]ᵀ @ Y[ξ]     dw = Gᵀ S G

so n·n sums of outer products over tiles replace 9 sums over pixels: 2.25 multiplications per output pixel and pair of
channels instead of 9 in F(4x4).

**Blocking.** V and Y of a block of tiles are made first, and then added to the sums, some tiles at a time: what a tile
of channels and a panel of filters need of these lies in the L1 cache. Who shares what depends on which is more:

- *Many tiles* are cut into chunks with sums S of their own, added up at the end. A worker transforms a block of a chunk
  and adds it to the chunk's sums; the block never leaves its L2 cache, and workers never wait for each other.
- *Many sums*, or few tiles for them (256 channels have 9 MB of sums), exist only once, "shared": The workers share the
  tiles while these are transformed, and the sums while these are added to. Milliseconds for 16 images of 16x16 with 64,
  128, 256 and 512 channels on 2 cores of Zen 3: 1.3, 5.0, 20 and 74, while chunks take 2.9, 9.2, 44 and 247.

In groups, a tile of channels meets the panels of its group only.

Either way the shapes alone decide, and the tiles are added to a sum in order: no bit depends on the number of threads.

Reference: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, section 4.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._addresses import add_rows, get, size_of, zero_bytes
from ._blocks import fetch, share
from ._dot import PANEL_BYTES, row_bytes, vectors_for
from ._emitter import VECTOR_BYTES, VECTORS, panel_width
from ._image import zeros_for
from ._jit import helper, inlined
from ._outer import CHUNKS, place_columns
from ._simd import OUTER_ROWS, outer_tile
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, Program, Stage, TaskKernel, portion, task_kernel
from ._winograd import GAP, OWN_BYTES, new_row, run_at, transform_grad, transform_sums, transform_windows
from ._workspace import LEFT, OUT, OUT_COLUMNS, RIGHT, Carver

SHARED_BYTES = 512 * 1024
"""Bytes of V and Y that a shared block has per worker, if it is not to be too small."""

STRIP = 64
"""Tiles of a shared block that are added to the sums at a time."""

TASK = STRIP // CHUNKS
"""Tiles of a strip that one worker transforms. All tasks at one place in their strips have a sum of gradients."""

MANY_TILES = 128 * CHUNKS
"""From how many tiles on there are chunks."""

MANY_SUMS = 250_000
"""From how many sums on there are none."""


def shares(tiles: int, sums: int) -> bool:
    """Whether the workers had better share the sums, S, than have chunks of tiles."""
    return tiles < MANY_TILES or sums >= MANY_SUMS


def weight_grad_program(
    m: int, shared: bool, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool
) -> Program:
    """See `conv.prepare`; ``m`` is 2 or 4, and with ``shared`` there are no chunks."""
    N, H, W, C = x_shape
    O, groups = weight_shape[0], geometry.groups
    group_channels, group_filters = C // groups, O // groups
    OH, OW = geometry.output_size((H, W), (3, 3))
    down, across = -(-OH // m), -(-OW // m)
    positions, item, width = (m + 2) ** 2, dtype.itemsize, panel_width(dtype)
    per_group, tiles_of_group = -(-group_filters // width), -(-group_channels // OUTER_ROWS)
    panels, units = groups * per_group, groups * tiles_of_group
    tiles = N * down * across
    row = C + GAP  # from tile to tile of V
    each = units * per_group * OUTER_ROWS * width + GAP  # from position to position of S
    tile_bytes = positions * (row + panels * width) * item
    if shared:
        fitting = threads * (SHARED_BYTES // tile_bytes) // STRIP * STRIP
        block, buffers, chunks = min(tiles, max(STRIP, fitting)), 1, 1
    else:
        block, buffers, chunks = max(24, min(96, OWN_BYTES // tile_bytes)), threads, CHUNKS
    steps = (block * row + GAP, block * panels * width + GAP)  # from position to position of V, of Y
    carver = Carver(dtype)
    pixels, grads = (carver.take(buffers, positions * step) for step in steps)
    sums = carver.take(chunks, positions * each)
    column_sums = carver.take(CHUNKS, panels, width)
    terms = np.minimum(np.arange(tiles_of_group * OUTER_ROWS, dtype=np.int64), group_channels - 1)
    terms = (np.arange(groups)[:, None] * group_channels + terms).reshape(-1) * item
    rows = np.arange(max(block, STRIP), dtype=np.int64) * row * item
    zeros = zeros_for(max(W * C, OW * O), dtype)
    floats = (LEFT, RIGHT, pixels, grads, sums)
    ints = (column_sums, terms, rows, zeros)

    def stage(kernel: TaskKernel, work: int, first: int, count: int) -> Stage:
        numbers = (
            first, count, tiles, H, W, C, OH, OW, O, *geometry.padding, down, across, m, block, row, *steps, each,
            units, panels, with_bias, groups,
        )  # fmt: skip
        return Stage(kernel, work, floats, ints, numbers)

    products = positions * group_channels * O  # multiply-adds of a tile
    multiply_adds = products // MULTIPLY_ADDS
    stages = []
    if shared:
        for first in range(0, tiles, block):
            count = min(block, tiles - first)
            stages.append(stage(transform_tiles, count * positions * (C + O), first, count))
            stages.append(stage(winograd_outer_products, count * multiply_adds, first, count))
    else:
        most = max(threads, CHUNKS * LAUNCH_WORK // (tiles * products))
        for first in range(0, CHUNKS, most):
            count = min(most, CHUNKS - first)
            stages.append(stage(winograd_chunks, tiles * multiply_adds * count // CHUNKS, first, count))
    stages.append(
        Stage(
            finish_weight_grad, chunks * positions * each, (sums, column_sums, OUT, OUT_COLUMNS), (),
            (chunks, group_channels, m, group_filters, each, per_group, units, with_bias, groups),
        )
    )  # fmt: skip
    return Program(dtype, threads, stages, carver.used)


(
    START, COUNT, TILES, HEIGHT, WIDTH, CHANNELS, OUT_HEIGHT, OUT_WIDTH, FILTERS, PAD_TOP, PAD_LEFT, DOWN, ACROSS, M,
    BLOCK, PIXEL_ROW, PIXEL_STEP, GRAD_STEP, SUM_STEP, UNITS, PANELS, WITH_BIAS, GROUPS,
) = range(8 * FIRST, 8 * FIRST + 8 * 23, 8)  # fmt: skip
"""Where the numbers of the next three kernels lie: their first tile (or chunk) and how many, all tiles, the sizes of x
and grad, padding, tiles of an image down and across, m, tiles of a block, elements from tile to tile of V, and from
position to position of V, Y and S, units (tiles of channels) and panels of all groups, 1 if the gradients are summed
up, groups."""


@task_kernel
def winograd_chunks(worker, workers, numbers, zero):
    """``S[ξ] = V[ξ]ᵀ @ Y[ξ]`` by chunks of tiles, which are dealt to the workers in turn.

    Floats: ``x (N, H, W, C)``; ``grad (N, OH, OW, O)``; ``pixels (workers, n·n, tiles, C)``, V, and ``grads (workers,
    n·n, panels, tiles, width)``, Y, scratch; ``sums (chunks, n·n, units, panels, tile, width)``, written.
    Ints: ``column_sums (chunks, panels, width)``, floats, written: the chunk's sum of ``grad``, or zeros; ``terms
    (units · tile,)``, bytes from a pixel's beginning to each channel, the last ones repeating; ``rows (tiles,)``, bytes
    from V's first tile to each; ``zeros``, as many as a row of x, and one of ``grad``, has.
    """
    item = size_of(zero)
    positions = (get(numbers + M) + 2) * (get(numbers + M) + 2)
    units, panels, block = get(numbers + UNITS), get(numbers + PANELS), get(numbers + BLOCK)
    pixels = get(numbers + 16) + worker * positions * get(numbers + PIXEL_STEP) * item
    grads = get(numbers + 24) + worker * positions * get(numbers + GRAD_STEP) * item
    chunk_bytes = positions * get(numbers + SUM_STEP) * item
    tiles, start = get(numbers + TILES), get(numbers + START)
    for chunk in range(start + worker, start + get(numbers + COUNT), workers):
        sums = get(numbers + 32) + chunk * chunk_bytes
        totals = get(numbers + 48) + chunk * panels * PANEL_BYTES
        zero_bytes(sums, chunk_bytes)
        zero_bytes(totals, panels * PANEL_BYTES)
        last = tiles * (chunk + 1) // CHUNKS
        for first in range(tiles * chunk // CHUNKS, last, block):
            count = min(block, last - first)
            _transform_tiles(first, count, 0, numbers, pixels, grads, totals, zero)
            x, next_grads = _first_seen(first + count, numbers, item)
            x_end, grads_end = _first_seen(min(last, first + count + block), numbers, item)
            x_bytes, grad_bytes = share(x, x_end, positions), share(next_grads, grads_end, positions)
            for position in range(positions):
                fetch(x, x_bytes, position)
                fetch(next_grads, grad_bytes, position)
                _add_products(position, 0, units, 0, count, numbers, pixels, grads, sums, zero)


@task_kernel
def transform_tiles(worker, workers, numbers, zero):
    """V and Y of a block of tiles, and the sums of their gradients. Workers share the tasks of each strip.

    Arrays as in `winograd_chunks`: ``pixels`` and ``grads`` of one worker, written; ``column_sums``, of a task instead
    of a chunk, written by the first block and added to by the others.
    """
    start, count, panels = get(numbers + START), get(numbers + COUNT), get(numbers + PANELS)
    low, high = portion(worker, workers, CHUNKS)
    for task in range(low, high):
        totals = get(numbers + 48) + task * panels * PANEL_BYTES
        if start == 0:
            zero_bytes(totals, panels * PANEL_BYTES)
        for first in range(task * TASK, count, STRIP):
            many = min(TASK, count - first)
            _transform_tiles(start + first, many, first, numbers, get(numbers + 16), get(numbers + 24), totals, zero)


@task_kernel
def winograd_outer_products(worker, workers, numbers, zero):
    """``S[ξ] += V[ξ]ᵀ @ Y[ξ]`` for the tiles of `transform_tiles`. Workers share the n·n times as many units.

    Arrays as in `winograd_chunks`: ``sums`` of one chunk, written by the first block and added to by the others.
    """
    count, units = get(numbers + COUNT), get(numbers + UNITS)
    first, last = portion(worker, workers, (get(numbers + M) + 2) * (get(numbers + M) + 2) * units)
    while first < last:
        position, low = first // units, first % units
        high = min(units, low + last - first)
        if get(numbers + START) == 0:
            unit_bytes = get(numbers + PANELS) // get(numbers + GROUPS) * OUTER_ROWS * PANEL_BYTES
            sums = get(numbers + 32) + position * get(numbers + SUM_STEP) * size_of(zero)
            zero_bytes(sums + low * unit_bytes, (high - low) * unit_bytes)
        for strip in range(0, count, STRIP):
            many = min(STRIP, count - strip)
            pixels, grads, sums = get(numbers + 16), get(numbers + 24), get(numbers + 32)
            _add_products(position, low, high, strip, many, numbers, pixels, grads, sums, zero)
        first += high - low


@helper
def _first_seen(tile, numbers, item):
    """Where the rows of x, and of grad, begin that the tiles before a tile's row don't see."""
    m, margin, down, across = get(numbers + M), 2 - get(numbers + PAD_TOP), get(numbers + DOWN), get(numbers + ACROSS)
    x = new_row(tile, down, across, m, margin, get(numbers + HEIGHT))
    grad = new_row(tile, down, across, m, 0, get(numbers + OUT_HEIGHT))
    x *= get(numbers + WIDTH) * get(numbers + CHANNELS) * item
    grad *= get(numbers + OUT_WIDTH) * get(numbers + FILTERS) * item
    return get(numbers) + x, get(numbers + 8) + grad


@helper
def _transform_tiles(first, count, t, numbers, pixels, grads, totals, zero):
    """V and Y of neighbouring tiles, of which the first is number t of its block, and the sum of their gradients."""
    m, down, across = get(numbers + M), get(numbers + DOWN), get(numbers + ACROSS)
    tile, end = first, first + count
    while tile < end:
        image, i, j, many = run_at(tile, end, down, across, m)
        _transform_pixels(image, i, j, many, t + tile - first, numbers, pixels, zero)
        _transform_grads(image, i, j, many, t + tile - first, numbers, grads, totals, zero)
        tile += many


@inlined
def _transform_pixels(image, row, column, count, t, numbers, pixels, zero):
    """V of the patches that tiles side by side see."""
    item = size_of(zero)
    H, W, pixel, zeros = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS) * item, get(numbers + 72)
    top, left = row - get(numbers + PAD_TOP), column - get(numbers + PAD_LEFT)
    tile_step, step = get(numbers + PIXEL_ROW) * item, get(numbers + PIXEL_STEP) * item
    source, target = get(numbers) + image * H * W * pixel, pixels + t * tile_step
    transform_windows(
        get(numbers + M), source, H, W, pixel, zeros, top, left, count, target, tile_step, step, zero
    )  # fmt: skip


@inlined
def _transform_grads(image, row, column, count, t, numbers, grads, totals, zero):
    """Y of tiles side by side, as rows of panels; and, if it is wanted, the sum of their gradients."""
    item = size_of(zero)
    m, H, W, groups = get(numbers + M), get(numbers + OUT_HEIGHT), get(numbers + OUT_WIDTH), get(numbers + GROUPS)
    pixel, zeros, width = get(numbers + FILTERS) * item, get(numbers + 72), PANEL_BYTES // item
    columns, per_group = get(numbers + FILTERS) // groups, get(numbers + PANELS) // groups
    source, step = get(numbers + 8) + image * H * W * pixel, get(numbers + GRAD_STEP) * item
    if get(numbers + WITH_BIAS):
        many = min(count * m, W - column)
        for i in range(row, min(row + m, H)):
            place = source + (i * W + column) * pixel
            for panel in range(groups * per_group):
                low = panel % per_group * width
                begin = place + (panel // per_group * columns + low) * item
                add_rows(begin, pixel, columns - low, many, totals + panel * PANEL_BYTES, zero)
    vectors = columns * item // VECTOR_BYTES  # of a group
    for vector in range(groups * vectors):
        panel, side = vector % vectors // VECTORS, vector % vectors % VECTORS
        tile_step = row_bytes(columns - panel * width, zero)
        panel += vector // vectors * per_group
        target = grads + panel * get(numbers + BLOCK) * PANEL_BYTES + t * tile_step + side * VECTOR_BYTES
        begin = source + vector * VECTOR_BYTES
        if m == 4:
            transform_grad(4, begin, H, W, pixel, zeros, row, column, count, target, tile_step, step, zero)
        else:
            transform_grad(2, begin, H, W, pixel, zeros, row, column, count, target, tile_step, step, zero)


@inlined
def _add_products(position, low, high, first, count, numbers, pixels, grads, sums, zero):
    """Add the outer products of ``count`` tiles of a block to the units ``low`` to ``high`` of a position's sums."""
    item = size_of(zero)
    groups, width = get(numbers + GROUPS), PANEL_BYTES // item
    columns, per_group = get(numbers + FILTERS) // groups, get(numbers + PANELS) // groups
    tiles_of_group = get(numbers + UNITS) // groups
    rows = get(numbers + 64)
    origin = pixels + (position * get(numbers + PIXEL_STEP) + first * get(numbers + PIXEL_ROW)) * item
    begin = grads + position * get(numbers + GRAD_STEP) * item
    tile = sums + position * get(numbers + SUM_STEP) * item + low * per_group * OUTER_ROWS * PANEL_BYTES
    for unit in range(low, high):
        offsets = get(numbers + 56) + unit * OUTER_ROWS * 8
        for panel in range(per_group):
            right = begin + (unit // tiles_of_group * per_group + panel) * get(numbers + BLOCK) * PANEL_BYTES
            if vectors_for(columns - panel * width, zero) == VECTORS:
                outer_tile(2, OUTER_ROWS, rows, origin, offsets, right + first * PANEL_BYTES, count, zero, tile)
            else:
                outer_tile(1, OUTER_ROWS, rows, origin, offsets, right + first * VECTOR_BYTES, count, zero, tile)
            tile += OUTER_ROWS * PANEL_BYTES


@task_kernel
def finish_weight_grad(worker, workers, numbers, zero):
    """Add the chunks' sums in order, and ``dw = Gᵀ S G``. Workers share the units.

    Floats: ``sums`` and ``column_sums`` of `winograd_chunks`, whose first chunks are overwritten; ``out (O, 3, 3,
    C/groups)``, written; ``out_columns (O,)``, written if wanted.
    Numbers: chunks, channels of a group, m, filters of a group, elements from position to position of S, panels of a
    group, units of all, 1 if ``out_columns`` is wanted, groups.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    chunks, m, O, panels, units = get(own), get(own + 16), get(own + 24), get(own + 40), get(own + 48)
    positions, step = (m + 2) * (m + 2), get(own + 32) * item
    unit_bytes = panels * OUTER_ROWS * PANEL_BYTES
    low, high = portion(worker, workers, units)
    for unit in range(low, high):
        for position in range(positions):
            here = get(numbers) + position * step + unit * unit_bytes
            for chunk in range(1, chunks):
                other = here + chunk * positions * step
                for row in range(panels * OUTER_ROWS):
                    add_rows(
                        other + row * PANEL_BYTES, PANEL_BYTES, PANEL_BYTES // item, 1, here + row * PANEL_BYTES, zero
                    )
        _finish_unit(unit, numbers, zero)
    if worker == 0 and get(own + 56):
        place_columns(get(numbers + 8), get(numbers + 24), CHUNKS, get(own + 64), O, panels, zero)


@inlined
def _finish_unit(unit, numbers, zero):
    """Transform the sums of a tile of channels, and write their gradients for all filters."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    C, m, O, step, panels = get(own + 8), get(own + 16), get(own + 24), get(own + 32) * item, get(own + 40)
    sums = get(numbers) + unit * panels * OUTER_ROWS * PANEL_BYTES
    tiles_of_group = get(own + 48) // get(own + 64)
    out, first = get(numbers + 16) + unit // tiles_of_group * O * 9 * C * item, unit % tiles_of_group * OUTER_ROWS
    lane_count = VECTOR_BYTES // item
    for vector in range(O // lane_count):
        for row in range(min(OUTER_ROWS, C - first)):
            source = sums + (vector // VECTORS * OUTER_ROWS + row) * PANEL_BYTES + vector % VECTORS * VECTOR_BYTES
            target = out + (vector * lane_count * 9 * C + first + row) * item
            if m == 4:
                transform_sums(4, source, step, target, 9 * C * item, C * item, zero)
            else:
                transform_sums(2, source, step, target, 9 * C * item, C * item, zero)
