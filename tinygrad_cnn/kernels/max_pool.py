"""Max pooling on (N, H, W, C) memory, vectorised over the channels.

Kept is, for every output element, which place of its window won: a number from 0 to KH·KW − 1, one byte. PyTorch keeps
an int64 index into the image, eight times the memory, and on (N, C, H, W) memory its loop is not vectorised at all:
(64, 64, 24, 24) takes it 8.9 ms, and 0.4 ms on channels-last memory.

    forward     out[n, i, j, c] = max over (p, q) of x[n, i·s + p·d − pad, j·s + q·d − pad, c]
    input_grad  out[n, h, w, c] = Σ grad[n, i, j, c] over the windows (i, j) that (h, w) won

A NaN wins against everything, as in PyTorch. A ReLU before or after max pooling comes for free: where the maximum is 0
or less, the output is 0 and *no* place wins, so the gradient goes nowhere.

The threads share the rows of the output, or, where windows share no pixel, the rows of windows; an element is always
summed in the same order.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ._addresses import elements, get, size_of, zero_bytes
from ._emitter import lanes
from ._jit import get_num_threads, helper, inlined
from ._sizes import Pair, Window
from ._tasks import FIRST, FLOATS, At, Program, Stage, TaskKernel, task_kernel
from ._windows import max_windows, spread_windows, sum_winners

Array = np.ndarray[Any, np.dtype[Any]]


def prepare(
    kind: str, shape: tuple[int, ...], out_size: Pair, window: Window, dtype: np.dtype[Any], relu: bool = False
) -> Program:
    """What runs on as many threads as there are now.

    Args:
        kind: "forward" or "input_grad".
        shape: (N, H, W, C), of the images.
        out_size: (OH, OW): how many windows there are.
        window: Size, stride, padding, dilation.
        dtype: float32 or float64.
        relu: In "forward", write 0 and the place KH·KW, which is none, where a maximum is 0 or less.

    Returns:
        "forward": ``run(x, out, places)`` writes the maxima to ``out (N, OH, OW, C)``, −inf (ReLU: 0) for a window that
        lies in the padding altogether, and ``p·KW + q`` to ``places``, the first one where several are equal.
        "input_grad": ``run(grad, places, out)`` gives every window's gradient to the pixel that won it.
        ``places (N, OH, OW, C)`` are of `Window.place_dtype`.
    """
    return _prepare(kind, shape, out_size, window, dtype, relu, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(
    kind: str,
    shape: tuple[int, ...],
    out_size: Pair,
    window: Window,
    dtype: np.dtype[Any],
    relu: bool,
    threads: int,
) -> Program:
    N, H, W, C = shape
    KH, KW = window.size
    column = _Columns(W, C, out_size[1], window, lanes(dtype))
    numbers = (N, H, W, C, *out_size, *window.numbers)
    work = N * C * (H * W + out_size[0] * out_size[1] * KH * KW)
    writes: tuple[int, ...] = (2,)
    spare: tuple[int, ...] = ()
    if kind == "forward":
        writes, spare = (1, 2), (2,)
        stage = Stage(
            _in_width(window, max_rows, max_rows_of_large_windows), work, (At(0), At(1), At(2)), (),
            (*numbers, column.begin, column.end, column.read_and_written, KH * KW if relu else -1),
        )  # fmt: skip
    elif window.stride[0] > window.dilation[0] * (KH - 1) and window.stride[1] > window.dilation[1] * (KW - 1):
        covered = window.padding == (0, 0) and window.stride == window.size and out_size == (H // KH, W // KW)
        stage = Stage(
            _in_width(window, spread_rows, spread_rows_of_large_windows), work, (At(0), At(1), At(2)), (),
            (*numbers, column.begin, column.end, column.spread, covered and (H % KH, W % KW) == (0, 0)),
        )  # fmt: skip
    else:
        kernel = _in_width(window, add_up_rows, add_up_rows_of_large_windows)
        tables = tuple(_around(side, out_size[i], *(pair[i] for pair in window)) for i, side in enumerate((H, W)))
        stage = Stage(kernel, work, (At(0), At(1), At(2)), tables, (*numbers, *_steps(window)))
    return Program(dtype, threads, [stage], 0, writes, spare)


def _in_width(window: Window, narrow: TaskKernel, wide: TaskKernel) -> TaskKernel:
    return narrow if window.place_dtype.itemsize == 1 else wide


def _around(side: int, windows: int, size: int, stride: int, padding: int, dilation: int) -> Array:
    """Which windows see a pixel, along one side of the image: (side, 3) int64.

    Columns: how many windows do; the pixel's place in the one where that is smallest; the number of this window. From
    one to the next of them the place grows and the number falls, by `_steps`.
    """
    pixel, place = np.arange(side)[:, None], np.arange(size)
    distance = pixel + padding - place * dilation  # of a window's first pixel from the border
    sees = (distance >= 0) & (distance % stride == 0) & (distance // stride < windows)
    first = sees.argmax(axis=1)
    number = np.take_along_axis(distance, first[:, None], 1)[:, 0] // stride
    return np.ascontiguousarray(np.stack([sees.sum(axis=1), first, number], axis=1), np.int64)


def _steps(window: Window) -> tuple[int, ...]:
    """From window to window that see a pixel: by how much its place grows and the window's number falls, both ways."""
    divisors = [math.gcd(stride, dilation) for stride, dilation in zip(window.stride, window.dilation)]
    places = (stride // divisor for stride, divisor in zip(window.stride, divisors))
    numbers = (dilation // divisor for dilation, divisor in zip(window.dilation, divisors))
    return (*places, *numbers)


class _Columns(NamedTuple):
    """Along a row of windows: which of them lie inside the image, and which may be read and written in whole vectors.

    A vector that begins with a window's last channels goes on into the next pixels, and is right there only if these
    are read as part of the image, and written again afterwards.
    """

    width: int  # pixels of the image
    channels: int
    windows: int
    window: Window
    lanes: int

    @property
    def begin(self) -> int:
        """The first window that has no pixel left of the image."""
        return min(self.windows, -(-self.window.padding[1] // self.window.stride[1]))

    @property
    def end(self) -> int:
        """The one after the last that has none right of it."""
        return max(self.begin, min(self.windows, self._fitting(self.width)))

    @property
    def read_and_written(self) -> int:
        """Whole vectors of the image are read, and of the output written, before this window."""
        return self._between(min(self.windows + 1 - self._ahead, self._fitting(self.width + 1 - self._ahead)))

    @property
    def spread(self) -> int:
        """Whole vectors of the gradient are read, and of the image written, before this window."""
        one_after_the_other = self.window.stride[1] == self.window.size[1] and self.window.dilation[1] == 1
        return self._between(self.windows + 1 - self._ahead) if one_after_the_other else self.begin

    @property
    def _ahead(self) -> int:
        """Pixels that the vectors of one pixel reach into, itself among them."""
        return -(-(-(-self.channels // self.lanes) * self.lanes) // self.channels)

    def _between(self, window: int) -> int:
        return max(self.begin, min(self.end, window))

    def _fitting(self, width: int) -> int:
        """Windows that end at this pixel or before."""
        _, (_, stride), (_, padding), (_, dilation) = self.window
        return (width + padding - dilation * (self.window.size[1] - 1) - 1) // stride + 1


(
    IMAGES, HEIGHT, WIDTH, CHANNELS, ROWS, COLUMNS, KH_AT, KW_AT, DOWN, ACROSS, ABOVE, LEFT_OF, DILATION_DOWN,
    DILATION_ACROSS, BEGIN, END, WHOLE, NONE,
) = range(8 * FIRST, 8 * (FIRST + 18), 8)  # fmt: skip
COVERED = NONE
PLACES_DOWN, PLACES_ACROSS, WINDOWS_UP, WINDOWS_BACK = range(BEGIN, BEGIN + 8 * 4, 8)
"""Where the numbers of the task kernels lie."""


@task_kernel
def max_rows(worker, workers, numbers, zero):
    """Write the maximum of every window and its place. Workers share the rows of windows.

    Floats: ``x (N, H, W, C)``; ``out (N, OH, OW, C)`` and ``places (N, OH, OW, C)``, uint8, written; ``places`` at
    address 0 are not wanted.
    Numbers: N, H, W, C, OH, OW; KH, KW, stride, padding, dilation, down and across; the first window of a row that lies
    inside, the one after the last, and the one after the last that may be read and written in whole vectors; the place
    for ReLU, or −1.
    """
    _share_max_rows(worker, workers, numbers, zero, np.uint8(0))


@task_kernel
def max_rows_of_large_windows(worker, workers, numbers, zero):
    """`max_rows` with places of int32."""
    _share_max_rows(worker, workers, numbers, zero, np.int32(0))


@task_kernel
def spread_rows(worker, workers, numbers, zero):
    """Give every window's gradient to the pixel that won it, where no pixel is in two windows.

    Floats: ``grad (N, OH, OW, C)``; ``places (N, OH, OW, C)``, uint8; ``out (N, H, W, C)``, written.
    Numbers: as in `max_rows`, the last one being 1 if every pixel is in a window.
    """
    _share_spread_rows(worker, workers, numbers, zero, np.uint8(0))


@task_kernel
def spread_rows_of_large_windows(worker, workers, numbers, zero):
    """`spread_rows` with places of int32."""
    _share_spread_rows(worker, workers, numbers, zero, np.int32(0))


@task_kernel
def add_up_rows(worker, workers, numbers, zero):
    """Give every window's gradient to the pixel that won it. Workers share the rows of pixels.

    Floats: as in `spread_rows`. Ints: `_around` of rows and of columns. Numbers: the first 14 of `max_rows`, `_steps`.
    """
    _share_add_up_rows(worker, workers, numbers, zero, np.uint8(0))


@task_kernel
def add_up_rows_of_large_windows(worker, workers, numbers, zero):
    """`add_up_rows` with places of int32."""
    _share_add_up_rows(worker, workers, numbers, zero, np.int32(0))


@helper
def _shapes(numbers):
    """(H, W, C, OH, OW)."""
    H, W, C = get(numbers + HEIGHT), get(numbers + WIDTH), get(numbers + CHANNELS)
    return H, W, C, get(numbers + ROWS), get(numbers + COLUMNS)


@inlined
def _share_max_rows(worker, workers, numbers, zero, number):
    """A worker's rows of windows. Windows inside the image differ by an offset only.

    Those of 2x2 and 3x3 are unrolled, which takes 3x3 ones a quarter less time.
    """
    item, place_item = size_of(zero), size_of(number)
    H, W, C, OH, OW = _shapes(numbers)
    KH, KW, none = get(numbers + KH_AT), get(numbers + KW_AT), get(numbers + NONE)
    dh, dw = get(numbers + DILATION_DOWN), get(numbers + DILATION_ACROSS)
    window_step, row_step, column_step = get(numbers + ACROSS) * C * item, dh * W * C * item, dw * C * item
    rows = get(numbers + IMAGES) * OH
    for row in range(rows * worker // workers, rows * (worker + 1) // workers):
        top = row % OH * get(numbers + DOWN) - get(numbers + ABOVE)
        p0, p1 = _valid(top, KH, dh, H)
        line = get(numbers) + (row // OH * H + top + p0 * dh) * W * C * item
        j = 0
        while j < OW:
            left = j * get(numbers + ACROSS) - get(numbers + LEFT_OF)
            count, whole, q0, q1 = _run(numbers, j, left, KW, dw, W)
            source = line + (left + q0 * dw) * C * item
            target = get(numbers + 8) + (row * OW + j) * C * item
            places = get(numbers + 16)
            if places:
                places += (row * OW + j) * C * place_item
            first = p0 * KW + q0
            if p0 >= p1 or q0 >= q1:
                elements(target, 0, count * C, zero)[:] = -np.inf if none < 0 else 0
                if places:
                    elements(places, 0, count * C, number)[:] = max(0, none)
            elif p1 - p0 == 2 and q1 - q0 == 2:
                max_windows(
                    2, 2, source, window_step, row_step, column_step, count, whole, first, KW, none, C, target, places,
                    zero, number,
                )  # fmt: skip
            elif p1 - p0 == 3 and q1 - q0 == 3:
                max_windows(
                    3, 3, source, window_step, row_step, column_step, count, whole, first, KW, none, C, target, places,
                    zero, number,
                )  # fmt: skip
            else:
                max_windows(
                    p1 - p0, q1 - q0, source, window_step, row_step, column_step, count, whole, first, KW, none, C,
                    target, places, zero, number,
                )  # fmt: skip
            j += count


@helper
def _run(numbers, j, left, KW, dilation, W):
    """From window j on: how many go together, how many of them in whole vectors, and their columns ``q0 <= q < q1``."""
    if j >= get(numbers + BEGIN) and j < get(numbers + END):
        return get(numbers + END) - j, get(numbers + WHOLE) - j, 0, KW
    q0, q1 = _valid(left, KW, dilation, W)
    return 1, 0, q0, q1


@helper
def _valid(start, size, dilation, limit):
    """The places ``first <= p < after`` of a window for which ``start + p·dilation`` is from 0 to ``limit`` − 1."""
    first = (dilation - 1 - start) // dilation if start < 0 else 0
    after = size
    if start + (size - 1) * dilation >= limit:
        after = (limit - start + dilation - 1) // dilation
    return first, after


@inlined
def _share_spread_rows(worker, workers, numbers, zero, number):
    """A worker's rows of windows, and the rows of pixels from each to the next."""
    item, place_item = size_of(zero), size_of(number)
    H, W, C, OH, OW = _shapes(numbers)
    KH, KW, sh = get(numbers + KH_AT), get(numbers + KW_AT), get(numbers + DOWN)
    dh, dw = get(numbers + DILATION_DOWN), get(numbers + DILATION_ACROSS)
    window_step, row_step, column_step = get(numbers + ACROSS) * C * item, dh * W * C * item, dw * C * item
    rows = get(numbers + IMAGES) * OH
    for row in range(rows * worker // workers, rows * (worker + 1) // workers):
        image, i = get(numbers + 16) + row // OH * H * W * C * item, row % OH
        top = i * sh - get(numbers + ABOVE)
        if not get(numbers + COVERED):  # some of these pixels are in no window
            begin = max(0, top) if i else 0
            end = max(begin, min(H, top + sh)) if i < OH - 1 else H
            zero_bytes(image + begin * W * C * item, (end - begin) * W * C * item)
        p0, p1 = _valid(top, KH, dh, H)
        j = 0
        while j < OW:
            left = j * get(numbers + ACROSS) - get(numbers + LEFT_OF)
            count, whole, q0, q1 = _run(numbers, j, left, KW, dw, W)
            grads = get(numbers) + (row * OW + j) * C * item
            places = get(numbers + 8) + (row * OW + j) * C * place_item
            target = image + ((top + p0 * dh) * W + left + q0 * dw) * C * item
            first = p0 * KW + q0
            if p1 - p0 == 2 and q1 - q0 == 2:
                spread_windows(
                    2, 2, grads, places, count, whole, first, KW, C, target, window_step, row_step, column_step, zero,
                    number,
                )  # fmt: skip
            elif p0 < p1 and q0 < q1:
                spread_windows(
                    p1 - p0, q1 - q0, grads, places, count, whole, first, KW, C, target, window_step, row_step,
                    column_step, zero, number,
                )  # fmt: skip
            j += count


@inlined
def _share_add_up_rows(worker, workers, numbers, zero, number):
    """A worker's rows of pixels, each the sum over the windows around it."""
    item, place_item = size_of(zero), size_of(number)
    H, W, C, OH, OW = _shapes(numbers)
    KW = get(numbers + KW_AT)
    row_step, row_places = -get(numbers + WINDOWS_UP) * OW, get(numbers + PLACES_DOWN) * KW
    column_step, column_places = -get(numbers + WINDOWS_BACK), get(numbers + PLACES_ACROSS)
    grads, places, out = get(numbers), get(numbers + 8), get(numbers + 16)
    rows = get(numbers + IMAGES) * H
    for row in range(rows * worker // workers, rows * (worker + 1) // workers):
        around_row, around = get(numbers + 8 * FLOATS) + row % H * 24, get(numbers + 8 * FLOATS + 8)
        windows_down, first_place = get(around_row), get(around_row + 8) * KW
        first_row = (row // H * OH + get(around_row + 16)) * OW
        pixel = out + row * W * C * item
        for _ in range(W):
            window = (first_row + get(around + 16)) * C
            sum_winners(
                grads + window * item, places + window * place_item, first_place + get(around + 8), windows_down,
                row_step, row_places, get(around), column_step, column_places, C, pixel, zero, number,
            )  # fmt: skip
            around += 24
            pixel += C * item
