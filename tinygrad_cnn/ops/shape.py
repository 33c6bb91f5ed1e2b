"""Views with another shape or order of dimensions: reshape, flatten, permute, squeeze, expand and their kin.

All share the input's memory wherever PyTorch's do, except that a Tensor which is channels-last in memory is logically
in (N, C, H, W) order: where its elements must become neighbours in that order they are copied, and the result is marked
so that an in-place write, which PyTorch would pass on to the input, is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..autograd.dtype import as_numpy_dtype
from ..errors import DTypeError, ShapeError
from ..kernels._memory import is_channels_last
from .broadcast import Expand
from .dims import sizes, wrap_dim, wrap_dims
from .views import Permute, Reshape, pytorch_layout, viewable

# ---------------------------------------------------------------- reshape and view


def _resolved(name: str, input: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with -1 replaced by the size that is left for it."""
    count, known, unknown = input._array.size, 1, -1
    for i, side in enumerate(shape):
        if side == -1 and unknown < 0:
            unknown = i
        elif side < 0:
            raise ShapeError(f"{name}: shape must have sizes >= 0 and at most one -1, got {shape}")
        else:
            known *= side
    if unknown >= 0:
        if known == 0 or count % known:
            raise ShapeError(f"{name}: shape {shape} is invalid for a tensor of shape {tuple(input.shape)}")
        return (*shape[:unknown], count // known, *shape[unknown + 1 :])
    if known != count:
        raise ShapeError(f"{name}: shape {shape} is invalid for a tensor of shape {tuple(input.shape)}")
    return shape


def _reshaped(name: str, input: Tensor, shape: tuple[int, ...], may_copy: bool) -> Tensor:
    array = input._array
    if array.flags.c_contiguous:
        return Reshape.apply(input, shape=shape)
    copies = not viewable(array.shape, array.strides, shape)
    # What lies in channels-last memory and is no view, lies in row-major memory in PyTorch: a view in every shape.
    contiguous_there = input._view is None and array.ndim == 4 and is_channels_last(array)
    unlike_pytorch = copies and (contiguous_there or viewable(array.shape, pytorch_layout(input).strides, shape))
    if copies and not unlike_pytorch and not may_copy:
        raise ShapeError(
            f"{name}: shape {shape} needs elements of the tensor of shape {tuple(array.shape)} to be copied, because "
            f"its memory has stride {input.stride()}; use reshape()"
        )
    out = Reshape.apply(input, shape=shape)
    if unlike_pytorch:
        out._copied_by = name
    return out


def reshape(input: Tensor, shape: Any) -> Tensor:
    """The same elements in row-major order under another shape; a view if memory allows it, else a copy.

    Args:
        input: any shape and dtype.
        shape: sizes with the same product; one of them may be -1.

    Returns:
        A Tensor of that shape.

    Raises:
        ShapeError: the number of elements does not fit.
    """
    return _reshaped("reshape", input, _resolved("reshape", input, sizes("reshape", (shape,))), True)


def view(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in row-major order under another shape, on the same memory; or ``view(dtype)``.

    A Tensor that is channels-last in memory, as a convolution returns it, is copied into (N, C, H, W) order where that
    is needed; an in-place write to the copy raises GraphError, because PyTorch would have written to the input too.

    Args:
        input: any shape and dtype.
        shape: sizes with the same product, one of which may be -1; or a dtype of the same size in bytes, under which
            the bytes are read.

    Returns:
        A Tensor of that shape, or of the input's shape and that dtype.

    Raises:
        ShapeError: the number of elements does not fit, or memory does not allow a view.
        DTypeError: a dtype of another size.
    """
    if len(shape) == 1 and not isinstance(shape[0], int | tuple | list | Tensor | np.integer):
        return _view_dtype(input, shape[0])
    return _reshaped("view", input, _resolved("view", input, sizes("view", shape)), False)


def _view_dtype(input: Tensor, dtype: Any) -> Tensor:
    wanted = as_numpy_dtype(dtype)
    if wanted == input._array.dtype:
        return Reshape.apply(input, shape=input._array.shape)
    if wanted.itemsize != input._array.itemsize:
        raise DTypeError(f"view: {wanted} has another size in bytes than {input.dtype}")
    out = wrap(input._array.view(wanted))
    out._version = input._counter()
    return out


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``input.view(other.shape)``."""
    return view(input, other._array.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``input.reshape(other.shape)``."""
    return reshape(input, other._array.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from start_dim to end_dim (both included) joined into one; a 0-dimensional input gets one.

    Raises:
        DimError: a dim is out of range.
        ShapeError: start_dim comes after end_dim.
    """
    shape = input._array.shape
    start, end = (wrap_dim("flatten", dim, len(shape)) for dim in (start_dim, end_dim))
    if start > end:
        raise ShapeError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim}")
    if not shape:
        return _reshaped("flatten", input, (1,), True)
    if start == end:
        return input
    joined = 1
    for side in shape[start : end + 1]:
        joined *= side
    return _reshaped("flatten", input, (*shape[:start], joined, *shape[end + 1 :]), True)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension, in row-major order."""
    return _reshaped("ravel", input, (input._array.size,), True)


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension split into several.

    Args:
        input: any shape.
        dim: the dimension to split.
        sizes: sizes with its size as product; one of them may be -1.

    Returns:
        A Tensor of shape (..., *sizes, ...).

    Raises:
        DimError: dim is out of range.
        ShapeError: the product does not fit.
    """
    shape = input._array.shape
    dim = wrap_dim("unflatten", dim, len(shape))
    parts = tuple(sizes)
    known = 1
    for part in parts:
        known *= 1 if part == -1 else part
    if parts.count(-1) > 1 or any(part < -1 for part in parts) or not parts:
        raise ShapeError(f"unflatten: sizes must be >= 0 and at most one -1, got {parts}")
    if -1 in parts and known and shape[dim] % known == 0:
        parts = tuple(shape[dim] // known if part == -1 else part for part in parts)
    elif -1 in parts or known != shape[dim]:
        raise ShapeError(f"unflatten: sizes {parts} do not multiply to size {shape[dim]} of dim {dim}")
    return _reshaped("view", input, (*shape[:dim], *parts, *shape[dim + 1 :]), False)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """The dimensions of size 1 left out: all of them, or those in ``dim`` (an int or several) that have size 1.

    Raises:
        DimError: dim is out of range.
    """
    shape = input._array.shape
    if dim is None:
        kept = tuple(side for side in shape if side != 1)
    else:
        dims = wrap_dims("squeeze", dim if isinstance(dim, tuple | list) else (dim,), len(shape))
        kept = tuple(side for i, side in enumerate(shape) if side != 1 or i not in dims)
    return Reshape.apply(input, shape=kept)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A dimension of size 1 inserted before ``dim``; negative dims count from the end of the result.

    Raises:
        DimError: dim is out of range.
    """
    shape = input._array.shape
    dim = wrap_dim("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, shape=(*shape[:dim], 1, *shape[dim:]))


# ---------------------------------------------------------------- the order of dimensions


def permute(input: Tensor, dims: Any) -> Tensor:
    """The dimensions in the order ``dims``.

    Args:
        input: any shape.
        dims: every dimension once.

    Returns:
        A view of shape (shape[dims[0]], shape[dims[1]], ...).

    Raises:
        ShapeError: dims is no permutation of the dimensions.
        DimError: a dim is out of range.
    """
    ndim = input._array.ndim
    dims = tuple(dims)
    if len(dims) != ndim:
        raise ShapeError(f"permute: dims={dims} has {len(dims)} entries for {ndim} dimensions")
    return Permute.apply(input, dims=wrap_dims("permute", dims, ndim, "dims"))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged.

    Raises:
        DimError: a dim is out of range.
    """
    ndim = input._array.ndim
    first, second = wrap_dim("transpose", dim0, ndim, "dim0"), wrap_dim("transpose", dim1, ndim, "dim1")
    dims = list(range(ndim))
    if ndim:
        dims[first], dims[second] = second, first
    return Permute.apply(input, dims=tuple(dims))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (M, N); fewer dimensions stay as they are.

    Raises:
        ShapeError: more than two dimensions.
    """
    if input._array.ndim > 2:
        raise ShapeError(f"t: expected at most 2 dimensions, got shape {tuple(input.shape)}")
    return Permute.apply(input, dims=tuple(reversed(range(input._array.ndim))))


def reversed_dims(input: Tensor) -> Tensor:
    """``.T``: all dimensions in reverse order."""
    return Permute.apply(input, dims=tuple(range(input._array.ndim - 1, -1, -1)))


def matrix_transpose(input: Tensor) -> Tensor:
    """``.mT``: the last two dimensions exchanged.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    if input._array.ndim < 2:
        raise ShapeError(f"mT: expected at least 2 dimensions, got shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places; the rest keep their order.

    Args:
        input: any shape.
        source: an int or several: the dimensions to move.
        destination: where to, as many.

    Returns:
        A view.

    Raises:
        DimError: a dim is out of range.
        ShapeError: a dim appears twice, or the counts differ.
    """
    ndim = input._array.ndim
    given = [(dims,) if isinstance(dims, int) else tuple(dims) for dims in (source, destination)]
    if len(given[0]) != len(given[1]):
        raise ShapeError(f"movedim: source={source} and destination={destination} must have the same length")
    sources, places = (wrap_dims("movedim", dims, ndim, name) for dims, name in zip(given, ("source", "destination")))
    order = [-1] * ndim
    for place, dim in zip(places, sources):
        order[place] = dim
    rest = iter(dim for dim in range(ndim) if dim not in sources)
    return Permute.apply(input, dims=tuple(next(rest) if dim < 0 else dim for dim in order))


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """``transpose`` with NumPy's names for the arguments."""
    return transpose(input, axis0, axis1)


swapdims = transpose
moveaxis = movedim


# ---------------------------------------------------------------- repeating without copying


def expand(input: Tensor, *shape: Any) -> Tensor:
    """Dimensions of size 1 repeated, and new ones put in front, without copying.

    Args:
        input: any shape.
        shape: the new sizes (ints or one sequence); -1 keeps a size.

    Returns:
        A view of that shape, which in-place operations refuse: several of its elements share one place.

    Raises:
        ShapeError: a size other than 1 would change.
    """
    wanted, source = sizes("expand", shape), input._array.shape
    added = len(wanted) - len(source)
    if added < 0:
        raise ShapeError(f"expand: shape {wanted} has fewer dimensions than the tensor's shape {source}")
    full = list(wanted)
    for i, side in enumerate(wanted):
        own = source[i - added] if i >= added else None
        if side == -1 and own is not None:
            full[i] = own
        elif side < 0 or (own is not None and own not in (1, side)):
            raise ShapeError(f"expand: shape {wanted} is invalid for a tensor of shape {source}")
    if tuple(full) == source:
        return Reshape.apply(input, shape=source)
    return Expand.apply(input, shape=tuple(full))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """``input.expand(size)``."""
    return expand(input, size)
