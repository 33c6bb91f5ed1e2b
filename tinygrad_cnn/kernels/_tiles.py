"""Matrix products whose operands lie where they are: the loops around the micro-kernels.

A convolution is a matrix product: the left matrix has a row per output pixel (the window that the pixel sees) and the
right one a column per filter. Writing that left matrix out ("im2col") copies every pixel as often as the filter has
positions. Here it is never written; a *table* of offsets says where the pieces of each row lie in the image, and an
entry of −1 points to a row of zeros, which is how padding is read without being stored. One table, computed once per
geometry, serves all images of a batch, and covers stride, dilation, padding and groups alike.

    dot_products     out[t, :] = start + Σ_k row_t[k] · panel[k, :]           tiles of 6 pixels x 16 filters
    outer_products   sums[k, :] = Σ_t row_t[k] · grad[t, :]                   tiles of 6 positions x 16 filters

**Blocking.** The right matrix is packed into panels of `panel_width` columns, zero-filled, so that the micro-kernel
reads it as one stream. A task takes a block of pixels through all panels; a block of `BLOCK_BYTES` of a panel's rows
stays in the L2 cache while all tiles of the task pass over it (without this, 128 channels and up fall to two thirds
of the speed). Sums interrupted at such a border are continued from where they stood, so blocking changes no bit.

**Threads.** Tasks are dealt to the workers in turn. In `dot_products` each output element belongs to one task.
`outer_products` sums over pixels, so it cuts them into a number of chunks that depends on the shapes alone, and
`sum_chunks` adds those in order: the bits are those of one thread.

A body inside ``prange`` compiles 3 to 6 times slower than the same body in a function called from it, so each kernel
here is a bare loop around a helper.

Reference: M. Dukhan, "The indirect convolution algorithm", arXiv:1907.02129 (2019); E. Georganas et al., "Anatomy of
high-performance deep learning convolutions on SIMD architectures", SC 2018.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._jit import helper, kernel
from ._simd import ROWS, VECTOR_BYTES, VECTORS, address, dot_tile, outer_tile, transpose_block

PANEL_BYTES = VECTORS * VECTOR_BYTES

BLOCK_BYTES = 128 * 1024
"""Bytes of a panel that all tiles of a task pass over before the next: a quarter of a common L2 cache."""


@kernel
def pack_panels(matrix, terms, column_step, group_step, columns, panels_per_group, workers, panels):
    """``panels[g, b, k, l] = matrix[g·group_step + terms[k] + (b·width + l)·column_step]``, 0 beyond ``columns``.

    Args:
        matrix: The right operand, flat.
        terms: (K,) int64, where each term of the sum lies in it.
        column_step: Elements from one column to the next.
        group_step: Elements from one group's matrix to the next.
        columns: Columns of each group.
        panels_per_group: ``ceil(columns / width)``.
        workers: Threads to deal the panels to.
        panels: (groups · panels_per_group, K, width), written.
    """
    for worker in prange(workers):
        _pack_share(
            worker, workers, matrix, terms, column_step, group_step, columns, panels_per_group, panels
        )


@helper
def _pack_share(worker, workers, matrix, terms, column_step, group_step, columns, panels_per_group, panels):
    width = panels.shape[2]
    lanes = width // VECTORS
    item = panels.itemsize
    zero = panels.dtype.type(0)
    # A slice of every panel's terms to each worker: there may be fewer panels than workers.
    first = terms.size * worker // workers // lanes * lanes
    last = terms.size if worker == workers - 1 else terms.size * (worker + 1) // workers // lanes * lanes
    for p in range(panels.shape[0]):
        group, block = p // panels_per_group, p % panels_per_group
        start = group * group_step + block * width * column_step
        valid = min(width, columns - block * width)
        k = first
        while k < last:
            if (
                valid == width
                and column_step > 1
                and k + lanes <= last
                and terms[k + lanes - 1] - terms[k] == lanes - 1
            ):
                # Terms side by side, columns far apart: transpose in registers (4 times the speed of scalars).
                for v in range(VECTORS):
                    source = address(matrix) + (start + terms[k] + v * lanes * column_step) * item
                    target = address(panels) + ((p * terms.size + k) * width + v * lanes) * item
                    transpose_block(source, column_step * item, target, width * item, zero)
                k += lanes
                continue
            for column in range(valid):
                panels[p, k, column] = matrix[start + terms[k] + column * column_step]
            for column in range(valid, width):
                panels[p, k, column] = 0
            k += 1


@kernel
def dot_products(source, table, zeros, panels, starts, targets, numbers, floor, addresses, sums, out):
    """``out[n, t] = max(floor, start + window(n, t) · matrix)`` for all images n, pixels t and columns.

    Args:
        source: Flat array that the left rows lie in.
        table: (S, P) int64, offset of piece s of pixel t in an image; −1 for zeros.
        zeros: At least as many zeros as a pixel has channels.
        panels: (groups · panels_per_group, K, width), see `pack_panels`.
        starts: (groups · panels_per_group, width), what the sums start from: the bias, or 0.
        targets: (P,) int64, where in an image of ``out`` the pixel's results go.
        numbers: int64: images, elements per image of source and of out, run, elements per group in source, columns
            per group, panels per group, pixels per task, panel splits, first task, task after the last.
        floor: 0 for a fused ReLU, −inf for none.
        addresses: (workers, …) int64 scratch: ``6 · (tiles · (S + 2) + 1)`` for the tiles of a task.
        sums: (workers, tiles · 6 · width) scratch for interrupted sums.
        out: Flat array, written at the targets.
    """
    workers = addresses.shape[0]
    for worker in prange(workers):
        _dot_share(
            worker, workers, source, table, zeros, panels, starts, targets, numbers, floor, addresses[worker], sums[worker], out
        )


@helper
def _dot_share(
    worker, workers, source, table, zeros, panels, starts, targets, numbers, floor, addresses, sums, out
):
    """One worker's tasks: each a block of pixels and a range of panels."""
    pixels = numbers[0] * table.shape[1]
    block, splits = numbers[7], numbers[8]
    blocks = (pixels + block - 1) // block
    for task in range(numbers[9] + worker, min(numbers[10], blocks * splits), workers):
        first = task // splits * block
        split = task % splits
        count = min(block, pixels - first)
        low = panels.shape[0] * split // splits
        high = panels.shape[0] * (split + 1) // splits
        _find_rows(source, table, zeros, targets, numbers, first, count, addresses, sums, out)
        for panel in range(low, high):
            _dot_panel(source, table.shape[0], panels, starts, numbers, floor, count, panel, addresses)


@helper
def _find_rows(source, table, zeros, targets, numbers, first, count, addresses, sums, out):
    """Turn offsets into addresses, per tile: (segments, 6) pieces; then 6 targets, then 6 interrupted sums."""
    image_size, out_size = numbers[1], numbers[2]
    segments, area = table.shape
    item = out.itemsize
    nothing = address(zeros)
    tiles = (count + ROWS - 1) // ROWS
    place_of = tiles * segments * ROWS
    sums_of = place_of + tiles * ROWS
    for tile in range(tiles):
        for m in range(ROWS):
            # The last tile repeats the last pixel: the same bits are computed and written again.
            pixel = first + min(tile * ROWS + m, count - 1)
            image, t = pixel // area, pixel % area
            origin = address(source) + image * image_size * item
            for s in range(segments):
                offset = table[s, t]
                addresses[(tile * segments + s) * ROWS + m] = nothing if offset < 0 else origin + offset * item
            addresses[place_of + tile * ROWS + m] = address(out) + (image * out_size + targets[t]) * item
            addresses[sums_of + tile * ROWS + m] = address(sums) + (tile * ROWS + m) * PANEL_BYTES


@helper
def _dot_panel(source, segments, panels, starts, numbers, floor, count, panel, addresses):
    """All tiles of a task with one panel, `BLOCK_BYTES` of it at a time."""
    run, group_run, columns, per_group = numbers[3], numbers[4], numbers[5], numbers[6]
    item = source.itemsize
    lanes = VECTOR_BYTES // item
    group, block = panel // per_group, panel % per_group
    left = columns - block * VECTORS * lanes
    out_shift = (group * columns + block * VECTORS * lanes) * item
    shift = group * group_run * item
    lowest = source.dtype.type(-np.inf)
    tiles = (count + ROWS - 1) // ROWS
    place_of = tiles * segments * ROWS
    sums_of = place_of + tiles * ROWS
    biases = sums_of + tiles * ROWS
    for m in range(ROWS):
        addresses[biases + m] = address(starts) + panel * PANEL_BYTES
    # The sum over k is cut between pieces, or inside the only one.
    whole = run if segments == 1 else segments
    unit = PANEL_BYTES if segments == 1 else run * PANEL_BYTES
    step = max(1, BLOCK_BYTES // max(1, unit))
    done = 0
    while True:
        part = min(step, whole - done)
        last = done + part >= whole
        weights = address(panels) + panel * panels.shape[1] * PANEL_BYTES + done * unit
        for tile in range(tiles):
            pieces = address(addresses) + tile * segments * ROWS * 8
            move = shift
            if segments == 1:
                terms, move = part, shift + done * item
                parts = 1
            else:
                terms, parts = run, part
                pieces += done * ROWS * 8
            begin = address(addresses) + (biases if done == 0 else sums_of + tile * ROWS) * 8
            end = address(addresses) + ((place_of if last else sums_of) + tile * ROWS) * 8
            bound = floor if last else lowest
            if last:
                move_out = out_shift
            else:
                move_out = 0
            wide = left if last else VECTORS * lanes
            if left > lanes:
                dot_tile(2, pieces, move, parts, terms, weights, begin, bound, end, move_out, wide)
            else:
                dot_tile(1, pieces, move, parts, terms, weights, begin, bound, end, move_out, wide)
        done += part
        if last:
            break


@kernel
def outer_products(source, table, zeros, terms, rows, numbers, addresses, packed, sums, column_sums):
    """``sums[k, :] = Σ_t row_t[k] · rows[t, :]``, by chunks of pixels.

    Args:
        source: Flat array that the left rows lie in.
        table: (S, P) int64, offset of piece s of pixel t in an image; −1 for zeros.
        zeros: At least as many zeros as a pixel has channels.
        terms: (tiles · 6,) int64, bytes from a piece's beginning to each of its terms; the last ones repeat.
        rows: Flat (images · P, groups · columns), the right rows.
        numbers: int64: images, elements per image of source, elements per group in source, groups, columns per group,
            panels per group, chunks, splits of the left terms, pixels per block, first task, task after the last.
        addresses: (workers, S · pixels per block) int64 scratch.
        packed: (workers, panels · pixels per block · width) scratch.
        sums: Flat (chunks, groups, S, tiles, panels per group, 6, width), written.
        column_sums: (chunks, groups · columns), written: the chunk's sum of ``rows``.
    """
    workers = addresses.shape[0]
    for worker in prange(workers):
        _outer_share(
            worker, workers, source, table, zeros, terms, rows, numbers, addresses[worker], packed[worker], sums, column_sums
        )


@helper
def _outer_share(
    worker, workers, source, table, zeros, terms, rows, numbers, addresses, packed, sums, column_sums
):
    """One worker's tasks: each a chunk of pixels and a range of (group, piece, tile of terms)."""
    pixels = numbers[0] * table.shape[1]
    per_group, chunks, splits, block = numbers[5], numbers[6], numbers[7], numbers[8]
    units = numbers[3] * table.shape[0] * (terms.size // ROWS)
    unit_size = per_group * ROWS * (PANEL_BYTES // rows.itemsize)
    for task in range(numbers[9] + worker, min(numbers[10], chunks * splits), workers):
        chunk, split = task // splits, task % splits
        low, high = units * split // splits, units * (split + 1) // splits
        for i in range((chunk * units + low) * unit_size, (chunk * units + high) * unit_size):
            sums[i] = 0
        if split == 0:
            column_sums[chunk] = 0
        last = pixels * (chunk + 1) // chunks
        for first in range(pixels * chunk // chunks, last, block):
            count = min(block, last - first)
            _find_pixels(source, table, zeros, numbers, first, count, block, addresses)
            _pack_rows(rows, numbers, first, count, packed)
            if split == 0:
                _add_rows(rows, first, count, column_sums[chunk])
            _outer_units(
                rows, table.shape[0], terms, numbers, count, chunk * units, low, high, addresses, packed, sums
            )


@helper
def _find_pixels(source, table, zeros, numbers, first, count, block, addresses):
    """The address of every piece of every pixel of a block: (S, block)."""
    area = table.shape[1]
    item = source.itemsize
    for t in range(count):
        image, pixel = (first + t) // area, (first + t) % area
        origin = address(source) + image * numbers[1] * item
        for s in range(table.shape[0]):
            offset = table[s, pixel]
            addresses[s * block + t] = address(zeros) if offset < 0 else origin + offset * item


@helper
def _pack_rows(rows, numbers, first, count, packed):
    """Copy a block of right rows into panels (panel, count, width), zero-filled: aligned, and one stream each."""
    columns, per_group = numbers[4], numbers[5]
    total = numbers[3] * columns
    width = PANEL_BYTES // rows.itemsize
    place = 0
    for panel in range(numbers[3] * per_group):
        group, block = panel // per_group, panel % per_group
        start = group * columns + block * width
        valid = min(width, columns - block * width)
        for t in range(first, first + count):
            row = t * total + start
            if valid == width:
                for column in range(width):
                    packed[place + column] = rows[row + column]
            else:
                for column in range(valid):
                    packed[place + column] = rows[row + column]
                for column in range(valid, width):
                    packed[place + column] = 0
            place += width


@helper
def _add_rows(rows, first, count, total):
    columns = total.size
    for t in range(first, first + count):
        for column in range(columns):
            total[column] += rows[t * columns + column]


@helper
def _outer_units(rows, segments, terms, numbers, count, base, low, high, addresses, packed, sums):
    """Every tile of a range of (group, piece, tile of terms), over one block of pixels."""
    columns, per_group, block = numbers[4], numbers[5], numbers[8]
    tiles = terms.size // ROWS
    item = rows.itemsize
    lanes = VECTOR_BYTES // item
    zero = rows.dtype.type(0)
    for unit in range(low, high):
        group, rest = unit // (segments * tiles), unit % (segments * tiles)
        s, tile = rest // tiles, rest % tiles
        pieces = address(addresses) + s * block * 8
        offsets = address(terms) + tile * ROWS * 8
        for b in range(per_group):
            right = address(packed) + (group * per_group + b) * count * PANEL_BYTES
            target = address(sums) + ((base + unit) * per_group + b) * ROWS * PANEL_BYTES
            move = group * numbers[2] * item
            if columns - b * VECTORS * lanes > lanes:
                outer_tile(2, pieces, move, offsets, right, count, zero, target)
            else:
                outer_tile(1, pieces, move, offsets, right, count, zero, target)


@kernel
def sum_chunks(sums, column_sums, numbers, out, out_columns):
    """Add the chunks of `outer_products` in order and put the sums where they belong.

    Args:
        sums: (chunks, units, panels per group, 6, width), units being (group, piece, tile of terms).
        column_sums: (chunks, groups · columns).
        numbers: int64: groups, pieces, terms per piece, columns per group, step in ``out`` from term to term, from
            column to column, from group to group, workers.
        out: Flat, written.
        out_columns: (groups · columns,), written, or (0,) if not wanted.
    """
    for worker in prange(numbers[7]):
        _sum_share(worker, sums, column_sums, numbers, out, out_columns)


@helper
def _sum_share(worker, sums, column_sums, numbers, out, out_columns):
    workers = numbers[7]
    chunks, units, per_group, _, width = sums.shape
    for unit in range(units * worker // workers, units * (worker + 1) // workers):
        _sum_unit(unit, sums, numbers, out)
    for column in range(out_columns.size * worker // workers, out_columns.size * (worker + 1) // workers):
        total = column_sums[0, column]
        for chunk in range(1, chunks):
            total += column_sums[chunk, column]
        out_columns[column] = total


@helper
def _sum_unit(unit, sums, numbers, out):
    pieces, terms, columns = numbers[1], numbers[2], numbers[3]
    term_step, column_step, group_step = numbers[4], numbers[5], numbers[6]
    chunks, _, per_group, _, width = sums.shape
    tiles = (terms + ROWS - 1) // ROWS
    group, rest = unit // (pieces * tiles), unit % (pieces * tiles)
    first = rest // tiles * terms + rest % tiles * ROWS
    valid_rows = min(ROWS, terms - rest % tiles * ROWS)
    for b in range(per_group):
        for chunk in range(1, chunks):
            for m in range(ROWS):
                for column in range(width):
                    sums[0, unit, b, m, column] += sums[chunk, unit, b, m, column]
        valid = min(width, columns - b * width)
        start = group * group_step + b * width * column_step + first * term_step
        for column in range(valid):
            for m in range(valid_rows):
                out[start + column * column_step + m * term_step] = sums[0, unit, b, m, column]
