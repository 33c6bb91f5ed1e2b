"""Direct convolution: the definition, as matrix products over windows that are read in place.

What is geometry here is only which source pixels a pixel sees (see `_blocks`). Along each axis, for output pixel i and
filter position p,

    forward, weight gradient:   x[i·s + p·d − pad]
    input gradient:             of pixel h, grad[(h + pad − p·d) / s] where s divides that

**Longer pieces.** In channels-last memory the positions of one filter row lie side by side where the horizontal
dilation is 1, so a piece is a whole filter row, KW·C elements: few-channel layers, whose pieces would be 1 or 3
elements, run as fast as others (1→32 3x3: 3 pieces of 3 instead of 9 of 1).

**Strided input gradient.** Of the positions p only those with h + pad − p·d divisible by s contribute, and which they
are depends on h mod s alone. So the pixels fall into s·s phases, each a stride-1 product with its share of the filter
positions; all phases together do exactly the multiplications of the forward pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._blocks import Axis, Grid, one_to_one
from ._dot import Dot, Places, dot_stages, phases_program
from ._outer import Outer, outer_stages
from ._tasks import Program
from ._workspace import LEFT, Array, Carver


def forward_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """``out = max(floor, bias + convolution)``; see `conv.prepare`."""
    carver = Carver(dtype)
    stages = dot_stages(forward_plan(x_shape, weight_shape, geometry), dtype, threads, carver, with_bias, relu)
    return Program(dtype, threads, stages, carver.used)


def input_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    return phases_program(input_grad_plan(x_shape, weight_shape, geometry), dtype, threads)


def weight_grad_program(
    x_shape: Any, weight_shape: Any, geometry: Any, dtype: Any, threads: int, with_bias: bool, relu: bool
) -> Program:
    """See `conv.prepare`."""
    carver = Carver(dtype)
    plan = weight_grad_plan(x_shape, weight_shape, geometry)
    return Program(dtype, threads, outer_stages(plan, dtype, threads, carver, LEFT, with_bias), carver.used)


def forward_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Dot:
    """The product of windows and filters."""
    O, KH, KW, group_channels = weight_shape
    grid = forward_grid(x_shape, weight_shape, geometry)
    size = KH * KW * group_channels
    row = grid.horizontal.pixels * O
    return Dot(
        grid=grid,
        side_by_side=geometry.dilation[1] == 1 and geometry.groups == 1,
        targets=Places(0, grid.vertical.pixels * row, row, O),
        terms=np.arange(size, dtype=np.int64),
        column_step=size,
        group_step=O // geometry.groups * size,
        groups=geometry.groups,
        columns=O // geometry.groups,
    )


def input_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> list[Dot]:
    """One product per phase of the stride."""
    _, H, W, C = x_shape
    O, KH, KW, group_channels = weight_shape
    group_filters = O // geometry.groups
    filters = np.arange(group_filters, dtype=np.int64) * (KH * KW)
    products = []
    for vertical, horizontal in phases(x_shape, weight_shape, geometry):
        taps = (vertical.positions[:, None] * KW + horizontal.positions).reshape(-1, 1)
        products.append(
            Dot(
                grid=Grid(x_shape[0], vertical.axis, horizontal.axis, O),
                side_by_side=geometry.groups == 1 and horizontal.axis.extent == len(horizontal.axis.taps),
                targets=Places(
                    (vertical.first * W + horizontal.first) * C,
                    H * W * C,
                    geometry.stride[0] * W * C,
                    geometry.stride[1] * C,
                ),
                terms=((taps + filters) * group_channels).reshape(-1),
                column_step=1,
                group_step=group_filters * KH * KW * group_channels,
                groups=geometry.groups,
                columns=group_channels,
            )
        )
    return products


def weight_grad_plan(x_shape: Any, weight_shape: Any, geometry: Any) -> Outer:
    """The product of windows and gradients."""
    O, KH, KW, group_channels = weight_shape
    size = KH * KW * group_channels
    return Outer(
        grid=forward_grid(x_shape, weight_shape, geometry),
        groups=geometry.groups,
        columns=O // geometry.groups,
        term_step=1,
        column_step=size,
        group_step=O // geometry.groups * size,
    )


def forward_grid(x_shape: Any, weight_shape: Any, geometry: Any) -> Grid:
    """Which pixels of x each output pixel sees."""
    N, H, W, C = x_shape
    kernel_size = weight_shape[1:3]
    if kernel_size == (1, 1) and geometry.stride == (1, 1) and geometry.padding == (0, 0):
        return one_to_one(N * H * W, C)
    vertical, horizontal = (
        Axis(pixels, stride, tuple(p * dilation - padding for p in range(taps)), source)
        for pixels, taps, source, stride, padding, dilation in zip(
            geometry.output_size((H, W), kernel_size), kernel_size, (H, W), *geometry[:3]
        )
    )
    return Grid(N, vertical, horizontal, C)


class Phase(NamedTuple):
    """Along one axis: every ``stride``-th pixel of x from ``first`` on, and the filter positions that reach them."""

    first: int
    axis: Axis
    positions: Array


def phases(x_shape: Any, weight_shape: Any, geometry: Any) -> list[tuple[Phase, Phase]]:
    """The phases of an input gradient, down and across."""
    down, across = (phases_along(axis, x_shape, weight_shape, geometry) for axis in (0, 1))
    return [(vertical, horizontal) for vertical in down for horizontal in across]


def phases_along(axis: int, x_shape: Any, weight_shape: Any, geometry: Any) -> list[Phase]:
    """The phases down (axis 0) or across (1)."""
    size, taps = x_shape[1 + axis], weight_shape[1 + axis]
    out_size = geometry.output_size(x_shape[1:3], weight_shape[1:3])[axis]
    stride, padding, dilation = (pair[axis] for pair in geometry[:3])
    found = []
    for first in range(min(stride, size)):
        # Position p of pixel first + stride·i sees grad[i + (first + padding − p·dilation) / stride]: p falls, i grows.
        positions = [p for p in reversed(range(taps)) if (first + padding - p * dilation) % stride == 0]
        sources = tuple((first + padding - p * dilation) // stride for p in positions)
        count = -(-(size - first) // stride)
        found.append(Phase(first, Axis(count, 1, sources, out_size), np.array(positions, np.int64)))
    return found
