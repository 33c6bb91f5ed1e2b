"""Direct convolution: the definition, as matrix products over windows that are read in place.

What is geometry here is only the table of offsets (see `_tiles`). For output pixel (i, j) and filter position (p, q),

    forward, weight gradient:   piece (p, q) = x[i·s + p·d − pad, j·s + q·d − pad, :]       or zeros outside
    input gradient:             piece (p, q) of pixel (h, w) = grad[(h + pad − p·d) / s, (w + pad − q·d) / s, :]

**Longer pieces.** In channels-last memory the positions of one filter row lie side by side where the horizontal
dilation is 1, so without padding a piece is a whole filter row, KW·C elements: few-channel layers, whose pieces would
be 1 or 3 elements, run as fast as others (1→32 3x3: 3 pieces of 3 instead of 9 of 1). With padding, an image of few
channels is first copied into a zero-padded one; with many channels the copy would cost more than it saves.

**Strided input gradient.** Of the positions p only those with h + pad − p·d divisible by s contribute, and which they
are depends on h mod s alone. So the pixels fall into s·s phases, each a stride-1 product with its share of the filter
positions; all phases together do exactly the multiplications of the forward pass.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ._addresses import copy_bytes, get, size_of, zero_bytes
from ._products import LEFT, Array, Carver, Dot, Outer, dot_stages, outer_stages, phases_program, product
from ._tasks import FIRST, At, Program, Stage, task_kernel

Pair = tuple[int, int]

SHORT_PIECE = 12
"""Padded images with fewer channels than this are copied, so that pieces become whole filter rows."""


class Plan(NamedTuple):
    """What one forward or weight-gradient call needs: an optional padded copy, and a product."""

    padded: tuple[int, int, int, int] | None  # shape of the zero-padded copy
    product: Any  # Dot or Outer


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """``out = max(floor, bias + convolution)``; see `conv.forward`."""
    plan = forward_plan(x_shape, weight_shape, geometry)
    carver = Carver(dtype)
    padding, source = pad(x_shape, plan, geometry, carver)
    stages = padding + dot_stages(plan.product, dtype, threads, carver, with_bias, relu, source)
    return Program(dtype, threads, stages, carver.used)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.input_grad`."""
    return phases_program(input_grad_plan(x_shape, weight_shape, geometry), dtype, threads)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.weight_grad`."""
    plan = weight_grad_plan(x_shape, weight_shape, geometry)
    carver = Carver(dtype)
    padding, source = pad(x_shape, plan, geometry, carver)
    stages = padding + outer_stages(plan.product, dtype, threads, carver, source, with_bias)
    return Program(dtype, threads, stages, carver.used)


@functools.lru_cache(maxsize=256)
def forward_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Plan:
    """The table of a forward pass, with whole filter rows as pieces where that is possible."""
    N, H, W, C = x_shape
    O, KH, KW, group_channels = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    padded, (H, W), padding = _padding(x_shape, geometry)
    rows = positions(OH, geometry.stride[0], KH, geometry.dilation[0], padding[0], H)
    columns = positions(OW, geometry.stride[1], KW, geometry.dilation[1], padding[1], W)
    run = group_channels
    if padding == (0, 0) and geometry.dilation[1] == 1 and geometry.groups == 1:
        columns, run = columns[:, :1], KW * C
        rows = rows[:, :1]
    table = offsets(rows, columns, W, C)
    dot = Dot(
        images=N,
        source_size=H * W * C,
        out_size=OH * OW * O,
        table=table,
        pieces=KH * KW * group_channels // run,
        piece_step=geometry.dilation[0] * W * C if table.shape[0] == 1 else 0,
        run=run,
        targets=np.arange(OH * OW, dtype=np.int64) * O,
        terms=np.arange(KH * KW * group_channels, dtype=np.int64),
        column_step=KH * KW * group_channels,
        group_step=O // geometry.groups * KH * KW * group_channels,
        groups=geometry.groups,
        columns=O // geometry.groups,
        group_run=group_channels,
    )
    return Plan(padded, dot)


@functools.lru_cache(maxsize=256)
def input_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> list[Dot]:
    """One product per phase of the stride."""
    N, H, W, C = x_shape
    O, KH, KW, group_channels = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    group_filters = O // geometry.groups
    products = []
    for vertical in phases(H, geometry.stride[0], KH, geometry.dilation[0], geometry.padding[0], OH):
        for horizontal in phases(W, geometry.stride[1], KW, geometry.dilation[1], geometry.padding[1], OW):
            place = vertical.pixels[:, None] * W + horizontal.pixels
            tap = vertical.taps[:, None] * KW + horizontal.taps
            filters = np.arange(group_filters, dtype=np.int64) * (KH * KW)
            products.append(
                Dot(
                    images=N,
                    source_size=OH * OW * O,
                    out_size=H * W * C,
                    table=offsets(vertical.sources, horizontal.sources, OW, O),
                    pieces=tap.size,
                    piece_step=0,
                    run=group_filters,
                    targets=place.reshape(-1) * C,
                    terms=((tap.reshape(-1, 1) + filters) * group_channels).reshape(-1),
                    column_step=1,
                    group_step=group_filters * KH * KW * group_channels,
                    groups=geometry.groups,
                    columns=group_channels,
                    group_run=group_filters,
                )
            )
    return products


@functools.lru_cache(maxsize=256)
def weight_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Plan:
    """The product of windows and gradients; without padding all filter positions are terms of one piece."""
    N, H, W, C = x_shape
    O, KH, KW, group_channels = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    padded, (H, W), padding = _padding(x_shape, geometry)
    rows = positions(OH, geometry.stride[0], KH, geometry.dilation[0], padding[0], H)
    columns = positions(OW, geometry.stride[1], KW, geometry.dilation[1], padding[1], W)
    terms = np.arange(group_channels, dtype=np.int64)
    if padding == (0, 0):
        p, q = np.arange(KH) * geometry.dilation[0], np.arange(KW) * geometry.dilation[1]
        terms = (((p[:, None] * W + q) * C)[..., None] + terms).reshape(-1)
        rows, columns = rows[:, :1], columns[:, :1]
    outer = Outer(
        images=N,
        source_size=H * W * C,
        table=offsets(rows, columns, W, C),
        terms=terms,
        groups=geometry.groups,
        columns=O // geometry.groups,
        group_run=group_channels,
        term_step=1,
        column_step=KH * KW * group_channels,
        group_step=O // geometry.groups * KH * KW * group_channels,
    )
    return Plan(padded, outer)


class Phase(NamedTuple):
    """Along one axis: the pixels of one phase, the filter positions that reach them, and from where."""

    pixels: Array  # (P,)
    taps: Array  # (T,)
    sources: Array  # (P, T), −1 outside


def phases(size: int, stride: int, taps: int, dilation: int, padding: int, out_size: int) -> list[Phase]:
    found = []
    for phase in range(min(stride, size)):
        pixels = np.arange(phase, size, stride, dtype=np.int64)
        tap = np.arange(taps, dtype=np.int64)
        tap = tap[(phase + padding - tap * dilation) % stride == 0]
        sources = (pixels[:, None] + padding - tap * dilation) // stride
        sources[(sources < 0) | (sources >= out_size)] = -1
        found.append(Phase(pixels, tap, sources))
    return found


def positions(out_size: int, stride: int, taps: int, dilation: int, padding: int, size: int) -> Array:
    """(out_size, taps): where along one axis of the image each filter position lies, −1 outside."""
    at = np.arange(out_size, dtype=np.int64)[:, None] * stride + np.arange(taps) * dilation - padding
    at[(at < 0) | (at >= size)] = -1
    return at


def offsets(rows: Array, columns: Array, width: int, channels: int) -> Array:
    """(positions, pixels) of offsets in an image, −1 where row or column is outside."""
    at = (rows[:, None, :, None] * width + columns[None, :, None, :]) * channels
    at[np.broadcast_to((rows[:, None, :, None] < 0) | (columns[None, :, None, :] < 0), at.shape)] = -1
    pixels, positions = rows.shape[0] * columns.shape[0], rows.shape[1] * columns.shape[1]
    return np.ascontiguousarray(at.reshape(pixels, positions).T)


def _padding(x_shape: Any, geometry: Any) -> tuple[Any, Pair, Pair]:
    """(shape of the padded copy or None, image size to read from, padding left to the table)."""
    N, H, W, C = x_shape
    if geometry.padding == (0, 0) or C >= SHORT_PIECE or geometry.groups > 1:
        return None, (H, W), geometry.padding
    size = (H + 2 * geometry.padding[0], W + 2 * geometry.padding[1])
    return (N, *size, C), size, (0, 0)


def pad(x_shape: Any, plan: Plan, geometry: Any, carver: Carver) -> tuple[list[Stage], At]:
    """(the stage that makes the padded copy, if there is one; where the image to read from lies)."""
    if plan.padded is None:
        return [], LEFT
    copy = carver.take(*plan.padded)
    N, H, W, C = x_shape
    numbers = (N, H, W * C, geometry.padding[0], geometry.padding[1] * C)
    return [Stage(pad_images, product(plan.padded), (LEFT, copy), (), numbers)], copy


@task_kernel
def pad_images(worker, workers, numbers, zero):
    """Copy images into the middle of larger ones, zeros around them. Workers share the images.

    Floats: ``x (N, H, W·C)``; ``out (N, H + 2·rows, W·C + 2·columns)``, written.
    Numbers: N, H, W·C, rows, columns.
    """
    own = numbers + 8 * FIRST
    N, H, rows, item = get(own), get(own + 8), get(own + 24), size_of(zero)
    line, side = get(own + 16) * item, get(own + 32) * item
    wide = line + 2 * side
    source = get(numbers) + N * worker // workers * H * line
    target = get(numbers + 8) + N * worker // workers * (H + 2 * rows) * wide
    for _ in range(N * worker // workers, N * (worker + 1) // workers):
        zero_bytes(target, rows * wide)
        target += rows * wide
        for _ in range(H):
            zero_bytes(target, side)
            copy_bytes(source, target + side, line)
            zero_bytes(target + side + line, side)
            source += line
            target += wide
        zero_bytes(target, rows * wide)
        target += rows * wide
