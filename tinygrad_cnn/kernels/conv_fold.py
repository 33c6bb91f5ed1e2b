"""The input gradient where the input has few channels: one product, then a scatter.

A tile of `conv_direct` has a column per channel. An image of 3 or 6 channels leaves most of a vector empty, so here
the columns are all (p, q, c), of which there are 27 or 150:

    pieces[n, i, j, (p, q, c)] = Σ_o grad[n, i, j, o] · weight[o, p, q, c]
    out[n, i·s + p·d − pad, j·s + q·d − pad, c] += pieces[n, i, j, (p, q, c)]

The scatter ("col2im") adds whole filter rows, KW·C elements side by side, when the horizontal dilation is 1.
6→16 5x5: 2.5 times the speed of the direct product. Images go through in batches of `BATCH` elements, so that the
pieces are still in the cache when they are added.

Reference: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._jit import helper
from ._products import LEFT, OUT, Carver, Dot, multiply, pack
from ._simd import add_elements, get, size_of, zero_bytes
from ._tasks import FIRST, At, Program, Stage, task_kernel

BATCH = 512 * 1024
"""Elements of pieces that a batch of images has at most (one image may have more)."""


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.input_grad`."""
    dot = _plan(x_shape, weight_shape, geometry)
    N, H, W, C = x_shape
    OH, OW = geometry.output_size((H, W), weight_shape[1:3])
    itemsize = dtype.itemsize
    carver = Carver(dtype)
    pieces = carver.take(dot.images, dot.out_size)
    stage, packed = pack(dot, dtype, threads, carver, with_bias=False)
    stages = [stage]
    for first in range(0, N, dot.images):
        batch = dot._replace(images=min(dot.images, N - first))
        grad, out = At(LEFT.operand, first * dot.source_size * itemsize), At(OUT.operand, first * H * W * C * itemsize)
        stages += multiply(batch, dtype, threads, packed, False, grad, pieces)
        numbers = (batch.images, H, W, C, OH, OW, *weight_shape[1:3])
        numbers += (*geometry.stride, *geometry.padding, *geometry.dilation)
        stages.append(Stage(fold, batch.images * dot.out_size, (pieces, out), (), numbers))
    return Program(dtype, threads, stages, carver.used)


@functools.lru_cache(maxsize=64)
def _plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Dot:
    """The product, for one batch of images."""
    O, KH, KW, C = weight_shape
    OH, OW = geometry.output_size(x_shape[1:3], (KH, KW))
    pixels = np.arange(OH * OW, dtype=np.int64)
    size = KH * KW * C
    return Dot(
        images=max(1, min(x_shape[0], BATCH // (OH * OW * size))),
        source_size=OH * OW * O,
        out_size=OH * OW * size,
        table=pixels[None] * O,
        pieces=1,
        piece_step=0,
        run=O,
        targets=pixels * size,
        terms=np.arange(O, dtype=np.int64) * size,
        column_step=1,
        group_step=0,
        groups=1,
        columns=size,
        group_run=O,
    )


@task_kernel
def fold(worker, workers, numbers, zero):
    """``out[n, i·s + p·d − pad, j·s + q·d − pad, c] += pieces[n, i, j, p, q, c]``, from zero. Workers share the images.

    Floats: ``pieces (N, OH, OW, KH, KW, C)``; ``out (N, H, W, C)``, written.
    Numbers: N, H, W, C, OH, OW, KH, KW, strides, paddings, dilations.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    N, H, W, C = get(own), get(own + 8), get(own + 16), get(own + 24)
    OH, OW, filter_bytes = get(own + 32), get(own + 40), get(own + 48) * get(own + 56) * C * item
    for n in range(N * worker // workers, N * (worker + 1) // workers):
        out = get(numbers + 8) + n * H * W * C * item
        zero_bytes(out, H * W * C * item)
        for i in range(OH):
            for j in range(OW):
                _fold_window(get(numbers) + ((n * OH + i) * OW + j) * filter_bytes, i, j, own, out, zero)


@helper
def _fold_window(pieces, i, j, own, out, zero):
    """Add one pixel's pieces to its window."""
    item = size_of(zero)
    H, W, C, KH, KW = get(own + 8), get(own + 16), get(own + 24), get(own + 48), get(own + 56)
    top, left = i * get(own + 64) - get(own + 80), j * get(own + 72) - get(own + 88)
    dh, dw = get(own + 96), get(own + 104)
    for p in range(KH):
        h = top + p * dh
        if h < 0 or h >= H:
            continue
        if dw == 1:
            begin, end = max(0, -left), min(KW, W - left)
            if begin < end:
                source = pieces + (p * KW + begin) * C * item
                add_elements(source, out + (h * W + left + begin) * C * item, (end - begin) * C, zero)
            continue
        for q in range(KW):
            w = left + q * dw
            if 0 <= w < W:
                add_elements(pieces + (p * KW + q) * C * item, out + (h * W + w) * C * item, C, zero)
