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

**Threads.** In `dot_products` each output element belongs to one task, and a worker takes tasks that lie side by side
in memory: the processor fetches ahead what is read in order.
`outer_products` sums over pixels, so it cuts them into a number of chunks that depends on the shapes alone, and
`sum_chunks` adds those in order: the bits are those of one thread.

Reference: M. Dukhan, "The indirect convolution algorithm", arXiv:1907.02129 (2019); E. Georganas et al., "Anatomy of
high-performance deep learning convolutions on SIMD architectures", SC 2018.
"""

from __future__ import annotations

from ._addresses import add_rows, copy_element, copy_row, find_addresses, get, put, size_of, zero_bytes
from ._emitter import VECTOR_BYTES, VECTORS
from ._jit import helper
from ._simd import ROWS, dot_tile, lowest_of, outer_tile, transpose_block
from ._tasks import FIRST, task_kernel

PANEL_BYTES = VECTORS * VECTOR_BYTES
TILE_OF_INT64 = ROWS * 8

WEIGHT_BYTES = 16 * 1024
"""Panels that are smaller together stay in the L1 cache, so a task takes a few tiles through all of them at a time: the
results are written, and the rows read, while they are there."""

TOGETHER = 4
"""Tiles that go through all panels together, if these are small."""

BLOCK_BYTES = 128 * 1024
"""Bytes of a panel that all tiles of a task pass over before the next: a quarter of a common L2 cache."""


@task_kernel
def pack_panels(worker, workers, numbers, zero):
    """``panels[g, b, k, l] = matrix[g·group_step + terms[k] + (b·width + l)·column_step]``, 0 beyond the columns.

    Workers share the terms: there may be fewer panels than workers. The first also spreads the bias over the panels.

    Floats: ``matrix``, the right operand; ``panels (groups · panels per group, K, width)``, written; ``bias (groups ·
    columns,)``; ``starts (groups · panels per group, width)``, written with the bias, 0 beyond the columns.
    Ints: ``terms (K,)``, where each term of the sum lies in the matrix.
    Numbers: K, groups, elements from one group's matrix to the next, columns per group, elements from one column to the
    next, panels per group, 1 if there is a bias (0: the sums start from 0).
    """
    matrix, panels, terms = get(numbers), get(numbers + 8), get(numbers + 48)
    own = numbers + 8 * FIRST
    count, groups, group_step, columns = get(own), get(own + 8), get(own + 16), get(own + 24)
    column_step, per_group = get(own + 32), get(own + 40)
    item = size_of(zero)
    if worker == 0:
        bias, starts = get(numbers + 16), get(numbers + 24)
        for group in range(groups):
            starts_of_group = starts + group * per_group * PANEL_BYTES
            spread_bias(get(own + 48), bias + group * columns * item, columns, starts_of_group, zero)
    lanes = VECTOR_BYTES // item
    width = VECTORS * lanes
    last = count if worker == workers - 1 else count * (worker + 1) // workers // lanes * lanes
    for p in range(groups * per_group):
        block = p % per_group
        start = matrix + (p // per_group * group_step + block * width * column_step) * item
        valid = min(width, columns - block * width)
        k = count * worker // workers // lanes * lanes
        while k < last:
            source = start + get(terms + 8 * k) * item
            target = panels + (p * count + k) * PANEL_BYTES
            if column_step == 1:
                copy_row(source, target, valid, zero)
                k += 1
            elif (
                valid == width
                and k + lanes <= last
                and get(terms + 8 * (k + lanes - 1)) - get(terms + 8 * k) == lanes - 1
            ):
                # Terms side by side, columns far apart: transposed in registers, 4 times the speed of scalars.
                for v in range(VECTORS):
                    left = source + v * lanes * column_step * item
                    transpose_block(left, column_step * item, target + v * VECTOR_BYTES, PANEL_BYTES, zero)
                k += lanes
            else:
                zero_bytes(target, PANEL_BYTES)
                for column in range(valid):
                    copy_element(source + column * column_step * item, target + column * item, zero)
                k += 1


@helper
def spread_bias(present, bias, columns, starts, zero):
    """Copy a bias of ``columns`` numbers, or zeros, to rows of panels, zero-filled."""
    while columns > 0:
        if present:
            copy_row(bias, starts, columns, zero)
        else:
            zero_bytes(starts, PANEL_BYTES)
        bias += PANEL_BYTES
        starts += PANEL_BYTES
        columns -= PANEL_BYTES // size_of(zero)


@task_kernel
def dot_products(worker, workers, numbers, zero):
    """``out[n, t] = max(floor, start + window(n, t) · matrix)`` for all images n, pixels t and columns.

    A task is a block of pixels and a range of panels; each worker takes neighbouring ones.

    Floats: ``source``, that the left rows lie in; ``zeros``, as many as a pixel has channels; ``panels (groups · panels
    per group, K, width)``; ``starts (groups · panels per group, width)``, what the sums start from; ``sums (workers,
    tiles · 6 · width)``, scratch for interrupted sums; ``out``, written.
    Ints: ``table (S or 1, P)``, offset of piece s of pixel t in an image, −1 for zeros; ``targets (P,)``, where in an
    image of ``out`` the pixel's results go; ``addresses (workers, 6 · (tiles · (S + 2) + 1))``, scratch, ``tiles``
    being those of a task.
    Numbers: first task, task after the last, images, elements per image of source and of out, run (elements in a
    piece), elements per group in source, groups, columns per group, panels per group, pixels per task, parts that the
    panels are cut into, pieces in the table, P, 1 for ReLU, int64 of scratch and elements of sums per worker, pieces of
    a row, elements from piece to piece where the table has only the first.
    """
    own = numbers + 8 * FIRST
    pixels = get(own + 16) * get(own + 104)
    count_panels, block, splits = get(own + 56) * get(own + 72), get(own + 80), get(own + 88)
    panel_bytes = get(own + 136) * get(own + 40) * PANEL_BYTES
    addresses = get(numbers + 64) + worker * get(own + 120) * 8
    blocks = (pixels + block - 1) // block
    tasks = min(get(own + 8), blocks * splits) - get(own)
    for task in range(get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers):
        first = task % blocks * block
        split = task // blocks
        count = min(block, pixels - first)
        find_rows(worker, numbers, first, count, zero, addresses)
        tiles = (count + ROWS - 1) // ROWS
        low, high = count_panels * split // splits, count_panels * (split + 1) // splits
        together = tiles if (high - low) * panel_bytes > WEIGHT_BYTES else TOGETHER
        for tile in range(0, tiles, together):
            for panel in range(low, high):
                weights = get(numbers + 16) + panel * panel_bytes
                _dot_panel(numbers, zero, tiles, tile, min(tiles, tile + together), panel, weights, addresses)


@helper
def find_rows(worker, numbers, first, count, zero, addresses):
    """Turn offsets into addresses, per tile: (segments, 6) pieces; then 6 targets, then 6 interrupted sums."""
    source, zeros, out = get(numbers), get(numbers + 8), get(numbers + 40)
    table, targets = get(numbers + 48), get(numbers + 56)
    own = numbers + 8 * FIRST
    item = size_of(zero)
    image_bytes, out_bytes = get(own + 24) * item, get(own + 32) * item
    pieces, area = get(own + 96), get(own + 104)
    tiles = (count + ROWS - 1) // ROWS
    place = addresses
    places = addresses + tiles * pieces * TILE_OF_INT64
    sums = get(numbers + 32) + worker * get(own + 128) * item
    image, t = first // area, first % area
    for tile in range(tiles):
        m = 0
        while m < ROWS:
            # Pixels of one image, as many as there are; the last tile repeats the last pixel: the same bits again.
            left = count - tile * ROWS - m
            run = min(ROWS - m, area - t, left) if left > 0 else 1
            origin, target = source + image * image_bytes, out + image * out_bytes
            for s in range(pieces):
                find_addresses(table + (s * area + t) * 8, run, origin, zeros, zero, place + s * TILE_OF_INT64 + m * 8)
            find_addresses(targets + t * 8, run, target, target, zero, places + m * 8)
            m += run
            if left > run:
                t += run
                if t == area:
                    image, t = image + 1, 0
            elif left > 0:
                t += run - 1
        for m in range(ROWS):
            put(places + tiles * TILE_OF_INT64 + m * 8, sums + (tile * ROWS + m) * PANEL_BYTES)
        place += pieces * TILE_OF_INT64
        places += TILE_OF_INT64


@helper
def _dot_panel(numbers, zero, tiles, low, high, panel, weights, addresses):
    """The tiles ``low`` to ``high`` of a task of ``tiles`` with one panel, `BLOCK_BYTES` of it at a time."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    lanes = VECTOR_BYTES // item
    run, group_run, columns, per_group = get(own + 40), get(own + 48), get(own + 64), get(own + 72)
    stored, segments, piece_step = get(own + 96), get(own + 136), get(own + 144) * item
    floor = zero if get(own + 112) else lowest_of(zero)
    group, block = panel // per_group, panel % per_group
    left = columns - block * VECTORS * lanes
    source_step = TILE_OF_INT64 if stored > 1 else 0
    places = addresses + tiles * stored * TILE_OF_INT64
    sums = places + tiles * TILE_OF_INT64
    biases = sums + tiles * TILE_OF_INT64
    for m in range(ROWS):
        put(biases + m * 8, get(numbers + 24) + panel * PANEL_BYTES)
    # The sum over k is cut between pieces, or inside the only one.
    whole = run if segments == 1 else segments
    unit = PANEL_BYTES if segments == 1 else run * PANEL_BYTES
    step = max(1, BLOCK_BYTES // max(1, unit))
    done = 0
    last = False
    while not last:
        part = min(step, whole - done)
        last = done + part >= whole
        bound = floor if last else lowest_of(zero)
        wide = left if last else VECTORS * lanes
        shift = group * group_run * item + done * (item if segments == 1 else piece_step)
        target_shift = (group * columns + block * VECTORS * lanes) * item if last else 0
        terms, parts = (part, 1) if segments == 1 else (run, part)
        for tile in range(low, high):
            row = tile * TILE_OF_INT64
            pieces = addresses + row * stored + done * source_step
            begin = biases if done == 0 else sums + row
            end = places + row if last else sums + row
            if left > lanes:
                dot_tile(
                    2,
                    pieces,
                    shift,
                    source_step,
                    piece_step,
                    parts,
                    terms,
                    weights,
                    begin,
                    bound,
                    end,
                    target_shift,
                    wide,
                )
            else:
                dot_tile(
                    1,
                    pieces,
                    shift,
                    source_step,
                    piece_step,
                    parts,
                    terms,
                    weights,
                    begin,
                    bound,
                    end,
                    target_shift,
                    wide,
                )
        done += part
        weights += part * unit


@task_kernel
def outer_products(worker, workers, numbers, zero):
    """``sums[k, :] = Σ_t row_t[k] · rows[t, :]``, by chunks of pixels.

    A task is a chunk of pixels and a range of units, a unit being a (group, piece, tile of terms).

    Floats: ``source``, that the left rows lie in; ``zeros``, as many as a pixel has channels; ``rows (images · P,
    groups · columns)``, the right rows; ``packed (workers, panels · pixels per block · width)``, scratch; ``sums
    (chunks, units, panels per group, 6, width)``, written; ``column_sums (chunks, groups · panels per group, width)``,
    written: the chunk's sum of ``rows``.
    Ints: ``table (S, P)``, offset of piece s of pixel t in an image, −1 for zeros; ``terms (tiles · 6,)``, bytes from a
    piece's beginning to each of its terms, the last ones repeating; ``addresses (workers, S · pixels per block)``,
    scratch.
    Numbers: first task, task after the last, images, elements per image of source, elements per group in source,
    groups, columns per group, panels per group, chunks, splits of the units, pixels per block, S, P, tiles.
    """
    own = numbers + 8 * FIRST
    segments, tiles = get(own + 88), get(own + 104)
    pixels = get(own + 16) * get(own + 96)
    panels = get(own + 40) * get(own + 56)
    chunks, splits, block = get(own + 64), get(own + 72), get(own + 80)
    units = get(own + 40) * segments * tiles
    unit_bytes = get(own + 56) * ROWS * PANEL_BYTES
    width = PANEL_BYTES // size_of(zero)
    packed = get(numbers + 24) + worker * panels * block * PANEL_BYTES
    addresses = get(numbers + 64) + worker * segments * block * 8
    for task in range(get(own) + worker, min(get(own + 8), chunks * splits), workers):
        chunk, split = task // splits, task % splits
        low, high = units * split // splits, units * (split + 1) // splits
        sums = get(numbers + 32) + chunk * units * unit_bytes
        zero_bytes(sums + low * unit_bytes, (high - low) * unit_bytes)
        totals = get(numbers + 40) + chunk * panels * PANEL_BYTES
        if split == 0:
            zero_bytes(totals, panels * PANEL_BYTES)
        last = pixels * (chunk + 1) // chunks
        for first in range(pixels * chunk // chunks, last, block):
            count = min(block, last - first)
            find_pixels(numbers, first, count, zero, addresses)
            _pack_rows(numbers, first, count, zero, packed)
            if split == 0:
                for panel in range(panels):
                    add_rows(
                        packed + panel * count * PANEL_BYTES,
                        PANEL_BYTES,
                        width,
                        count,
                        totals + panel * PANEL_BYTES,
                        zero,
                    )
            for unit in range(low, high):
                _outer_unit(unit, numbers, count, zero, addresses, packed, sums + unit * unit_bytes)


@helper
def find_square(image, top, left, side, H, W, pixel_bytes, zeros, addresses):
    """The addresses of side x side pixels of an image (H, W); pixels outside it lie at ``zeros``."""
    for i in range(side):
        for j in range(side):
            h, w = top + i, left + j
            inside = h >= 0 and h < H and w >= 0 and w < W
            put(addresses + (i * side + j) * 8, image + (h * W + w) * pixel_bytes if inside else zeros)


@helper
def find_pixels(numbers, first, count, zero, addresses):
    """The address of every piece of every pixel of a block: (S, pixels per block)."""
    source, zeros, table = get(numbers), get(numbers + 8), get(numbers + 48)
    own = numbers + 8 * FIRST
    item = size_of(zero)
    image_bytes, block = get(own + 24) * item, get(own + 80)
    segments, area = get(own + 88), get(own + 96)
    t = 0
    while t < count:
        image, pixel = (first + t) // area, (first + t) % area
        origin, run = source + image * image_bytes, min(count - t, area - pixel)
        for s in range(segments):
            find_addresses(table + (s * area + pixel) * 8, run, origin, zeros, zero, addresses + (s * block + t) * 8)
        t += run


@helper
def _pack_rows(numbers, first, count, zero, packed):
    """Copy a block of right rows into panels (panel, count, width), zero-filled: aligned, and one stream each."""
    rows = get(numbers + 16)
    own = numbers + 8 * FIRST
    item = size_of(zero)
    groups, columns, per_group = get(own + 40), get(own + 48), get(own + 56)
    width = PANEL_BYTES // item
    target = packed
    for panel in range(groups * per_group):
        group, block = panel // per_group, panel % per_group
        source = rows + (first * groups * columns + group * columns + block * width) * item
        for _ in range(count):
            copy_row(source, target, columns - block * width, zero)
            source += groups * columns * item
            target += PANEL_BYTES


@helper
def _outer_unit(unit, numbers, count, zero, addresses, packed, target):
    """One (group, piece, tile of terms) with all panels of its group, over one block of pixels."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    lanes = VECTOR_BYTES // item
    columns, per_group, block = get(own + 48), get(own + 56), get(own + 80)
    segments, tiles = get(own + 88), get(own + 104)
    group, rest = unit // (segments * tiles), unit % (segments * tiles)
    pieces = addresses + rest // tiles * block * 8
    offsets = get(numbers + 56) + rest % tiles * TILE_OF_INT64
    shift = group * get(own + 32) * item
    right = packed + group * per_group * count * PANEL_BYTES
    for _ in range(per_group):
        if columns > lanes:
            outer_tile(2, pieces, shift, offsets, right, count, zero, target)
        else:
            outer_tile(1, pieces, shift, offsets, right, count, zero, target)
        columns -= VECTORS * lanes
        right += count * PANEL_BYTES
        target += ROWS * PANEL_BYTES


@task_kernel
def sum_chunks(worker, workers, numbers, zero):
    """Add the chunks of `outer_products` in order and put the sums where they belong. Workers share the units.

    Floats: ``sums`` and ``column_sums`` of `outer_products`, whose first chunks are overwritten; ``out``, written;
    ``out_columns (groups · columns,)``, written if wanted.
    Numbers: chunks, groups, pieces, terms per piece, columns per group, panels per group, elements in ``out`` from term
    to term, from column to column and from group to group, 1 if ``out_columns`` is wanted.
    """
    sums = get(numbers)
    own = numbers + 8 * FIRST
    chunks, groups, pieces, per_group = get(own), get(own + 8), get(own + 16), get(own + 40)
    tiles = (get(own + 24) + ROWS - 1) // ROWS
    units = groups * pieces * tiles
    rows = per_group * ROWS
    width = PANEL_BYTES // size_of(zero)
    for unit in range(units * worker // workers, units * (worker + 1) // workers):
        here = sums + unit * rows * PANEL_BYTES
        for chunk in range(1, chunks):
            other = here + chunk * units * rows * PANEL_BYTES
            for row in range(rows):
                add_rows(other + row * PANEL_BYTES, PANEL_BYTES, width, 1, here + row * PANEL_BYTES, zero)
        _place_unit(unit, here, numbers, zero)
    if worker == 0 and get(own + 72):
        place_columns(numbers, zero)


@helper
def _place_unit(unit, sums, numbers, zero):
    """Write one unit's sums, (panels, 6, width), to their places in ``out``."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    width = PANEL_BYTES // item
    pieces, terms, columns = get(own + 16), get(own + 24), get(own + 32)
    term_step, column_step, group_step = get(own + 48), get(own + 56), get(own + 64)
    tiles = (terms + ROWS - 1) // ROWS
    group, rest = unit // (pieces * tiles), unit % (pieces * tiles)
    term = rest % tiles * ROWS
    start = get(numbers + 16) + (group * group_step + (rest // tiles * terms + term) * term_step) * item
    for column in range(columns):
        source = sums + (column // width * ROWS * width + column % width) * item
        target = start + column * column_step * item
        for m in range(min(ROWS, terms - term)):
            copy_element(source + m * PANEL_BYTES, target + m * term_step * item, zero)


@helper
def place_columns(numbers, zero):
    """The sums of the right rows: all chunks' added, without the panels' filling."""
    column_sums, out_columns = get(numbers + 8), get(numbers + 24)
    own = numbers + 8 * FIRST
    item = size_of(zero)
    width = PANEL_BYTES // item
    chunks, groups, columns, per_group = get(own), get(own + 8), get(own + 32), get(own + 40)
    for panel in range(groups * per_group):
        here = column_sums + panel * PANEL_BYTES
        for chunk in range(1, chunks):
            add_rows(here + chunk * groups * per_group * PANEL_BYTES, PANEL_BYTES, width, 1, here, zero)
        first = panel % per_group * width
        for column in range(min(width, columns - first)):
            target = out_columns + (panel // per_group * columns + first + column) * item
            copy_element(here + column * item, target, zero)
