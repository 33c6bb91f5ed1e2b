"""The weight gradient of a 3x3 convolution by Winograd's method: F(2x2) and F(4x4) read backwards.

With the tiles and matrices of `conv_winograd`, d_t the patch of input pixels that tile t of the output sees and dy_t
the gradient of that tile,

    V[ξ][t][c] = (Bᵀ d_t B)[ξ]     Y[ξ][t][o] = (A dy_t Aᵀ)[ξ]     S[ξ] = V[ξ]ᵀ @ Y[ξ]     dw = Gᵀ S G

so n·n sums of outer products over tiles replace 9 sums over pixels: 2.25 multiplications per output pixel and pair of
channels instead of 9 in F(4x4).

**Blocking.** The tiles are cut into chunks, by the shapes alone; a chunk has sums S of its own, which are added in
order at the end, so no bit depends on the number of threads. Within a chunk, V and Y of a block of tiles stay in the
cache while all n·n sums pass over them.

Reference: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, section 4.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._addresses import add_rows, get, put, size_of, zero_bytes
from ._blocks import find_square
from ._dot import PANEL_BYTES
from ._emitter import VECTOR_BYTES, VECTORS, panel_width
from ._jit import inlined
from ._outer import CHUNKS, place_columns
from ._simd import OUTER_ROWS, outer_tile
from ._tasks import FIRST, MULTIPLY_ADDS, Program, Stage, task_kernel
from ._winograd import GAP, transform_grad, transform_input, transform_sums
from ._workspace import LEFT, OUT, OUT_COLUMNS, RIGHT, Carver, round_up, zero_row

CACHE_BYTES = 512 * 1024
"""Bytes of transformed pixels and gradients that a block of tiles has, if it is not to be too small."""

SUMS_BYTES = 16 * 1024 * 1024
"""Bytes of all chunks' sums together, at most."""


def weight_grad_program(
    m: int, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`; ``m`` is 2 or 4."""
    N, H, W, C = x_shape
    O = weight_shape[0]
    OH, OW = geometry.output_size((H, W), (3, 3))
    down, across = -(-OH // m), -(-OW // m)
    positions, item, width = (m + 2) ** 2, dtype.itemsize, panel_width(dtype)
    panels, units = -(-O // width), -(-C // OUTER_ROWS)
    tiles = N * down * across
    size = positions * units * panels * OUTER_ROWS * width
    chunks = max(1, min(CHUNKS, SUMS_BYTES // (size * item), tiles // 8))
    block = CACHE_BYTES // (positions * (C + panels * width) * item)
    block = max(24, min(96, round_up(block, 8), -(-tiles // chunks)))
    steps = tuple(block * row + GAP for row in (C, panels * width))  # from position to position of V, of Y
    carver = Carver(dtype)
    sums = carver.take(chunks, size)
    column_sums = carver.take(chunks, panels, width)
    buffer = positions * sum(steps)
    buffers = carver.take(threads, buffer)
    listed = positions + m * m + block
    addresses = carver.take_int64(threads, listed)
    terms = np.minimum(np.arange(units * OUTER_ROWS, dtype=np.int64), C - 1) * item
    stages = [
        Stage(
            winograd_outer_products, tiles * positions * C * O // MULTIPLY_ADDS,
            (LEFT, zero_row(max(C, O), dtype), RIGHT, buffers, sums, column_sums), (terms, addresses),
            (chunks, N, H, W, C, OH, OW, O, *geometry.padding, down, across, m, block, *steps, units, panels,
             buffer, listed),
        ),
        Stage(
            finish_weight_grad, chunks * size, (sums, column_sums, OUT, OUT_COLUMNS), (),
            (chunks, 1, C, m, O, panels, units, with_bias),
        ),
    ]  # fmt: skip
    return Program(dtype, threads, stages, carver.used)


def pays(channels: int, filters: int) -> bool:
    """Whether the sums are small enough for several chunks, and so for several threads."""
    return 36 * channels * filters * 4 * 4 <= SUMS_BYTES


@task_kernel
def winograd_outer_products(worker, workers, numbers, zero):
    """``S[ξ] = V[ξ]ᵀ @ Y[ξ]`` by chunks of tiles, which are dealt to the workers in turn.

    Floats: ``x (N, H, W, C)``; ``zeros``, as many as a pixel has channels; ``grad (N, OH, OW, O)``; ``buffers (workers,
    …)``, scratch for V and Y; ``sums (chunks, n·n, units, panels, tile, width)``, written, a unit being a tile of x's
    channels; ``column_sums (chunks, panels, width)``, written: the chunk's sum of ``grad``.
    Ints: ``terms (units · tile,)``, bytes from a pixel's beginning to each channel, the last ones repeating;
    ``addresses (workers, …)``, scratch.
    Numbers: chunks, N, H, W, C, OH, OW, O, padding, tiles of an image down and across, m, tiles per block, elements
    from position to position of V and of Y, units, panels, elements per buffer, addresses per worker.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    chunks, m, block = get(own), get(own + 96), get(own + 104)
    tiles = get(own + 8) * get(own + 80) * get(own + 88)
    positions, panels = (m + 2) * (m + 2), get(own + 136)
    chunk_bytes = positions * get(own + 128) * panels * OUTER_ROWS * PANEL_BYTES
    pixels = get(numbers + 24) + worker * get(own + 144) * item
    grads = pixels + positions * get(own + 112) * item
    addresses = get(numbers + 56) + worker * get(own + 152) * 8
    for chunk in range(worker, chunks, workers):
        sums = get(numbers + 32) + chunk * chunk_bytes
        totals = get(numbers + 40) + chunk * panels * PANEL_BYTES
        zero_bytes(sums, chunk_bytes)
        zero_bytes(totals, panels * PANEL_BYTES)
        last = tiles * (chunk + 1) // chunks
        for first in range(tiles * chunk // chunks, last, block):
            count = min(block, last - first)
            for t in range(count):
                _transform_pixels(first + t, t, numbers, addresses, pixels, zero)
                _transform_grads(first + t, t, numbers, addresses, grads, totals, zero)
            _add_products(count, numbers, addresses, pixels, grads, sums, zero)


@inlined
def _transform_pixels(tile, t, numbers, addresses, pixels, zero):
    """V of one tile: the patch it sees, zeros outside the image."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    H, W, C = get(own + 16), get(own + 24), get(own + 32)
    across, m = get(own + 88), get(own + 96)
    per_image = get(own + 80) * across
    image, place = tile // per_image, tile % per_image
    top, left = place // across * m - get(own + 64), place % across * m - get(own + 72)
    source = get(numbers) + image * H * W * C * item
    find_square(source, top, left, m + 2, H, W, C * item, get(numbers + 8), addresses)
    target, step = pixels + t * C * item, get(own + 112) * item
    if m == 4:
        transform_input(4, addresses, C * item // VECTOR_BYTES, target, step, zero)
    else:
        transform_input(2, addresses, C * item // VECTOR_BYTES, target, step, zero)


@inlined
def _transform_grads(tile, t, numbers, addresses, grads, totals, zero):
    """Y of one tile, as rows of panels, and the sum of its gradients."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    OH, OW, O = get(own + 40), get(own + 48), get(own + 56)
    across, m, block, panels = get(own + 88), get(own + 96), get(own + 104), get(own + 136)
    per_image = get(own + 80) * across
    image, place = tile // per_image, tile % per_image
    top, left = place // across * m, place % across * m
    source = get(numbers + 16) + image * OH * OW * O * item
    width = PANEL_BYTES // item
    find_square(source, top, left, m, OH, OW, O * item, get(numbers + 8), addresses)
    for i in range(min(m, OH - top)):
        row = source + ((top + i) * OW + left) * O * item
        for panel in range(panels):
            begin = panel * PANEL_BYTES
            add_rows(row + begin, O * item, O - panel * width, min(m, OW - left), totals + begin, zero)
    step = get(own + 120) * item
    for vector in range(O * item // VECTOR_BYTES):
        panel, side = vector // VECTORS, vector % VECTORS
        row = VECTOR_BYTES if O - panel * width <= width // VECTORS else PANEL_BYTES
        target = grads + panel * block * PANEL_BYTES + t * row + side * VECTOR_BYTES
        if m == 4:
            transform_grad(4, addresses, vector * VECTOR_BYTES, target, step, zero)
        else:
            transform_grad(2, addresses, vector * VECTOR_BYTES, target, step, zero)


@inlined
def _add_products(count, numbers, addresses, pixels, grads, sums, zero):
    """Add one block's outer products to the chunk's sums."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    C, O, m, block = get(own + 32), get(own + 56), get(own + 96), get(own + 104)
    units, panels = get(own + 128), get(own + 136)
    width = PANEL_BYTES // item
    for t in range(count):
        put(addresses + t * 8, t * C * item)
    tile = sums
    for position in range((m + 2) * (m + 2)):
        origin = pixels + position * get(own + 112) * item
        right = grads + position * get(own + 120) * item
        for unit in range(units):
            offsets = get(numbers + 48) + unit * OUTER_ROWS * 8
            for panel in range(panels):
                rows = right + panel * block * PANEL_BYTES
                if O - panel * width > width // VECTORS:
                    outer_tile(2, addresses, origin, offsets, rows, count, zero, tile)
                else:
                    outer_tile(1, addresses, origin, offsets, rows, count, zero, tile)
                tile += OUTER_ROWS * PANEL_BYTES


@task_kernel
def finish_weight_grad(worker, workers, numbers, zero):
    """Add the chunks' sums in order, and ``dw = Gᵀ S G``. Workers share the units.

    Floats: ``sums`` and ``column_sums`` of `winograd_outer_products`, whose first chunks are overwritten; ``out (O, 3,
    3, C)``, written; ``out_columns (O,)``, written if wanted.
    Numbers: chunks, 1, C, m, O, panels, units, 1 if ``out_columns`` is wanted.
    """
    own = numbers + 8 * FIRST
    chunks, m, panels, units = get(own), get(own + 24), get(own + 40), get(own + 48)
    positions = (m + 2) * (m + 2)
    unit_bytes = panels * OUTER_ROWS * PANEL_BYTES
    width = PANEL_BYTES // size_of(zero)
    for unit in range(units * worker // workers, units * (worker + 1) // workers):
        for position in range(positions):
            here = get(numbers) + (position * units + unit) * unit_bytes
            for chunk in range(1, chunks):
                other = here + chunk * positions * units * unit_bytes
                for row in range(panels * OUTER_ROWS):
                    add_rows(other + row * PANEL_BYTES, PANEL_BYTES, width, 1, here + row * PANEL_BYTES, zero)
        _finish_unit(unit, numbers, zero)
    if worker == 0 and get(own + 56):
        place_columns(get(numbers + 8), get(numbers + 24), chunks, 1, get(own + 32), panels, zero)


@inlined
def _finish_unit(unit, numbers, zero):
    """Transform the sums of a tile of channels, and write their gradients for all filters."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    C, m, O, panels, units = get(own + 16), get(own + 24), get(own + 32), get(own + 40), get(own + 48)
    unit_bytes = panels * OUTER_ROWS * PANEL_BYTES
    lane_count = VECTOR_BYTES // item
    for row in range(min(OUTER_ROWS, C - unit * OUTER_ROWS)):
        for vector in range(O // lane_count):
            place = (vector // VECTORS * OUTER_ROWS + row) * PANEL_BYTES + vector % VECTORS * VECTOR_BYTES
            source = get(numbers) + unit * unit_bytes + place
            target = get(numbers + 16) + (vector * lane_count * 9 * C + unit * OUTER_ROWS + row) * item
            if m == 4:
                transform_sums(4, source, units * unit_bytes, target, 9 * C * item, C * item, zero)
            else:
                transform_sums(2, source, units * unit_bytes, target, 9 * C * item, C * item, zero)
