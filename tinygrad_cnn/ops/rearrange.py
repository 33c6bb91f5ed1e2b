"""Repeated, reversed, shifted and masked copies, diagonals and windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..errors import DimError, DTypeError, ShapeError
from .broadcast import Expand
from .dims import sizes, wrap_dim, wrap_dims
from .indexing import Take
from .promotion import broadcast_shape
from .shape import expand
from .views import Diagonal, Permute, Reshape, Unfold


class Flip(Op):
    """Dimensions in reverse order; its own adjoint."""

    makes_fresh_gradients = True
    dims: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.flip(x, self.dims).copy(order="K")

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Flip.apply(grad, dims=self.dims),)


class Roll(Op):
    """Shifted along dimensions, with what leaves at one end coming in at the other."""

    makes_fresh_gradients = True
    shifts: tuple[int, ...]
    dims: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.roll(x, self.shifts, self.dims)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Roll.apply(grad, shifts=tuple(-shift for shift in self.shifts), dims=self.dims),)


class Triangle(Op):
    """The elements of the last two dimensions on and below (``upper``: above) a diagonal, else 0; its own adjoint."""

    makes_fresh_gradients = True
    diagonal: int
    upper: bool

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.triu(x, self.diagonal) if self.upper else np.tril(x, self.diagonal)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Triangle.apply(grad, diagonal=self.diagonal, upper=self.upper),)


# ---------------------------------------------------------------- repeating


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The whole Tensor several times along each dimension.

    Args:
        input: any shape.
        repeats: how often (ints or one sequence), at least one per dimension; further ones make dimensions in front.

    Returns:
        A Tensor of shape (repeats[i] * shape[i], ...).

    Raises:
        ShapeError: fewer repeats than dimensions, or a negative one.
    """
    counts, shape = sizes("repeat", repeats, "repeats"), input._array.shape
    if len(counts) < len(shape):
        raise ShapeError(f"repeat: {len(counts)} repeats for {len(shape)} dimensions; repeats={counts}")
    if any(count < 0 for count in counts):
        raise ShapeError(f"repeat: repeats must not be negative, got {counts}")
    full = (1,) * (len(counts) - len(shape)) + tuple(shape)
    # (a, b) -> (1, a, 1, b) -> (m, a, n, b) -> (m*a, n*b)
    spread = Reshape.apply(input, shape=tuple(side for own in full for side in (1, own)))
    repeated = Expand.apply(spread, shape=tuple(side for pair in zip(counts, full) for side in pair))
    out = Reshape.apply(repeated, shape=tuple(count * own for count, own in zip(counts, full)))
    return out.clone() if out._view is not None or out._inference else out


def tile(input: Tensor, dims: Any) -> Tensor:
    """As ``repeat``, but fewer numbers than dimensions stand for the last ones."""
    counts = sizes("tile", (dims,), "dims")
    return repeat(input, (1,) * (input._array.ndim - len(counts)) + counts)


def repeat_interleave(
    input: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element (or every place of a dimension) several times in a row.

    Args:
        input: any shape.
        repeats: how often: an int, or an int64 or int32 Tensor with one number per place (or one for all).
        dim: the dimension; None flattens the input first.
        output_size: the size of the result along ``dim``, checked if given.

    Returns:
        A Tensor with the sum of the repeats as its size along ``dim``.

    Raises:
        ShapeError: a negative number, or another count of numbers than places.
        DTypeError: repeats of another dtype.
        DimError: dim is out of range.
    """
    if dim is None:
        input, dim = Reshape.apply(input, shape=(input._array.size,)), 0
    dim = wrap_dim("repeat_interleave", dim, input._array.ndim)
    counts = repeats._array if isinstance(repeats, Tensor) else np.array(repeats)
    if counts.dtype.kind != "i":
        raise DTypeError(f"repeat_interleave: repeats must be int64 or int32, got {counts.dtype}")
    side = input._array.shape[dim] if input._array.ndim else 1
    if counts.ndim > 1 or counts.size not in (1, side) or (counts < 0).any():
        raise ShapeError(f"repeat_interleave: expected {side} repeats >= 0 for dim {dim}, got {repeats}")
    index = np.repeat(np.arange(side), counts.reshape(-1) if counts.size == side else int(counts.reshape(())))
    if output_size is not None and output_size != index.size:
        raise ShapeError(f"repeat_interleave: output_size={output_size} but the repeats add up to {index.size}")
    return Take.apply(input, wrap(index[None]), dims=(dim,))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of all the Tensors in their common shape.

    Raises:
        ShapeError: they cannot be broadcast together.
    """
    shape: tuple[int, ...] = ()
    for tensor in tensors:
        shape = broadcast_shape("broadcast_tensors", shape, tensor._array.shape)
    return tuple(expand(tensor, shape) for tensor in tensors)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: each one-dimensional Tensor along a dimension of its own, as views.

    Args:
        tensors: shapes (n,) or () and one dtype; or one sequence of them.
        indexing: ``"ij"``, or ``"xy"`` for the first two dimensions exchanged.

    Returns:
        A tuple of views of shape (n0, n1, ...).

    Raises:
        ShapeError: a Tensor with more dimensions, or none.
        DTypeError: different dtypes.
        ValueError: another indexing.
    """
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else list(tensors)
    if not given or any(tensor._array.ndim > 1 for tensor in given):
        raise ShapeError(f"meshgrid: expected tensors of at most 1 dimension, got {[t.size() for t in given]}")
    if len({tensor.dtype for tensor in given}) > 1:
        raise DTypeError(f"meshgrid: tensors must have one dtype, got {[t.dtype for t in given]}")
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    count = len(given)
    shape = tuple(tensor._array.size for tensor in given)
    grids = [
        expand(Reshape.apply(tensor, shape=tuple(-1 if d == i else 1 for d in range(count))), shape)
        for i, tensor in enumerate(given)
    ]
    if indexing == "xy" and count > 1:
        return tuple(Permute.apply(grid, dims=(1, 0, *range(2, count))) for grid in grids)
    return tuple(grids)


# ---------------------------------------------------------------- moving and masking


def flip(input: Tensor, dims: Any) -> Tensor:
    """The order of some dimensions (an int or several) reversed, as a copy.

    Raises:
        DimError: a dim is out of range.
        ShapeError: a dim appears twice.
    """
    wrapped = wrap_dims("flip", sizes("flip", (dims,), "dims"), input._array.ndim, "dims")
    return Flip.apply(input, dims=wrapped if input._array.ndim else ())


def fliplr(input: Tensor) -> Tensor:
    """``flip(1)``; at least two dimensions."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """``flip(0)``; at least one dimension."""
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted along dimensions; what leaves at one end comes in at the other.

    Args:
        input: any shape.
        shifts: an int or several.
        dims: as many dimensions; None shifts the flattened Tensor and restores its shape.

    Returns:
        A Tensor of the input's shape.

    Raises:
        ShapeError: the counts differ.
        DimError: a dim is out of range.
    """
    amounts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    given = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not given:
        if len(amounts) != 1:
            raise ShapeError(f"roll: {len(amounts)} shifts without dims")
        shape = input._array.shape
        flat = Reshape.apply(input, shape=(input._array.size,))
        return Reshape.apply(Roll.apply(flat, shifts=amounts, dims=(0,)), shape=shape)
    if len(given) != len(amounts):
        raise ShapeError(f"roll: {len(amounts)} shifts for {len(given)} dims")
    where = tuple(wrap_dim("roll", dim, input._array.ndim, "dims") for dim in given)
    return Roll.apply(input, shifts=amounts, dims=where)


def _matrices(name: str, input: Tensor) -> Tensor:
    if input._array.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 dimensions, got shape {tuple(input.shape)}")
    return input


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangles of matrices (..., M, N): 0 above a diagonal, which is counted upwards from the main one.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    return Triangle.apply(_matrices("tril", input), diagonal=diagonal, upper=False)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangles of matrices (..., M, N): 0 below a diagonal, which is counted upwards from the main one.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    return Triangle.apply(_matrices("triu", input), diagonal=diagonal, upper=True)


# ---------------------------------------------------------------- diagonals and windows, as views


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonals of the planes of two dimensions, as the last dimension of a view.

    Args:
        input: at least two dimensions.
        offset: which diagonal, counted upwards from the main one.
        dim1, dim2: the two dimensions.

    Returns:
        A view of shape (the other sizes, length of the diagonal).

    Raises:
        DimError: a dim is out of range.
        ShapeError: dim1 and dim2 are the same.
    """
    dims = wrap_dims("diagonal", (dim1, dim2), input._array.ndim, "dim1, dim2")
    return Diagonal.apply(input, offset=offset, dims=dims)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of a size along a dimension, as a view with the places in the window as last dimension.

    Args:
        input: at least one dimension.
        dimension: along which the windows slide.
        size: of a window, at most the dimension's.
        step: between the starts of neighbouring windows, at least 1.

    Returns:
        A view of shape (..., (side - size) // step + 1, ..., size).

    Raises:
        DimError: dimension is out of range.
        ShapeError: size or step does not fit.
    """
    if not input._array.ndim:
        raise DimError("unfold: the tensor has no dimensions")
    dim = wrap_dim("unfold", dimension, input._array.ndim, "dimension")
    side = input._array.shape[dim]
    if not 0 <= size <= side or step < 1:
        raise ShapeError(f"unfold: size={size}, step={step} does not fit dimension {dim} of size {side}")
    return Unfold.apply(input, dim=dim, size=size, step=step)
