"""The input gradient where the input has few channels: a product for whole filter rows, then a scatter along rows.

A tile of `conv_direct` has a column per channel. An image of 3 or 6 channels leaves most of a vector empty, so here
the columns are all (q, c) of a filter row, of which there are 9 or 30. Down the image it is the direct product, whose
sums run over filters and filter rows; across it, what each window gives to its pixels is added up afterwards ("col2im"
in one dimension):

    pieces[n, h, j, (q, c)] = Σ_{o,p} grad[n, (h + pad − p·d) / s, j, o] · weight[o, p, q, c]
    out[n, h, j·s + q·d − pad, c] += pieces[n, h, j, (q, c)]

With (p, q, c) as the columns the sums would run over filters alone, and be so short that a tile takes longer to begin
and end than to sum: 6→16 5x5 would take 1.3 times as long on Zen 3. The scatter adds the windows of a column, row by
row, before those of the next one: added window by window, a sum would be read back before it has reached the cache, and
the processor waits. Images go through in batches of `BATCH` elements, so that the pieces are still in the cache then.

Reference: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._addresses import add_rows, get, size_of, zero_bytes
from ._blocks import Axis, Grid
from ._dot import PANEL_BYTES, Dot, Places, multiply, pack
from ._tasks import FIRST, At, Program, Stage, task_kernel
from ._workspace import LEFT, OUT, Array, Carver
from .conv_direct import Phase, phases_along

ROWS = 8
"""Rows of pixels that a column of windows is added to before the next one."""

BATCH = 256 * 1024
"""Elements of pieces that a batch of images has at most (one image may have more)."""


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    N, H, W, C = x_shape
    O, KH, KW, _ = weight_shape
    OH, OW = geometry.output_size((H, W), (KH, KW))
    row = KW * C
    size = H * OW * row  # of an image's pieces
    together = max(1, min(N, BATCH // size))
    runs = _runs(x_shape, weight_shape, geometry)
    phases = phases_along(0, x_shape, weight_shape, geometry)
    carver = Carver(dtype)
    pieces = carver.take(together, size)
    stages, matrices = [], []
    for phase in phases:
        stage, packed = pack(_plan(together, phase, x_shape, weight_shape, geometry), dtype, carver, with_bias=False)
        stages.append(stage)
        matrices.append(packed)
    begin = workspace = carver.used
    for first in range(0, N, together):
        count = min(together, N - first)
        grad = At(LEFT.operand, first * OH * OW * O * dtype.itemsize)
        out = At(OUT.operand, first * H * W * C * dtype.itemsize)
        for phase, packed in zip(phases, matrices):
            carver.used = begin  # every product uses the same memory
            dot = _plan(count, phase, x_shape, weight_shape, geometry)
            stages += multiply(dot, dtype, threads, carver, packed, False, grad, pieces)
            workspace = max(workspace, carver.used)
        stages.append(Stage(fold, count * size, (pieces, out), (runs,), (count * H, OW * row, W * C, len(runs))))
    return Program(dtype, threads, stages, workspace)


def _plan(images: int, phase: Phase, x_shape: Any, weight_shape: Any, geometry: Any) -> Dot:
    """The product of a phase of rows: the gradients of a column of windows with all filters."""
    O, KH, KW, C = weight_shape
    windows, row = geometry.output_size(x_shape[1:3], (KH, KW))[1], KW * C
    line = windows * row
    taps = phase.positions[:, None] * row
    return Dot(
        grid=Grid(images, phase.axis, Axis(windows, 1, (0,), windows), O),
        side_by_side=True,
        targets=Places(phase.first * line, x_shape[1] * line, geometry.stride[0] * line, row),
        terms=(taps + np.arange(O, dtype=np.int64) * (KH * row)).reshape(-1),
        column_step=1,
        group_step=0,
        groups=1,
        columns=row,
    )


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
            found.append(((j * KW + q) * C, (left + q * dilation) * C, count * C))
    return np.array(found, np.int64).reshape(-1, 3)


@task_kernel
def fold(worker, workers, numbers, zero):
    """Add up the pieces that fall onto each pixel, from zero. Workers share the rows of pixels.

    Floats: ``pieces (rows, OW, KW, C)``; ``out (rows, W, C)``, written.
    Ints: ``runs (runs, 3)``, see `_runs`.
    Numbers: rows, elements of a row of pieces and of a row of ``out``, runs.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    step, line = get(own + 8) * item, get(own + 16) * item
    low, high = get(own) * worker // workers, get(own) * (worker + 1) // workers
    zero_bytes(get(numbers + 8) + low * line, (high - low) * line)
    while low < high:
        after = min(high, low + ROWS)
        for run in range(get(own + 24)):
            place = get(numbers + 48) + run * 24
            source, target = get(numbers) + get(place) * item, get(numbers + 8) + get(place + 8) * item
            for row in range(low, after):
                for done in range(0, get(place + 16) * item, PANEL_BYTES):
                    left = get(place + 16) - done // item
                    add_rows(source + row * step + done, 0, left, 1, target + row * line + done, zero)
        low = after
