"""Convolution on channels-last arrays: what the rest of the library calls.

    out[n, i, j, o] = bias[o] + Σ_{p,q,c} x[n, i·s + p·d − pad, j·s + q·d − pad, c] · weight[o, p, q, c]

and its two gradients, which are the other two adjoints of the same trilinear form. `choose` picks an algorithm and says
why; `prepare` makes of it what runs, once for every geometry; a caller allocates ``out`` and ``workspace``.

Shapes throughout: ``x (N, H, W, C)``, ``weight (O, KH, KW, C/groups)``, ``bias (O,)``, ``out`` and ``grad``
``(N, OH, OW, O)``; all C-contiguous and of one dtype, float32 or float64.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import (
    conv_depthwise,
    conv_depthwise_rows,
    conv_direct,
    conv_few,
    conv_fold,
    conv_sliding,
    conv_wide,
    conv_winograd,
    conv_winograd_weight,
)
from ._emitter import HALF_RATE, lanes
from ._jit import get_num_threads
from ._tasks import Program

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[int, int]


SHARED = " shared"
"""How the names of algorithms end whose blocks are shared by all workers."""

_FAMILIES: dict[str, Any] = {
    "direct": conv_direct,
    "depthwise": conv_depthwise,
    "depthwise rows": conv_depthwise_rows,
    "fold": conv_fold,
    "sliding": conv_sliding,
    "few pixels": conv_few,
    "wide": conv_wide,
    "winograd F(2x2)": conv_winograd.Winograd(2),
    "winograd F(2x2) shared": conv_winograd.Winograd(2, shared=True),
    "winograd F(4x4)": conv_winograd.Winograd(4),
    "winograd F(4x4) shared": conv_winograd.Winograd(4, shared=True),
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


def arithmetic(name: str) -> str:
    """An algorithm's name without who shares what, which changes no bit in "forward" and "input_grad"."""
    return name.removesuffix(SHARED)


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
        reason = "every channel has one filter of its own: no sum over channels"
        if conv_depthwise_rows.fits(weight_shape, geometry):
            return Choice(
                "depthwise rows", f"{reason}; 3x3, stride 1: a pixel that is loaded meets a whole row of taps"
            )
        return Choice("depthwise", reason)
    if kind == "input_grad" and geometry.groups == 1 and x_shape[3] < lanes(dtype) and weight_shape[1:3] != (1, 1):
        return Choice("fold", "fewer channels than a vector has lanes: a product over them would multiply many zeros")
    if np.dtype(dtype) == np.float32 and conv_winograd.fits(weight_shape, geometry, dtype):
        winograd = _choose_winograd(kind, x_shape, weight_shape, geometry, allow_large_tiles)
        if winograd is not None:
            return winograd
    if kind == "weight_grad" and conv_few.fits(x_shape, weight_shape, geometry):
        return Choice("few pixels", "so many channels that sums would leave the cache: pixels as the inner dimension")
    if kind != "input_grad" and conv_wide.neighbours(kind, x_shape, weight_shape, geometry, dtype) > 1:
        return Choice("wide", "few filters: neighbouring pixels fill a vector together")
    if conv_sliding.fits(kind, x_shape, weight_shape, geometry, dtype) and (x_shape[3] == 1 or not HALF_RATE):
        return Choice("sliding", "stride 1, filters fill one vector: a pixel that is loaded meets a whole row of taps")
    return Choice("direct", "windows read in place, as one matrix product")


def _choose_winograd(
    kind: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: Geometry, allow_large_tiles: bool
) -> Choice | None:
    """F(4x4), F(2x2) or neither, by the numbers of channels (of a group) and of tiles.

    The transforms take time per channel, the products per pair of channels, so channels must not be too few. And to
    transform the filters takes as long as a dozen tiles, however many channels there are, or longer where they leave
    the L2 cache. Forward with padding 1 on 2 cores of Zen 4, milliseconds; the best of those that are not Winograd's
    under "other":

        channels       images   tiles of 4x4   other   F(2x2)   F(4x4)   F(4x4) shared
        16→16  @8           4             16   0.019    0.011
        16→16  @32          1             64   0.030    0.022
        16→16  @32        128          8,192     3.2      1.9
        32→32  @16        128          2,048     3.0      1.6
        32→64  @26          1             49    0.13    0.085    0.088            0.069
        32→64  @26          4            196    0.48     0.29     0.23             0.21
        32→64  @26         64          3,136     7.8      4.3      3.4              3.7
        64→64  @8           4             16    0.11    0.075    0.083            0.061
        64→64  @8          64            256     1.4     0.71     0.50             0.47
        128→128 @16         1             16    0.38     0.57     0.89             0.58
        128→128 @16         4             64     1.5      1.1      1.3             0.97
        128→128 @16        64          1,024      23       12      7.9              8.6

    That is with AVX-512; with AVX2 the same core comes to the same order, but for 196 tiles, which take 0.22 either
    way. Input gradients are alike. Weight gradients take 1.9 by F(2x2) instead of 3.0 for 128 images of 16→16 @32, 1.7
    instead of 2.9 for 128 of 32→32 @16; by F(4x4) 0.07 instead of 0.12 for one image of 64→64 @16. With 128→128 @16 in
    4 groups, 64 images take 4.5 by F(2x2) instead of 6.0.
    """
    channels, filters = weight_shape[3], weight_shape[0] // geometry.groups
    fewest, most, pairs = min(channels, filters), max(channels, filters), channels * weight_shape[0]
    H, W = x_shape[1:3] if kind == "input_grad" else geometry.output_size(x_shape[1:3], weight_shape[1:3])
    tiles = x_shape[0] * -(-H // 4) * -(-W // 4)
    if fewest < 16 or tiles < (16 if pairs <= 64 * 64 else 64):
        return None
    if allow_large_tiles and fewest >= 32 and most >= 64:
        m, reason = 4, "3x3, stride 1, 64 channels or more: 2.25 multiplications instead of 9"
    else:
        m, reason = 2, "3x3, stride 1, 16 channels or more: 4 multiplications instead of 9"
    name, numbers = f"winograd F({m}x{m})", (m + 2) ** 2 * pairs
    if kind == "weight_grad":
        tiles = x_shape[0] * -(-H // m) * -(-W // m)
        if conv_winograd_weight.shares(tiles, numbers):
            return Choice(name + SHARED, f"{reason}; too few tiles, or too many sums, for each worker to have its own")
    elif conv_winograd.shares(m, tiles, numbers):
        return Choice(name + SHARED, f"{reason}; too few tiles, or too many filters, for each worker to read them all")
    return Choice(name, reason)


def possible(
    kind: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: Geometry, dtype: Any
) -> list[str]:
    """The names of all algorithms that can compute it; arguments as in `choose`."""
    if choose(kind, x_shape, weight_shape, geometry, dtype).name == "empty":
        return ["empty"]
    if geometry.groups > 1 and geometry.groups == x_shape[3] == weight_shape[0]:
        rows = ["depthwise rows"] if conv_depthwise_rows.fits(weight_shape, geometry) else []
        return [*rows, "depthwise", "direct"]
    names = {
        "direct": True,
        "sliding": conv_sliding.fits(kind, x_shape, weight_shape, geometry, dtype),
        "fold": kind == "input_grad" and geometry.groups == 1,
        "wide": kind != "input_grad" and conv_wide.neighbours(kind, x_shape, weight_shape, geometry, dtype) > 1,
        "few pixels": kind == "weight_grad" and geometry.groups == 1,
    }
    winograd = np.dtype(dtype) == np.float32 and conv_winograd.fits(weight_shape, geometry, dtype)
    names.update({name: winograd for name in _FAMILIES if name.startswith("winograd")})
    return [name for name, fits in names.items() if fits]


class NothingToSum:
    """What runs where `choose` says "empty": called like a `Program`, it writes the bias, or zeros."""

    workspace = 0

    def __init__(self, relu: bool) -> None:
        self.relu = relu

    def __call__(
        self, left: Array, right: Array, bias: Array, workspace: Array, out: Array, out_bias: Array | None = None
    ) -> None:
        out[...] = bias if bias.size else 0
        if self.relu:
            np.maximum(out, 0, out=out)
        if out_bias is not None and out_bias.size:
            np.sum(right, axis=(0, 1, 2), out=out_bias)


def prepare(
    kind: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: Any,
    with_bias: bool = False,
    relu: bool = False,
    allow_large_tiles: bool = True,
    algorithm: str | None = None,
) -> Program | NothingToSum:
    """What runs on as many threads as there are now: the stages of the algorithm that `choose` names.

    Args:
        kind, x_shape, weight_shape, geometry, dtype, allow_large_tiles: As in `choose`.
        with_bias: In "forward" a bias is added, in "weight_grad" its gradient is computed.
        relu: Replace every negative element by 0; NaN stays NaN ("forward").
        algorithm: One of those that are `possible`, instead of the one that `choose` names.

    Returns:
        ``run`` with ``run.workspace``, the number of elements (of ``dtype``) of 1-d scratch memory that a call needs:

            "forward":      run(x, weight, bias, workspace, out)            bias (O,), or (0,) for none
            "input_grad":   run(grad, weight, none, workspace, out)         none (0,)
            "weight_grad":  run(x, grad, none, workspace, out, out_bias)    out_bias (O,), or (0,) for none

        with the output's gradient ``grad (N, OH, OW, O)``. ``out`` (of the shape of what it is, or is the gradient of)
        and ``out_bias`` are written.
    """
    return _prepare(
        kind, x_shape, weight_shape, geometry, dtype, with_bias, relu, allow_large_tiles, algorithm, get_num_threads()
    )  # fmt: skip


@functools.lru_cache(maxsize=512)
def _prepare(
    kind: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: Any,
    with_bias: bool,
    relu: bool,
    allow_large_tiles: bool,
    algorithm: str | None,
    threads: int,
) -> Program | NothingToSum:
    name = algorithm or choose(kind, x_shape, weight_shape, geometry, dtype, allow_large_tiles).name
    if name == "empty":
        return NothingToSum(relu)
    make = getattr(_FAMILIES[name], f"{kind}_program")
    program = make(x_shape, weight_shape, geometry, dtype, threads, with_bias, relu)
    program.algorithm = arithmetic(name)
    return program
