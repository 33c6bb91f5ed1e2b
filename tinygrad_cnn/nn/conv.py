"""The convolution layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import ShapeError
from ..ops.window import pair
from . import functional as F
from .arguments import count
from .init import fan_in_defaults_
from .linear import parameter_dtype
from .module import Module
from .parameter import Parameter


class Conv2d(Module):
    """Slides ``out_channels`` learned filters over an image, as ``torch.nn.Conv2d``; see ``conv2d`` for the sum.

    Input: (N, in_channels, H, W) or (in_channels, H, W).  Output: (N, out_channels, OH, OW), or without N, where
    OH = ⌊(H + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1, and OW likewise.

    Args:
        in_channels: channels of the input, a multiple of groups.
        out_channels: number of filters, a multiple of groups.
        kernel_size: height and width of a filter: an int, or a pair.
        stride: step between the places a filter is put on: an int, or a pair.
        padding: zeros added on each side: an int, a pair, ``"valid"`` (none) or ``"same"`` (as many as keep the size;
            stride 1 only).
        dilation: distance between the pixels a filter looks at: an int, or a pair.
        groups: the channels are split into so many groups that don't see each other.
        bias: whether a number is added per output channel.
        padding_mode: only ``"zeros"``.
        device: ``None`` or ``"cpu"``.
        dtype: float32 or float64; the default dtype if None.

    Attributes:
        weight: (out_channels, in_channels / groups, KH, KW), uniform on ±1/√fan_in with
            fan_in = in_channels / groups · KH · KW; in memory the channels of a pixel are neighbours.
        bias: (out_channels,), drawn likewise, or None.

    Raises:
        ShapeError: sizes below 1, negative padding, channels that groups does not divide.
        ValueError: an unknown padding or padding_mode; ``"same"`` with a stride.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels = count("Conv2d", "in_channels", in_channels, 1)
        self.out_channels = count("Conv2d", "out_channels", out_channels, 1)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.groups = count("Conv2d", "groups", groups, 1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ShapeError(
                    f"Conv2d: {name} must be a multiple of groups, got {name}={getattr(self, name)}, groups={groups}"
                )
        self.padding = self._checked_padding(padding)
        if padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode must be 'zeros', the only one there is, got {padding_mode!r}")
        self.padding_mode = padding_mode

        kernel_height, kernel_width = self.kernel_size
        numpy_dtype = parameter_dtype(dtype, device)
        memory = np.empty(
            (self.out_channels, kernel_height, kernel_width, self.in_channels // self.groups), numpy_dtype
        )
        self.weight = Parameter(wrap(memory.transpose(0, 3, 1, 2)))  # (O, KH, KW, C) in memory, (O, C, KH, KW) to users
        self.register_parameter("bias", Parameter(wrap(np.empty(self.out_channels, numpy_dtype))) if bias else None)
        self.reset_parameters()

    def _checked_padding(self, padding: Any) -> str | tuple[int, int]:
        if not isinstance(padding, str):
            return pair("Conv2d", "padding", padding, 0)
        if padding not in ("valid", "same"):
            raise ValueError(f"Conv2d: padding must be an int, a pair, 'valid' or 'same', got {padding!r}")
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(f"Conv2d: padding='same' needs stride 1, got stride={self.stride}")
        return padding

    def reset_parameters(self) -> None:
        """Draw the weight and the bias anew."""
        fan_in_defaults_(self.weight, self.bias)

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, OH, OW); ``activation`` as in ``conv2d``."""
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv2d(input, self.weight, self.bias, *geometry, activation=activation)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
