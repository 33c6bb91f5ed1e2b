"""Matrix products whose left rows lie in pieces of images: forward passes and input gradients.

    out[t, l] = start[l] + Σ_k row_t[k] · matrix[k, l]

A convolution is a matrix product: the left matrix has a row per output pixel (the window that the pixel sees) and the
right one a column per filter. Writing that left matrix out ("im2col") copies every pixel as often as the filter has
positions. Here it is never written: a row is a few *pieces* of the image, or of a zero-padded patch of it, and two
tables say where they lie, one with an offset per pixel of a block and one with an offset per piece (see `_blocks`).
They cover stride, dilation, padding and groups alike.

**Blocking.** The right matrix is packed into *panels* of `panel_width` columns, zero-filled, so that the micro-kernel
reads it as one stream. A task takes a block of pixels through all panels; a part of `PART_BYTES` of a panel stays in
the L2 cache while all tiles of the block pass over it (without this, 128 channels and up fall to two thirds of the
speed). Sums interrupted at such a border are continued from where they stood, so blocking changes no bit. Where all
pixels are one block, no two tasks use the same panel, and each packs its own, part by part: a layer 128→9216 with 64
rows reads its weights once instead of writing and reading them once more.

**Threads.** Each output element belongs to one task, and a worker takes tasks that lie side by side in memory: the
processor fetches ahead what is read in order.

Reference: M. Dukhan, "The indirect convolution algorithm", arXiv:1907.02129 (2019); E. Georganas et al., "Anatomy of
high-performance deep learning convolutions on SIMD architectures", SC 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _blocks
from ._addresses import copy_element, copy_row, get, put, size_of, zero_bytes
from ._blocks import LINE, Blocks, Grid, block_at, claim, fetch, first_seen, see, share
from ._emitter import VECTOR_BYTES, VECTORS, panel_width
from ._jit import helper
from ._simd import ROWS, dot_tile, lowest_of, transpose_block
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, At, Program, Stage, TaskKernel, task_kernel
from ._workspace import BIAS, LEFT, OUT, RIGHT, Array, Carver, round_up

BLOCK = 192
"""Pixels that a task takes through all panels: a multiple of `ROWS`."""

FEW_PIXELS = 512
"""Up to so many pixels are one block where there are several panels, so that each panel is packed by its task."""

WEIGHT_BYTES = 16 * 1024
"""Panels that are smaller together stay in the L1 cache, so a task takes a few tiles through all of them at a time: the
results are written, and the rows read, while they are there."""

TOGETHER = 4
"""Tiles that go through all panels together, if these are small."""

LARGE_OUT = 6 * 1024 * 1024
"""From so many bytes of results on they leave the L2 cache before they are read. If there are also `MANY_PANELS`, and
so only a part of each pixel is written at a time, they are claimed, and it is worth `MORE_WEIGHT_BYTES` that come from
the L2 cache to write whole pixels soon: with AVX2 (Zen 3) 64→128 1x1 @16 takes 0.91 of the time, 96→96 0.86 to 0.92.
"""

MANY_PANELS = 2 if VECTOR_BYTES == 64 else 4
"""From how many panels on that is so: two of AVX2's or SSE's, narrow as they are, are foreseen by the processor."""

MORE_WEIGHT_BYTES = 48 * 1024
"""So large may panels be together then."""

CLAIMED = max(1, 24 * LINE // (ROWS * VECTORS * VECTOR_BYTES))
"""Tiles that go through all panels together then: between two panels so many lines are claimed as a core waits for at a
time, 24. With AVX-512 (Zen 4) that is one tile: where the lines of the results have left the caches, 3→64 3x3 @32 takes
1.4 ms instead of 1.8 with four tiles, or unclaimed."""

PART_BYTES = 128 * 1024
"""Bytes of a panel that all tiles of a block pass over before the next: an eighth of an L2 cache of 1 MB."""

PANEL_BYTES = VECTORS * VECTOR_BYTES
"""Bytes of a row of a panel. Panels of half as many columns at most have rows of one vector."""


class Places(NamedTuple):
    """Where results go: elements from ``out`` to the first pixel's, and from image to image, row to row …"""

    first: int
    image: int
    row: int
    column: int


class Dot(NamedTuple):
    """``out[n, t, l] = start[l] + Σ_k window(n, t)[k] · matrix[k, l]``."""

    grid: Grid
    side_by_side: bool  # the taps of a filter row are one piece
    targets: Places
    terms: Array  # (K,) where the matrix's rows lie
    column_step: int  # from column to column of the matrix
    group_step: int
    groups: int
    columns: int  # per group

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.grid.pixels * self.terms.size * self.groups * self.columns

    @property
    def run(self) -> int:
        """Elements in a piece."""
        taps = len(self.grid.horizontal.taps) if self.side_by_side else 1
        return taps * self.grid.channels // self.groups

    def panels(self, dtype: Any) -> int:
        """Panels of a group."""
        return -(-self.columns // panel_width(dtype))

    def matrix(self, dtype: Any) -> tuple[int, ...]:
        """What kernels are told of the matrix, in the order of `TERMS` and what follows it."""
        side_by_side = bool(np.all(np.diff(self.terms) == 1))
        return (
            self.terms.size, self.groups, self.group_step, self.columns, self.column_step, self.panels(dtype),
            side_by_side,
        )  # fmt: skip


class Packed(NamedTuple):
    """The right matrix of a `Dot` and its panels."""

    matrix: At
    panels: At
    starts: At
    here: bool  # each task packs the panels that it needs


def dot_stages(
    dot: Dot,
    dtype: Any,
    threads: int,
    carver: Carver,
    with_bias: bool,
    relu: bool,
    left: At = LEFT,
    right: At = RIGHT,
    bias: At = BIAS,
    products: TaskKernel | None = None,
) -> list[Stage]:
    """Pack the matrix, then multiply; ``products`` is the kernel that does, default `dot_products`."""
    here = products is None and cut(dot, dtype, threads)[0].total == 1
    stage, packed = pack(dot, dtype, carver, with_bias, right, bias, here)
    return [stage, *multiply(dot, dtype, threads, carver, packed, relu, left, products=products)]


def phases_program(dots: Sequence[Dot], dtype: Any, threads: int, products: TaskKernel | None = None) -> Program:
    """An input gradient: one product after the other, each for the pixels of one phase of the stride."""
    stages, workspace = [], 0
    for dot in dots:
        carver = Carver(dtype)  # every phase uses the same memory
        stages += dot_stages(dot, dtype, threads, carver, with_bias=False, relu=False, products=products)
        workspace = max(workspace, carver.used)
    return Program(dtype, threads, stages, workspace)


def pack(
    dot: Dot,
    dtype: Any,
    carver: Carver,
    with_bias: bool,
    right: At = RIGHT,
    bias: At = BIAS,
    here: bool = False,
) -> tuple[Stage, Packed]:
    """Copy the right matrix into panels, or only the bias if each task packs its own (``here``)."""
    width, panels = panel_width(dtype), dot.groups * dot.panels(dtype)
    count = 0 if here else dot.terms.size
    packed = Packed(right, carver.take(panels, count, width), carver.take(panels, width), here)
    stage = Stage(
        pack_panels, panels * count * width, (right, packed.panels, bias, packed.starts), (dot.terms,),
        (*dot.matrix(dtype), count, with_bias),
    )  # fmt: skip
    return stage, packed


def multiply(
    dot: Dot,
    dtype: Any,
    threads: int,
    carver: Carver,
    packed: Packed,
    relu: bool,
    left: At = LEFT,
    out: At = OUT,
    products: TaskKernel | None = None,
) -> list[Stage]:
    """The product with a matrix, cut into stages of `LAUNCH_WORK` at most."""
    blocks, splits = cut(dot, dtype, threads)
    itemsize, width = np.dtype(dtype).itemsize, panel_width(dtype)
    pieces = blocks.pieces()
    pieces = pieces[:, 0] if dot.side_by_side else pieces.reshape(-1)
    targets = blocks.spread(*dot.targets[1:]) + dot.targets.first
    sums = round_up(blocks.pixels, ROWS) * width
    part = max(PART_BYTES // itemsize, dot.run * width) if packed.here else 0
    patch = round_up(blocks.patch_size, 64 // itemsize)
    scratch = carver.take(threads, patch + sums + part)
    tasks = blocks.total * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, dot.work))
    panels = dot.groups * dot.panels(dtype)
    large = panels >= MANY_PANELS and dot.grid.pixels * dot.groups * dot.columns * itemsize >= LARGE_OUT
    weights = 0 if packed.here else MORE_WEIGHT_BYTES if large else WEIGHT_BYTES
    together = CLAIMED if large else TOGETHER
    return [
        Stage(
            products or dot_products, min(step, tasks) * dot.work // (tasks * MULTIPLY_ADDS),
            (left, packed.matrix, packed.panels, packed.starts, scratch, out),
            (blocks.table() * itemsize, targets * itemsize, pieces * itemsize, dot.terms,
             carver.take_int64(threads, 3 * ROWS)),
            (first, first + step, *blocks.numbers, *dot.matrix(dtype), blocks.total, splits, relu, pieces.size, dot.run,
             dot.grid.channels // dot.groups, *dot.targets[1:], packed.here, weights, together, large and splits == 1,
             patch + sums + part, patch, sums),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip


def cut(dot: Dot, dtype: Any, threads: int) -> tuple[Blocks, int]:
    """Blocks of pixels, and parts that the panels are cut into; no bit depends on either."""
    itemsize = np.dtype(dtype).itemsize
    panels = dot.groups * dot.panels(dtype)
    few = dot.grid.pixels <= FEW_PIXELS and panels >= 4
    blocks = dot.grid.cut(FEW_PIXELS if few else BLOCK, itemsize)
    if threads == 1 or blocks.total >= 4 * threads:
        return blocks, 1
    if panels >= 2 * threads:
        return blocks, min(panels, 8 * threads)
    pixels = round_up(-(-dot.grid.pixels // (2 * threads)), ROWS)
    return dot.grid.cut(min(BLOCK, pixels), itemsize), 1


TERMS, GROUPS, GROUP_STEP, FILTERS, FILTER_STEP, PER_GROUP, TERMS_SIDE_BY_SIDE = range(0, 8 * 7, 8)
MATRIX_BYTES = 8 * 7
"""Where a matrix's numbers lie, see `Dot.matrix`: terms of a sum (its rows), groups, elements from one group's matrix
to the next, columns per group, elements from one column to the next, panels per group, 1 if all terms lie side by side.
"""


@task_kernel
def pack_panels(worker, workers, numbers, zero):
    """``panels[g, b, k, l] = matrix[g·group_step + terms[k] + (b·width + l)·column_step]``, 0 beyond the columns.

    Workers share the terms: there may be fewer panels than workers. The first also spreads the bias over the panels.

    Floats: ``matrix``, the right operand; ``panels (groups · panels per group, K, width)``, written; ``bias (groups ·
    columns,)``; ``starts (groups · panels per group, width)``, written with the bias, 0 beyond the columns.
    Ints: ``terms (K,)``, where each term of the sum lies in the matrix.
    Numbers: those of the matrix; terms to pack, K or none; 1 if there is a bias (0: the sums start from 0).
    """
    matrix = numbers + 8 * FIRST
    count, with_bias = get(matrix + MATRIX_BYTES), get(matrix + MATRIX_BYTES + 8)
    groups, per_group, columns = get(matrix + GROUPS), get(matrix + PER_GROUP), get(matrix + FILTERS)
    item = size_of(zero)
    if worker == 0:
        bias, starts = get(numbers + 16), get(numbers + 24)
        for group in range(groups):
            starts_of_group = starts + group * per_group * PANEL_BYTES
            spread_bias(with_bias, bias + group * columns * item, columns, starts_of_group, zero)
    lanes = VECTOR_BYTES // item
    low = count * worker // workers // lanes * lanes
    high = count if worker == workers - 1 else count * (worker + 1) // workers // lanes * lanes
    for panel in range(groups * per_group):
        target = get(numbers + 8) + panel * count * PANEL_BYTES
        _pack_terms(matrix, get(numbers), get(numbers + 48), panel, low, high, target, zero)


@helper
def spread_bias(present, bias, columns, starts, zero):
    """Copy a bias of ``columns`` numbers, or zeros, to rows of panels, zero-filled."""
    while columns > 0:
        if present:
            copy_row(2, bias, starts, columns, zero)
        else:
            zero_bytes(starts, PANEL_BYTES)
        bias += PANEL_BYTES
        starts += PANEL_BYTES
        columns -= PANEL_BYTES // size_of(zero)


@helper
def vectors_for(columns, zero):
    """Vectors in a row of a panel of so many columns."""
    return 1 if columns <= VECTOR_BYTES // size_of(zero) else VECTORS


@helper
def row_bytes(columns, zero):
    """Bytes of a row of a panel of so many columns."""
    return vectors_for(columns, zero) * VECTOR_BYTES


@helper
def _pack_terms(own, matrix, terms, panel, low, high, target, zero):
    """Pack the terms ``low`` to ``high`` of a panel to where they belong; its first one would go to ``target``."""
    item = size_of(zero)
    lanes = VECTOR_BYTES // item
    per_group, column_step = get(own + PER_GROUP), get(own + FILTER_STEP)
    first = panel % per_group * VECTORS * lanes
    valid = min(VECTORS * lanes, get(own + FILTERS) - first)
    vectors = vectors_for(valid, zero)
    row = vectors * VECTOR_BYTES
    start = matrix + (panel // per_group * get(own + GROUP_STEP) + first * column_step) * item
    target += low * row
    k = low
    while k < high:
        source = start + get(terms + 8 * k) * item
        if column_step == 1:
            if vectors == 1:
                copy_row(1, source, target, valid, zero)
            else:
                copy_row(2, source, target, valid, zero)
        elif get(own + TERMS_SIDE_BY_SIDE) and valid == vectors * lanes and k + lanes <= high:
            # Terms side by side, columns far apart: transposed in registers, 4 times the speed of scalars.
            for v in range(vectors):
                left = source + v * lanes * column_step * item
                transpose_block(left, column_step * item, target + v * VECTOR_BYTES, row, zero)
            k += lanes - 1
            target += (lanes - 1) * row
        else:
            zero_bytes(target, row)
            for column in range(valid):
                copy_element(source + column * column_step * item, target + column * item, zero)
        k += 1
        target += row


BLOCKS = 16
MATRIX = BLOCKS + _blocks.NUMBERS_BYTES
(
    COUNT, SPLITS, RELU, PIECES, RUN, GROUP_RUN, OUT_IMAGE, OUT_ROW, OUT_COLUMN, PACKED_HERE, WEIGHTS, TILES, CLAIMS,
    SCRATCH, PATCH, SUMS,
) = range(MATRIX + MATRIX_BYTES, MATRIX + MATRIX_BYTES + 8 * 16, 8)  # fmt: skip
"""Where the numbers of `dot_products` lie."""


@task_kernel
def dot_products(worker, workers, numbers, zero):
    """``out[n, t] = max(floor, start + window(n, t) · matrix)`` for all images n, pixels t and columns.

    A task is a block of pixels and a range of panels; each worker takes neighbouring ones.

    Floats: ``source``, that the left rows lie in; ``matrix``, read if it is packed here; ``panels (groups · panels per
    group, K, width)``, read if not; ``starts (groups · panels per group, width)``, what the sums start from; ``scratch
    (workers, …)``: a patch, interrupted sums, a part of a panel; ``out``, written.
    Ints: ``table`` and ``targets (pixels of a block,)``, bytes from where a block is read from, and written to, to its
    pixels; ``pieces (S,)``, bytes from a pixel's first piece to each; ``terms (K,)`` of the matrix; ``scratch (workers,
    3 tiles)``.
    Numbers: first task, task after the last, those of the blocks, those of the matrix, number of blocks, parts that
    the panels are cut into, 1 for ReLU, pieces, elements in a piece, elements per group in a pixel of the source,
    elements of ``out`` from image to image, from row to row and from column to column, 1 if panels are packed here,
    bytes that panels have at most together through which a few tiles go at a time, how many do, 1 if their results are
    claimed, elements of scratch per worker, of these in the patch, in the sums.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    blocks, splits = get(own + COUNT), get(own + SPLITS)
    panels = get(own + MATRIX + GROUPS) * get(own + MATRIX + PER_GROUP)
    panel_bytes = get(own + MATRIX + TERMS) * PANEL_BYTES
    patch = get(numbers + 32) + worker * get(own + SCRATCH) * item
    last = get(numbers + 80) + worker * 3 * 8 * ROWS
    tasks = min(get(own + 8), blocks * splits) - get(own)
    first_task, last_task = get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers
    for task in range(first_task, last_task):
        place = block_at(task % blocks, own + BLOCKS)
        origin = see(own + BLOCKS, place, get(numbers), patch, zero)
        count, target = pixels_of_block(numbers, place, zero)
        tiles = (count + ROWS - 1) // ROWS
        last_tile(numbers, count, ROWS, last)
        split = task // blocks
        low, high = panels * split // splits, panels * (split + 1) // splits
        following = min(task + 1, last_task - 1) % blocks
        begin, end = first_seen(own + BLOCKS, block_at(following, own + BLOCKS), get(numbers), zero)
        few = (high - low) * panel_bytes <= get(own + WEIGHTS)
        together = get(own + TILES) if few else tiles
        size = 0 if following == task % blocks else share(begin, end, (tiles + together - 1) // together * (high - low))
        for tile in range(0, tiles, together):
            after = min(tiles, tile + together)
            for panel in range(low, high):
                fetch(begin, size, tile // together * (high - low) + panel - low)
                if few and get(own + CLAIMS):
                    beyond = min(count, (after + together) * ROWS)
                    _claim(numbers, target, after * ROWS, beyond, panel - low, high - low, zero)
                _dot_panel(numbers, zero, panel, tile, after, tiles, origin, target, patch, last)


@helper
def _claim(numbers, target, low, high, part, parts, zero):
    """`claim` one part of where the results of the pixels ``low`` to ``high`` go."""
    own = numbers + 8 * FIRST
    size = get(own + MATRIX + GROUPS) * get(own + MATRIX + FILTERS) * size_of(zero)
    for pixel in range(low + (high - low) * part // parts, low + (high - low) * (part + 1) // parts):
        claim(target + get(get(numbers + 56) + 8 * pixel), size)


@helper
def pixels_of_block(numbers, place, zero):
    """How many pixels a block has, and the address that its results are counted from."""
    own = numbers + 8 * FIRST
    image, row, column, images, rows = place
    target = image * get(own + OUT_IMAGE) + row * get(own + OUT_ROW) + column * get(own + OUT_COLUMN)
    count = images * rows * get(own + BLOCKS + _blocks.BLOCK_COLUMNS)
    return count, get(numbers + 40) + target * size_of(zero)


@helper
def last_tile(numbers, count, rows, last):
    """Tables for a block's last tile, its last pixel repeated: sources, targets, and places for interrupted sums."""
    tile = (count - 1) // rows
    for m in range(rows):
        pixel = 8 * min(tile * rows + m, count - 1)
        put(last + 8 * m, get(get(numbers + 48) + pixel))
        put(last + 8 * (rows + m), get(get(numbers + 56) + pixel))
        put(last + 8 * (2 * rows + m), m * PANEL_BYTES)


@helper
def _dot_panel(numbers, zero, panel, low, high, tiles, origin, target, patch, last):
    """The tiles ``low`` to ``high`` of a block of ``tiles`` with one panel, `PART_BYTES` of it at a time."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    width = PANEL_BYTES // item
    per_group, pieces, run = get(own + MATRIX + PER_GROUP), get(own + PIECES), get(own + RUN)
    first = panel % per_group * width
    left = get(own + MATRIX + FILTERS) - first
    vectors = vectors_for(left, zero)
    row = vectors * VECTOR_BYTES
    origin += panel // per_group * get(own + GROUP_RUN) * item
    target += (panel // per_group * get(own + MATRIX + FILTERS) + first) * item
    floor = zero if get(own + RELU) else lowest_of(zero)
    sums = patch + get(own + PATCH) * item
    bias = get(numbers + 24) + panel * PANEL_BYTES
    weights = get(numbers + 16) + panel * pieces * run * PANEL_BYTES
    # The sum is cut between pieces, or inside the only one.
    whole = run if pieces == 1 else pieces
    unit = row if pieces == 1 else run * row
    step = max(1, PART_BYTES // max(1, unit))
    done = 0
    finished = False
    while not finished:
        part = min(step, whole - done)
        finished = done + part >= whole
        if pieces == 1:
            here, piece, segments, terms, begin = origin + done * item, get(numbers + 64), 1, part, done
        else:
            here, piece, segments, terms, begin = origin, get(numbers + 64) + 8 * done, part, run, done * run
        if get(own + PACKED_HERE):
            weights = sums + get(own + SUMS) * item
            packed, end = weights - begin * row, begin + segments * terms
            _pack_terms(own + MATRIX, get(numbers + 8), get(numbers + 72), panel, begin, end, packed, zero)
        for tile in range(low, high):
            rows, goals = get(numbers + 48) + tile * 8 * ROWS, get(numbers + 56) + tile * 8 * ROWS
            if tile == tiles - 1:
                rows, goals = last, last + 8 * ROWS
            sums_of_tile = sums + tile * ROWS * PANEL_BYTES
            start, start_step = (sums_of_tile, PANEL_BYTES) if done else (bias, 0)
            bound, goal, valid = floor, target, left
            if not finished:
                bound, goals, goal, valid = lowest_of(zero), last + 2 * 8 * ROWS, sums_of_tile, width
            if vectors == 1:
                dot_tile(1, rows, here, piece, segments, terms, weights, start, start_step, bound, goals, goal, valid)
            else:
                dot_tile(2, rows, here, piece, segments, terms, weights, start, start_step, bound, goals, goal, valid)
        done += part
        weights += part * unit
