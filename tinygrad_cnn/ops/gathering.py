"""Elements picked and placed by index tensors and masks: gather, scatter, index_select, masked_fill and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..errors import DimError, DTypeError, ShapeError
from ..tracing import python_reads
from . import arithmetic
from .cast import cast
from .dims import wrap_dim
from .indexing import Put, Take, TakeAdjoint
from .inplace import as_source
from .promotion import as_operand, broadcast_shape
from .shape import expand, reshape
from .views import Reshape, Slice


class Gather(Op):
    """``out[i, j, k] = x[i, index[i, j, k], k]`` for dim 1; index may be smaller than x in the other dimensions."""

    makes_fresh_gradients = True
    saves_inputs = {1: (0,)}  # noqa: RUF012
    dim: int

    def forward(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x[_region(x.shape, index.shape, self.dim)], index, self.dim)

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor, None]:
        return ScatterSum.apply(grad, index, dim=self.dim, shape=self.input_shape(0)), None


class ScatterSum(Op):
    """Zeros of a shape to which the first input is added at the places that ``Gather`` would read."""

    makes_fresh_gradients = True
    saves_inputs = {1: (0,)}  # noqa: RUF012
    dim: int
    shape: tuple[int, ...]

    def forward(self, src: np.ndarray, index: np.ndarray) -> np.ndarray:
        out = np.zeros(self.shape, src.dtype)
        places = list(np.ogrid[tuple(slice(side) for side in index.shape)])
        places[self.dim] = index
        # One-dimensional arrays are what np.add.at is quick on.
        flat = np.ravel_multi_index(tuple(np.broadcast_arrays(*places)), self.shape) if index.size else index
        np.add.at(out.reshape(-1), flat.reshape(-1), src.reshape(-1))
        return out

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor, None]:
        return Gather.apply(grad, index, dim=self.dim), None


class Scatter(Op):
    """x with the elements that ``Gather`` would read replaced by those of the second input (or by one number)."""

    broadcasts = makes_fresh_gradients = True
    saves_inputs = {2: (0, 1)}  # noqa: RUF012
    dim: int

    def forward(self, x: np.ndarray, src: np.ndarray, index: np.ndarray) -> np.ndarray:
        out = x.copy(order="K")
        np.put_along_axis(out[_region(x.shape, index.shape, self.dim)], index, src, self.dim)
        return out

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor | None, ...]:
        zero = wrap(np.zeros((), grad._array.dtype))
        return (
            Scatter.apply(grad, zero, index, dim=self.dim) if self.needs(0) else None,
            Gather.apply(grad, index, dim=self.dim) if self.needs(1) else None,
            None,
        )


class MaskedFill(Op):
    """x where the mask is False, else the 0-dimensional value."""

    broadcasts = makes_fresh_gradients = True
    saves_inputs = {1: (0, 2)}  # noqa: RUF012

    def forward(self, x: np.ndarray, mask: np.ndarray, value: np.ndarray) -> np.ndarray:
        if mask.shape == x.shape:
            out = x.copy(order="K")
        else:
            out = np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape)).copy(order="K")
        np.copyto(out, value, where=mask)
        return out

    def backward(self, grad: Tensor, mask: Tensor) -> tuple[Tensor | None, ...]:
        zero = wrap(np.zeros((), grad._array.dtype))
        grad_x = grad_value = None
        if self.needs(0):
            grad_x = MaskedFill.apply(grad, mask, zero)
        if self.needs(2):
            grad_value = MaskedFill.apply(grad, wrap(~mask._array), zero)
        return grad_x, None, grad_value


def _region(shape: tuple[int, ...], index_shape: tuple[int, ...], dim: int) -> tuple[slice, ...]:
    """The part of an array of this shape that an index of that shape reaches."""
    return tuple(slice(None if d == dim else side) for d, side in enumerate(index_shape))


# ---------------------------------------------------------------- checks


def _positions(name: str, index: Any) -> np.ndarray:
    """The index tensor's array as int64."""
    if not isinstance(index, Tensor) or index._array.dtype.kind != "i":
        got = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise DTypeError(f"{name}: index must be an int64 or int32 tensor, got {got}")
    return index._array.astype(np.int64, copy=False)


def _check_range(name: str, index: np.ndarray, size: int, dim: int, lowest: int = 0) -> None:
    if index.size and (index.min() < lowest or index.max() >= size):
        wrong = index[(index < lowest) | (index >= size)].flat[0]
        raise DimError(f"{name}: index {wrong} is out of range for dim {dim} of size {size}")


def _along(name: str, input: Tensor, dim: int, index: Any, src: Tensor | None = None) -> tuple[int, np.ndarray]:
    """dim and index of a gather or scatter, checked."""
    shape = input._array.shape
    dim = wrap_dim(name, dim, len(shape))
    places = _positions(name, index)
    if max(places.ndim, 1) != max(len(shape), 1) and places.size:
        raise ShapeError(
            f"{name}: index must have as many dimensions as input; "
            f"index.shape={tuple(places.shape)}, input.shape={tuple(shape)}"
        )
    for d, side in enumerate(places.shape):
        if d != dim and side > shape[d]:
            raise ShapeError(
                f"{name}: index is larger than input in dim {d}; "
                f"index.shape={tuple(places.shape)}, input.shape={tuple(shape)}, dim={dim}"
            )
        if src is not None and src._array.ndim and side > src._array.shape[d]:
            raise ShapeError(
                f"{name}: index is larger than src in dim {d}; "
                f"index.shape={tuple(places.shape)}, src.shape={tuple(src.shape)}"
            )
    _check_range(name, places, shape[dim] if shape else 1, dim)
    return dim, places


def _with_a_dim(input: Tensor) -> Tensor:
    return input if input._array.ndim else Reshape.apply(input, shape=(1,))


def _same_dtype(name: str, input: Tensor, src: Any, argument: str) -> Tensor:
    if not isinstance(src, Tensor):
        raise DTypeError(f"{name}: {argument} must be a Tensor, got {type(src).__name__}")
    if src._array.dtype != input._array.dtype:
        raise DTypeError(f"{name}: {argument} has dtype {src.dtype} but input has {input.dtype}")
    return src


# ---------------------------------------------------------------- gather and scatter


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j][k] = input[i][index[i][j][k]][k]`` for dim 1, and so on.

    Args:
        input: any shape.
        dim: the dimension that index replaces.
        index: int64 or int32, as many dimensions as input, not larger than it except along ``dim``.
        sparse_grad: accepted and without effect: gradients are dense.

    Returns:
        A Tensor of index's shape.

    Raises:
        DimError: dim or an index is out of range.
        ShapeError: index's shape does not fit.
        DTypeError: index is not int64 or int32.
    """
    dim, places = _along("gather", input, dim, index)
    if not places.size:  # an index of any shape
        return Take.apply(Reshape.apply(input, shape=(-1,)), wrap(places[None]), dims=(0,))
    if input._array.ndim and places.ndim:
        return Gather.apply(input, wrap(places), dim=dim)
    out = Gather.apply(_with_a_dim(input), wrap(places.reshape(-1)), dim=0)
    return Reshape.apply(out, shape=places.shape)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` after input and indices have been broadcast together in the other dimensions; None flattens both."""
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    dim = wrap_dim("take_along_dim", dim, input._array.ndim)
    if indices._array.ndim != input._array.ndim:
        raise ShapeError(
            f"take_along_dim: indices must have as many dimensions as input; indices.shape={tuple(indices.shape)}, "
            f"input.shape={tuple(input.shape)}"
        )
    own, other = list(input._array.shape), list(indices._array.shape)
    own[dim] = other[dim] = 1
    common = list(broadcast_shape("take_along_dim", tuple(own), tuple(other)))
    sides = []
    for tensor in (input, indices):
        common[dim] = tensor._array.shape[dim]
        sides.append(expand(tensor, tuple(common)))
    return gather(sides[0], dim, sides[1])


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """A copy of input in which ``out[i][index[i][j][k]][k] = src[i][j][k]`` for dim 1, and so on.

    Args:
        input: any shape.
        dim: the dimension that index replaces.
        index: int64 or int32, as many dimensions as input.
        src: a Tensor of input's dtype at least as large as index, or a number; ``value`` is the same for a number.
        reduce: ``"add"`` adds instead of replacing.

    Returns:
        A Tensor of input's shape.  Where an index appears twice, one of the values is taken, and all get a gradient.

    Raises:
        DimError: dim or an index is out of range.
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes do not fit.
        ValueError: another reduce.
        TypeError: neither src nor value, or both.
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: expected one of src and value")
    if reduce not in (None, "add"):
        raise ValueError(f"scatter: reduce must be None or 'add', got {reduce!r}")
    given = value if src is None else src
    if isinstance(given, Tensor) and given._array.ndim:
        given = _same_dtype("scatter", input, given, "src")
    else:
        given = cast(as_source("scatter", given, input), input._array.dtype)
    dim, places = _along("scatter", input, dim, index, given)
    if not places.size:
        return input.clone()
    if reduce == "add":
        if not given._array.ndim:
            given = expand(given, places.shape)
        return scatter_add(input, dim, index, given)
    if given._array.ndim:
        given = Slice.apply(given, key=(*_region(given._array.shape, places.shape, -1), Ellipsis))
    if input._array.ndim and places.ndim:
        return Scatter.apply(input, given, wrap(places), dim=dim)
    out = Scatter.apply(_with_a_dim(input), given, wrap(places.reshape(-1)), dim=0)
    return Reshape.apply(out, shape=input._array.shape)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of input to which ``src[i][j][k]`` is added at ``[i][index[i][j][k]][k]`` for dim 1, and so on.

    Args:
        input: any shape.
        dim: the dimension that index replaces.
        index: int64 or int32, as many dimensions as input, not larger than it except along ``dim``.
        src: input's dtype, at least as large as index.

    Returns:
        A Tensor of input's shape.

    Raises:
        DimError: dim or an index is out of range.
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes do not fit.
    """
    src = _same_dtype("scatter_add", input, src, "src")
    dim, places = _along("scatter_add", input, dim, index, src)
    if not places.size:
        return input.clone()
    shape = input._array.shape or (1,)
    used = Slice.apply(src, key=(*_region(src._array.shape, places.shape, -1), Ellipsis))
    places = places.reshape(places.shape or (1,))
    total = ScatterSum.apply(Reshape.apply(used, shape=places.shape), wrap(places), dim=dim, shape=shape)
    return arithmetic.add(input, Reshape.apply(total, shape=input._array.shape))


# ---------------------------------------------------------------- whole places of one dimension


def _row_index(name: str, input: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    """dim, and a (1, n) index for ``Take`` and its kin."""
    dim = wrap_dim(name, dim, input._array.ndim)
    places = _positions(name, index)
    if places.ndim > 1:
        raise ShapeError(f"{name}: index must have at most 1 dimension, got shape {tuple(places.shape)}")
    _check_range(name, places, input._array.shape[dim] if input._array.ndim else 1, dim)
    return dim, wrap(places.reshape(1, -1))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The places of a dimension that index lists, as a copy.

    Args:
        input: any shape.
        dim: the dimension.
        index: (n,) int64 or int32.

    Returns:
        A Tensor with size n along ``dim``.

    Raises:
        DimError: dim or an index is out of range.
        ShapeError: index has several dimensions.
        DTypeError: index is not int64 or int32.
    """
    dim, row = _row_index("index_select", input, dim, index)
    out = Take.apply(_with_a_dim(input), row, dims=(dim,))
    return out if input._array.ndim else Reshape.apply(out, shape=())


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """A copy of input to which ``alpha * source`` is added at the places of a dimension that index lists.

    Args:
        input: any shape.
        dim: the dimension.
        index: (n,) int64 or int32.
        source: input's dtype and shape but for size n along ``dim``.
        alpha: a factor for source.

    Returns:
        A Tensor of input's shape.

    Raises:
        DimError: dim or an index is out of range.
        ShapeError, DTypeError: source or index does not fit.
    """
    dim, row = _row_index("index_add", input, dim, index)
    source = _source("index_add", input, dim, row, source)
    if alpha != 1:
        source = arithmetic.mul(source, alpha)
    return arithmetic.add(input, TakeAdjoint.apply(source, row, shape=input._array.shape, dims=(dim,)))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of input with the places of a dimension that index lists replaced by source's; see ``index_add``."""
    dim, row = _row_index("index_copy", input, dim, index)
    return Put.apply(input, _source("index_copy", input, dim, row, source), row, dims=(dim,))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of input with the places of a dimension that index lists set to a number or 0-dimensional Tensor."""
    dim, row = _row_index("index_fill", input, dim, index)
    filler = as_source("index_fill", value, input)
    if filler._array.ndim:
        raise ShapeError(f"index_fill: value must be 0-dimensional, got shape {tuple(filler.shape)}")
    return Put.apply(input, cast(filler, input._array.dtype), row, dims=(dim,))


def _source(name: str, input: Tensor, dim: int, row: Tensor, source: Any) -> Tensor:
    source = _same_dtype(name, input, source, "source")
    shape = input._array.shape
    expected = (*shape[:dim], row._array.size, *shape[dim + 1 :])
    if source._array.shape != expected:
        raise ShapeError(f"{name}: source must have shape {expected}, got {tuple(source.shape)}")
    return source


# ---------------------------------------------------------------- masks and flat positions


def _check_mask(name: str, mask: Any) -> Tensor:
    if not isinstance(mask, Tensor) or mask._array.dtype != bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise DTypeError(f"{name}: mask must be a bool tensor, got {got}")
    return mask


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input where mask is False, else a number.

    Args:
        input: any shape.
        mask: bool, broadcastable with input.
        value: a number or 0-dimensional Tensor, which may have a gradient.

    Returns:
        A Tensor of the common shape and input's dtype.

    Raises:
        ShapeError: the shapes cannot be broadcast, or value has dimensions.
        DTypeError: mask is not bool.
    """
    mask = _check_mask("masked_fill", mask)
    broadcast_shape("masked_fill", input._array.shape, mask._array.shape)
    filler = as_source("masked_fill", value, input)
    if filler._array.ndim:
        raise ShapeError(f"masked_fill: value must be 0-dimensional, got shape {tuple(filler.shape)}")
    return MaskedFill.apply(input, mask, cast(filler, input._array.dtype))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask is True, in row-major order.

    Args:
        input: any shape.
        mask: bool, broadcastable with input.

    Returns:
        A one-dimensional Tensor.

    Raises:
        ShapeError: the shapes cannot be broadcast.
        DTypeError: mask is not bool.
    """
    mask = _check_mask("masked_select", mask)
    python_reads("masked_select")
    shape = broadcast_shape("masked_select", input._array.shape, mask._array.shape)
    places = np.flatnonzero(np.broadcast_to(mask._array, shape))
    return Take.apply(reshape(expand(input, shape), (-1,)), wrap(places[None]), dims=(0,))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at positions in the flattened input.

    Args:
        input: any shape.
        index: int64 or int32, any shape; negative counts from the end.

    Returns:
        A Tensor of index's shape.

    Raises:
        DimError: an index is out of range.
        DTypeError: index is not int64 or int32.
    """
    places = _positions("take", index)
    size = input._array.size
    if places.size and (places.min() < -size or places.max() >= size):
        raise DimError(f"take: index must be in [{-size}, {size}), got {places.min()} to {places.max()}")
    return Take.apply(reshape(input, (-1,)), wrap(places[None]), dims=(0,))


def index_put(input: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """A copy of input with ``out[indices] = values``, or ``+=`` with every repetition counted.

    Args:
        input: any shape.
        indices: a tuple of index tensors or masks (None for a whole dimension).
        values: a Tensor of input's dtype, or a number, that broadcasts to ``input[indices]``.
        accumulate: add instead of replacing.

    Returns:
        A Tensor of input's shape.

    Raises:
        DimError, ShapeError, DTypeError: as ``x[indices] = values``.
    """
    out = input.clone()
    if not accumulate:
        out[tuple(slice(None) if index is None else index for index in indices)] = values
        return out
    value = as_operand(values, "index_put", "values")
    places = np.arange(out._array.size).reshape(out._array.shape)
    reached = places[tuple(slice(None) if i is None else i.numpy() for i in indices)]
    value = expand(as_source("index_put", value, input), reached.shape)
    flat = index_add(reshape(input, (-1,)), 0, wrap(np.ascontiguousarray(reached).reshape(-1)), reshape(value, (-1,)))
    return reshape(flat, input._array.shape)
