"""Convolution with few filters: neighbouring output pixels share a tile's columns.

A tile of `conv_direct` has a column per filter, so LeNet's first layer with its 6 filters leaves 10 of the 16 lanes of
AVX-512 empty. In channels-last memory the outputs of u neighbouring pixels lie side by side, u·O numbers. They are the
outputs of u·O filters that are wider by u − 1 steps and take u steps at a time, each filter standing at its own place
among zeros:

    wide[(v, o), p, q + v·s, c] = weight[o, p, q, c]      v = 0 … u − 1, 0 elsewhere

So a convolution with few filters *is* one with more and wider filters, of the same memory and with fewer pixels. The
multiplications by the zeros are wasted, but fewer than the lanes were: per pixel (KW + (u − 1)·s) / u columns of the
window instead of KW. 1→6 5x5, u = 2: 3 instead of 5. The weight gradient is that of the wide filters, the u copies
added up.

Like Winograd's tiles, the wide windows let an infinity or NaN of the image reach the neighbours in its row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import conv_direct
from ._addresses import add_elements, copy_bytes, get, size_of, zero_bytes
from ._dot import dot_stages
from ._emitter import lanes, panel_width
from ._outer import outer_stages
from ._simd import OUTER_ROWS
from ._tasks import FIRST, Program, Stage, task_kernel
from ._workspace import BIAS, LEFT, OUT, OUT_COLUMNS, RIGHT, Carver, product


class Widened(NamedTuple):
    """The same convolution, as one with wider filters."""

    neighbours: int  # u
    weight_shape: tuple[int, int, int, int]  # (u·O, KH, KW + (u − 1)·s, C)
    geometry: Any


def neighbours(kind: str, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any) -> int:
    """How many pixels share a row of a tile, u, in "forward" or "weight_grad"; 1 where it does not pay.

    The number that divides the rows of pixels and costs least, if that saves a tenth. 1→6 5x5, batch 256: on one Zen 4
    core two pixels in one vector are 1.6 (forward) and 1.7 times (weight gradient) as fast as the direct product; on
    Zen 3, whose vectors hold 8 numbers, two pixels in two vectors are 1.5 times as fast in the weight gradient.
    """
    filters, _, KW, _ = weight_shape
    if geometry.groups > 1 or geometry.dilation[1] > 1:
        return 1
    OW = geometry.output_size(x_shape[1:3], weight_shape[1:3])[1]
    step = geometry.stride[1]
    # Multiply-adds of one vector wait for each other where a tile has less than 8 rows.
    wait = max(1, 8 / OUTER_ROWS) if kind == "weight_grad" else 1

    def cost(u: int) -> float:
        vectors = -(-u * filters // lanes(dtype))
        return (KW + (u - 1) * step) / u * (wait if vectors == 1 else vectors)

    u = min((u for u in range(1, max(1, panel_width(dtype) // filters) + 1) if OW % u == 0), key=cost)
    return u if cost(u) <= 0.9 * cost(1) else 1


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    wide = _widen("forward", x_shape, weight_shape, geometry, dtype)
    plan = conv_direct.forward_plan(x_shape, wide.weight_shape, wide.geometry)
    carver = Carver(dtype)
    weight, bias = carver.take(*wide.weight_shape), carver.take(wide.weight_shape[0])
    widen = Stage(
        widen_filters, product(wide.weight_shape), (RIGHT, BIAS, weight, bias), (),
        (*_numbers(wide, weight_shape, geometry), with_bias),
    )  # fmt: skip
    dot = dot_stages(plan, dtype, threads, carver, with_bias, relu, right=weight, bias=bias)
    return Program(dtype, threads, [widen, *dot], carver.used)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    wide = _widen("weight_grad", x_shape, weight_shape, geometry, dtype)
    plan = conv_direct.weight_grad_plan(x_shape, wide.weight_shape, wide.geometry)
    carver = Carver(dtype)
    weight, bias = carver.take(*wide.weight_shape), carver.take(wide.weight_shape[0])
    outer = outer_stages(plan, dtype, threads, carver, LEFT, with_bias, weight, bias)
    narrow = Stage(
        narrow_filters, product(wide.weight_shape), (weight, bias, OUT, OUT_COLUMNS), (),
        (*_numbers(wide, weight_shape, geometry), with_bias),
    )  # fmt: skip
    return Program(dtype, threads, [*outer, narrow], carver.used)


def _widen(kind: str, x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any) -> Widened:
    u = neighbours(kind, x_shape, weight_shape, geometry, dtype)
    O, KH, KW, C = weight_shape
    step = geometry.stride[1]
    shape = (u * O, KH, KW + (u - 1) * step, C)
    return Widened(u, shape, geometry._replace(stride=(geometry.stride[0], u * step)))


def _numbers(wide: Widened, weight_shape: Any, geometry: Any) -> tuple[int, ...]:
    """u, O, KH, elements in a filter's row, in a wide one, and in a step."""
    O, KH, KW, C = weight_shape
    return wide.neighbours, O, KH, KW * C, wide.weight_shape[2] * C, geometry.stride[1] * C


@task_kernel
def widen_filters(worker, workers, numbers, zero):
    """Every filter u times, at its place among zeros. The first worker does it.

    Floats: ``weight (O, KH, KW·C)``; ``bias (O,)``; ``wide (u, O, KH, wide row)`` and ``wide_bias (u, O)``, written.
    Numbers: u, O, KH, KW·C, elements in a wide row and in a step, 1 if there is a bias.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    rows = get(own + 8) * get(own + 16)
    row, wide_row, step = get(own + 24) * item, get(own + 32) * item, get(own + 40) * item
    if worker == 0:
        zero_bytes(get(numbers + 16), get(own) * rows * wide_row)
        for v in range(get(own)):
            for r in range(rows):
                copy_bytes(get(numbers) + r * row, get(numbers + 16) + (v * rows + r) * wide_row + v * step, row)
            if get(own + 48):
                bytes_of_bias = get(own + 8) * item
                copy_bytes(get(numbers + 8), get(numbers + 24) + v * bytes_of_bias, bytes_of_bias)


@task_kernel
def narrow_filters(worker, workers, numbers, zero):
    """Add up the u copies of every filter, and of every bias: `widen_filters`' adjoint. The first worker does it.

    Floats: ``wide (u, O, KH, wide row)``; ``wide_bias (u, O)``; ``weight (O, KH, KW·C)`` and ``bias (O,)``, written.
    Numbers: as in `widen_filters`.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    filters, rows = get(own + 8), get(own + 8) * get(own + 16)
    row, wide_row, step = get(own + 24), get(own + 32) * item, get(own + 40) * item
    if worker == 0:
        zero_bytes(get(numbers + 16), rows * row * item)
        for v in range(get(own)):
            for r in range(rows):
                source = get(numbers) + (v * rows + r) * wide_row + v * step
                add_elements(source, get(numbers + 16) + r * row * item, row, zero)
        if get(own + 48):
            zero_bytes(get(numbers + 24), filters * item)
            for v in range(get(own)):
                add_elements(get(numbers + 8) + v * filters * item, get(numbers + 24), filters, zero)
