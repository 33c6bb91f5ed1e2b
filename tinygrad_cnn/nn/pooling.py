"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..ops.window import pair
from . import functional as F
from .module import Module

IntOrPair = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest value of every window, as ``torch.nn.MaxPool2d``; see ``max_pool2d`` for the sizes.

    Args:
        kernel_size: height and width of a window: an int, or a pair.
        stride: step between windows; kernel_size if None.
        padding: border of −∞ on each side, at most half the kernel_size.
        dilation: distance between the pixels of a window.
        return_indices: also give the place of every maximum in the input's H·W plane.
        ceil_mode: round the output size up instead of down.

    Raises:
        ShapeError: sizes below 1, negative padding.
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        pair("MaxPool2d", "kernel_size", kernel_size, 1)
        pair("MaxPool2d", "stride", stride, 1)
        pair("MaxPool2d", "padding", padding, 0)
        pair("MaxPool2d", "dilation", dilation, 1)
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor, activation: str | None = None) -> Any:
        """(N, C, H, W) -> (N, C, OH, OW), or a pair of them with return_indices; ``activation`` as in `max_pool2d`."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
            activation=activation,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of every window, as ``torch.nn.AvgPool2d``; see ``avg_pool2d`` for the sizes.

    Args:
        kernel_size: height and width of a window: an int, or a pair.
        stride: step between windows; kernel_size if None.
        padding: border of zeros on each side, at most half the kernel_size.
        ceil_mode: round the output size up instead of down.
        count_include_pad: whether the border counts in the mean.
        divisor_override: divide by this instead of by the number of pixels.

    Raises:
        ShapeError: sizes below 1, negative padding.
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        pair("AvgPool2d", "kernel_size", kernel_size, 1)
        pair("AvgPool2d", "stride", stride, 1)
        pair("AvgPool2d", "padding", padding, 0)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means over so many windows that the output has the wanted size, as ``torch.nn.AdaptiveAvgPool2d``.

    Args:
        output_size: height and width of the output: an int, or a pair; None keeps the input's.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
