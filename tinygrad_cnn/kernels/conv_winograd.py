"""Winograd convolution, F(2x2, 3x3) and F(4x4, 3x3): fewer multiplications, for 3x3 filters of stride 1.

The output is cut into tiles of m x m pixels, each computed from a patch of n x n = (m + 2) x (m + 2) input pixels. With
d a patch, w a filter and the small matrices of `_winograd`,

    V[ξ][t][c] = (Bᵀ d_t B)[ξ]     U[ξ][c][o] = (G w Gᵀ)[ξ]     M[ξ] = V[ξ] @ U[ξ]     y_t = Aᵀ M_t A

ξ running over the n·n positions: n·n matrix products replace the sum over 9 filter positions, so per output pixel
and pair of channels there are n·n / m·m multiplications instead of 9: 4 in F(2x2), 2.25 in F(4x4).

**Transforms.** Tiles that lie side by side are transformed by one call. Neighbouring patches share two columns, so what
the first half of a transform, which works on columns one by one, makes of these stays in registers. Pixels outside the
image are read from a row of zeros, and what hangs over is written first, to where something else follows: an edge costs
no more than the middle. Filters that fill one vector only have panels of one. On 2 cores of Zen 4 with AVX-512, both
together bring 128 images of 16→16 @32 by F(2x2) from 3.8 ms to 2.2, the weight gradient from 2.3 to 1.9; with more
channels, whose products take longer than the transforms, they bring a twentieth. With AVX2, whose 16 registers cannot
hold what is shared, the forward pass of F(4x4) gains as much, its weight gradient loses as much.

**Blocking.** What is saved in arithmetic is easily lost in memory traffic, so a worker takes a block of tiles through
all three steps: V of the block stays in the L2 cache, and M is made and consumed a panel of filters at a time. But each
block reads all of U, n·n numbers per pair of channels, 38 MB for 512 channels. Where U is that large, the workers take
a larger block through one step after the other together, and each reads its share of U once for all of it: 1.3 times as
fast with 512 channels on 2 cores of Zen 3, but 0.7 times with 64. Where there are so few tiles that reading U for them
takes as long as the products, they share a block too. The products run on `dot_tile`. The input gradient is the same
computation with the filters turned around and the channels exchanged. Groups have panels of their own: V is made for
all channels, and a panel is multiplied with those of its group.

**Where it wins.** The transforms cost time per channel and the products per pair of channels, so channels decide.
The rounding error is below that of a direct sum for F(2x2) and 2 to 4 times it for F(4x4).

Reference: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; Z. Jia, A. Zlateski,
F. Durand, K. Li, "Optimizing N-dimensional, Winograd-based convolution for manycore CPUs", PPoPP 2018.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._addresses import get, size_of
from ._blocks import MOST_FETCHED, claim, fetch, share
from ._dot import PANEL_BYTES, row_bytes, spread_bias
from ._emitter import VECTOR_BYTES, VECTORS, lanes, panel_width
from ._image import zeros_for
from ._jit import helper, inlined
from ._simd import ROWS, dot_tile, lowest_of, transpose_block
from ._tasks import FIRST, LAUNCH_WORK, MULTIPLY_ADDS, Program, Stage, TaskKernel, portion, task_kernel
from ._winograd import GAP, OWN_BYTES, new_row, run_at, transform_filter, transform_output, transform_windows
from ._workspace import BIAS, LEFT, OUT, RIGHT, Carver, product, round_up
from .conv_winograd_weight import weight_grad_program

MANY_FILTERS = 2_000_000
"""From how many numbers in U on the workers share a block."""

FEW_TILES = 128
"""Where F(4x4) has fewer tiles, the workers share a block: see the table in `conv`."""

SHARED_TILES = 128
"""Tiles of a shared block, about."""


class Plan(NamedTuple):
    """Sizes of one call; "source" is what is transformed: the input, or the gradient of the output."""

    m: int
    images: int
    source: tuple[int, int, int]  # height, width, channels of all groups
    target: tuple[int, int, int]
    padding: tuple[int, int]
    groups: int

    @property
    def positions(self) -> int:
        """n·n."""
        return (self.m + 2) ** 2

    @property
    def across(self) -> tuple[int, int]:
        """Tiles of an image, down and across."""
        return -(-self.target[0] // self.m), -(-self.target[1] // self.m)

    @property
    def tiles(self) -> int:
        """Of all images."""
        return self.images * product(self.across)


def fits(weight_shape: tuple[int, ...], geometry: Any, dtype: Any) -> bool:
    """Whether the transforms exist for this geometry, and whole vectors of channels in each group."""
    O, KH, KW, group_channels = weight_shape
    vector = lanes(dtype)
    return (
        (KH, KW) == (3, 3)
        and geometry.stride == geometry.dilation == (1, 1)
        and max(geometry.padding) <= 2
        and group_channels % vector == 0
        and O // geometry.groups % vector == 0
    )


def shares(m: int, tiles: int, numbers: int) -> bool:
    """Whether the workers had better share a block of tiles: if there are so few, or U has so many numbers."""
    return numbers >= MANY_FILTERS or (m == 4 and tiles < FEW_TILES)


class Winograd(NamedTuple):
    """F(m x m, 3x3), with the functions that the other algorithms have as modules: see `conv.prepare`."""

    m: int  # 2 or 4
    shared: bool = False  # whether all workers have one block of tiles

    def forward_program(
        self, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
    ) -> Program:
        """The output."""
        N, H, W, C = x_shape
        OH, OW = geometry.output_size((H, W), (3, 3))
        this = Plan(self.m, N, (H, W, C), (OH, OW, weight_shape[0]), geometry.padding, geometry.groups)
        return _program(this, self.shared, dtype, threads, with_bias, relu, turned=False)

    def input_grad_program(
        self, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
    ) -> Program:
        """The output of the gradient and the filters turned around."""
        N, H, W, C = x_shape
        OH, OW = geometry.output_size((H, W), (3, 3))
        padding = (2 - geometry.padding[0], 2 - geometry.padding[1])
        this = Plan(self.m, N, (OH, OW, weight_shape[0]), (H, W, C), padding, geometry.groups)
        return _program(this, self.shared, dtype, threads, with_bias=False, relu=False, turned=True)

    def weight_grad_program(
        self, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
    ) -> Program:
        """See `conv_winograd_weight`."""
        return weight_grad_program(*self, x_shape, weight_shape, geometry, dtype, threads, with_bias)


def _program(this: Plan, shared: bool, dtype: Any, threads: int, with_bias: bool, relu: bool, turned: bool) -> Program:
    """Transform the filters, then take all tiles through the three steps."""
    width, vector, item = panel_width(dtype), lanes(dtype), dtype.itemsize
    channels, groups, positions = this.source[2], this.groups, this.positions
    group_channels, group_filters = channels // groups, this.target[2] // groups
    per_group = -(-group_filters // width)
    panels = groups * per_group
    if shared:
        row = channels + GAP  # from tile to tile of V
        block, buffers, panels_at_once = round_up(min(SHARED_TILES, this.tiles), ROWS), 1, panels
    else:
        fitting = max(24, min(96, OWN_BYTES // (positions * channels * item) // ROWS * ROWS))
        blocks = threads * -(-this.tiles // (threads * fitting))  # as many for each worker
        row, block, buffers, panels_at_once = channels, round_up(-(-this.tiles // blocks), ROWS), threads, 1
    # From position to position of U, V and M:
    steps = (panels * group_channels * width + GAP, block * row + GAP, panels_at_once * block * width + GAP)
    carver = Carver(dtype)
    transformed = carver.take(positions * steps[0])
    starts = carver.take(panels, width)
    patches, products = (carver.take(buffers, positions * step) for step in steps[1:])
    tables = np.concatenate([np.arange(ROWS) * step for step in (row * item, PANEL_BYTES, VECTOR_BYTES)])
    zeros = zeros_for(max(width, this.source[1] * channels), dtype)
    floats = (LEFT, transformed, starts, patches, OUT)
    ints = (products, tables, zeros)

    def stage(kernel: TaskKernel, work: int, first: int, count: int) -> Stage:
        numbers = (
            first, count, *this.source, *this.target, *this.padding, *this.across, this.m, block, row, *steps, relu,
            group_channels, group_filters, panels, per_group,
        )  # fmt: skip
        return Stage(kernel, count * work, floats, ints, numbers)

    each = positions * group_channels * group_filters * groups  # multiply-adds of a tile
    scratch = positions * vector * vector
    stages = [
        Stage(
            transform_filters, positions * panels * group_channels * width,
            (RIGHT, transformed, BIAS, starts, carver.take(threads, scratch)), (),
            (this.m, group_channels, group_filters, turned, steps[0], scratch, with_bias, groups),
        )
    ]  # fmt: skip
    if shared:
        for first in range(0, this.tiles, block):
            count = min(block, this.tiles - first)
            stages += [
                stage(transform_patches, positions * channels, first, count),
                stage(multiply_patches, each // MULTIPLY_ADDS, first, count),
                stage(transform_products, positions * this.target[2], first, count),
            ]
    else:
        most = max(threads, LAUNCH_WORK // (each * block)) * block
        for first in range(0, this.tiles, most):
            count = min(most, this.tiles - first)
            stages.append(stage(winograd_products, each // MULTIPLY_ADDS, first, count))
    return Program(dtype, threads, stages, carver.used)


@task_kernel
def transform_filters(worker, workers, numbers, zero):
    """``panels[ξ, b, k, l] = (G w Gᵀ)[ξ]`` for source channel k and target channel ``b·width + l`` of a group.

    Workers share the blocks of source channels. The first also spreads the bias over the panels.

    Floats: ``weight (O, 3, 3, C/groups)``; ``panels (n·n, groups · panels per group, source channels, width)``, U,
    written; ``bias (O,)``; ``starts (groups · panels per group, width)``, written with the bias, 0 beyond the filters;
    ``scratches (workers, …)``.
    Numbers: m, source channels and target channels of a group, 1 if turned around (the source channels are the filters
    O), elements from position to position of U, elements of scratch per worker, 1 if there is a bias, groups.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    channels, columns, groups = get(own + 8), get(own + 16), get(own + 56)
    panels_bytes = (columns * item + PANEL_BYTES - 1) // PANEL_BYTES * PANEL_BYTES  # of one row of a group's
    if worker == 0:
        for group in range(groups):
            bias, starts = get(numbers + 16) + group * columns * item, get(numbers + 24) + group * panels_bytes
            spread_bias(get(own + 48), bias, columns, starts, zero)
    scratch = get(numbers + 32) + worker * get(own + 40) * item
    lane_count = VECTOR_BYTES // item
    blocks = channels // lane_count
    first, last = portion(worker, workers, groups * blocks)
    for block in range(first, last):
        group, channel = block // blocks, block % blocks * lane_count
        weight = get(numbers) + group * columns * 9 * channels * item
        panels = get(numbers + 8) + group * channels * panels_bytes
        if get(own + 24):
            _turned_filters(channel, weight, panels, numbers, zero)
        else:
            _filter_block(channel, weight, panels, numbers, scratch, zero)


@inlined
def _turned_filters(first, weight, panels, numbers, zero):
    """Filter o = k = ``first`` and the next few, turned around: their channels are already side by side."""
    own = numbers + 8 * FIRST
    m, channels, columns = get(own), get(own + 8), get(own + 16)
    item = size_of(zero)
    width = PANEL_BYTES // item
    lane_count = width // VECTORS
    step = get(own + 32) * item
    for column in range(0, columns, lane_count):
        row = row_bytes(columns - column // width * width, zero)
        for k in range(first, first + lane_count):
            source = weight + (k * 9 * columns + 8 * columns + column) * item
            panel = panels + column // width * channels * PANEL_BYTES + k * row + column % width * item
            if m == 4:
                transform_filter(4, source, -columns * item, panel, step, zero)
            else:
                transform_filter(2, source, -columns * item, panel, step, zero)


@inlined
def _filter_block(first, weight, panels, numbers, scratch, zero):
    """Channels ``first`` and the next few of all filters: transformed as vectors of channels, then transposed."""
    own = numbers + 8 * FIRST
    m, channels, columns = get(own), get(own + 8), get(own + 16)
    item = size_of(zero)
    width = PANEL_BYTES // item
    lane_count = width // VECTORS
    positions, step = (m + 2) * (m + 2), get(own + 32) * item
    for column in range(0, columns, lane_count):
        for o in range(lane_count):
            source = weight + ((column + o) * 9 * channels + first) * item
            place = scratch + o * positions * VECTOR_BYTES
            if m == 4:
                transform_filter(4, source, channels * item, place, VECTOR_BYTES, zero)
            else:
                transform_filter(2, source, channels * item, place, VECTOR_BYTES, zero)
        row = row_bytes(columns - column // width * width, zero)
        panel = panels + column // width * channels * PANEL_BYTES + first * row + column % width * item
        for position in range(positions):
            source = scratch + position * VECTOR_BYTES
            transpose_block(source, positions * VECTOR_BYTES, panel + position * step, row, zero)


(
    START, COUNT, HEIGHT, WIDTH, CHANNELS, OUT_HEIGHT, OUT_WIDTH, FILTERS, PAD_TOP, PAD_LEFT, DOWN, ACROSS, M, BLOCK,
    PATCH_ROW, FILTER_STEP, PATCH_STEP, PRODUCT_STEP, RELU, GROUP_CHANNELS, GROUP_FILTERS, PANELS, PER_GROUP,
) = range(8 * FIRST, 8 * FIRST + 8 * 23, 8)  # fmt: skip
"""Where the numbers of the next kernels lie: their first tile and how many, the sizes of source and target, padding,
tiles of an image down and across, m, tiles of a block, elements from tile to tile of V, from position to position of U,
V and M, 1 for ReLU, source and target channels of a group, panels, panels of a group."""


@task_kernel
def winograd_products(worker, workers, numbers, zero):
    """Blocks of tiles, neighbouring ones to each worker: transform, multiply, transform back.

    Floats: ``source (N, H, W, channels)``; ``panels`` of `transform_filters`; ``starts (panels, width)``, the bias;
    ``patches (workers, n·n, tiles, channels)``, V, scratch; ``out (N, H, W, filters)``, written.
    Ints: ``products (workers, n·n, panels at once, tiles, width)``, floats, M, scratch; ``tables``, for `ROWS` tiles
    the bytes from the first one's row to each in V, in a full panel of M and in one of single vectors; ``zeros``, as
    many as a row of a panel, and one of the source, has.
    """
    item = size_of(zero)
    m, block, filters = get(numbers + M), get(numbers + BLOCK), get(numbers + FILTERS)
    start, count = get(numbers + START), get(numbers + COUNT)
    positions = (m + 2) * (m + 2)
    patches = get(numbers + 24) + worker * positions * get(numbers + PATCH_STEP) * item
    products = get(numbers + 48) + worker * positions * get(numbers + PRODUCT_STEP) * item
    first, last = portion(worker, workers, (count + block - 1) // block)
    claims = block * m * m * filters * item <= MOST_FETCHED
    for begin in range(first * block, min(count, last * block), block):
        tiles = min(block, count - begin)
        _transform_patches(start + begin, tiles, numbers, patches, claims, zero)
        following, after = min(count, begin + block), min(count, begin + 2 * block)
        ahead, end = _first_seen(start + following, numbers, item), _first_seen(start + after, numbers, item)
        panels = get(numbers + PANELS)
        size = share(ahead, end, panels * positions)
        for panel in range(panels):
            for position in range(positions):
                fetch(ahead, size, panel * positions + position)
                _multiply(position, panel, tiles, numbers, patches, products, zero)
            _transform_back(start + begin, tiles, panel, numbers, products, zero)


@task_kernel
def transform_patches(worker, workers, numbers, zero):
    """V of a block, whose tiles the workers share. Arrays as in `winograd_products`; there is one V, and one M."""
    first, last = portion(worker, workers, get(numbers + COUNT))
    patches = get(numbers + 24) + first * get(numbers + PATCH_ROW) * size_of(zero)
    _transform_patches(get(numbers + START) + first, last - first, numbers, patches, False, zero)


@task_kernel
def multiply_patches(worker, workers, numbers, zero):
    """M of a block. Workers share positions and panels, and with them U. Arrays as in `transform_patches`."""
    count, m, panels = get(numbers + COUNT), get(numbers + M), get(numbers + PANELS)
    first, last = portion(worker, workers, (m + 2) * (m + 2) * panels)
    for unit in range(first, last):
        panel = unit % panels
        products = get(numbers + 48) + panel * get(numbers + BLOCK) * PANEL_BYTES
        _multiply(unit // panels, panel, count, numbers, get(numbers + 24), products, zero)


@task_kernel
def transform_products(worker, workers, numbers, zero):
    """The outputs of a block, whose tiles the workers share. Arrays as in `transform_patches`."""
    first, last = portion(worker, workers, get(numbers + COUNT))
    for panel in range(get(numbers + PANELS)):
        products = get(numbers + 48) + panel * get(numbers + BLOCK) * PANEL_BYTES
        products += first * _product_row(panel, numbers, zero)
        _transform_back(get(numbers + START) + first, last - first, panel, numbers, products, zero)


@helper
def _first_seen(tile, numbers, item):
    """Where the source's rows begin that the tiles before a tile's row don't see."""
    m, margin, line = get(numbers + M), 2 - get(numbers + PAD_TOP), get(numbers + WIDTH) * get(numbers + CHANNELS)
    row = new_row(tile, get(numbers + DOWN), get(numbers + ACROSS), m, margin, get(numbers + HEIGHT))
    return get(numbers) + row * line * item


@helper
def _transform_patches(first, count, numbers, patches, claims, zero):
    """V of neighbouring tiles, from the patches of pixels that they see.

    With ``claims``, `claim` where their output goes: between the products it would save nothing.
    """
    item = size_of(zero)
    m, down, across = get(numbers + M), get(numbers + DOWN), get(numbers + ACROSS)
    H, W, pixel = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS) * item
    row, step = get(numbers + PATCH_ROW) * item, get(numbers + PATCH_STEP) * item
    zeros = get(numbers + 64)
    tile, end = first, first + count
    while tile < end:
        image, i, j, many = run_at(tile, end, down, across, m)
        source, target = get(numbers) + image * H * W * pixel, patches + (tile - first) * row
        top, left = i - get(numbers + PAD_TOP), j - get(numbers + PAD_LEFT)
        transform_windows(m, source, H, W, pixel, zeros, top, left, many, target, row, step, zero)
        if claims:
            out, rows, columns = _target_of(image, i, j, numbers, item)
            out_pixel = get(numbers + FILTERS) * item
            for h in range(min(m, rows)):
                claim(out + h * get(numbers + OUT_WIDTH) * out_pixel, min(many * m, columns) * out_pixel)
        tile += many


@helper
def _target_of(image, row, column, numbers, item):
    """Where a tile's output begins, and how many rows and columns of the image there are from there on."""
    H, W = get(numbers + OUT_HEIGHT), get(numbers + OUT_WIDTH)
    return get(numbers + 32) + ((image * H + row) * W + column) * get(numbers + FILTERS) * item, H - row, W - column


@helper
def _product_row(panel, numbers, zero):
    """Bytes of a row of a panel, of U and of M: one vector if its filters fill no more."""
    column = panel % get(numbers + PER_GROUP) * (PANEL_BYTES // size_of(zero))
    return row_bytes(get(numbers + GROUP_FILTERS) - column, zero)


@inlined
def _multiply(position, panel, count, numbers, patches, products, zero):
    """``M[ξ][t][:] = V[ξ][t] @ U[ξ]`` for one panel of filters: (count, width)."""
    item = size_of(zero)
    channels, width = get(numbers + GROUP_CHANNELS), PANEL_BYTES // item
    weights = get(numbers + 8) + position * get(numbers + FILTER_STEP) * item + panel * channels * PANEL_BYTES
    origin = patches + (position * get(numbers + PATCH_STEP) + panel // get(numbers + PER_GROUP) * channels) * item
    target = products + position * get(numbers + PRODUCT_STEP) * item
    row = _product_row(panel, numbers, zero)
    rows, zeros = get(numbers + 56), get(numbers + 64)
    targets = rows + (ROWS if row == PANEL_BYTES else 2 * ROWS) * 8
    # A block has room for whole tiles of rows: what the last one computes too much, nobody reads.
    for _ in range(0, count, ROWS):
        if row == PANEL_BYTES:
            dot_tile(
                2, rows, origin, zeros, 1, channels, weights, zeros, 0, lowest_of(zero), targets, target, width
            )  # fmt: skip
        else:
            dot_tile(
                1, rows, origin, zeros, 1, channels, weights, zeros, 0, lowest_of(zero), targets, target, width
            )  # fmt: skip
        origin += ROWS * get(numbers + PATCH_ROW) * item
        target += ROWS * row


@inlined
def _transform_back(first, count, panel, numbers, products, zero):
    """``y = Aᵀ M A`` plus bias, for one panel of filters of neighbouring tiles, whose M is at ``products``."""
    item = size_of(zero)
    m, down, across, step = get(numbers + M), get(numbers + DOWN), get(numbers + ACROSS), get(numbers + PRODUCT_STEP)
    floor = zero if get(numbers + RELU) else lowest_of(zero)
    pixel, row = get(numbers + FILTERS) * item, _product_row(panel, numbers, zero)
    line, start = get(numbers + OUT_WIDTH) * pixel, get(numbers + 16) + panel * PANEL_BYTES
    per_group = get(numbers + PER_GROUP)
    begin = panel // per_group * get(numbers + GROUP_FILTERS) * item + panel % per_group * PANEL_BYTES
    tile, end = first, first + count
    while tile < end:
        image, i, j, many = run_at(tile, end, down, across, m)
        target, rows, columns = _target_of(image, i, j, numbers, item)
        target += begin
        for v in range(0, row, VECTOR_BYTES):
            source = products + (tile - first) * row + v
            if m == 4:
                transform_output(
                    4, source, row, step * item, start + v, floor, many, target + v, rows, columns, line, pixel
                )  # fmt: skip
            else:
                transform_output(
                    2, source, row, step * item, start + v, floor, many, target + v, rows, columns, line, pixel
                )  # fmt: skip
        tile += many
