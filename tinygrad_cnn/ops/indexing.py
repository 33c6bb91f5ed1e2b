"""``x[key]`` and ``x[key] = value`` with gradient, for every kind of key.

A key is taken in two steps, as PyTorch does it: ints, slices, None and Ellipsis make a view; then the index tensors and
masks, which are by now int64 positions in some of the view's dimensions, gather from it.  The positions are stacked
into one array (one row per indexed dimension) that is an input of the operation.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..autograd.grad_mode import recording
from ..autograd.inplace import check_writable, write
from ..errors import DimError, DTypeError, ShapeError
from ..kernels._memory import inverse
from ..tracing import python_reads
from .cast import cast
from .creation import tensor
from .inplace import as_source, assign
from .views import Slice, zeros_in_order_of

_FULL = slice(None)


# ---------------------------------------------------------------- operations


class Take(Op):
    """The elements of x, any shape, at positions: index (K, *B) int64 has a row for each of the K ``dims``.

    The result has the shape B in place of the indexed dimensions, or in front if they are not neighbours.
    """

    makes_fresh_gradients = True
    saves_inputs = {1: (0,)}  # noqa: RUF012
    dims: tuple[int, ...]

    def forward(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        if len(self.dims) == 1 and index.ndim == 2:
            return _along_memory(x, index[0], self.dims[0])
        return np.array(x[_key(x.ndim, self.dims, index)], order="C")

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor, None]:
        return TakeAdjoint.apply(grad, index, shape=self.input_shape(0), dims=self.dims), None


class TakeAdjoint(Op):
    """Zeros of a shape to which the first input is added at positions; see ``Take``."""

    makes_fresh_gradients = True
    saves_inputs = {1: (0,)}  # noqa: RUF012
    shape: tuple[int, ...]
    dims: tuple[int, ...]

    def forward(self, grad: np.ndarray, index: np.ndarray) -> np.ndarray:
        indexed = tuple(self.shape[dim] for dim in self.dims)
        rest = tuple(dim for dim in range(len(self.shape)) if dim not in self.dims)
        first = index_place(self.dims)
        places = index.shape[1:]
        # (..., *B, ...) -> (B, rest): each row is added to one row of the zeros
        rows = np.moveaxis(grad, range(first, first + len(places)), range(len(places)))
        rows = rows.reshape(math.prod(places), -1) if grad.size else np.zeros((0, 1), grad.dtype)
        flat = np.zeros(len(rows), np.int64)
        for size, row in zip(indexed, index):
            flat = flat * size + (row.reshape(-1) % size if grad.size else 0)
        total = _sum_rows(rows, flat, math.prod(indexed), math.prod(self.shape[dim] for dim in rest))
        total = total.reshape(indexed + tuple(self.shape[dim] for dim in rest))
        total = total.transpose(inverse(self.dims + rest))
        out = zeros_in_order_of(grad, self.shape)
        if total.strides == out.strides:
            return total
        np.copyto(out, total)
        return out

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor, None]:
        return Take.apply(grad, index, dims=self.dims), None


class Put(Op):
    """x, any shape, with the elements at positions replaced by a value that broadcasts to what ``Take`` gives there."""

    broadcasts = makes_fresh_gradients = True
    saves_inputs = {2: (0, 1)}  # noqa: RUF012
    dims: tuple[int, ...]

    def forward(self, x: np.ndarray, value: np.ndarray, index: np.ndarray) -> np.ndarray:
        out = x.copy(order="K")
        out[_key(x.ndim, self.dims, index)] = value
        return out

    def backward(self, grad: Tensor, index: Tensor) -> tuple[Tensor | None, ...]:
        zero = wrap(np.zeros((), grad._array.dtype))
        return (
            Put.apply(grad, zero, index, dims=self.dims) if self.needs(0) else None,
            Take.apply(grad, index, dims=self.dims) if self.needs(1) else None,
            None,
        )


def _along_memory(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    """Places of one dimension, in the memory order of x."""
    order = sorted(range(x.ndim), key=lambda d: -abs(x.strides[d]))
    taken = x.transpose(order).take(index, axis=order.index(dim))
    return taken.transpose(inverse(order))


def _sum_rows(rows: np.ndarray, places: np.ndarray, count: int, width: int) -> np.ndarray:
    """A (count, width) array of sums: row i of ``rows`` is added to row ``places[i]``, in order of i."""
    out = np.zeros((count, width), rows.dtype)
    if not rows.size:
        return out
    if width == 1:
        np.add.at(out[:, 0], places, rows[:, 0])  # quick on one dimension only
        return out
    order = np.argsort(places, kind="stable")
    found, starts = np.unique(places[order], return_index=True)
    out[found] = np.add.reduceat(rows[order], starts, axis=0)
    return out


def index_place(dims: tuple[int, ...]) -> int:
    """Where the dimensions of the index stand in what ``Take`` gives."""
    return dims[0] if dims == tuple(range(dims[0], dims[-1] + 1)) else 0


def _key(ndim: int, dims: tuple[int, ...], index: np.ndarray) -> tuple[Any, ...]:
    key: list[Any] = [_FULL] * ndim
    for row, dim in enumerate(dims):
        key[dim] = index[row]
    return tuple(key)


# ---------------------------------------------------------------- reading a key


class _Reader:
    """Splits a key into the part that makes a view and the positions in the dimensions of that view."""

    def __init__(self, shape: tuple[int, ...], key: Any) -> None:
        self.shape = shape
        self.basic: list[Any] = []
        self.dims: list[int] = []  # of the view
        self.positions: list[np.ndarray] = []
        self._source = 0  # the next dimension of the input
        self._view = 0  # the next dimension of the view
        items = [self._item(item) for item in (key if isinstance(key, tuple) else (key,))]
        used = sum(map(_dims_used, items))
        if used > len(shape):
            raise DimError(f"index: {used} indices for a tensor of {len(shape)} dimensions, shape {tuple(shape)}")
        left = len(shape) - used
        if sum(item is Ellipsis for item in items) > 1:
            raise DimError("index: an index can have only one Ellipsis ('...')")
        for item in items:
            if item is Ellipsis:
                self._full(left)
                left = 0
            else:
                self._add(item)
        self._full(left)

    @staticmethod
    def _item(item: Any) -> Any:
        """An int, slice, None, Ellipsis, or an int64 or bool array."""
        if item is None or item is Ellipsis or type(item) is int or isinstance(item, slice):
            return item
        if isinstance(item, bool | np.bool_):
            return np.array(item)
        if isinstance(item, int | np.integer):
            return int(item)
        if isinstance(item, Tensor | np.ndarray):
            array = item._array if isinstance(item, Tensor) else item
        elif isinstance(item, Sequence) and not isinstance(item, str):
            array = tensor(item)._array if len(item) else np.zeros(0, np.int64)
        else:
            try:
                return operator.index(item)
            except TypeError:
                raise DTypeError(
                    f"index: expected ints, slices, None, Ellipsis, index tensors or masks, got {type(item).__name__}"
                ) from None
        if array.dtype.kind not in "iub":
            raise DTypeError(f"index: index tensors must have dtype int64, int32, uint8 or bool, got {array.dtype}")
        if array.dtype.kind == "b" or array.dtype == np.uint8:  # PyTorch takes uint8 for a mask
            return array.astype(bool, copy=False)
        return array.item() if array.ndim == 0 else array.astype(np.int64, copy=False)

    def _full(self, count: int) -> None:
        self.basic.extend([_FULL] * count)
        self._source += count
        self._view += count

    def _add(self, item: Any) -> None:
        if item is None:
            self.basic.append(None)
            self._view += 1
        elif type(item) is int:
            _check_range(np.array(item), self.shape, self._source)
            self.basic.append(item)
            self._source += 1
        elif isinstance(item, slice):
            self.basic.append(_checked_slice(item))
            self._source += 1
            self._view += 1
        elif item.dtype == np.int64:
            _check_range(item, self.shape, self._source)
            self._position(item)
        else:
            self._mask(item)

    def _position(self, array: np.ndarray) -> None:
        self.basic.append(_FULL)
        self.dims.append(self._view)
        self.positions.append(array)
        self._source += 1
        self._view += 1

    def _mask(self, mask: np.ndarray) -> None:
        python_reads("a mask as an index")
        if mask.ndim == 0:  # a new dimension of size 1, kept or dropped
            self.basic.append(None)
            self.dims.append(self._view)
            self.positions.append(np.zeros(1 if mask else 0, np.int64))
            self._view += 1
            return
        covered = self.shape[self._source : self._source + mask.ndim]
        if covered != mask.shape:
            raise DimError(
                f"index: mask of shape {mask.shape} does not match shape {tuple(covered)} of the dimensions it covers, "
                f"from dim {self._source} of a tensor of shape {tuple(self.shape)}"
            )
        for array in mask.nonzero():
            self._position(array)

    def stacked(self) -> np.ndarray:
        """The positions, broadcast together, one row per dimension.

        Raises:
            ShapeError: their shapes cannot be broadcast together.
        """
        if len(self.positions) == 1:
            return self.positions[0][None]
        try:
            return np.stack(np.broadcast_arrays(*self.positions))
        except ValueError:
            shapes = ", ".join(str(array.shape) for array in self.positions)
            raise ShapeError(f"index: index tensors of shapes {shapes} cannot be broadcast together") from None

    def is_whole(self) -> bool:
        """Whether the basic part leaves the input as it is."""
        return all(item is _FULL for item in self.basic)


def _dims_used(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _check_range(index: np.ndarray, shape: tuple[int, ...], dim: int) -> None:
    size = shape[dim]
    if index.size and (index.min() < -size or index.max() >= size):
        wrong = index[(index < -size) | (index >= size)].flat[0]
        raise DimError(f"index: index {wrong} is out of range for dim {dim} of size {size}, shape {tuple(shape)}")


def _checked_slice(item: slice) -> slice:
    try:
        start, stop, step = (
            None if bound is None else operator.index(bound) for bound in (item.start, item.stop, item.step)
        )
    except TypeError:
        raise DTypeError(f"index: the bounds of a slice must be ints, got {item}") from None
    if step is not None and step < 1:
        raise ShapeError(f"index: the step of a slice must be positive, got {step}; use flip()")
    return slice(start, stop, step)


# ---------------------------------------------------------------- x[key]


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]``.

    Args:
        input: any shape and dtype.
        key: ints, slices with positive steps, None, Ellipsis (these make a view); index tensors, arrays or lists of
            ints, and bool masks (these copy).  Index tensors broadcast together; their dimensions stand where the
            indexed ones were if those are neighbours, else in front.

    Returns:
        A Tensor; a view if the key has no index tensor or mask.

    Raises:
        DimError: an index out of range, too many indices, a mask that does not match.
        ShapeError: index tensors that do not broadcast, a step below 1.
        DTypeError: something else as index.
    """
    if type(key) is int:
        shape = input._array.shape
        if shape and -shape[0] <= key < shape[0]:
            return Slice.apply(input, key=(key, Ellipsis))
    reader = _Reader(input._array.shape, key)
    if not reader.dims:
        return Slice.apply(input, key=(*reader.basic, Ellipsis))
    view = input if reader.is_whole() else Slice.apply(input, key=(*reader.basic, Ellipsis))
    return Take.apply(view, wrap(reader.stacked()), dims=tuple(reader.dims))


# ---------------------------------------------------------------- x[key] = value


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """``input[key] = value``, in place and with gradient.

    Args:
        input: any shape and dtype.
        key: as for ``getitem``.
        value: a number, Tensor or array that broadcasts to ``input[key]``; converted to the input's dtype.

    Raises:
        DimError, ShapeError, DTypeError: as ``getitem``; a value that does not broadcast.
        GraphError: an in-place write that cannot be right, see ``autograd.inplace.check_writable``.
    """
    reader = _Reader(input._array.shape, key)
    source = as_source("index assignment", value, input)
    target = Slice.apply(input, key=(*reader.basic, Ellipsis))
    if reader.dims:
        put(target, reader.stacked(), tuple(reader.dims), source, "index assignment")
    else:
        assign(target, _without_leading_ones(source, target._array.ndim), "index assignment")


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    """The value with leading dimensions of size 1 dropped until it has at most ``ndim``, as PyTorch's assignment."""
    extra = value._array.ndim - ndim
    if extra > 0 and value._array.shape[:extra] == (1,) * extra:
        return Slice.apply(value, key=(*[0] * extra, Ellipsis))
    return value


def put(target: Tensor, index: np.ndarray, dims: tuple[int, ...], value: Tensor, name: str) -> None:
    """Write a value to positions of a Tensor.

    Raises:
        ShapeError: the value does not broadcast to the positions' shape.
        GraphError: an in-place write that cannot be right.
    """
    check_writable(target, name)
    key = _key(target._array.ndim, dims, index)
    place = _taken_shape(target._array.shape, dims, index.shape[1:])
    value = _without_leading_ones(value, len(place))
    try:
        fits = np.broadcast_shapes(place, value._array.shape) == place
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: value of shape {tuple(value.shape)} does not broadcast to {place}")
    if recording.get() and (target.requires_grad or value.requires_grad):
        value = cast(value, target._array.dtype)
        write(target, Put.apply(target, value, wrap(index), dims=dims), name)
        return
    target._array[key] = value._array
    target._mark_written()


def _taken_shape(shape: tuple[int, ...], dims: tuple[int, ...], index: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that ``Take`` gives."""
    rest = [side for dim, side in enumerate(shape) if dim not in dims]
    first = index_place(dims)
    return (*rest[:first], *index, *rest[first:])
