"""Faults of convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.autograd import Tensor, wrap
from tinygrad_cnn.ops import conv

from ..reference.conv_gradients import filter_gradient, image_gradient
from .planting import Fault, altered, element, normals, with_tensor


def wrong_image_gradient(**other: Any) -> Callable[..., Any]:
    """``ConvInputGrad.forward`` with other parameters."""

    def forward(self: conv.ConvInputGrad, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
        settings = self.geometry._asdict() | other
        channels = weight.shape[1] * self.geometry.groups
        return image_gradient(grad, weight, channels, self.size, **settings)

    return forward


def wrong_filter_gradient(**other: Any) -> Callable[..., Any]:
    """``ConvWeightGrad.forward`` with other parameters."""

    def forward(self: conv.ConvWeightGrad, x: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (grad.shape[1], x.shape[1] // self.geometry.groups, *self.kernel_size)
        by_weight = filter_gradient(grad, x, shape, **self.geometry._asdict() | other)
        return by_weight, grad.sum(axis=(0, 2, 3)) if self.with_bias else np.zeros(0)

    return forward


def groups_mixed(self: conv.ConvInputGrad, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every group's gradient goes to the next group's channels."""
    per_group = weight.shape[1]
    right = image_gradient(grad, weight, per_group * self.geometry.groups, self.size, **self.geometry._asdict())
    return np.roll(right, per_group, axis=1)


def not_flipped(self: conv.ConvInputGrad, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The filters slide over grad as they slid over the image, instead of turned around."""
    turned = weight[:, :, ::-1, ::-1]
    return image_gradient(grad, turned, weight.shape[1] * self.geometry.groups, self.size, **self.geometry._asdict())


def zero_column(gradient: np.ndarray) -> np.ndarray:
    gradient[..., 0] = 0
    return gradient


def swapped_pair(gradient: np.ndarray) -> np.ndarray:
    flat = gradient.reshape(-1)
    flat[[0, 1]] = flat[[1, 0]]
    return gradient


def first_image_only(self: conv.Conv2d, grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Any, ...]:
    by_x, by_weight, _ = RIGHT_CONV(self, grad, x, weight)
    return by_x, by_weight, wrap(grad._array[0].sum(axis=(1, 2)))


RIGHT_CONV = conv.Conv2d.backward
CONV = normals((2, 2, 5, 4), (3, 2, 3, 2), (3,))
SMALL = normals((1, 1, 3, 3), (2, 1, 2, 2))


def convolution(**kwargs: Any) -> Callable[..., Any]:
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, **kwargs)


FAULTS = [
    Fault(
        "conv2d: one element of the filters' gradient off by 1 %",
        conv.Conv2d,
        altered(conv.Conv2d, 1, element(1.01)),
        convolution(stride=2),
        CONV,
        r"by a factor of 1\.01\.",
    ),
    Fault(
        "conv2d: one element of the image's gradient off by 0.01 %",
        conv.Conv2d,
        altered(conv.Conv2d, 0, element(1.0001)),
        convolution(padding=1),
        CONV,
        r"by a factor of 1\.0001\.",
    ),
    Fault(
        "conv2d: one of 4,608 elements of the filters' gradient off by 0.01 %",
        conv.Conv2d,
        altered(conv.Conv2d, 1, element(1.0001)),
        convolution(padding=1),
        normals((1, 16, 4, 4), (32, 16, 3, 3)),
        r"by a factor of 1\.0001\.",
    ),
    Fault(
        "conv2d: column of the image under the padding gets no gradient",
        conv.Conv2d,
        altered(conv.Conv2d, 0, zero_column),
        convolution(padding=1),
        CONV,
        "missing term: .*all those at index 0 of dimension 3",
    ),
    Fault(
        "conv2d: dilation ignored",
        conv.ConvInputGrad,
        wrong_image_gradient(dilation=(1, 1)),
        convolution(dilation=(2, 1)),
        CONV,
        r"inputs\[0\]",
        method="forward",
    ),
    Fault(
        "conv2d: stride ignored in the filters' gradient",
        conv.ConvWeightGrad,
        wrong_filter_gradient(stride=(1, 1)),
        convolution(stride=2),
        CONV,
        r"inputs\[1\]",
        method="forward",
    ),
    Fault(
        "conv2d: padding off by one",
        conv.ConvInputGrad,
        wrong_image_gradient(padding=(1, 0)),
        convolution(padding=1),
        CONV,
        r"inputs\[0\]",
        method="forward",
    ),
    Fault(
        "conv2d: groups mixed",
        conv.ConvInputGrad,
        groups_mixed,
        convolution(groups=2),
        normals((2, 4, 4, 3), (4, 2, 2, 2)),
        "shifted: the gradient is moved by 2 along dimension 1",
        method="forward",
    ),
    Fault(
        "conv2d: filters not turned around in the image's gradient",
        conv.ConvInputGrad,
        not_flipped,
        convolution(),
        CONV,
        r"inputs\[0\]",
        method="forward",
    ),
    Fault(
        "conv2d: height and width of the filters' gradient exchanged",
        conv.Conv2d,
        altered(conv.Conv2d, 1, lambda g: g.swapaxes(2, 3)),
        convolution(),
        normals((2, 2, 4, 4), (3, 2, 2, 2)),
        "transposed: dimensions 2 and 3",
    ),
    Fault(
        "conv2d: swapped pair in the bias gradient",
        conv.Conv2d,
        altered(conv.Conv2d, 2, swapped_pair),
        convolution(),
        CONV,
        r"swapped pair: elements \(0,\) and \(1,\)",
    ),
    Fault(
        "conv2d: bias gradient missing",
        conv.Conv2d,
        with_tensor(conv.Conv2d, 2, lambda _: None),
        convolution(),
        CONV,
        r"inputs\[2\].*\n.*missing term: no gradient reaches this input",
    ),
    Fault(
        "conv2d: bias gradient of the first image only",
        conv.Conv2d,
        first_image_only,
        convolution(),
        CONV,
        r"inputs\[2\]",
    ),
    Fault(
        "conv2d: filters left out of the second derivative",
        conv.ConvInputGrad,
        with_tensor(conv.ConvInputGrad, 1, lambda _: None),
        convolution(),
        SMALL,
        r"inputs\[1\].*\n.*missing term",
        order=2,
    ),
    Fault(
        "conv2d: one element of the second derivative off by 0.01 %",
        conv.ConvWeightGrad,
        altered(conv.ConvWeightGrad, 0, element(1.0001)),
        convolution(),
        SMALL,
        r"inputs\[0\]",
        order=2,
    ),
]
