"""Convolution on channels-last arrays: the functions that the rest of the library calls.

    out[n, i, j, o] = bias[o] + Σ_{p,q,c} x[n, i·s + p·d − pad, j·s + q·d − pad, c] · weight[o, p, q, c]

and its two gradients, which are the other two adjoints of the same trilinear form. Each function picks an algorithm
(`choose` says which, and why) and hands the arrays to it; a caller allocates ``out`` and ``workspace``.

Shapes throughout: ``x (N, H, W, C)``, ``weight (O, KH, KW, C/groups)``, ``bias (O,)``, ``out`` and ``grad``
``(N, OH, OW, O)``; all C-contiguous and of one dtype, float32 or float64.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import conv_depthwise, conv_direct, conv_fold, conv_sliding, conv_wide, conv_winograd, conv_winograd_weight
from ._emitter import lanes
from ._jit import get_num_threads
from ._memory import ABSENT
from ._tasks import Program

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[int, int]


_FAMILIES: dict[str, Any] = {
    "direct": conv_direct,
    "depthwise": conv_depthwise,
    "fold": conv_fold,
    "sliding": conv_sliding,
    "wide": conv_wide,
    "winograd F(2x2)": conv_winograd.Winograd(2),
    "winograd F(4x4)": conv_winograd.Winograd(4),
}


class Geometry(NamedTuple):
    """How the filters move over the image: pairs are (vertical, horizontal)."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_size(self, size: Sequence[int], kernel_size: Sequence[int]) -> Pair:
        """The (OH, OW) of an (H, W) image: ``floor((H + 2·padding − dilation·(KH − 1) − 1) / stride) + 1``."""
        return (
            (size[0] + 2 * self.padding[0] - self.dilation[0] * (kernel_size[0] - 1) - 1) // self.stride[0] + 1,
            (size[1] + 2 * self.padding[1] - self.dilation[1] * (kernel_size[1] - 1) - 1) // self.stride[1] + 1,
        )


class Choice(NamedTuple):
    """An algorithm and the reason it was chosen."""

    name: str
    reason: str


def choose(
    kind: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: Any,
    allow_large_tiles: bool = True,
) -> Choice:
    """Which algorithm runs, and why.

    Args:
        kind: "forward", "input_grad" or "weight_grad".
        x_shape: (N, H, W, C).
        weight_shape: (O, KH, KW, C/groups).
        geometry: Stride, padding, dilation, groups.
        dtype: float32 or float64.
        allow_large_tiles: False keeps to algorithms whose rounding error is that of a plain sum: no F(4x4).
    """
    if 0 in (*x_shape, *weight_shape) or 0 in geometry.output_size(x_shape[1:3], weight_shape[1:3]):
        return Choice("empty", "a sum over nothing, or nothing to sum")
    if geometry.groups > 1 and geometry.groups == x_shape[3] == weight_shape[0]:
        return Choice("depthwise", "every channel has one filter of its own: no sum over channels")
    if kind == "input_grad" and geometry.groups == 1 and x_shape[3] < lanes(dtype) and weight_shape[1:3] != (1, 1):
        return Choice("fold", "fewer channels than a vector has lanes: a product over them would multiply many zeros")
    if np.dtype(dtype) == np.float32 and conv_winograd.fits(weight_shape, geometry, dtype):
        winograd = _choose_winograd(kind, x_shape[3], weight_shape[0], allow_large_tiles)
        if winograd is not None:
            return winograd
    if kind != "input_grad" and conv_wide.neighbours(x_shape, weight_shape, geometry, dtype) > 1:
        return Choice("wide", "few filters: neighbouring pixels fill a vector together")
    if conv_sliding.fits(kind, x_shape, weight_shape, geometry):
        return Choice("sliding", "stride 1: a pixel that is loaded meets a whole row of taps")
    return Choice("direct", "windows read in place, as one matrix product")


def _choose_winograd(kind: str, channels: int, filters: int, allow_large_tiles: bool) -> Choice | None:
    """F(4x4), F(2x2) or neither, by the number of channels.

    Measured on 2 Zen 3 cores, batch 64, forward, in billions of the direct sum's operations per second:

        channels          direct   F(2x2)   F(4x4)
        32→64  @26           164      182      268
        64→64  @32           171      204      378
        128→128 @16          139      270      408
        512→512 @4           144      206      232

    and the weight gradient, on one Zen 4 core:

        channels          direct   F(2x2)   F(4x4)
        32→64  @26           101      129      174
        64→64  @32            96      145      209
        128→128 @16           97      164      257
    """
    if kind == "weight_grad" and not conv_winograd_weight.pays(channels, filters):
        return None
    if allow_large_tiles and max(channels, filters) >= 64 and min(channels, filters) >= 32:
        return Choice("winograd F(4x4)", "3x3, stride 1, 64 channels or more: 2.25 multiplications instead of 9")
    if min(channels, filters) >= 32:
        return Choice("winograd F(2x2)", "3x3, stride 1, 32 channels or more: 4 multiplications instead of 9")
    return None


def workspace_size(
    kind: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: Any,
    allow_large_tiles: bool = True,
) -> int:
    """Number of elements (of ``dtype``) of scratch memory that the call needs; may be 0. Arguments as in `choose`."""
    threads = get_num_threads()
    found = program(kind, x_shape, weight_shape, geometry, dtype, threads, True, False, allow_large_tiles)
    return 0 if found is None else found.workspace


@functools.lru_cache(maxsize=512)
def program(
    kind: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: Any,
    threads: int,
    with_bias: bool,
    relu: bool,
    allow_large_tiles: bool,
) -> Program | None:
    """What runs: the stages of the algorithm that `choose` names, or None if there is nothing to sum.

    Args:
        kind, x_shape, weight_shape, geometry, dtype, allow_large_tiles: As in `choose`.
        threads: That the work is cut for.
        with_bias: In "forward" a bias is added, in "weight_grad" its gradient is computed.
        relu: Replace negative elements by 0 ("forward").
    """
    name = choose(kind, x_shape, weight_shape, geometry, dtype, allow_large_tiles).name
    if name == "empty":
        return None
    prepare = getattr(_FAMILIES[name], f"{kind}_program")
    return prepare(x_shape, weight_shape, geometry, dtype, threads, with_bias, relu)


def _fitting(workspace: Array, *arguments: Any) -> Program | None:
    """The program for as many threads as the workspace has room for: they may be more than when it was measured."""
    kind, x_shape, weight_shape, geometry, dtype, *options = arguments
    threads = get_num_threads()
    found = program(kind, x_shape, weight_shape, geometry, dtype, threads, *options)
    while found is not None and found.workspace > workspace.size and threads > 1:
        threads -= 1
        found = program(kind, x_shape, weight_shape, geometry, dtype, threads, *options)
    return found


def forward(
    x: Array,
    weight: Array,
    bias: Array,
    geometry: Geometry,
    workspace: Array,
    out: Array,
    relu: bool = False,
    allow_large_tiles: bool = True,
) -> None:
    """Write the convolution of ``x`` with ``weight``, plus ``bias``, to ``out``.

    Args:
        x: (N, H, W, C).
        weight: (O, KH, KW, C/groups).
        bias: (O,), or (0,) for none.
        geometry: Stride, padding, dilation, groups.
        workspace: 1-d scratch of at least `workspace_size` elements; its contents don't matter.
        out: (N, OH, OW, O), written.
        relu: Also replace every negative element by 0 (NaN stays NaN).
        allow_large_tiles: As in `choose`; the same value as was given to `workspace_size`.
    """
    options = (bias.size > 0, relu, allow_large_tiles)
    run = _fitting(workspace, "forward", x.shape, weight.shape, geometry, x.dtype, *options)
    if run is not None:
        run(x, weight, bias, workspace, out)
        return
    out[...] = bias if bias.size else 0
    if relu:
        np.maximum(out, 0, out=out)


def input_grad(
    grad: Array, weight: Array, geometry: Geometry, workspace: Array, out: Array, allow_large_tiles: bool = True
) -> None:
    """Write the gradient with respect to ``x`` to ``out``: every output pixel's gradient, spread over its window.

    Args:
        grad: (N, OH, OW, O).
        weight: (O, KH, KW, C/groups).
        geometry: Stride, padding, dilation, groups.
        workspace: 1-d scratch of at least `workspace_size` elements.
        out: (N, H, W, C), written.
        allow_large_tiles: As in `choose`.
    """
    options = (True, False, allow_large_tiles)
    run = _fitting(workspace, "input_grad", out.shape, weight.shape, geometry, out.dtype, *options)
    if run is not None:
        run(grad, weight, ABSENT[out.dtype], workspace, out)
        return
    out[...] = 0


def weight_grad(
    x: Array,
    grad: Array,
    geometry: Geometry,
    workspace: Array,
    out: Array,
    out_bias: Array,
    allow_large_tiles: bool = True,
) -> None:
    """Write the gradients with respect to ``weight`` and ``bias``: sums over all images and pixels.

    Args:
        x: (N, H, W, C).
        grad: (N, OH, OW, O).
        geometry: Stride, padding, dilation, groups.
        workspace: 1-d scratch of at least `workspace_size` elements.
        out: (O, KH, KW, C/groups), written.
        out_bias: (O,), written; (0,) if there is no bias.
        allow_large_tiles: As in `choose`.
    """
    options = (out_bias.size > 0, False, allow_large_tiles)
    run = _fitting(workspace, "weight_grad", x.shape, out.shape, geometry, out.dtype, *options)
    if run is not None:
        run(x, grad, ABSENT[out.dtype], workspace, out, out_bias)
        return
    out[...] = 0
    if out_bias.size:
        np.sum(grad, axis=(0, 1, 2), out=out_bias)
