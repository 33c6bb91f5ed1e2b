"""Winograd convolution, F(2x2, 3x3) and F(4x4, 3x3): fewer multiplications, for 3x3 filters of stride 1.

The output is cut into tiles of m x m pixels, each computed from a patch of n x n = (m + 2) x (m + 2) input pixels. With
d a patch, w a filter and the small matrices of `_winograd`,

    V[ξ][t][c] = (Bᵀ d_t B)[ξ]     U[ξ][c][o] = (G w Gᵀ)[ξ]     M[ξ] = V[ξ] @ U[ξ]     y_t = Aᵀ M_t A

ξ running over the n·n positions: n·n matrix products replace the sum over 9 filter positions, so per output pixel
and pair of channels there are n·n / m·m multiplications instead of 9: 4 in F(2x2), 2.25 in F(4x4).

**Blocking.** What is saved in arithmetic is easily lost in memory traffic, so a task takes a block of tiles through
all three steps: V of the block stays in the L2 cache, and M is made and consumed 16 filters at a time. The products run
on `dot_tile`. The input gradient is the same computation with the filters turned around and the channels exchanged.

**Where it wins.** The transforms cost time per channel and the products per pair of channels, so channels decide.
The rounding error is below that of a direct sum for F(2x2) and 2 to 4 times it for F(4x4).

Reference: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; Z. Jia, A. Zlateski,
F. Durand, K. Li, "Optimizing N-dimensional, Winograd-based convolution for manycore CPUs", PPoPP 2018.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from ._addresses import get, put, size_of
from ._blocks import find_square
from ._dot import PANEL_BYTES, spread_bias
from ._emitter import VECTOR_BYTES, VECTORS, lanes, panel_width
from ._jit import inlined
from ._simd import ROWS, dot_tile, lowest_of, transpose_block
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, Program, Stage, task_kernel
from ._winograd import GAP, transform_filter, transform_input, transform_output
from ._workspace import BIAS, LEFT, OUT, RIGHT, Carver, zero_row
from .conv_winograd_weight import weight_grad_program

CACHE_BYTES = 320 * 1024
"""Bytes of transformed input that a task keeps, to stay in an L2 cache of 512 KB."""


class Plan(NamedTuple):
    """Sizes of one call; "source" is what is transformed: the input, or the gradient of the output."""

    m: int
    images: int
    source: tuple[int, int, int]  # height, width, channels
    target: tuple[int, int, int]
    padding: tuple[int, int]
    tiles: tuple[int, int]  # per image, down and across
    block: int  # tiles per task

    @property
    def positions(self) -> int:
        """n·n."""
        return (self.m + 2) ** 2

    @property
    def tasks(self) -> int:
        """Blocks of tiles."""
        return -(-self.images * self.tiles[0] * self.tiles[1] // self.block)


def plan(
    m: int, images: int, source: tuple[int, int, int], target: tuple[int, int, int], padding: tuple[int, int]
) -> Plan:
    """Cut the output into tiles, and the tiles into tasks."""
    tiles = (-(-target[0] // m), -(-target[1] // m))
    fitting = CACHE_BYTES // ((m + 2) ** 2 * source[2] * 4)
    block = max(24, min(96, fitting // ROWS * ROWS))
    return Plan(m, images, source, target, padding, tiles, block)


def forward_program(
    m: int, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`; ``m`` is 2 or 4."""
    N, H, W, C = x_shape
    OH, OW = geometry.output_size((H, W), (3, 3))
    this = plan(m, N, (H, W, C), (OH, OW, weight_shape[0]), geometry.padding)
    return _program(this, dtype, threads, with_bias, relu, turned=False)


def input_grad_program(
    m: int, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    OH, OW = geometry.output_size((H, W), (3, 3))
    padding = (2 - geometry.padding[0], 2 - geometry.padding[1])
    this = plan(m, N, (OH, OW, weight_shape[0]), (H, W, C), padding)
    return _program(this, dtype, threads, with_bias=False, relu=False, turned=True)


def fits(weight_shape: tuple[int, ...], geometry: Any, dtype: Any) -> bool:
    """Whether the transforms exist for this geometry, and whole vectors of channels."""
    O, KH, KW, C = weight_shape
    vector = lanes(dtype)
    return (
        (KH, KW) == (3, 3)
        and geometry.stride == geometry.dilation == (1, 1)
        and geometry.groups == 1
        and max(geometry.padding) <= 2
        and C % vector == 0
        and O % vector == 0
    )


class Winograd:
    """F(m x m, 3x3), with the functions that the other algorithms have as modules."""

    def __init__(self, m: int) -> None:
        self.forward_program = functools.partial(forward_program, m)
        self.input_grad_program = functools.partial(input_grad_program, m)
        self.weight_grad_program = functools.partial(weight_grad_program, m)


def _program(this: Plan, dtype: Any, threads: int, with_bias: bool, relu: bool, turned: bool) -> Program:
    """Transform the filters, then take all tasks through the three steps."""
    width, vector = panel_width(dtype), lanes(dtype)
    channels, filters = this.source[2], this.target[2]
    panels = -(-filters // width)
    steps = tuple(this.block * row + GAP for row in (channels, width))  # from position to position of V, of M
    buffer = this.positions * (sum(steps) + vector * vector) + filters
    listed = this.positions + this.m**2 * this.block + 3 * ROWS
    carver = Carver(dtype)
    transformed = carver.take(this.positions, panels, channels, width)
    starts = carver.take(panels, width)
    buffers = carver.take(threads, buffer)
    addresses = carver.take_int64(threads, listed)
    work = this.images * this.tiles[0] * this.tiles[1] * this.positions * channels * filters
    step = max(threads, this.tasks * LAUNCH_WORK // max(1, work))
    zeros = zero_row(max(channels, width), dtype)
    products = [
        Stage(
            winograd_products, min(step, this.tasks) * work // (this.tasks * MULTIPLY_ADDS),
            (LEFT, zeros, transformed, starts, buffers, OUT), (addresses,),
            (first, min(this.tasks, first + step), this.images, *this.source, *this.target, *this.padding,
             *this.tiles, this.block, *steps, this.m, relu, buffer, listed),
        )
        for first in range(0, this.tasks, step)
    ]  # fmt: skip
    filters_stage = Stage(
        transform_filters, this.positions * panels * channels * width,
        (RIGHT, transformed, BIAS, starts, buffers), (),
        (this.m, channels, filters, turned, buffer, with_bias),
    )  # fmt: skip
    return Program(dtype, threads, [filters_stage, *products], carver.used)


@task_kernel
def transform_filters(worker, workers, numbers, zero):
    """``panels[ξ, b, k, l] = (G w Gᵀ)[ξ]`` for source channel k and target channel ``b·width + l``.

    Workers share the blocks of source channels. The first also spreads the bias over the panels.

    Floats: ``weight (O, 3, 3, C)``; ``panels (n·n, panels, source channels, width)``, written; ``bias (O,)``; ``starts
    (panels, width)``, written with the bias, 0 beyond the filters; ``buffers (workers, …)``, scratch.
    Numbers: m, source channels, target channels, 1 if turned around (the source channels are the filters O), elements
    per buffer, 1 if there is a bias.
    """
    own = numbers + 8 * FIRST
    channels, turned = get(own + 8), get(own + 24)
    lane_count = VECTOR_BYTES // size_of(zero)
    if worker == 0:
        spread_bias(get(own + 40), get(numbers + 16), get(own + 16), get(numbers + 24), zero)
    buffer = get(numbers + 32) + worker * get(own + 32) * size_of(zero)
    for first in range(worker * lane_count, channels, workers * lane_count):
        if turned:
            for k in range(first, min(channels, first + lane_count)):
                _turned_filter(k, numbers, zero)
        else:
            _filter_block(first, numbers, buffer, zero)


@inlined
def _turned_filter(k, numbers, zero):
    """One filter o = k, turned around: its channels are already side by side."""
    weight, panels = get(numbers), get(numbers + 8)
    own = numbers + 8 * FIRST
    m, channels, columns = get(own), get(own + 8), get(own + 16)
    item = size_of(zero)
    width = PANEL_BYTES // item
    step = (columns + width - 1) // width * channels * PANEL_BYTES
    for first in range(0, columns, width // VECTORS):
        source = weight + (k * 9 * columns + 8 * columns + first) * item
        panel = panels + (first // width * channels + k) * PANEL_BYTES + first % width * item
        if m == 4:
            transform_filter(4, source, -columns * item, panel, step, zero)
        else:
            transform_filter(2, source, -columns * item, panel, step, zero)


@inlined
def _filter_block(first, numbers, buffer, zero):
    """Channels ``first`` and the next few of all filters: transformed as vectors of channels, then transposed."""
    weight, panels = get(numbers), get(numbers + 8)
    own = numbers + 8 * FIRST
    m, channels, columns = get(own), get(own + 8), get(own + 16)
    item = size_of(zero)
    width = PANEL_BYTES // item
    lane_count = width // VECTORS
    positions = (m + 2) * (m + 2)
    step = (columns + width - 1) // width * channels * PANEL_BYTES
    for column in range(0, columns, lane_count):
        for o in range(lane_count):
            source = weight + ((column + o) * 9 * channels + first) * item
            place = buffer + o * positions * VECTOR_BYTES
            if m == 4:
                transform_filter(4, source, channels * item, place, VECTOR_BYTES, zero)
            else:
                transform_filter(2, source, channels * item, place, VECTOR_BYTES, zero)
        panel = panels + (column // width * channels + first) * PANEL_BYTES + column % width * item
        for position in range(positions):
            transpose_block(
                buffer + position * VECTOR_BYTES,
                positions * VECTOR_BYTES,
                panel + position * step,
                PANEL_BYTES,
                zero,
            )


@task_kernel
def winograd_products(worker, workers, numbers, zero):
    """Blocks of tiles, neighbouring ones to each worker: transform, multiply, transform back.

    Floats: ``source (N, H, W, channels)``; ``zeros``, as many as a pixel has channels; ``panels`` of
    `transform_filters`; ``starts (panels, width)``, the bias; ``buffers (workers, …)``, scratch for V and M; ``out``,
    written.
    Ints: ``addresses (workers, …)``, scratch.
    Numbers: first task, task after the last, images, the source's height, width and channels, the target's, padding,
    tiles of an image down and across, tiles per task, elements from position to position of V and of M, m, 1 for ReLU,
    elements per buffer, addresses per worker.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    channels, filters, m = get(own + 40), get(own + 64), get(own + 128)
    positions, block = (m + 2) * (m + 2), get(own + 104)
    tiles = get(own + 16) * get(own + 88) * get(own + 96)
    transformed = get(numbers + 32) + worker * get(own + 144) * item
    products = transformed + positions * get(own + 112) * item
    dump = products + positions * get(own + 120) * item
    addresses = get(numbers + 48) + worker * get(own + 152) * 8
    tasks = get(own + 8) - get(own)
    for task in range(get(own) + tasks * worker // workers, get(own) + tasks * (worker + 1) // workers):
        first = task * block
        count = min(block, tiles - first)
        for t in range(count):
            _transform_patch(first + t, numbers, addresses, transformed + t * channels * item, zero)
            _find_targets(first + t, numbers, addresses + (positions + t * m * m) * 8, dump, item)
        for panel in range((filters * item + PANEL_BYTES - 1) // PANEL_BYTES):
            _multiply(panel, count, numbers, transformed, products, addresses, zero)
            _transform_back(panel, count, numbers, products, addresses + positions * 8, zero)


@inlined
def _transform_patch(tile, numbers, addresses, target, zero):
    """Gather the addresses of a tile's patch, zeros outside the image, and transform it."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    H, W, channels = get(own + 24), get(own + 32), get(own + 40)
    across, m = get(own + 96), get(own + 128)
    per_image = get(own + 88) * across
    image, place = tile // per_image, tile % per_image
    top, left = place // across * m - get(own + 72), place % across * m - get(own + 80)
    source = get(numbers) + image * H * W * channels * item
    find_square(source, top, left, m + 2, H, W, channels * item, get(numbers + 8), addresses)
    vectors = channels * item // VECTOR_BYTES
    step = get(own + 112) * item
    if m == 4:
        transform_input(4, addresses, vectors, target, step, zero)
    else:
        transform_input(2, addresses, vectors, target, step, zero)


@inlined
def _find_targets(tile, numbers, targets, dump, item):
    """The addresses of a tile's output pixels; those beyond the image's edge go to a place nobody reads."""
    own = numbers + 8 * FIRST
    H, W, filters = get(own + 48), get(own + 56), get(own + 64)
    across, m = get(own + 96), get(own + 128)
    per_image = get(own + 88) * across
    image, place = tile // per_image, tile % per_image
    out = get(numbers + 40) + image * H * W * filters * item
    for i in range(m):
        for j in range(m):
            h, w = place // across * m + i, place % across * m + j
            put(targets + (i * m + j) * 8, out + (h * W + w) * filters * item if h < H and w < W else 0)
    for k in range(m * m):
        if get(targets + k * 8) == 0:
            put(targets + k * 8, dump)


@inlined
def _multiply(panel, count, numbers, transformed, products, addresses, zero):
    """``M[ξ][t][:] = V[ξ][t] @ U[ξ]`` for one panel of filters: (n·n, block, width)."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    channels, filters, m, block = get(own + 40), get(own + 64), get(own + 128), get(own + 104)
    panels = (filters * item + PANEL_BYTES - 1) // PANEL_BYTES
    rows = addresses + ((m + 2) * (m + 2) + m * m * block) * 8
    targets, pieces = rows + ROWS * 8, rows + 2 * ROWS * 8
    for row in range(ROWS):
        put(rows + row * 8, row * channels * item)
        put(targets + row * 8, row * PANEL_BYTES)
    put(pieces, 0)
    width = PANEL_BYTES // item
    for position in range((m + 2) * (m + 2)):
        weights = get(numbers + 16) + (position * panels + panel) * channels * PANEL_BYTES
        origin = transformed + position * get(own + 112) * item
        target = products + position * get(own + 120) * item
        # A block has room for whole tiles: what the last one computes too much, nobody reads.
        for _ in range(0, count, ROWS):
            dot_tile(
                2, rows, origin, pieces, 1, channels, weights, get(numbers + 8), 0, lowest_of(zero), targets, target,
                width,
            )  # fmt: skip
            origin += ROWS * channels * item
            target += ROWS * PANEL_BYTES


@inlined
def _transform_back(panel, count, numbers, products, targets, zero):
    """``y = Aᵀ M A`` plus bias, for one panel of filters of all tiles of a block."""
    own = numbers + 8 * FIRST
    item = size_of(zero)
    filters, m, step = get(own + 64), get(own + 128), get(own + 120) * item
    floor = zero if get(own + 136) else lowest_of(zero)
    vectors = min(VECTORS, (filters * item - panel * PANEL_BYTES) // VECTOR_BYTES)
    for t in range(count):
        for v in range(vectors):
            source = products + t * PANEL_BYTES + v * VECTOR_BYTES
            shift = panel * PANEL_BYTES + v * VECTOR_BYTES
            start = get(numbers + 24) + shift
            places = targets + t * m * m * 8
            if m == 4:
                transform_output(4, source, step, start, floor, places, shift)
            else:
                transform_output(2, source, step, start, floor, places, shift)
