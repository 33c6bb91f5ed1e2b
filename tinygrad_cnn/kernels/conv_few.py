"""The weight gradient of few pixels and many channels: the sum over pixels as the inner dimension of a product.

    out[o, p, q, c] = Σ_t grad[t, o] · x[t moved by (p, q), c]       one matrix product for every filter position (p, q)

`conv_direct` adds outer products to sums that it keeps in the cache; 512 channels times 512 filters times 9 positions
have no room there. Where pixels are few, a panel of 32 channels of all of them has: it is packed once and meets all
filters, whose gradients are transposed before, and every result is written once, to where it belongs. 512→512 3x3, 64
images of 4x4: 2.4 times as fast.

The image is copied into a zero-padded one first: it is small against the filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._addresses import copy_bytes, get, size_of, zero_bytes
from ._blocks import one_to_one
from ._dot import Dot, Places, dot_stages
from ._outer import sum_rows_stage
from ._tasks import FIRST, At, Program, Stage, task_kernel
from ._workspace import LEFT, OUT_COLUMNS, RIGHT, Carver
from .layout import transpose_stage

MOST_PIXELS = 2048
"""Of all images together; a panel of them is then 256 KB."""

LEAST_CHANNELS = 128
"""Channels, and filters, from which on the sums of `conv_direct` leave the cache."""


def fits(x_shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: Any) -> bool:
    """Whether pixels are few and channels many."""
    OH, OW = geometry.output_size(x_shape[1:3], weight_shape[1:3])
    channels = min(x_shape[3], weight_shape[0])
    return geometry.groups == 1 and x_shape[0] * OH * OW <= MOST_PIXELS and channels >= LEAST_CHANNELS


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    O, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    down, across = geometry.padding
    height, width = H + 2 * down, W + 2 * across
    pixels = N * OH * OW
    carver = Carver(dtype)
    padded, turned = carver.take(N, height, width, C), carver.take(O, pixels)
    stages = [
        Stage(pad_images, N * height * width * C, (LEFT, padded), (), (N, H, W * C, down, across * C)),
        transpose_stage(1, pixels, O, RIGHT, turned),
    ]
    if with_bias:
        stages.append(sum_rows_stage(pixels, O, RIGHT, OUT_COLUMNS))
    n, i, j = np.ix_(np.arange(N), np.arange(OH) * geometry.stride[0], np.arange(OW) * geometry.stride[1])
    places = ((n * height + i) * width + j).reshape(-1) * C
    begin = workspace = carver.used
    for p in range(KH):
        for q in range(KW):
            carver.used = begin  # every product uses the same memory
            first = (p * geometry.dilation[0] * width + q * geometry.dilation[1]) * C
            dot = Dot(
                grid=one_to_one(O, pixels),
                side_by_side=True,
                targets=Places((p * KW + q) * C, 0, KH * KW * C, 0),
                terms=places,
                column_step=1,
                group_step=0,
                groups=1,
                columns=C,
            )
            matrix = At(padded.operand, padded.offset + first * dtype.itemsize)
            stages += dot_stages(dot, dtype, threads, carver, with_bias=False, relu=False, left=turned, right=matrix)
            workspace = max(workspace, carver.used)
    return Program(dtype, threads, stages, workspace)


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
