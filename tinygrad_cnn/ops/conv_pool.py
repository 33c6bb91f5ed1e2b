"""Convolution, ReLU and max pooling in one operation: a large batch goes through them a few images at a time.

What the convolution computes is several times as large as what pooling leaves of it, and nobody else reads it. In
chunks of a few images it never leaves the cache, and neither does its gradient, which is mostly zeros: training the
lecture's network with batches of 256 takes 77 MB instead of 117. Time it saves in some processes and costs in others,
depending on where in memory the arrays happen to lie: 0.8 to 1.1 times the speed in sixteen runs on 2 cores of Zen 3.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, wrap
from ..autograd.grad_mode import recording
from ..errors import DTypeError, ShapeError
from ..kernels._memory import ABSENT, add_to
from . import buffers
from .chunks import CHUNK, cut
from .conv import Conv2d, checked_convolution, get_float32_matmul_precision, prepare
from .layout import channels_last, nchw, nhwc, prepared
from .pooling import MaxPoolGrad, checked_pooling
from .window import Pair

if TYPE_CHECKING:
    from ..kernels._sizes import Window
    from ..kernels.conv import Geometry

LEAST_PIXELS = 64
"""For every channel or filter, whichever are more, a chunk must have so many pixels: its gradient by the filters, which
has to be transformed and added to the others, is then a small part of the work."""


class Conv2dMaxPool2dReLU(Conv2d):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None: the maxima and their places, as `MaxPool2dReLU`.

    The bits are those of the operations one by one, but for the gradients by weight and bias, which are sums of those
    of the chunks.
    """

    saves_outputs = (1,)
    bounds: tuple[int, ...]  # where the chunks of images begin, and N
    conv_size: Pair
    window: Window
    out_size: Pair

    def forward(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> Any:
        x, weight = nhwc(x), nhwc(weight)
        dtype, with_bias = x.dtype, bias is not None
        bias = ABSENT[dtype] if bias is None else prepared(bias)
        shape = (x.shape[0], *self.out_size, weight.shape[0])
        out, places = buffers.empty(shape, dtype), buffers.empty(shape, self.window.place_dtype)
        for chunk, convolved in self._chunks(weight.shape[0], dtype):
            images = x[chunk]
            convolve = prepare("forward", images.shape, weight.shape, self.geometry, dtype, with_bias)
            convolve(images, weight, bias, buffers.scratch(convolve.workspace, dtype), convolved)
            pool = kernels.max_pool.prepare("forward", convolved.shape, self.out_size, self.window, dtype, relu=True)
            pool(convolved, out[chunk], places[chunk])
        return nchw(out), nchw(places)

    def backward(self, grad: Tensor, *others: Any) -> tuple[Tensor | None, ...]:
        _, x, weight, places = others
        grad = channels_last(grad)
        if x is not None and not recording.get():
            return self._gradients(nhwc(grad._array), nhwc(places._array), x, weight)
        spread = MaxPoolGrad.apply(grad, places, window=self.window, size=self.conv_size)
        return super().backward(spread, x, weight)

    def _gradients(
        self, grad: np.ndarray, places: np.ndarray, x: Tensor, weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """By x (if ``weight`` is there), weight and bias (if wanted), in chunks; grad and places (N, OH, OW, O)."""
        pixels, dtype, geometry = nhwc(x._array), grad.dtype, self.geometry
        filters, with_bias = grad.shape[3], self.needs(2)
        weight_shape = (filters, *self.input_shape(1)[2:], self.input_shape(1)[1])
        by_x = None if weight is None else buffers.empty(pixels.shape, dtype)
        by_weight, of_chunk = buffers.empty(weight_shape, dtype), buffers.empty(weight_shape, dtype)
        by_bias, of_bias = (np.empty(filters if with_bias else 0, dtype) for _ in range(2))
        none = ABSENT[dtype]
        for chunk, spread in self._chunks(filters, dtype):
            shape = pixels[chunk].shape
            run = kernels.max_pool.prepare("input_grad", spread.shape, self.out_size, self.window, dtype)
            run(grad[chunk], places[chunk], spread)
            run = prepare("weight_grad", shape, weight_shape, geometry, dtype, with_bias)
            sums = (by_weight, by_bias) if chunk.start == 0 else (of_chunk, of_bias)
            run(pixels[chunk], spread, none, buffers.scratch(run.workspace, dtype), *sums)
            if chunk.start > 0:
                add_to(by_weight, of_chunk)
                add_to(by_bias, of_bias)
            if by_x is not None and weight is not None:
                run = prepare("input_grad", shape, weight_shape, geometry, dtype)
                run(spread, nhwc(weight._array), none, buffers.scratch(run.workspace, dtype), by_x[chunk])
        return (
            None if by_x is None else wrap(nchw(by_x)),
            wrap(nchw(by_weight)),
            wrap(by_bias) if with_bias else None,
        )

    def _chunks(self, filters: int, dtype: np.dtype) -> Any:
        """Each chunk's place in the batch, and memory for what the convolution gives it (images, H, W, O)."""
        sizes = [after - first for first, after in itertools.pairwise(self.bounds)]
        memory = buffers.empty((max(sizes), *self.conv_size, filters), dtype)
        for first, size in zip(self.bounds, sizes):
            yield slice(first, first + size), memory[:size]


def conv2d_relu_max_pool2d(
    input: Any,
    weight: Tensor,
    bias: Tensor | None,
    convolution: tuple[Any, ...],
    pooling: tuple[Any, ...],
    chunk_bytes: int | None = None,
) -> Tensor | None:
    """``max_pool2d(relu(conv2d(...)))`` in chunks of the batch; None where that brings nothing.

    Args:
        input, weight, bias: as in `conv2d`.
        convolution: its other arguments: stride, padding, dilation, groups.
        pooling: those of `max_pool2d`: kernel_size, stride, padding, dilation, ceil_mode; every window sees a pixel.
        chunk_bytes: of a chunk's images before and after the convolution, whatever that brings. Default `CHUNK`, where
            there are `LEAST_PIXELS`.

    Returns:
        (N, O, OH, OW), or None: nothing is recorded, the batch is small, a part of it would go by other algorithms than
        the whole, or an argument is wrong.
    """
    are_tensors = type(input) is Tensor and isinstance(weight, Tensor)
    if not (recording.get() and are_tensors and input._array.ndim == weight._array.ndim == 4):
        return None
    (N, C, H, W), (filters, group_channels, KH, KW) = input._array.shape, weight._array.shape
    least_pixels = 0
    if chunk_bytes is None:
        chunk_bytes, least_pixels = CHUNK, LEAST_PIXELS * max(C, filters)
    if input._array.nbytes * (C + filters) <= chunk_bytes * C:  # quickly: small networks come here in every step
        return None
    try:
        geometry, border = checked_convolution(input, weight, bias, *convolution)
        conv_size = geometry.output_size((H, W), (KH, KW))
        window, out_size = checked_pooling((N, filters, *conv_size), *pooling)
    except (ShapeError, DTypeError):  # the layer that it comes from can say more
        return None
    bounds = _bounds(
        (N, H, W, C), (filters, KH, KW, group_channels), geometry, input._array.dtype,
        get_float32_matmul_precision() != "highest", chunk_bytes, least_pixels,
    )  # fmt: skip
    if border is not None or bounds is None:
        return None
    out, _ = Conv2dMaxPool2dReLU.apply(
        channels_last(input), channels_last(weight), bias,
        geometry=geometry, bounds=bounds, conv_size=conv_size, window=window, out_size=out_size,
    )  # fmt: skip
    return out


@functools.lru_cache(maxsize=512)
def _bounds(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    dtype: np.dtype,
    allow_large_tiles: bool,
    chunk_bytes: int,
    least_pixels: int,
) -> tuple[int, ...] | None:
    """Where the chunks of images begin, and N; None if the batch is not to be cut."""
    images, H, W, channels = x_shape
    OH, OW = geometry.output_size((H, W), weight_shape[1:3])
    filters = weight_shape[0]
    bounds = cut(images, images * (H * W * channels + OH * OW * filters) * dtype.itemsize, chunk_bytes)
    sizes = {after - first for first, after in itertools.pairwise(bounds)}
    if images in sizes or min(sizes) * OH * OW < least_pixels:
        return None
    for kind in ("forward", "input_grad"):
        chosen = {
            kernels.conv.choose(kind, (size, H, W, channels), weight_shape, geometry, dtype, allow_large_tiles).name
            for size in (images, *sizes)
        }
        if len(set(map(kernels.conv.arithmetic, chosen))) > 1:
            return None
    return bounds
