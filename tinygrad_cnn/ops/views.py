"""The operations that look at their input's memory in another way, and where that memory allows it.

Every view is an operation of its own whose adjoint puts a gradient back into zeros, so an in-place write through a view
(``autograd/inplace.py``) and derivatives of any order need nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from ..autograd.inplace import apply_view
from ..kernels._memory import inverse
from .broadcast import Expand
from .layout import reshaped


class Reshape(Op):
    """The same elements in row-major order under another shape; a copy where memory allows no view."""

    is_view = True
    shape: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        return reshaped(x, self.shape)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Reshape.apply(grad, shape=self.input_shape(0)),)


class Permute(Op):
    """The dimensions in another order."""

    is_view = True
    dims: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(self.dims)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Permute.apply(grad, dims=tuple(inverse(self.dims))),)


Key = tuple[Any, ...]


class Slice(Op):
    """``x[key]`` for a key of ints, slices, None and one Ellipsis."""

    makes_fresh_gradients = True
    is_view = True
    key: Key

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x[self.key]

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (SliceAdjoint.apply(grad, shape=self.input_shape(0), key=self.key),)


class SliceAdjoint(Op):
    """Zeros of a shape with ``zeros[key]`` set to the input."""

    shape: tuple[int, ...]
    key: Key

    def forward(self, grad: np.ndarray) -> np.ndarray:
        out = zeros_in_order_of(grad, self.shape)
        out[self.key] = grad
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Slice.apply(grad, key=self.key),)


class Diagonal(Op):
    """The diagonals of the planes of two dimensions, as the last dimension."""

    makes_fresh_gradients = True
    is_view = True
    offset: int
    dims: tuple[int, int]

    def forward(self, x: np.ndarray) -> np.ndarray:
        out = x.diagonal(self.offset, *self.dims)
        if x.flags.writeable:
            out.flags.writeable = True
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (DiagonalAdjoint.apply(grad, shape=self.input_shape(0), offset=self.offset, dims=self.dims),)


class DiagonalAdjoint(Op):
    """Zeros of a shape with the input on the diagonals."""

    shape: tuple[int, ...]
    offset: int
    dims: tuple[int, int]

    def forward(self, grad: np.ndarray) -> np.ndarray:
        out = np.zeros(self.shape, grad.dtype)
        diagonal = out.diagonal(self.offset, *self.dims)
        diagonal.flags.writeable = True
        diagonal[...] = grad
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Diagonal.apply(grad, offset=self.offset, dims=self.dims),)


class Unfold(Op):
    """All windows of ``size`` along a dimension, ``step`` apart, with the places in the window as last dimension."""

    makes_fresh_gradients = True
    is_view = True
    dim: int
    size: int
    step: int

    def forward(self, x: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(x, self.size, self.dim)
        out = windows[(slice(None),) * self.dim + (slice(None, None, self.step),)]
        if self.step >= self.size and x.flags.writeable:  # no element is in two windows
            out = np.lib.stride_tricks.as_strided(x, out.shape, out.strides)
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (UnfoldAdjoint.apply(grad, shape=self.input_shape(0), dim=self.dim, size=self.size, step=self.step),)


class UnfoldAdjoint(Op):
    """Windows added up at their places in zeros of a shape."""

    shape: tuple[int, ...]
    dim: int
    size: int
    step: int

    def forward(self, grad: np.ndarray) -> np.ndarray:
        out = np.zeros(self.shape, grad.dtype)
        before = (slice(None),) * self.dim
        count = grad.shape[self.dim]
        for place in range(self.size):
            out[(*before, slice(place, place + (count - 1) * self.step + 1, self.step))] += grad[..., place]
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Unfold.apply(grad, dim=self.dim, size=self.size, step=self.step),)


def zeros_in_order_of(model: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of a shape, in channels-last memory if the model is four-dimensional and in it."""
    if len(shape) == 4 and model.ndim == 4 and is_channels_last_order(model.shape, model.strides):
        N, C, H, W = shape
        return np.zeros((N, H, W, C), model.dtype).transpose(0, 3, 1, 2)
    return np.zeros(shape, model.dtype)


# ---------------------------------------------------------------- what memory allows


def viewable(shape: tuple[int, ...], strides: tuple[int, ...], new_shape: tuple[int, ...]) -> bool:
    """Whether elements of this shape at these strides can be read as ``new_shape``, in row-major order, in place.

    The dimensions fall into runs that memory makes one: a stride is the next one's times the next size.  Counted from
    the end, the new sizes must multiply up to each run exactly.
    """
    if 0 in shape:
        return True
    runs: list[int] = []
    last_step = 0
    for side, step in zip(shape, strides):
        if side == 1:
            continue
        if runs and last_step == side * step:
            runs[-1] *= side
        else:
            runs.append(side)
        last_step = step
    left = 1
    for side in reversed(new_shape):
        if side == 1:
            continue
        if left == 1:
            left = runs.pop()
        if left % side:
            return False
        left //= side
    return True


def is_channels_last_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether memory runs through (N, C, ...) or (C, ...) with the channels innermost and the rest in order."""
    dims = [dim for dim, side in enumerate(shape) if side != 1]
    if len(shape) < 3 or len(dims) < 2 or any(strides[dim] <= 0 for dim in dims):
        return False
    order = sorted(dims, key=lambda dim: -strides[dim])  # stable: dims of one stride stay as they are
    rest, inner = order[:-1], order[-1]
    return inner <= 1 and rest == sorted(rest) and rest[-1] > inner


_STRIDED = (Permute, Slice, Diagonal, Unfold, Expand)


def pytorch_layout(tensor: Tensor) -> np.ndarray:
    """An array without contents that has the shape, and the strides in elements, of PyTorch's tensor in this place.

    What is no view has its own strides, but row-major ones if it is channels-last in memory; a view has those that its
    operation makes of its parent's.  Only shape and strides may be looked at: there is no memory behind them.
    """
    view, array = tensor._view, tensor._array
    if view is not None and view.op in _STRIDED:
        return apply_view(view.op, view.static, pytorch_layout(view.parent))
    strides = tuple(step // array.itemsize for step in array.strides)
    if view is not None and view.op is Reshape:
        parent = pytorch_layout(view.parent)
        if viewable(parent.shape, parent.strides, array.shape):
            return parent.reshape(array.shape)
        strides = _row_major(array.shape)
    elif is_channels_last_order(array.shape, array.strides):
        strides = _row_major(array.shape)
    return np.lib.stride_tricks.as_strided(np.empty((), np.int8), array.shape, strides)


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for side in reversed(shape):
        strides.append(step)
        step *= max(side, 1)
    return tuple(reversed(strides))
