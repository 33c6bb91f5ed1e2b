"""Depthwise convolution: every channel has one filter of its own.

There is no sum over channels, so nothing here is a matrix product: a tile is 6 pixels of 2 vectors of channels, and
both operands of every multiply-add are vectors. With one load per multiply-add it is bound by the caches and not by
arithmetic, as any depthwise convolution is. The tables of offsets, the packed weights (a filter position's weights
side by side for all channels) and the chunks of the weight gradient are those of `conv_direct`.

Reference: F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from . import _tiles
from ._addresses import add_rows, get, size_of, zero_bytes
from ._emitter import panel_width
from ._jit import helper
from ._products import (
    LEFT,
    OUT,
    OUT_COLUMNS,
    RIGHT,
    Array,
    Carver,
    Dot,
    dot_stages,
    phases_program,
    product,
    round_up,
    zero_row,
)
from ._simd import ROWS, TAPS, depthwise_outer_tile, depthwise_tile, lowest_of
from ._tasks import FIRST, Program, Stage, task_kernel
from ._tiles import PANEL_BYTES, TILE_OF_INT64, find_pixels, find_rows
from .conv_direct import offsets, phases, positions

CHUNKS = 16
"""Chunks that the weight gradient's sum over pixels is cut into."""

BLOCK = 128
"""Pixels whose addresses are worked out at a time in the weight gradient."""


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.forward`."""
    carver = Carver(dtype)
    plan = forward_plan(x_shape, weight_shape, geometry)
    stages = dot_stages(plan, dtype, threads, carver, with_bias, relu, products=depthwise_products)
    return Program(dtype, threads, stages, carver.used)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.input_grad`."""
    plans = input_grad_plan(x_shape, weight_shape, geometry)
    return phases_program(plans, dtype, threads, depthwise_products)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.weight_grad`."""
    plan = weight_grad_plan(x_shape, weight_shape, geometry)
    width = panel_width(dtype)
    panels = -(-plan.channels // width)
    listed, area = plan.table.shape
    size = plan.chunks * -(-plan.taps // ROWS) * panels * ROWS * width
    carver = Carver(dtype)
    sums = carver.take(size)
    column_sums = carver.take(plan.chunks, panels, width)
    addresses = carver.take_int64(threads, listed * BLOCK)
    stages = [
        Stage(
            depthwise_outer_products, product(x_shape),
            (LEFT, zero_row(plan.channels, dtype), RIGHT, sums, column_sums), (plan.table, addresses),
            (0, 0, plan.images, plan.source_size, 0, 1, plan.channels, panels, plan.chunks, 1, BLOCK, listed, area),
        ),
        Stage(
            _tiles.sum_chunks, size, (sums, column_sums, OUT, OUT_COLUMNS), (),
            (plan.chunks, 1, 1, plan.taps, plan.channels, panels, 1, plan.taps, 0, with_bias),
        ),
    ]  # fmt: skip
    return Program(dtype, threads, stages, carver.used)


@functools.lru_cache(maxsize=64)
def forward_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Dot:
    """A product whose pieces are single elements, one per filter position."""
    _, H, W, C = x_shape
    _, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    rows = positions(OH, geometry.stride[0], KH, geometry.dilation[0], geometry.padding[0], H)
    columns = positions(OW, geometry.stride[1], KW, geometry.dilation[1], geometry.padding[1], W)
    targets = np.arange(OH * OW, dtype=np.int64) * C
    taps = np.arange(KH * KW, dtype=np.int64)
    return _dot(x_shape, OH * OW * C, offsets(rows, columns, W, C), targets, taps, KH * KW)


@functools.lru_cache(maxsize=64)
def input_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> list[Dot]:
    """One product per phase of the stride, as in `conv_direct.input_grad_plan`."""
    N, H, W, C = x_shape
    _, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    result = []
    for vertical in phases(H, geometry.stride[0], KH, geometry.dilation[0], geometry.padding[0], OH):
        for horizontal in phases(W, geometry.stride[1], KW, geometry.dilation[1], geometry.padding[1], OW):
            place = (vertical.pixels[:, None] * W + horizontal.pixels).reshape(-1)
            taps = (vertical.taps[:, None] * KW + horizontal.taps).reshape(-1)
            table = offsets(vertical.sources, horizontal.sources, OW, C)
            result.append(_dot((N, OH, OW, C), H * W * C, table, place * C, taps, KH * KW))
    return result


def _dot(source_shape: Any, out_size: int, table: Array, targets: Array, taps: Array, filter_size: int) -> Dot:
    N, H, W, C = source_shape
    return Dot(
        images=N,
        source_size=H * W * C,
        out_size=out_size,
        table=table,
        pieces=taps.size,
        piece_step=0,
        run=1,
        targets=targets,
        terms=taps,
        column_step=filter_size,
        group_step=0,
        groups=1,
        columns=C,
        group_run=C,
    )


class _WeightGradPlan(NamedTuple):
    images: int
    source_size: int
    channels: int
    taps: int
    table: Array  # (taps rounded up to a multiple of TAPS, P)
    chunks: int


@functools.lru_cache(maxsize=64)
def weight_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> _WeightGradPlan:
    """Offsets of every filter position; the last ones repeat, to fill a tile."""
    N, H, W, C = x_shape
    _, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    rows = positions(OH, geometry.stride[0], KH, geometry.dilation[0], geometry.padding[0], H)
    columns = positions(OW, geometry.stride[1], KW, geometry.dilation[1], geometry.padding[1], W)
    taps = KH * KW
    table = offsets(rows, columns, W, C)[np.minimum(np.arange(round_up(taps, TAPS)), taps - 1)]
    chunks = max(1, min(CHUNKS, N * OH * OW // BLOCK))
    return _WeightGradPlan(N, H * W * C, C, taps, np.ascontiguousarray(table), chunks)


@task_kernel
def depthwise_products(worker, workers, numbers, zero):
    """``out[n, t, c] = max(floor, start[c] + Σ_s window_s(n, t)[c] · weight[s, c])``.

    Arrays and numbers as in `_tiles.dot_products`, a panel being a block of channels.
    """
    own = numbers + 8 * FIRST
    pixels = get(own + 16) * get(own + 104)
    panels, block, splits = get(own + 72), get(own + 80), get(own + 88)
    blocks = (pixels + block - 1) // block
    tasks = min(get(own + 8), blocks * splits) - get(own)
    addresses = get(numbers + 64) + worker * get(own + 120) * 8
    for task in range(get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers):
        first = task % blocks * block
        split = task // blocks
        count = min(block, pixels - first)
        find_rows(worker, numbers, first, count, zero, addresses)
        for panel in range(panels * split // splits, panels * (split + 1) // splits):
            _depthwise_panel(numbers, zero, count, panel, addresses)


@helper
def _depthwise_panel(numbers, zero, count, panel, addresses):
    """All tiles of a task for one block of channels."""
    own = numbers + 8 * FIRST
    segments = get(own + 96)
    floor = zero if get(own + 112) else lowest_of(zero)
    tiles = (count + ROWS - 1) // ROWS
    places = addresses + tiles * segments * TILE_OF_INT64
    weights = get(numbers + 16) + panel * segments * PANEL_BYTES
    start = get(numbers + 24) + panel * PANEL_BYTES
    left = get(own + 64) - panel * (PANEL_BYTES // size_of(zero))
    for tile in range(tiles):
        pieces = addresses + tile * segments * TILE_OF_INT64
        targets = places + tile * TILE_OF_INT64
        depthwise_tile(pieces, panel * PANEL_BYTES, segments, weights, start, floor, targets, left)


@task_kernel
def depthwise_outer_products(worker, workers, numbers, zero):
    """``sums[s, c] = Σ_t window_s(t)[c] · grad[t, c]``, by chunks of pixels, which are dealt to the workers in turn.

    Floats: ``x``; ``zeros``, as many as a pixel has channels; ``grad (images · P, channels)``; ``sums (chunks, units,
    panels, 6, width)``, written, a unit being 6 filter positions; ``column_sums (chunks, panels, width)``, written:
    the chunk's sum of ``grad``.
    Ints: ``table (S, P)``, S being the filter positions rounded up to a multiple of 3; ``addresses (workers, S · pixels
    per block)``, scratch.
    Numbers: as in `_tiles.outer_products`, as far as P.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    channels, panels, chunks = get(own + 48), get(own + 56), get(own + 64)
    block, taps = get(own + 80), get(own + 88)
    pixels = get(own + 16) * get(own + 96)
    chunk_bytes = (taps + ROWS - 1) // ROWS * panels * ROWS * PANEL_BYTES
    addresses = get(numbers + 56) + worker * taps * block * 8
    for chunk in range(worker, chunks, workers):
        sums = get(numbers + 24) + chunk * chunk_bytes
        totals = get(numbers + 32) + chunk * panels * PANEL_BYTES
        zero_bytes(sums, chunk_bytes)
        zero_bytes(totals, panels * PANEL_BYTES)
        last = pixels * (chunk + 1) // chunks
        for first in range(pixels * chunk // chunks, last, block):
            count = min(block, last - first)
            find_pixels(numbers, first, count, zero, addresses)
            rows = get(numbers + 16) + first * channels * item
            for panel in range(panels):
                right = rows + panel * PANEL_BYTES
                left = channels - panel * (PANEL_BYTES // item)
                add_rows(right, channels * item, left, count, totals + panel * PANEL_BYTES, zero)
                _depthwise_outer_panel(panel, right, left, numbers, count, addresses, sums, zero)


@helper
def _depthwise_outer_panel(panel, right, left, numbers, count, addresses, sums, zero):
    """All filter positions of one block of channels, over one block of pixels."""
    own = numbers + 8 * FIRST
    channels, panels, block, taps = get(own + 48), get(own + 56), get(own + 80), get(own + 88)
    step = channels * size_of(zero)
    for tap in range(0, taps, TAPS):
        tile = sums + ((tap // ROWS * panels + panel) * ROWS + tap % ROWS) * PANEL_BYTES
        lists = addresses + tap * block * 8
        depthwise_outer_tile(lists, block * 8, panel * PANEL_BYTES, right, step, count, zero, tile, left)
