"""The gradients of a convolution, loop by loop, with each of the parameters free: what faults are made of."""

from __future__ import annotations

import itertools

import numpy as np


def _terms(grad, weight_shape, size, stride, padding, dilation, groups):
    """Every (output index, weight index, image index) whose product is part of the convolution."""
    N, O, OH, OW = grad.shape
    _, per_group, KH, KW = weight_shape
    for n, o, i, j, c, p, q in itertools.product(*map(range, (N, O, OH, OW, per_group, KH, KW))):
        h, w = i * stride[0] + p * dilation[0] - padding[0], j * stride[1] + q * dilation[1] - padding[1]
        if 0 <= h < size[0] and 0 <= w < size[1]:
            yield (n, o, i, j), (o, c, p, q), (n, o // (weight_shape[0] // groups) * per_group + c, h, w)


def image_gradient(grad, weight, channels, size, stride, padding, dilation, groups):
    """(N, C, H, W) from grad (N, O, OH, OW) and weight (O, C/groups, KH, KW)."""
    out = np.zeros((grad.shape[0], channels, *size))
    for at, filter_at, pixel in _terms(grad, weight.shape, size, stride, padding, dilation, groups):
        out[pixel] += grad[at] * weight[filter_at]
    return out


def filter_gradient(grad, x, weight_shape, stride, padding, dilation, groups):
    """(O, C/groups, KH, KW) from grad (N, O, OH, OW) and x (N, C, H, W)."""
    out = np.zeros(weight_shape)
    for at, filter_at, pixel in _terms(grad, weight_shape, x.shape[2:], stride, padding, dilation, groups):
        out[filter_at] += grad[at] * x[pixel]
    return out
