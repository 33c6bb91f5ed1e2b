"""Sums of outer products over pixels: weight gradients.

    out[k, l] = Σ_t row_t[k] · rows[t, l],     and the sums of the right rows,  Σ_t rows[t, l]

The left rows are windows as in `_dot`, read in place or from patches; the right ones are the output's gradients. A
tile is some *terms* k, each with its offset from the pixel, by the columns of a panel; terms of all filter positions
and channels are numbered through, so that few channels fill tiles as well as many.

**Blocking.** A block's right rows are packed, `PACKED` at a time, into panels that stay in the L1 cache while all tiles
pass over them.

**Threads.** The pixels are cut into a number of chunks that depends on the shapes alone; each chunk has sums of its
own, which `sum_chunks` adds in order: the bits are those of one thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _blocks
from ._addresses import add_rows, copy_element, copy_row, get, size_of, zero_bytes
from ._blocks import Grid, block_at, fetch, first_seen, see, share
from ._dot import PANEL_BYTES, vectors_for
from ._emitter import panel_width
from ._jit import helper
from ._simd import MORE_ROWS, OUTER_ROWS, outer_tile
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, At, Stage, task_kernel
from ._workspace import OUT, OUT_COLUMNS, RIGHT, Array, Carver, round_up

BLOCK = 192
"""Pixels in a block, at most about."""

PACKED = 96
"""Right rows packed at a time: with the pixels that they meet they stay in an L1 cache of 32 KB."""

CHUNKS = 16
"""Most chunks that a sum over pixels is cut into: enough for 16 threads, whatever the number of threads is."""

SUMS_BYTES = 256 * 1024
"""Bytes of a chunk's sums that a task adds to: they stay in the L2 cache."""


class Outer(NamedTuple):
    """``out[k, l] = Σ_{n, t} window(n, t)[k] · rows[n, t, l]``."""

    grid: Grid
    groups: int
    columns: int  # per group
    term_step: int  # steps in the output
    column_step: int
    group_step: int

    @property
    def terms(self) -> int:
        """K: filter positions times channels of a group."""
        vertical, horizontal = self.grid.vertical, self.grid.horizontal
        return len(vertical.taps) * len(horizontal.taps) * self.grid.channels // self.groups

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.grid.pixels * self.terms * self.groups * self.columns

    @property
    def height(self) -> int:
        """Rows of a tile: as many as waste the fewest (9 terms: 0.22 instead of 0.30 ms for 64 images of 1→32 @28)."""
        return min((OUTER_ROWS, MORE_ROWS), key=lambda rows: round_up(self.terms, rows))


def outer_stages(
    outer: Outer,
    dtype: Any,
    threads: int,
    carver: Carver,
    left: At,
    with_columns: bool,
    out: At = OUT,
    out_columns: At = OUT_COLUMNS,
) -> list[Stage]:
    """Sum in chunks, then add up the chunks; ``with_columns`` also sums the right rows, into ``out_columns``."""
    itemsize, width = np.dtype(dtype).itemsize, panel_width(dtype)
    blocks = outer.grid.cut(block_pixels(outer.grid), itemsize, whole_rows=True)
    height = outer.height
    per_group, tiles = -(-outer.columns // width), -(-outer.terms // height)
    units, panels = outer.groups * tiles, outer.groups * per_group
    unit_bytes = height * per_group * width * itemsize
    chunks, splits = chunks_and_splits(units, unit_bytes, blocks.total)
    size = chunks * units * per_group * height * width
    sums, column_sums = carver.take(size), carver.take(chunks, panels, width)
    patch = round_up(blocks.patch_size, 64 // itemsize)
    scratch = carver.take(threads, patch + PACKED * width)
    channels = np.arange(outer.grid.channels // outer.groups)
    terms = (blocks.pieces()[..., None] + channels).reshape(-1)
    # The last tile's missing terms repeat its last one: computed, and never looked at.
    terms = terms[np.minimum(np.arange(tiles * height), outer.terms - 1)]
    tasks = chunks * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, outer.work))
    stages = [
        Stage(
            outer_products, min(step, tasks) * outer.work // (tasks * MULTIPLY_ADDS),
            (left, RIGHT, scratch, sums, column_sums), (blocks.table() * itemsize, terms * itemsize),
            (first, first + step, *blocks.numbers, blocks.total, outer.groups, outer.columns, per_group, tiles, chunks,
             splits, len(channels), patch + PACKED * width, patch, height),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip
    rows = np.arange(tiles * height)
    places = np.where(rows < outer.terms, rows * outer.term_step, -1)
    total = Sums(chunks, outer.groups, outer.columns, height, places, outer.column_step, outer.group_step)
    return [*stages, sum_stage(total, dtype, sums, column_sums, with_columns, out, out_columns)]


class Sums(NamedTuple):
    """Sums of outer products by chunks, and where they belong in the output."""

    chunks: int
    groups: int
    columns: int  # per group
    tile: int  # rows in a tile
    places: Array  # (tiles of a group · tile,) elements from the group's first to each row's first, −1 if not wanted
    column_step: int  # elements from column to column
    group_step: int

    def size(self, dtype: Any) -> int:
        """Elements of all chunks' sums: (chunks, groups, tiles, panels, tile, width)."""
        width = panel_width(dtype)
        return self.chunks * self.groups * self.places.size * round_up(self.columns, width)


def sum_stage(
    sums: Sums,
    dtype: Any,
    place: At,
    column_sums: At,
    with_columns: bool,
    out: At = OUT,
    out_columns: At = OUT_COLUMNS,
) -> Stage:
    """Add up the chunks at ``place``, and with ``with_columns`` those of the right rows."""
    per_group = -(-sums.columns // panel_width(dtype))
    return Stage(
        sum_chunks, sums.size(dtype), (place, column_sums, out, out_columns), (sums.places,),
        (sums.chunks, sums.groups, sums.places.size // sums.tile, sums.columns, per_group, sums.tile, sums.column_step,
         sums.group_step, with_columns),
    )  # fmt: skip


def block_pixels(grid: Grid) -> int:
    """Pixels in a block, about: fewer than `BLOCK` where there would be fewer blocks than `CHUNKS`."""
    return max(BLOCK // 4, min(BLOCK, grid.pixels // CHUNKS))


def chunks_and_splits(units: int, unit_bytes: int, blocks: int) -> tuple[int, int]:
    """How many chunks the blocks, and how many parts the units of the left terms, are cut into: by the shapes alone.

    Small results are summed in up to `CHUNKS` chunks, each with sums of its own. A result so large that a chunk's
    sums would leave the L2 cache is cut by terms first, and a result cut into enough parts needs no chunks.

    Args:
        units: Tiles of terms of all groups.
        unit_bytes: Bytes of the sums of one.
        blocks: Of pixels.
    """
    splits = max(1, min(units, -(-units * unit_bytes // SUMS_BYTES)))
    chunks = max(1, min(blocks, CHUNKS // min(splits, CHUNKS)))
    return chunks, splits


BLOCKS = 16
(
    COUNT, GROUPS, COLUMNS, PER_GROUP, TILES, CHUNK_COUNT, SPLITS, GROUP_RUN, SCRATCH, PATCH, HEIGHT,
) = range(BLOCKS + _blocks.NUMBERS_BYTES, BLOCKS + _blocks.NUMBERS_BYTES + 8 * 11, 8)  # fmt: skip
"""Where the numbers of `outer_products` lie."""


@task_kernel
def outer_products(worker, workers, numbers, zero):
    """``sums[k, :] = Σ_t row_t[k] · rows[t, :]``, by chunks of blocks.

    A task is a chunk and a range of units, a unit being a (group, tile of terms).

    Floats: ``source``, that the left rows lie in; ``rows (pixels, groups · columns)``, the right ones; ``scratch
    (workers, …)``: a patch, packed rows; ``sums (chunks, units, panels per group, tile, width)``, written;
    ``column_sums (chunks, groups · panels per group, width)``, written: the chunk's sum of ``rows``.
    Ints: ``table (pixels of a block,)``, bytes from where a block is read from to its pixels; ``terms (tiles of terms
    · tile,)``, bytes from a pixel to each of its terms, the last ones repeating.
    Numbers: first task, task after the last, those of the blocks, number of blocks, groups, columns per group, panels
    per group, tiles of terms, chunks, splits of the units, elements per group in a pixel of the source, elements of
    scratch per worker, of these in the patch, rows of a tile.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    blocks, chunks, splits = get(own + COUNT), get(own + CHUNK_COUNT), get(own + SPLITS)
    units, panels = get(own + GROUPS) * get(own + TILES), get(own + GROUPS) * get(own + PER_GROUP)
    unit_bytes = get(own + PER_GROUP) * get(own + HEIGHT) * PANEL_BYTES
    patch = get(numbers + 16) + worker * get(own + SCRATCH) * item
    height, width = get(own + BLOCKS + _blocks.IMAGE_ROWS), get(own + BLOCKS + _blocks.IMAGE_COLUMNS)
    pixel = get(own + GROUPS) * get(own + COLUMNS) * item
    for task in range(get(own) + worker, min(get(own + 8), chunks * splits), workers):
        chunk, split = task // splits, task % splits
        low, high = units * split // splits, units * (split + 1) // splits
        sums = get(numbers + 24) + chunk * units * unit_bytes
        zero_bytes(sums + low * unit_bytes, (high - low) * unit_bytes)
        totals = 0
        if split == 0:
            totals = get(numbers + 32) + chunk * panels * PANEL_BYTES
            zero_bytes(totals, panels * PANEL_BYTES)
        last = blocks * (chunk + 1) // chunks
        for block in range(blocks * chunk // chunks, last):
            place = block_at(block, own + BLOCKS)
            origin = see(own + BLOCKS, place, get(numbers), patch, zero)
            image, row, _, images, rows = place
            right = get(numbers + 8) + (image * height + row) * width * pixel
            count = images * rows * width
            steps = get(own + PER_GROUP) * (high - low)
            ahead = _read_by(block + 1, last, (count + PACKED - 1) // PACKED * steps, numbers, zero)
            for first in range(0, count, PACKED):
                some, here, part = min(PACKED, count - first), right + first * pixel, first // PACKED * steps
                _add_block(numbers, zero, origin, first, some, here, low, high, sums, totals, patch, ahead, part)


@helper
def _read_by(block, last, parts, numbers, zero):
    """What a block before ``last`` reads that the one before it does not, to be fetched in so many parts.

    Returns where its part of the source begins, and the bytes of one `share` of it; the same of the right rows.
    """
    if block >= last:
        return 0, 0, 0, 0
    own = numbers + 8 * FIRST
    place = block_at(block, own + BLOCKS)
    begin, end = first_seen(own + BLOCKS, place, get(numbers), zero)
    image, row, _, images, rows = place
    line = get(own + BLOCKS + _blocks.IMAGE_COLUMNS) * get(own + GROUPS) * get(own + COLUMNS) * size_of(zero)
    right = get(numbers + 8) + (image * get(own + BLOCKS + _blocks.IMAGE_ROWS) + row) * line
    return begin, share(begin, end, parts), right, share(right, right + images * rows * line, parts)


@helper
def _add_block(numbers, zero, origin, first, count, right, low, high, sums, totals, patch, ahead, part):
    """Add the outer products of ``count`` pixels of a block to the units ``low`` to ``high``.

    Meanwhile fetch what `_read_by` says of the next block, ``ahead``, from a part on.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    groups, columns, per_group, tiles = get(own + GROUPS), get(own + COLUMNS), get(own + PER_GROUP), get(own + TILES)
    packed, height = patch + get(own + PATCH) * item, get(own + HEIGHT)
    sources = get(numbers + 48) + first * 8
    width = PANEL_BYTES // item
    next_source, source_bytes, next_right, right_bytes = ahead
    for panel in range(groups * per_group):
        group, column = panel // per_group, panel % per_group * width
        vectors = vectors_for(columns - column, zero)
        row = right + (group * columns + column) * item
        if totals:
            add_rows(row, groups * columns * item, columns - column, count, totals + panel * PANEL_BYTES, zero)
        begin, end = max(low, group * tiles), min(high, (group + 1) * tiles)
        if begin >= end:
            continue
        for t in range(count):
            source = row + t * groups * columns * item
            if vectors == 1:
                copy_row(1, source, packed + t * PANEL_BYTES // 2, columns - column, zero)
            else:
                copy_row(2, source, packed + t * PANEL_BYTES, columns - column, zero)
        there = origin + group * get(own + GROUP_RUN) * item
        for unit in range(begin, end):
            tile = sums + (unit * per_group + panel % per_group) * height * PANEL_BYTES
            offsets = get(numbers + 56) + unit % tiles * height * 8
            fetch(next_source, source_bytes, part)
            fetch(next_right, right_bytes, part)
            part += 1
            if MORE_ROWS > OUTER_ROWS and height == MORE_ROWS:  # compiled only where there are two heights
                if vectors == 1:
                    outer_tile(1, MORE_ROWS, sources, there, offsets, packed, count, zero, tile)
                else:
                    outer_tile(2, MORE_ROWS, sources, there, offsets, packed, count, zero, tile)
            elif vectors == 1:
                outer_tile(1, OUTER_ROWS, sources, there, offsets, packed, count, zero, tile)
            else:
                outer_tile(2, OUTER_ROWS, sources, there, offsets, packed, count, zero, tile)


@task_kernel
def sum_chunks(worker, workers, numbers, zero):
    """Add the chunks of `outer_products` in order and put the sums where they belong. Workers share the units.

    Floats: ``sums (chunks, units, panels per group, tile, width)``, a unit being a (group, tile of terms), and
    ``column_sums (chunks, groups · panels per group, width)``, whose first chunks are overwritten; ``out``, written;
    ``out_columns (groups · columns,)``, written if wanted.
    Ints: ``places (tiles · tile,)``, elements from a group's first to where each row of its tiles goes, or −1.
    Numbers: chunks, groups, tiles of a group, columns per group, panels per group, rows in a tile, elements in ``out``
    from column to column and from group to group, 1 if ``out_columns`` is wanted.
    """
    own = numbers + 8 * FIRST
    chunks, groups, per_group = get(own), get(own + 8), get(own + 32)
    units, rows = groups * get(own + 16), per_group * get(own + 40)
    step = units * rows * PANEL_BYTES
    width = PANEL_BYTES // size_of(zero)
    for unit in range(units * worker // workers, units * (worker + 1) // workers):
        here = get(numbers) + unit * rows * PANEL_BYTES
        for row in range(rows):
            total = here + row * PANEL_BYTES
            add_rows(total + step, step, width, chunks - 1, total, zero)
        _place_unit(unit, here, numbers, zero)
    if worker == 0 and get(own + 64):
        place_columns(get(numbers + 8), get(numbers + 24), chunks, groups, get(own + 24), per_group, zero)


@helper
def _place_unit(unit, sums, numbers, zero):
    """Write one unit's sums, (panels, tile, width), to their places in ``out``."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    width = PANEL_BYTES // item
    tiles, columns, tile, column_step = get(own + 16), get(own + 24), get(own + 40), get(own + 48)
    places = get(numbers + 48) + unit % tiles * tile * 8
    start = get(numbers + 16) + unit // tiles * get(own + 56) * item
    for column in range(columns):
        source = sums + (column // width * tile * width + column % width) * item
        target = start + column * column_step * item
        for m in range(tile):
            place = get(places + 8 * m)
            if place >= 0:
                copy_element(source + m * PANEL_BYTES, target + place * item, zero)


@helper
def place_columns(column_sums, out, chunks, groups, columns, per_group, zero):
    """The sums of the right rows: all chunks' added, without the panels' filling.

    Args:
        column_sums: Address of (chunks, groups · panels per group, width), the first chunk overwritten.
        out: Address of (groups · columns,), written.
        chunks, groups, columns, per_group: Columns and panels are per group.
        zero: Any value of the dtype.
    """
    item = size_of(zero)
    width = PANEL_BYTES // item
    step = groups * per_group * PANEL_BYTES
    for panel in range(groups * per_group):
        here = column_sums + panel * PANEL_BYTES
        add_rows(here + step, step, width, chunks - 1, here, zero)
        first = panel % per_group * width
        for column in range(min(width, columns - first)):
            target = out + (panel // per_group * columns + first + column) * item
            copy_element(here + column * item, target, zero)


def sum_rows_stage(rows: int, columns: int, matrix: At, out: At) -> Stage:
    """Sum the rows of a matrix (rows, columns)."""
    return Stage(sum_rows, rows * columns, (matrix, out), (), (rows, columns))


@task_kernel
def sum_rows(worker, workers, numbers, zero):
    """``out[l] = Σ_t matrix[t, l]``, in the order of the rows. Workers share the columns.

    Floats: ``matrix (rows, columns)``; ``out (columns,)``, written.
    Numbers: rows, columns.
    """
    item = size_of(zero)
    rows, columns = get(numbers + 8 * FIRST), get(numbers + 8 * FIRST + 8)
    width = PANEL_BYTES // item
    panels = (columns + width - 1) // width
    for panel in range(panels * worker // workers, panels * (worker + 1) // workers):
        left, shift = columns - panel * width, panel * PANEL_BYTES
        zero_bytes(get(numbers + 8) + shift, min(left, width) * item)
        add_rows(get(numbers) + shift, columns * item, left, rows, get(numbers + 8) + shift, zero)
