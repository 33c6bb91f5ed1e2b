"""Convolution: three operations that are each other's derivatives, of any order.

All of it follows from one form that is linear in each of image x, filters w and output gradient g:

    L(x, w, g) = Σ g[n, o, i, j] · w[o, c, p, q] · x[n, c, i·s + p·d − pad, j·s + q·d − pad]

``Conv2d`` is the derivative of L by g, ``ConvInputGrad`` by x, ``ConvWeightGrad`` by w; the derivative of one of them
is made of the other two, so nothing else is needed for second and higher orders.

Reference: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, 2016.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor
from ..errors import DTypeError, ShapeError
from ..kernels._memory import ABSENT
from . import buffers
from .activation import ReLUGrad, fused
from .layout import channels_last, nchw, nhwc, prepared
from .window import Pair, check_image, on_batch, pair

if TYPE_CHECKING:
    from ..kernels.conv import Geometry


_precision = "high"


def set_float32_matmul_precision(precision: str) -> None:
    """Say whether float32 convolutions may round a little more in order to be faster.

    Args:
        precision: ``"highest"`` leaves out Winograd's F(4x4), whose rounding error is 2 to 4 times that of a plain
            sum; ``"high"`` (default) and ``"medium"`` use it from 64 channels on, where it is up to twice as fast.
            (PyTorch's default is ``"highest"``; the name is its own, the numbers are of the size of float32's
            rounding in all three.)

    Raises:
        ValueError: another word.
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise ValueError(
            f"set_float32_matmul_precision: precision must be 'highest', 'high' or 'medium', got {precision!r}"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` set: ``"highest"``, ``"high"`` or ``"medium"``."""
    return _precision


class Conv2d(Op):
    """x (N, C, H, W) with weight (O, C/groups, KH, KW) and bias (O,) or None; x and weight channels-last."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True
    relu: ClassVar[bool] = False
    geometry: Geometry

    def forward(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        x, weight, geometry = nhwc(x), nhwc(weight), self.geometry
        OH, OW = geometry.output_size(x.shape[1:3], weight.shape[1:3])
        out = buffers.empty((x.shape[0], OH, OW, weight.shape[0]), x.dtype)
        none = ABSENT[x.dtype]
        run = prepare("forward", x.shape, weight.shape, geometry, x.dtype, bias is not None, self.relu)
        result = nchw(out)  # before the kernel, which drives Python's memory out of the cache
        run(x, weight, none if bias is None else prepared(bias), buffers.scratch(run.workspace, x.dtype), out)
        return result

    def backward(self, grad: Tensor, x: Tensor | None, weight: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad = channels_last(grad)
        grad_x = grad_weight = grad_bias = None
        if weight is not None:
            size = self.input_shape(0)[2:]
            grad_x = ConvInputGrad.apply(grad, weight, geometry=self.geometry, size=size)
        if x is not None:
            kernel_size, with_bias = self.input_shape(1)[2:], self.needs(2)
            grad_weight, grad_bias = ConvWeightGrad.apply(
                x, grad, geometry=self.geometry, kernel_size=kernel_size, with_bias=with_bias
            )
        elif self.needs(2):
            grad_bias = ChannelSum.apply(grad)
        return grad_x, grad_weight, grad_bias if self.needs(2) else None


class Conv2dReLU(Conv2d):
    """max(convolution, 0) in one kernel: what is below 0 never goes to memory, and one pass over the image is saved."""

    saves_outputs = (0,)
    overwrites_gradient = True
    relu = True

    def backward(
        self, grad: Tensor, x: Tensor | None, weight: Tensor | None, *out: Tensor
    ) -> tuple[Tensor | None, ...]:
        return super().backward(ReLUGrad.apply(grad, *out, in_place=self.owns_gradient), x, weight)


class ConvInputGrad(Op):
    """The gradient by the image, (N, C, H, W) for ``size`` (H, W), from grad (N, O, OH, OW) and weight."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True
    geometry: Geometry
    size: Pair

    def forward(self, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
        grad, weight, geometry = nhwc(grad), nhwc(weight), self.geometry
        out = buffers.empty((grad.shape[0], *self.size, weight.shape[3] * geometry.groups), grad.dtype)
        run = prepare("input_grad", out.shape, weight.shape, geometry, out.dtype)
        result = nchw(out)
        run(grad, weight, ABSENT[out.dtype], buffers.scratch(run.workspace, out.dtype), out)
        return result

    def backward(self, x: Tensor, grad: Tensor | None, weight: Tensor | None) -> tuple[Tensor | None, ...]:
        x = channels_last(x)
        by_grad = by_weight = None
        if weight is not None:
            by_grad = Conv2d.apply(x, weight, None, geometry=self.geometry)
        if grad is not None:
            kernel_size = self.input_shape(1)[2:]
            by_weight, _ = ConvWeightGrad.apply(
                x, grad, geometry=self.geometry, kernel_size=kernel_size, with_bias=False
            )
        return by_grad, by_weight


class ConvWeightGrad(Op):
    """The gradients by weight, (O, C/groups, KH, KW), and by bias, (O,), from x and grad (N, O, OH, OW).

    One kernel computes both, because it reads grad anyway.  Without ``with_bias`` the second output is empty.
    """

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True
    geometry: Geometry
    kernel_size: Pair
    with_bias: bool

    def forward(self, x: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, grad, geometry = nhwc(x), nhwc(grad), self.geometry
        filters = grad.shape[3]
        out = buffers.empty((filters, *self.kernel_size, x.shape[3] // geometry.groups), x.dtype)
        out_bias = np.empty(filters if self.with_bias else 0, x.dtype)
        run = prepare("weight_grad", x.shape, out.shape, geometry, x.dtype, self.with_bias)
        result = nchw(out)
        run(x, grad, ABSENT[x.dtype], buffers.scratch(run.workspace, x.dtype), out, out_bias)
        return result, out_bias

    def backward(
        self, weight: Tensor | None, bias: Tensor | None, x: Tensor | None, grad: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        by_x = by_grad = None
        if weight is not None:
            weight = channels_last(weight)
            if grad is not None:
                size = self.input_shape(0)[2:]
                by_x = ConvInputGrad.apply(grad, weight, geometry=self.geometry, size=size)
            if x is not None:
                by_grad = Conv2d.apply(x, weight, bias, geometry=self.geometry)
        elif bias is not None and self.needs(1):
            by_grad = ChannelExpand.apply(bias, shape=self.input_shape(1))
        return by_x, by_grad


class ChannelSum(Op):
    """(N, C, H, W) summed to (C,): the gradient by the bias where no other is wanted."""

    makes_fresh_gradients = True
    shape: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.sum(axis=(0, 2, 3))

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (ChannelExpand.apply(grad, shape=self.shape),)


class ChannelExpand(Op):
    """(C,) repeated to ``shape``, (N, C, H, W), in channels-last memory."""

    makes_fresh_gradients = True
    shape: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        N, C, H, W = self.shape
        out = buffers.empty((N, H, W, C), x.dtype)
        out[...] = x
        return nchw(out)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (ChannelSum.apply(grad),)


class ZeroPad(Op):
    """(N, C, H, W) with ``border`` rows of zeros above and below and columns left and right, channels-last."""

    makes_fresh_gradients = True
    border: tuple[int, int, int, int]

    def forward(self, x: np.ndarray) -> np.ndarray:
        top, bottom, left, right = self.border
        N, C, H, W = x.shape
        out = buffers.empty((N, H + top + bottom, W + left + right, C), x.dtype)
        out[...] = 0
        out[:, top : top + H, left : left + W] = nhwc(x)
        return nchw(out)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Crop.apply(grad, border=self.border),)


class Crop(Op):
    """(N, C, H, W) without its ``border`` rows and columns, as a copy in channels-last memory: ZeroPad's adjoint."""

    makes_fresh_gradients = True
    border: tuple[int, int, int, int]

    def forward(self, x: np.ndarray) -> np.ndarray:
        top, bottom, left, right = self.border
        H, W = x.shape[2:]
        inner = nhwc(x)[:, top : H - bottom, left : W - right]
        out = buffers.empty(inner.shape, x.dtype)
        np.copyto(out, inner)
        return nchw(out)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (ZeroPad.apply(grad, border=self.border),)


def prepare(
    kind: str,
    x_shape: Any,
    weight_shape: Any,
    geometry: Geometry,
    dtype: np.dtype,
    with_bias: bool = False,
    relu: bool = False,
) -> Any:
    """As `kernels.conv.prepare`, with the precision that was asked for."""
    return kernels.conv.prepare(
        kind, x_shape, weight_shape, geometry, dtype, with_bias, relu, _precision != "highest"
    )  # fmt: skip


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Tensor:
    """Slide every filter over the image and add up the products (cross-correlation, as in all of deep learning).

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        weight: (O, C/groups, KH, KW), the O filters; input's dtype.
        bias: (O,), added to every pixel of a filter's output; default none.
        stride: step between windows, in pixels; an int or (vertical, horizontal).  Default 1.
        padding: rows and columns of zeros around the image; an int, a pair, ``"valid"`` (none) or ``"same"``, which
            keeps the image size and needs stride 1; where that takes an odd number of rows or columns, one more is
            added below or right.  Default 0.
        dilation: distance between the pixels that one window reads, 1 for neighbours.  Default 1.
        groups: split the channels into this many groups, each with O/groups filters of its own.  Default 1.
        activation: ``"relu"`` to replace negative results by 0 in the same pass; default None.  (PyTorch has no such
            argument; the bits are those of ``relu(conv2d(...))``.)

    Returns:
        (N, O, OH, OW), or (O, OH, OW), with ``OH = floor((H + 2·padding − dilation·(KH − 1) − 1) / stride) + 1``, in
        channels-last memory.

    Raises:
        ShapeError: shapes, sizes or groups that do not fit together; a window larger than the padded image.
        DTypeError: not Tensors of one floating-point dtype (PyTorch also convolves integers).
        ValueError: an unknown activation.

    Reference:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
        Proc. IEEE 86(11), 1998.
    """
    geometry, border = checked_convolution(input, weight, bias, stride, padding, dilation, groups)
    weight = channels_last(weight)
    operation = fused("conv2d", activation, Conv2d, Conv2dReLU)

    def convolve(x: Tensor) -> Tensor:
        if border is not None:
            x = ZeroPad.apply(x, border=border)
        return operation.apply(x, weight, bias, geometry=geometry)

    return on_batch(convolve, input)


def checked_convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> tuple[Geometry, tuple[int, int, int, int] | None]:
    """The geometry of a convolution, and the zeros that "same" needs below and right on top of its padding, or None.

    Raises:
        ShapeError, DTypeError: as `conv2d`.
    """
    stride = pair("conv2d", "stride", stride, 1)
    dilation = pair("conv2d", "dilation", dilation, 1)
    _check_operands(input, weight, bias, groups)
    if not isinstance(padding, str):
        padding = pair("conv2d", "padding", padding, 0)
    return _geometry(input._array.shape, weight._array.shape, stride, padding, dilation, groups)


@functools.lru_cache(maxsize=512)
def _geometry(
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
) -> tuple[Geometry, tuple[int, int, int, int] | None]:
    """What `checked_convolution` returns, of shapes (N, C, H, W) or (C, H, W) and (O, C/groups, KH, KW)."""
    size, border = shape[-2:], None
    kernel_size = (weight_shape[2], weight_shape[3])
    if isinstance(padding, str):
        padding, border = _named_padding(padding, stride, dilation, kernel_size)
        if border is not None:
            size = (size[0] + border[1], size[1] + border[3])
    geometry = kernels.conv.Geometry(stride, padding, dilation, groups)
    if min(geometry.output_size(size, kernel_size)) < 1:
        padded = (size[0] + 2 * padding[0], size[1] + 2 * padding[1])
        extent = tuple([d * (k - 1) + 1 for d, k in zip(dilation, kernel_size)])
        raise ShapeError(
            f"conv2d: weight's window of {extent} pixels (dilation {dilation}) is larger than the padded input of "
            f"{padded}; input.shape={shape}, weight.shape={weight_shape}, padding={padding}"
        )
    return geometry, border


def _named_padding(padding: str, stride: Pair, dilation: Pair, kernel_size: Pair) -> tuple[Pair, Any]:
    """The symmetric padding, and the zeros that "same" needs below and right on top of it, or None."""
    if padding == "valid":
        return (0, 0), None
    if padding != "same":
        raise ShapeError(f"conv2d: padding must be ints, 'valid' or 'same', got {padding!r}")
    if stride != (1, 1):
        raise ShapeError(f"conv2d: padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel_size)]
    odd = (total[0] % 2, total[1] % 2)
    return (total[0] // 2, total[1] // 2), (0, odd[0], 0, odd[1]) if any(odd) else None


def _check_operands(input: Any, weight: Any, bias: Any, groups: Any) -> None:
    """Raise unless input, weight, bias and groups fit together."""
    check_image("conv2d", input)
    if not isinstance(weight, Tensor):
        raise DTypeError(f"conv2d: weight must be a Tensor, got {type(weight).__name__}")
    x, w = input._array, weight._array
    if w.dtype != x.dtype:
        raise DTypeError(f"conv2d: weight is {weight.dtype} but input is {input.dtype}")
    if w.ndim != 4 or 0 in w.shape:
        raise ShapeError(f"conv2d: weight must be (O, C/groups, KH, KW) without zero sizes, got weight.shape={w.shape}")
    if type(groups) is not int or groups < 1:
        raise ShapeError(f"conv2d: groups must be a positive int, got {groups!r}")
    if w.shape[0] % groups:
        raise ShapeError(f"conv2d: weight has {w.shape[0]} filters, which groups={groups} does not divide")
    channels = x.shape[-3]
    if channels != w.shape[1] * groups:
        raise ShapeError(
            f"conv2d: input has {channels} channels but weight expects {w.shape[1] * groups}; "
            f"input.shape={x.shape}, weight.shape={w.shape}, groups={groups}"
        )
    if bias is None:
        return
    if not isinstance(bias, Tensor):
        raise DTypeError(f"conv2d: bias must be a Tensor or None, got {type(bias).__name__}")
    if bias._array.shape != w.shape[:1]:
        raise ShapeError(
            f"conv2d: bias must be one number for each of the {w.shape[0]} filters, got bias.shape={bias._array.shape}"
        )
    if bias._array.dtype != x.dtype:
        raise DTypeError(f"conv2d: bias is {bias.dtype} but input is {input.dtype}")
