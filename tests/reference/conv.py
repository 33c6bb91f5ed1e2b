"""Convolution and the fully connected layer as nested loops over their definitions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def padding_of(padding: Any, kernel_size: tuple[int, int], dilation: tuple[int, int]) -> list[tuple[int, int]]:
    """(before, after) for rows and columns."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel_size)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in pair(padding)]


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if x.ndim == 3:
        return conv2d(x[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation = pair(stride), pair(dilation)
    O, C, KH, KW = weight.shape
    x = np.pad(x, [(0, 0), (0, 0), *padding_of(padding, (KH, KW), dilation)])
    OH = (x.shape[2] - dilation[0] * (KH - 1) - 1) // stride[0] + 1
    OW = (x.shape[3] - dilation[1] * (KW - 1) - 1) // stride[1] + 1
    out = np.zeros((x.shape[0], O, OH, OW))
    for n, o, i, j in itertools.product(*map(range, out.shape)):
        for c, p, q in itertools.product(range(C), range(KH), range(KW)):
            channel = o // (O // groups) * C + c
            pixel = x[n, channel, i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]]
            out[n, o, i, j] += pixel * weight[o, c, p, q]
        if bias is not None:
            out[n, o, i, j] += bias[o]
    return out


def linear(x, weight, bias=None):
    out = np.zeros(x.shape[:-1] + weight.shape[:-1])
    for place in itertools.product(*map(range, x.shape[:-1])):
        for o in itertools.product(*map(range, weight.shape[:-1])):
            out[place + o] = sum(a * b for a, b in zip(x[place], weight[o]))
            if bias is not None:
                out[place + o] += bias[o]
    return out
