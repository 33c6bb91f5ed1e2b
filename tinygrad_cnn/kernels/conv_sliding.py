"""Direct convolution by filters that slide by one pixel (stride 1, 3 or 5 taps wide) and fill no more than a vector, on
the tiles of `_sliding`.

**Forward, input gradient.** A block of rows is copied into *planes*, one per channel: there the pixels of a channel lie
side by side, rows one behind the other with KW − 1 pixels between them, so that a tile's pixels are at fixed distances
from one address. The copy is a transpose in registers and costs 5 % of a 16→16 layer. The input gradient is the same
with the filters turned around.

**Weight gradient.** The rows of pixels are read channels-last, from the image or a patch; the gradients are packed with
KW − 1 rows of zeros between two rows of pixels, so that what hangs over is multiplied by zero.

Like Winograd's tiles, the weight gradient lets an infinity or NaN at the edge of an image reach the taps beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _blocks
from ._addresses import add_rows, copy_bytes, copy_element, copy_row, get, put, size_of, zero_bytes
from ._blocks import (
    CHANNELS,
    HEIGHT,
    IMAGE_COLUMNS,
    IMAGE_ROWS,
    LOW_COLUMN,
    LOW_ROW,
    PATCH_HEIGHT,
    ROW_EXTENT,
    WIDTH,
    Axis,
    Blocks,
    Grid,
    block_at,
    see,
)
from ._dot import FILTERS, GROUPS, MATRIX_BYTES, PANEL_BYTES, Dot, Places, pack
from ._emitter import VECTOR_BYTES, lanes, panel_width
from ._jit import helper
from ._outer import Sums, block_pixels, chunks_and_splits, sum_stage
from ._simd import lowest_of, transpose_block
from ._sliding import TAPS, TILE_CHANNELS, sliding_outer_tile, sliding_tile, tile_pixels
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, Program, Stage, task_kernel
from ._workspace import LEFT, OUT, RIGHT, Carver, round_up
from .conv_direct import forward_grid, phases

BLOCK = 384
"""Output pixels in a block, about."""

PLANES_BYTES = 128 * 1024
"""Bytes of a block's planes, if they can be so few."""

CACHED_BYTES = 24 * 1024
"""Bytes of the pixels and packed gradients that all tiles of a weight gradient pass over: they stay in the L1 cache."""


def fits(kind: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: Any, dtype: Any) -> bool:
    """Whether filters slide by one pixel, along rows that make up for the gaps between them, and fill one vector.

    With two vectors of filters the direct tiles are better: they load a pixel and two vectors for two multiply-adds,
    while sliding has room for 4 pixels only in 16 registers (2 with 5 taps). Forward, 2 cores of Zen 1, milliseconds:

        64 images                            direct   sliding
        8→8, 3x3 @32                            1.5       1.3
        128→128 in 4 groups, 3x3 @16             17        20
        64→64, 5x5 @16                           44        71

    Where loads are not the bottleneck (`HALF_RATE`), there is nothing to gain, and `conv.choose` takes it only for one
    channel, whose planes are no transpose: Zen 4 with AVX-512 takes 3.9 and 4.9 for 16→16, 5x5 @32, but 0.13 and 0.09
    for 1→16, 3x3 @28.
    """
    filters, _, KW, group_channels = weight_shape
    columns = group_channels if kind == "input_grad" else filters // geometry.groups
    row = x_shape[2] if kind == "input_grad" else geometry.output_size(x_shape[1:3], weight_shape[1:3])[1]
    slides = geometry.stride == (1, 1) and geometry.dilation[1] == 1 and KW in TAPS and row >= 4 * (KW - 1)
    return slides and columns <= lanes(dtype) and (kind != "weight_grad" or group_channels >= TILE_CHANNELS)


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    O, KH, KW, group_channels = weight_shape
    grid = forward_grid(x_shape, weight_shape, geometry)
    p, c, q = np.ix_(np.arange(KH), np.arange(group_channels), np.arange(KW))
    size = KH * KW * group_channels
    dot = Dot(
        grid=grid,
        side_by_side=False,
        targets=_rows_of(grid, O),
        terms=((p * KW + q) * group_channels + c).reshape(-1),
        column_step=size,
        group_step=O // geometry.groups * size,
        groups=geometry.groups,
        columns=O // geometry.groups,
    )
    return _program(dot, dtype, threads, with_bias, relu)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    O, KH, KW, group_channels = weight_shape
    ((vertical, horizontal),) = phases(x_shape, weight_shape, geometry)
    grid = Grid(x_shape[0], vertical.axis, horizontal.axis, O)
    group_filters = O // geometry.groups
    p, o, q = np.ix_(vertical.positions, np.arange(group_filters), horizontal.positions)
    dot = Dot(
        grid=grid,
        side_by_side=False,
        targets=_rows_of(grid, x_shape[3]),
        terms=(((o * KH + p) * KW + q) * group_channels).reshape(-1),
        column_step=1,
        group_step=group_filters * KH * KW * group_channels,
        groups=geometry.groups,
        columns=group_channels,
    )
    return _program(dot, dtype, threads, with_bias=False, relu=False)


def _rows_of(grid: Grid, channels: int) -> Places:
    """The pixels of images with so many channels, one after the other."""
    row = grid.horizontal.pixels * channels
    return Places(0, grid.vertical.pixels * row, row, channels)


def _program(dot: Dot, dtype: Any, threads: int, with_bias: bool, relu: bool) -> Program:
    """Pack the filters, then take all blocks through them."""
    itemsize, width = dtype.itemsize, panel_width(dtype)
    grid = dot.grid
    vertical, horizontal = grid.vertical, grid.horizontal
    taps = len(horizontal.taps)
    longest = tile_pixels(taps)
    pitch = horizontal.reach(horizontal.pixels)
    rows = _rows_of_block(dot, pitch, itemsize, threads)
    blocks = Blocks(grid, 1, rows, horizontal.pixels)
    splits = dot.groups if blocks.total < 2 * threads else 1
    # An odd number of cache lines: neighbouring planes don't compete for the same places in the cache.
    plane = (round_up(vertical.reach(rows) * pitch + longest + taps, 16) // 16 | 1) * 16
    place = np.arange(round_up(rows * pitch, longest) + longest)
    i, j = place // pitch, place % pitch
    wanted = (j < horizontal.pixels) & (i < rows)
    targets = np.where(wanted, (i * dot.targets.row + j * dot.targets.column) * itemsize, -1)
    carver = Carver(dtype)
    stage, packed = pack(dot, dtype, carver, with_bias)
    scratch = grid.channels * plane + width
    planes, last = carver.take(threads, scratch), carver.take_int64(threads, longest)
    tasks = blocks.total * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, dot.work))
    products = [
        Stage(
            sliding_products, min(step, tasks) * dot.work // (tasks * MULTIPLY_ADDS),
            (LEFT, packed.panels, packed.starts, planes, OUT), (targets, last),
            (first, first + step, *blocks.numbers, *dot.matrix(dtype), blocks.total, splits, relu, taps,
             len(vertical.taps), _step(vertical) * pitch, pitch, plane, scratch, *dot.targets[1:3], longest),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip
    return Program(dtype, threads, [stage, *products], carver.used)


def _step(axis: Axis) -> int:
    """Pixels from one tap to the next."""
    return axis.taps[1] - axis.taps[0] if len(axis.taps) > 1 else 1


def _rows_of_block(dot: Dot, pitch: int, itemsize: int, threads: int) -> int:
    """Rows in a block: few enough for planes that stay in the cache, and for all threads to have work."""
    vertical = dot.grid.vertical
    rows = max(1, BLOCK // pitch)
    line = dot.grid.channels * pitch * itemsize
    rows = max(1, min(rows, PLANES_BYTES // line - (vertical.extent - 1)))
    if dot.groups < 2 * threads:
        rows = max(1, min(rows, dot.grid.images * vertical.pixels // (2 * threads)))
    return -(-vertical.pixels // -(-vertical.pixels // rows))


BLOCKS_AT = 16
MATRIX = BLOCKS_AT + _blocks.NUMBERS_BYTES
(
    COUNT, SPLITS, RELU, TAP_COUNT, FILTER_HEIGHT, ROW_STEP, PITCH, PLANE, SCRATCH, OUT_IMAGE, OUT_ROW, LONGEST,
) = range(MATRIX + MATRIX_BYTES, MATRIX + MATRIX_BYTES + 8 * 12, 8)  # fmt: skip
"""Where the numbers of `sliding_products` lie."""


@task_kernel
def sliding_products(worker, workers, numbers, zero):
    """``out[n, i, j] = max(floor, start + Σ_{p,c,q} x[n, c, i + p, j + q] · panel[p, c, q, :])``, zeros around x.

    A task is a block of rows and a range of groups; each worker takes neighbouring ones.

    Floats: ``source (N, H, W, C)``; ``panels (groups, K, width)``, their terms ordered by filter row, channel, tap,
    a vector of each; ``starts (groups, width)``, what the sums start from; ``planes (workers, …)``, scratch, a vector
    at the end; ``out``, written.
    Ints: ``targets``, bytes from a block's first result to that of each place in its planes, −1 for those between rows;
    ``last (workers, tile)``, scratch.
    Numbers: first task, task after the last, those of the blocks, those of the matrix, number of blocks, parts that the
    groups are cut into, 1 for ReLU, the filter's width and height, elements from a filter row to the next, from row to
    row, from plane to plane, and of scratch per worker; elements of ``out`` from image to image and from row to row;
    most pixels of a tile.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    blocks, splits = get(own + COUNT), get(own + SPLITS)
    groups = get(own + MATRIX + GROUPS)
    planes = get(numbers + 24) + worker * get(own + SCRATCH) * item
    last = get(numbers + 56) + worker * get(own + LONGEST) * 8
    tasks = min(get(own + 8), blocks * splits) - get(own)
    for task in range(get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers):
        image, row, _, _, rows = block_at(task % blocks, own + BLOCKS_AT)
        _fill_planes(own, image, row, rows, get(numbers), planes, zero)
        target = get(numbers + 32) + (image * get(own + OUT_IMAGE) + row * get(own + OUT_ROW)) * item
        split = task // blocks
        for group in range(groups * split // splits, groups * (split + 1) // splits):
            _slide_group(group, rows, numbers, planes, target, last, zero)


@helper
def _fill_planes(own, image, row, rows, source, planes, zero):
    """Copy what a block of rows sees into planes, zeros around it."""
    item = size_of(zero)
    blocks = own + BLOCKS_AT
    channels, H, W = get(blocks + CHANNELS), get(blocks + HEIGHT), get(blocks + WIDTH)
    pitch, plane = get(own + PITCH) * item, get(own + PLANE) * item
    zero_bytes(planes, channels * plane)
    top, left = row + get(blocks + LOW_ROW), get(blocks + LOW_COLUMN)
    begin, end = max(0, left), min(W, left + get(own + PITCH))
    for h in range(max(0, top), min(H, top + rows - 1 + get(blocks + ROW_EXTENT))):
        pixels = source + (image * H + h) * W * channels * item
        target = planes + (h - top) * pitch - left * item
        _turn_row(pixels, begin, end, channels, target, plane, zero)


@helper
def _turn_row(pixels, begin, end, channels, target, plane, zero):
    """Pixels ``begin`` to ``end`` of a row, (W, channels), to rows of their own, one per channel, ``plane`` apart."""
    item = size_of(zero)
    lane_count = VECTOR_BYTES // item
    if channels == 1:
        if end > begin:
            copy_bytes(pixels + begin * item, target + begin * item, (end - begin) * item)
        return
    whole = channels >= lane_count and end - begin >= lane_count
    if not whole:
        for w in range(begin, end):
            for c in range(channels):
                copy_element(pixels + (w * channels + c) * item, target + c * plane + w * item, zero)
        return
    c = 0
    while c < channels:
        c = min(c, channels - lane_count)  # the last blocks begin in those before them
        w = begin
        while w < end:
            w = min(w, end - lane_count)
            source = pixels + (w * channels + c) * item
            transpose_block(source, channels * item, target + c * plane + w * item, plane, zero)
            w += lane_count
        c += lane_count


PIXELS_3, PIXELS_5 = tile_pixels(3), tile_pixels(5)


@helper
def _slide_group(group, rows, numbers, planes, target, last, zero):
    """All tiles of a block for the filters of a group."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    taps, height, columns = get(own + TAP_COUNT), get(own + FILTER_HEIGHT), get(own + MATRIX + FILTERS)
    plane, pitch, row_step = get(own + PLANE) * item, get(own + PITCH), get(own + ROW_STEP) * item
    channels = get(own + BLOCKS_AT + CHANNELS) // get(own + MATRIX + GROUPS)
    weights = get(numbers + 8) + group * height * channels * taps * PANEL_BYTES
    start = get(numbers + 16) + group * PANEL_BYTES
    floor = zero if get(own + RELU) else lowest_of(zero)
    goal = target + group * columns * item
    dump = planes + channels * get(own + MATRIX + GROUPS) * plane
    pixels, end = PIXELS_3 if taps == 3 else PIXELS_5, rows * pitch
    place = 0
    while place < end - (taps - 1):
        x = planes + group * channels * plane + place * item
        targets = get(numbers + 48) + place * 8
        if place + pixels > end:  # the table goes on where this block ends
            for m in range(pixels):
                put(last + 8 * m, get(targets + 8 * m) if place + m < end else -1)
            targets = last
        if taps == 3:
            sliding_tile(3, x, plane, row_step, height, channels, weights, start, floor, targets, goal, dump, columns)
        else:
            sliding_tile(5, x, plane, row_step, height, channels, weights, start, floor, targets, goal, dump, columns)
        place += pixels


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    O, KH, KW, group_channels = weight_shape
    groups, columns, itemsize = geometry.groups, O // geometry.groups, dtype.itemsize
    grid = forward_grid(x_shape, weight_shape, geometry)
    blocks = grid.cut(block_pixels(grid), itemsize, whole_rows=True)
    width, together = panel_width(dtype), TILE_CHANNELS
    per_row = -(-group_channels // together)  # tiles of a filter row
    tile = KW * together
    p, first, q, c = np.ix_(np.arange(KH), np.arange(per_row) * together, np.arange(KW), np.arange(together))
    channel = np.minimum(first, group_channels - together) + c  # the last tile begins in the one before it
    places = np.where(channel >= first, (p * KW + q) * group_channels + channel, -1).reshape(-1)
    size = KH * KW * group_channels
    units = KH * per_row
    chunks, splits = chunks_and_splits(groups * units, tile * width * itemsize, blocks.total)
    total = Sums(chunks, groups, columns, tile, places, column_step=size, group_step=columns * size)
    carver = Carver(dtype)
    sums, column_sums = carver.take(total.size(dtype)), carver.take(chunks, groups, width)
    pitch = blocks.width
    pixel = min(grid.channels * itemsize, 64) + VECTOR_BYTES  # what a tile reads of one
    rows = min(blocks.rows, max(1, CACHED_BYTES // (pitch * pixel)))
    patch = round_up(blocks.patch_size, 64 // itemsize)
    scratch = patch + (rows * pitch + KW - 1) * lanes(dtype)
    place = carver.take(threads, scratch)
    work = grid.pixels * size * O
    tasks = chunks * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, work))
    products = [
        Stage(
            sliding_outer_products, min(step, tasks) * work // (tasks * MULTIPLY_ADDS),
            (LEFT, RIGHT, place, sums, column_sums), (),
            (first, first + step, *blocks.numbers, blocks.total, groups, columns, per_row, units, chunks, splits,
             group_channels, scratch, patch, KW, pitch, rows, _step(grid.vertical)),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip
    stages = [*products, sum_stage(total, dtype, sums, column_sums, with_bias)]
    return Program(dtype, threads, stages, carver.used)


(
    OUTER_COUNT, OUTER_GROUPS, OUTER_COLUMNS, PER_ROW, UNITS, CHUNK_COUNT, OUTER_SPLITS, GROUP_RUN, OUTER_SCRATCH,
    OUTER_PATCH, WIDTH_OF_FILTER, OUTER_PITCH, PACKED_ROWS, FILTER_ROW_STEP,
) = range(MATRIX, MATRIX + 8 * 14, 8)  # fmt: skip
"""Where the numbers of `sliding_outer_products` lie."""


@task_kernel
def sliding_outer_products(worker, workers, numbers, zero):
    """``sums[p, q, c, :] = Σ_{n,i,j} x[n, i + p, j + q, c] · grad[n, i, j, :]``, by chunks of blocks.

    A task is a chunk and a range of units, a unit being a (group, filter row, tile of channels).

    Floats: ``x (N, H, W, C)``; ``grad (pixels, groups · columns)``; ``scratch (workers, …)``: a patch, packed
    gradients; ``sums (chunks, units, taps, channels of a tile, width)``, written; ``column_sums (chunks, groups,
    width)``, written: the chunk's sum of ``grad``.
    Numbers: first task, task after the last, those of the blocks, number of blocks, groups, columns per group, tiles of
    a filter row, units per group, chunks, splits of the units, channels per group, elements of scratch per worker, of
    these in the patch, the filter's width, pixels from row to row, rows packed at a time, rows from one filter row to
    the next.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    blocks, chunks, splits = get(own + OUTER_COUNT), get(own + CHUNK_COUNT), get(own + OUTER_SPLITS)
    groups = get(own + OUTER_GROUPS)
    units, unit_bytes = groups * get(own + UNITS), TILE_CHANNELS * get(own + WIDTH_OF_FILTER) * PANEL_BYTES
    patch = get(numbers + 16) + worker * get(own + OUTER_SCRATCH) * item
    at = own + BLOCKS_AT
    line = get(at + IMAGE_COLUMNS) * groups * get(own + OUTER_COLUMNS) * item
    read_line = get(own + OUTER_PITCH) * get(at + CHANNELS) * item
    read_image = read_line * (get(at + PATCH_HEIGHT) if get(at + PATCH_HEIGHT) else get(at + HEIGHT))
    for task in range(get(own) + worker, min(get(own + 8), chunks * splits), workers):
        chunk, split = task // splits, task % splits
        low, high = units * split // splits, units * (split + 1) // splits
        sums = get(numbers + 24) + chunk * units * unit_bytes
        zero_bytes(sums + low * unit_bytes, (high - low) * unit_bytes)
        totals = 0
        if split == 0:
            totals = get(numbers + 32) + chunk * groups * PANEL_BYTES
            zero_bytes(totals, groups * PANEL_BYTES)
        for block in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            place = block_at(block, at)
            origin = see(at, place, get(numbers), patch, zero)
            image, row, _, images, rows = place
            for n in range(images):
                right = get(numbers + 8) + ((image + n) * get(at + IMAGE_ROWS) + row) * line
                for i in range(0, rows, get(own + PACKED_ROWS)):
                    count, x = min(get(own + PACKED_ROWS), rows - i), origin + n * read_image + i * read_line
                    _add_rows_of_pixels(numbers, zero, x, count, right + i * line, low, high, sums, totals, patch)


@helper
def _add_rows_of_pixels(numbers, zero, x, count, right, low, high, sums, totals, patch):
    """Add the outer products of ``count`` rows of pixels to the units ``low`` to ``high``."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    groups, columns, channels = get(own + OUTER_GROUPS), get(own + OUTER_COLUMNS), get(own + GROUP_RUN)
    per_row, units, taps = get(own + PER_ROW), get(own + UNITS), get(own + WIDTH_OF_FILTER)
    pitch, step = get(own + OUTER_PITCH), get(own + BLOCKS_AT + CHANNELS) * item
    line = pitch * step * get(own + FILTER_ROW_STEP)
    packed = patch + get(own + OUTER_PATCH) * item + (taps - 1) * VECTOR_BYTES
    for group in range(groups):
        begin, end = max(low, group * units), min(high, (group + 1) * units)
        if not totals and begin >= end:
            continue
        total = totals + group * PANEL_BYTES if totals else 0
        _pack_gradients(own, right + group * columns * item, count, columns, packed, total, zero)
        tile = sums + begin * taps * TILE_CHANNELS * PANEL_BYTES
        p, number = begin % units // per_row, begin % per_row
        for _ in range(begin, end):
            channel = group * channels + min(number * TILE_CHANNELS, channels - TILE_CHANNELS)
            pixels = x + p * line + channel * item
            if taps == 3:
                sliding_outer_tile(3, pixels, step, packed, count * pitch, zero, tile)
            else:
                sliding_outer_tile(5, pixels, step, packed, count * pitch, zero, tile)
            tile += taps * TILE_CHANNELS * PANEL_BYTES
            number += 1
            if number == per_row:
                p, number = p + 1, 0


@helper
def _pack_gradients(own, grads, count, columns, packed, total, zero):
    """Pack ``count`` rows of gradients in vectors, KW − 1 of zeros before and between; add them to ``total``."""
    taps, J = get(own + WIDTH_OF_FILTER), get(own + BLOCKS_AT + IMAGE_COLUMNS)
    pixel = get(own + OUTER_GROUPS) * get(own + OUTER_COLUMNS) * size_of(zero)
    gap = (taps - 1) * VECTOR_BYTES
    zero_bytes(packed - gap, gap)
    target = packed
    for i in range(count):
        source = grads + i * J * pixel
        for j in range(J):
            copy_row(1, source + j * pixel, target + j * VECTOR_BYTES, columns, zero)
        zero_bytes(target + J * VECTOR_BYTES, gap)
        target += J * VECTOR_BYTES + gap
        if total:
            add_rows(source, pixel, columns, J, total, zero)
