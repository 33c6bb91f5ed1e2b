"""Pooling: the maximum or the average of every window, channel by channel.

Max pooling remembers for each output which place of its window won.  Its gradient puts every output's gradient there
(``MaxPoolGrad``, a scatter); the gradient of that takes values from there (``MaxPoolGather``), and the two are each
other's adjoint, so every order of derivative exists.  Average pooling is linear: it and its adjoint suffice.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, wrap
from ..errors import ShapeError
from ..kernels._memory import ABSENT
from ..kernels._sizes import Window
from . import buffers
from .activation import fused
from .layout import channels_last, nchw, nhwc
from .window import Pair, check_image, on_batch, pair


class MaxPool2d(Op):
    """x (N, C, H, W), channels-last: the maxima and their places p·KW + q in the window, both (N, C, OH, OW)."""

    saves_outputs = (1,)
    makes_fresh_gradients = True
    relu: ClassVar[bool] = False
    window: Window
    out_size: Pair

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = nhwc(x)
        shape = (x.shape[0], *self.out_size, x.shape[3])
        out = buffers.empty(shape, x.dtype)
        places = buffers.empty(shape, self.window.place_dtype)
        run = kernels.max_pool.prepare("forward", x.shape, self.out_size, self.window, x.dtype, self.relu)
        run(x, out, places)
        return nchw(out), nchw(places)

    def backward(self, grad: Tensor, _: None, places: Tensor) -> tuple[Tensor]:
        size = self.input_shape(0)[2:]
        return (MaxPoolGrad.apply(channels_last(grad), places, window=self.window, size=size),)


class MaxPool2dReLU(MaxPool2d):
    """max(maximum, 0) in one kernel; the place KH·KW, which is none, where the maximum is 0 or less."""

    relu = True


class MaxPoolGrad(Op):
    """Every window's gradient at the pixel that won it: grad and places (N, C, OH, OW), out (N, C, H, W)."""

    saves_inputs = (1,)
    makes_fresh_gradients = True
    window: Window
    size: Pair

    def forward(self, grad: np.ndarray, places: np.ndarray) -> np.ndarray:
        grad, places = nhwc(grad), nhwc(places)
        out = buffers.empty((grad.shape[0], *self.size, grad.shape[3]), grad.dtype)
        run = kernels.max_pool.prepare("input_grad", out.shape, grad.shape[1:3], self.window, grad.dtype)
        run(grad, places, out)
        return nchw(out)

    def backward(self, x: Tensor, places: Tensor) -> tuple[Tensor | None, ...]:
        return MaxPoolGather.apply(channels_last(x), places, window=self.window, size=self.size), None


class MaxPoolGather(Op):
    """The pixels that won, 0 where none did: x (N, C, H, W) and places (N, C, OH, OW), out like places.

    Left to NumPy: only derivatives of derivatives come here.
    """

    saves_inputs = (1,)
    makes_fresh_gradients = True
    window: Window
    size: Pair

    def forward(self, x: np.ndarray, places: np.ndarray) -> np.ndarray:
        N, C, H, W = x.shape
        h, w = _positions(places, self.window)
        won = (places < self.window.size[0] * self.window.size[1]) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        index = nhwc(np.where(won, h * W + w, 0)).reshape(N, h.shape[2] * h.shape[3], C)
        values = np.take_along_axis(nhwc(x).reshape(N, H * W, C), index, 1)
        return np.where(won, nchw(values.reshape(N, *h.shape[2:], C)), x.dtype.type(0))

    def backward(self, grad: Tensor, places: Tensor) -> tuple[Tensor | None, ...]:
        return MaxPoolGrad.apply(channels_last(grad), places, window=self.window, size=self.size), None


class AveragePool2d(Op):
    """The average over windows given by two tables (see the kernel), C-contiguous: x (N, C, H, W), channels-last."""

    saves_inputs = (1, 2)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        x = nhwc(x)
        out = buffers.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
        run = kernels.average_pool.prepare("forward", x.shape, (len(rows), len(columns)), x.dtype)
        run(x, rows, columns, ABSENT[x.dtype], out)
        return nchw(out)

    def backward(self, grad: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor | None, ...]:
        size = self.input_shape(0)[2:]
        return AveragePoolGrad.apply(channels_last(grad), rows, columns, size=size), None, None


class AveragePoolGrad(Op):
    """Every window's gradient spread evenly over its pixels: grad (N, C, OH, OW), out (N, C, H, W)."""

    saves_inputs = (1, 2)
    makes_fresh_gradients = True
    size: Pair

    def forward(self, grad: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        grad = nhwc(grad)
        out = buffers.empty((grad.shape[0], *self.size, grad.shape[3]), grad.dtype)
        run = kernels.average_pool.prepare("input_grad", out.shape, grad.shape[1:3], grad.dtype)
        run(grad, rows, columns, ABSENT[grad.dtype], out, _users(rows.tobytes(), self.size[0]))
        return nchw(out)

    def backward(self, x: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor | None, ...]:
        return AveragePool2d.apply(channels_last(x), rows, columns), None, None


@functools.lru_cache(maxsize=512)
def _users(table: bytes, size: int) -> np.ndarray:
    """(size, 2): the first window that contains each place and the one after the last; starts and ends increase."""
    windows = np.frombuffer(table, np.int64).reshape(-1, 3)
    places = np.arange(size)
    first = np.searchsorted(windows[:, 1], places, side="right")
    after = np.searchsorted(windows[:, 0], places, side="right")
    return _table(first, after)


def _table(*columns: np.ndarray) -> np.ndarray:
    """Columns side by side, int64, for good: what is recorded may refer to it."""
    table = np.stack(columns, axis=1).astype(np.int64)
    table.flags.writeable = False
    return table


def max_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    activation: str | None = None,
) -> Any:
    """The largest value of every window, channel by channel.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        kernel_size: size of the window; an int or (vertical, horizontal).
        stride: step between windows.  Default: ``kernel_size``.
        padding: rows and columns of −infinity around the image, at most half of what a window spans.  Default 0.
        dilation: distance between the pixels that one window reads.  Default 1.
        ceil_mode: also count the windows that start inside the padded image but reach beyond it.
        return_indices: also return where each maximum lies.
        activation: ``"relu"`` to replace negative maxima by 0 in the same pass; default None.  (PyTorch has no such
            argument; the bits are those of ``relu(max_pool2d(...))``, and of ``max_pool2d(relu(...))`` where every
            window sees a pixel.)

    Returns:
        (N, C, OH, OW), or (C, OH, OW), with
        ``OH = floor((H + 2·padding − dilation·(kernel_size − 1) − 1) / stride) + 1``; NaN where a window contains one.
        With ``return_indices``, also int64 indices h·W + w of that shape.  The gradient goes to the first of equal
        maxima.

    Raises:
        ShapeError: sizes that do not fit together.
        DTypeError: input is not a floating-point Tensor (PyTorch also pools integers).
        ValueError: an unknown activation, or one together with ``return_indices``.

    Reference:
        M. Ranzato, F.-J. Huang, Y.-L. Boureau, Y. LeCun, "Unsupervised learning of invariant feature hierarchies with
        applications to object recognition", CVPR 2007.
    """
    check_image("max_pool2d", input)
    size = input._array.shape[-2:]
    window, out_size = checked_pooling(input._array.shape, kernel_size, stride, padding, dilation, ceil_mode)
    operation = fused("max_pool2d", activation, MaxPool2d, MaxPool2dReLU)
    if activation is not None and return_indices:
        raise ValueError(
            f"max_pool2d: where activation={activation!r} writes 0 there is no index: return_indices must be False"
        )

    def pool(x: Tensor) -> Any:
        out, places = operation.apply(x, window=window, out_size=out_size)
        return (out, wrap(_indices(places._array, window, size))) if return_indices else out

    return on_batch(pool, input)


def checked_pooling(
    shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Window, Pair]:
    """The window of a max pooling and its (OH, OW), for an input of this shape.

    Raises:
        ShapeError, DTypeError: as `max_pool2d`.
    """
    window = _window("max_pool2d", kernel_size, stride, padding, dilation)
    return window, _out_size("max_pool2d", shape, window, ceil_mode)


def _indices(places: np.ndarray, window: Window, size: Pair) -> np.ndarray:
    """Places in windows (N, C, OH, OW) as indices h·W + w into the image, int64."""
    h, w = _positions(places, window)
    return h * size[1] + w


def _positions(places: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Places in windows (N, C, OH, OW) as rows h and columns w of the image, int64."""
    p, q = np.divmod(places.astype(np.int64), window.size[1])
    i, j = np.arange(places.shape[2])[:, None], np.arange(places.shape[3])
    h = i * window.stride[0] + p * window.dilation[0] - window.padding[0]
    w = j * window.stride[1] + q * window.dilation[1] - window.padding[1]
    return h, w


def avg_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of every window, channel by channel.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        kernel_size: size of the window; an int or (vertical, horizontal).
        stride: step between windows.  Default: ``kernel_size``.
        padding: rows and columns of zeros around the image, at most half the window.  Default 0.
        ceil_mode: also count the windows that start inside the padded image but reach beyond it.
        count_include_pad: divide by the window's size with its zeros; else by the pixels in the image.
        divisor_override: divide by this number instead.

    Returns:
        (N, C, OH, OW), or (C, OH, OW), with ``OH = floor((H + 2·padding − kernel_size) / stride) + 1``.

    Raises:
        ShapeError: sizes that do not fit together; a divisor of 0.
        DTypeError: input is not a floating-point Tensor.
    """
    window = _window("avg_pool2d", kernel_size, stride, padding, 1)
    check_image("avg_pool2d", input)
    if divisor_override is not None and divisor_override == 0:
        raise ShapeError("avg_pool2d: divisor_override must not be 0")
    out_size = _out_size("avg_pool2d", input._array.shape, window, ceil_mode)
    height, width = input._array.shape[-2:]
    rows = wrap(_sliding(height, out_size[0], 0, window, bool(count_include_pad), divisor_override))
    other = None if divisor_override is None else 1
    columns = wrap(_sliding(width, out_size[1], 1, window, bool(count_include_pad), other))
    return on_batch(lambda x: AveragePool2d.apply(x, rows, columns), input)


@functools.lru_cache(maxsize=512)
def _sliding(size: int, count: int, axis: int, window: Window, count_padding: bool, divisor: int | None) -> np.ndarray:
    """The table of windows (start, end, divisor) along one axis of the image; the divisor may be given."""
    start = np.arange(count, dtype=np.int64) * window.stride[axis] - window.padding[axis]
    end = np.minimum(start + window.size[axis], size + window.padding[axis])
    inside = np.maximum(start, 0), np.minimum(end, size)
    if divisor is not None:
        return _table(*inside, np.full(count, divisor))
    return _table(*inside, end - start if count_padding else inside[1] - inside[0])


def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """Average pooling to a given output size: window i covers the rows ``floor(i·H/OH)`` to ``ceil((i+1)·H/OH)``.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        output_size: OH and OW, an int or a pair; None keeps the input's size.

    Returns:
        (N, C, OH, OW), or (C, OH, OW).  Size 1 averages each channel to one number ("global average pooling").

    Raises:
        ShapeError: a negative size, or an image without pixels.
        DTypeError: input is not a floating-point Tensor.

    Reference:
        M. Lin, Q. Chen, S. Yan, "Network in network", ICLR 2014 (global average pooling).
    """
    check_image("adaptive_avg_pool2d", input)
    size = input._array.shape[-2:]
    if isinstance(output_size, tuple | list):
        output_size = tuple([s if o is None else o for o, s in zip(output_size, size)])  # type: ignore[assignment]
    out_size = pair("adaptive_avg_pool2d", "output_size", output_size, 0)
    if 0 in size:
        raise ShapeError(f"adaptive_avg_pool2d: input has no pixels; input.shape={input._array.shape}")
    tables = [_adaptive(size[axis], out_size[axis]) for axis in (0, 1)]
    rows, columns = wrap(tables[0]), wrap(tables[1])
    return on_batch(lambda x: AveragePool2d.apply(x, rows, columns), input)


@functools.lru_cache(maxsize=512)
def _adaptive(size: int, count: int) -> np.ndarray:
    """The table of ``count`` windows (start, end, divisor) that cover ``size`` places."""
    i = np.arange(count, dtype=np.int64)
    start, end = i * size // max(count, 1), -(-(i + 1) * size // max(count, 1))
    return _table(start, end, end - start)


def _window(name: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    """The checked parameters.

    Raises:
        DTypeError, ShapeError: not ints or pairs of ints in their range; padding above half of what a window spans.
    """
    size = pair(name, "kernel_size", kernel_size, 1)
    step = size if stride is None or stride == [] or stride == () else pair(name, "stride", stride, 1)
    window = Window(size, step, pair(name, "padding", padding, 0), pair(name, "dilation", dilation, 1))
    for axis in (0, 1):
        span = window.dilation[axis] * (size[axis] - 1) + 1
        if window.padding[axis] > span // 2:
            raise ShapeError(
                f"{name}: padding must be at most half of what a window spans, got padding={window.padding}, "
                f"kernel_size={size}, dilation={window.dilation}"
            )
    return window


def _out_size(name: str, shape: tuple[int, ...], window: Window, ceil_mode: bool) -> Pair:
    """(OH, OW) for an input of this shape.

    Raises:
        ShapeError: no window fits, or there are no channels.
    """
    out = []
    for axis in (0, 1):
        size, stride, padding = shape[axis - 2], window.stride[axis], window.padding[axis]
        room = size + 2 * padding - window.dilation[axis] * (window.size[axis] - 1) - 1
        count = (room + stride - 1 if ceil_mode else room) // stride + 1
        if ceil_mode and (count - 1) * stride >= size + padding:  # the last one would start beyond the image
            count -= 1
        out.append(count)
    if out[0] < 1 or out[1] < 1 or 0 in shape[-3:]:
        raise ShapeError(
            f"{name}: no window of kernel_size={window.size}, dilation={window.dilation} fits into the input; "
            f"input.shape={shape}, padding={window.padding}"
        )
    return out[0], out[1]
