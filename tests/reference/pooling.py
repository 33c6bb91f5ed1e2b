"""Pooling as loops over windows."""

from __future__ import annotations

import itertools

import numpy as np

from .conv import pair


def out_size(size, kernel_size, stride, padding, dilation, ceil_mode):
    """Count the windows one by one."""
    count = 0
    start = -padding
    while True:
        end = start + dilation * (kernel_size - 1) + 1
        if end > size + padding and not (ceil_mode and start < size and end - stride < size + padding):
            return count
        count += 1
        start += stride


def windows(x, kernel_size, stride, padding, dilation, ceil_mode):
    """Yield ((i, j), rows, columns) with the rows and columns of the window, also those outside the image."""
    kernel_size, padding, dilation = pair(kernel_size), pair(padding), pair(dilation)
    stride = kernel_size if stride is None else pair(stride)
    counts = [out_size(x.shape[a - 2], kernel_size[a], stride[a], padding[a], dilation[a], ceil_mode) for a in (0, 1)]
    for place in itertools.product(*map(range, counts)):
        starts = [place[a] * stride[a] - padding[a] for a in (0, 1)]
        yield place, counts, [[starts[a] + k * dilation[a] for k in range(kernel_size[a])] for a in (0, 1)]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    out = None
    for (i, j), counts, (rows, columns) in windows(x, kernel_size, stride, padding, dilation, ceil_mode):
        if out is None:
            out = np.full((*x.shape[:-2], *counts), -np.inf)
        for h, w in itertools.product(rows, columns):
            if 0 <= h < x.shape[-2] and 0 <= w < x.shape[-1]:
                out[..., i, j] = np.maximum(out[..., i, j], x[..., h, w])
    return out


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    out = None
    padding = pair(padding)
    H, W = x.shape[-2:]
    for (i, j), counts, (rows, columns) in windows(x, kernel_size, stride, padding, 1, ceil_mode):
        if out is None:
            out = np.zeros((*x.shape[:-2], *counts))
        padded = [(h, w) for h in rows for w in columns if h < H + padding[0] and w < W + padding[1]]
        inside = [(h, w) for h, w in padded if 0 <= h < H and 0 <= w < W]
        for h, w in inside:
            out[..., i, j] += x[..., h, w]
        out[..., i, j] /= divisor_override or len(padded if count_include_pad else inside)
    return out


def adaptive_avg_pool2d(x, output_size):
    OH, OW = [x.shape[a - 2] if s is None else s for a, s in enumerate(pair(output_size))]
    out = np.zeros((*x.shape[:-2], OH, OW))
    for i, j in itertools.product(range(OH), range(OW)):
        top, bottom = int(np.floor(i * x.shape[-2] / OH)), int(np.ceil((i + 1) * x.shape[-2] / OH))
        left, right = int(np.floor(j * x.shape[-1] / OW)), int(np.ceil((j + 1) * x.shape[-1] / OW))
        out[..., i, j] = x[..., top:bottom, left:right].mean(axis=(-2, -1))
    return out
