"""Memory layout: logically (N, C, H, W), physically channels-last.

Users see PyTorch's shapes.  Convolution, pooling and normalisation compute on (N, H, W, C) memory, where the innermost
dimension is a run of channels that fills vector registers whatever the image size, and what flows between them is a
transposed view of such memory.  Images of one channel are in both layouts at once.  Convolution weights are logically
(O, C, KH, KW), physically (O, KH, KW, C), and so are their gradients.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor
from ..kernels._memory import is_channels_last
from . import buffers


class ToChannelsLast(Op):
    """The same (N, C, H, W) values in channels-last memory.  To the graph it is the identity."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        N, C, H, W = x.shape
        out = buffers.empty((N, H, W, C), x.dtype)
        if x.flags.carray and x.dtype.kind == "f":
            kernels.layout.prepare(N, C, H * W, x.dtype)(x, out)
        else:
            np.copyto(out, x.transpose(0, 2, 3, 1))
        return out.transpose(0, 3, 1, 2)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (grad,)


def channels_last(x: Tensor) -> Tensor:
    """``x``, (N, C, H, W), if a kernel can read its memory as (N, H, W, C); else a copy that is so."""
    return x if is_channels_last(x._array) else ToChannelsLast.apply(x)


def reshaped(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x.reshape(shape)``: a view where memory allows it, else a copy (of channels-last images by a kernel)."""
    if x.ndim == 4 and x.dtype.kind == "f" and not x.flags.c_contiguous and is_channels_last(x):
        try:
            return x.reshape(shape, copy=False)
        except TypeError:  # NumPy 2.0 cannot be asked
            return x.reshape(shape)
        except ValueError:
            N, C, H, W = x.shape
            out = buffers.empty((N, C, H * W), x.dtype)
            kernels.layout.prepare(N, H * W, C, x.dtype)(nhwc(x), out)
            return out.reshape(shape)
    return x.reshape(shape)


def nhwc(x: np.ndarray) -> np.ndarray:
    """The (N, H, W, C) memory below an array that is channels-last."""
    return x.transpose(0, 2, 3, 1)


def nchw(x: np.ndarray) -> np.ndarray:
    """The (N, C, H, W) array that (N, H, W, C) memory stands for."""
    return x.transpose(0, 3, 1, 2)


def prepared(x: np.ndarray) -> np.ndarray:
    """``x`` if it is C-contiguous, aligned and writable, else a copy that is: what kernels are compiled for."""
    return x if x.flags.carray else np.array(x, order="C")


def rows(x: np.ndarray) -> np.ndarray:
    """(C,), (N, C) or (N, C, d1, ...) as an (M, C) matrix for kernels: a view of channels-last memory, else a copy."""
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    elif x.ndim > 2:
        x = np.moveaxis(x, 1, -1)
    return prepared(x).reshape(-1 if x.size else math.prod(x.shape[:-1]), x.shape[-1])


def from_rows(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of ``rows``: an array of the original shape on the matrix's memory."""
    if len(shape) <= 2:
        return matrix.reshape(shape)
    images = matrix.reshape(shape[:1] + shape[2:] + shape[1:2])
    return images.transpose(0, 3, 1, 2) if len(shape) == 4 else np.moveaxis(images, -1, 1)
