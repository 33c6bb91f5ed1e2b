"""The input gradient where the input has few channels: one product, then a scatter.

A tile of `conv_direct` has a column per channel. An image of 3 or 6 channels leaves most of a vector empty, so here
the columns are all (p, q, c), of which there are 27 or 150:

    pieces[n, i, j, (p, q, c)] = Σ_o grad[n, i, j, o] · weight[o, p, q, c]
    out[n, i·s + p·d − pad, j·s + q·d − pad, c] += pieces[n, i, j, (p, q, c)]

The scatter ("col2im") moves whole filter rows, KW·C elements side by side, when the horizontal dilation is 1, and adds
those that fall onto one row of pixels in registers: what is added window by window is read back before it has reached
the cache, and the processor waits. 6→16 5x5: 3 times the speed of the direct product. Images go through in batches of
`BATCH` elements, so that the pieces are still in the cache when they are added.

Reference: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._addresses import add_rows, get, size_of, zero_bytes
from ._blocks import one_to_one
from ._dot import PANEL_BYTES, Dot, Places, multiply, pack
from ._tasks import FIRST, At, Program, Stage, task_kernel
from ._workspace import LEFT, OUT, Array, Carver

BATCH = 256 * 1024
"""Elements of pieces that a batch of images has at most (one image may have more)."""


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    O, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    size = OH * OW * KH * KW * C  # of an image's pieces
    together = max(1, min(N, BATCH // size))
    rows, step = _rows(x_shape, weight_shape, geometry)
    runs = _runs(x_shape, weight_shape, geometry)
    carver = Carver(dtype)
    pieces = carver.take(together, size)
    stage, packed = pack(_plan(together * OH * OW, weight_shape), dtype, carver, with_bias=False)
    stages = [stage]
    begin = workspace = carver.used
    for first in range(0, N, together):
        carver.used = begin  # every batch uses the same memory
        count = min(together, N - first)
        grad = At(LEFT.operand, first * OH * OW * O * dtype.itemsize)
        out = At(OUT.operand, first * H * W * C * dtype.itemsize)
        dot = _plan(count * OH * OW, weight_shape)
        stages += multiply(dot, dtype, threads, carver, packed, False, grad, pieces)
        workspace = max(workspace, carver.used)
        stages.append(Stage(fold, count * size, (pieces, out), (rows, runs), (count, size, H, W * C, len(runs), step)))
    return Program(dtype, threads, stages, workspace)


def _plan(pixels: int, weight_shape: Any) -> Dot:
    """The product: every pixel's gradients with all filters."""
    O, KH, KW, C = weight_shape
    size = KH * KW * C
    return Dot(
        grid=one_to_one(pixels, O),
        side_by_side=True,
        targets=Places(0, 0, size, 0),
        terms=np.arange(O, dtype=np.int64) * size,
        column_step=1,
        group_step=0,
        groups=1,
        columns=size,
    )


def _rows(x_shape: Any, weight_shape: Any, geometry: Any) -> tuple[Array, int]:
    """Which filter rows of which rows of windows fall onto each row of pixels.

    Returns:
        (H, 2): in the pieces of an image, where the first of them begins, and how many there are; and how far it is
        from one to the next, which is the same everywhere. All in elements.
    """
    H = x_shape[1]
    _, KH, KW, C = weight_shape
    OH, OW = geometry.output_size(x_shape[1:3], (KH, KW))
    stride, dilation = geometry.stride[0], geometry.dilation[0]
    windows, row = OW * KH * KW * C, KW * C
    # From one to the next, p grows by stride / gcd and i falls by dilation / gcd.
    gcd = math.gcd(stride, dilation)
    found = np.zeros((H, 2), np.int64)
    for h in range(H):
        fitting = [
            ((h + geometry.padding[0] - p * dilation) // stride, p)
            for p in range(KH)
            if (h + geometry.padding[0] - p * dilation) % stride == 0
        ]
        inside = [i * windows + p * row for i, p in fitting if 0 <= i < OH]
        found[h] = (inside[0], len(inside)) if inside else (0, 0)
    return found, stride // gcd * row - dilation // gcd * windows


def _runs(x_shape: Any, weight_shape: Any, geometry: Any) -> Array:
    """(runs, 3): what lies side by side in a row of windows and in a row of pixels: from where, to where, how many."""
    W = x_shape[2]
    _, KH, KW, C = weight_shape
    OW = geometry.output_size(x_shape[1:3], (KH, KW))[1]
    dilation = geometry.dilation[1]
    found = []
    for j in range(OW):
        left = j * geometry.stride[1] - geometry.padding[1]
        inside = [q for q in range(KW) if 0 <= left + q * dilation < W]
        for q in inside[:1] if dilation == 1 else inside:
            count = len(inside) if dilation == 1 else 1
            found.append((j * KH * KW * C + q * C, (left + q * dilation) * C, count * C))
    return np.array(found, np.int64).reshape(-1, 3)


@task_kernel
def fold(worker, workers, numbers, zero):
    """Add up the pieces that fall onto each pixel, from zero. Workers share the images.

    Floats: ``pieces (N, OH, OW, KH, KW, C)``; ``out (N, H, W, C)``, written.
    Ints: ``rows (H, 2)``, see `_rows`; ``runs (runs, 3)``, see `_runs`.
    Numbers: N, elements of an image's pieces, H, W·C, runs, elements between the pieces of a row of pixels.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    N, H, line = get(own), get(own + 16), get(own + 24) * item
    rows, runs, step = get(numbers + 48), get(numbers + 56), get(own + 40) * item
    for n in range(N * worker // workers, N * (worker + 1) // workers):
        pieces, out = get(numbers) + n * get(own + 8) * item, get(numbers + 8) + n * H * line
        zero_bytes(out, H * line)
        for run in range(get(own + 32)):
            place = runs + run * 24
            source, target, count = pieces + get(place) * item, out + get(place + 8) * item, get(place + 16)
            for h in range(H):
                pieces_of_row = source + get(rows + h * 16) * item
                for done in range(0, count * item, PANEL_BYTES):
                    add_rows(
                        pieces_of_row + done, step, count - done // item, get(rows + h * 16 + 8),
                        target + h * line + done, zero,
                    )  # fmt: skip
