"""Tensor's methods: one typed one-line ``def`` each, pointing to the operation that does the work and documents it.

``Tensor`` names ``TensorMethods`` as its base for type checkers and editors; ``ops/__init__`` adds these methods to the
class in one loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.dtype import bool_, float32, float64, int32, int64, uint8
from . import arithmetic, copies, creation, formatting, gathering, indexing, inplace, interop, joining, rearrange
from . import shape as shape_ops

if TYPE_CHECKING:
    from ..autograd import Generator, Tensor


class ConversionMethods:
    """The methods whose names hide Python's types; apart, so that annotations elsewhere mean Python's."""

    def type(self: Any, dtype: Any = None) -> Any:
        """The type's name, or the Tensor in another dtype; see ``ops.copies.type``."""
        return copies.type(self, dtype)

    def float(self: Any) -> Tensor:
        """The Tensor as float32."""
        return copies.convert(self, float32)

    def double(self: Any) -> Tensor:
        """The Tensor as float64."""
        return copies.convert(self, float64)

    def int(self: Any) -> Tensor:
        """The Tensor as int32."""
        return copies.convert(self, int32)

    def long(self: Any) -> Tensor:
        """The Tensor as int64."""
        return copies.convert(self, int64)

    def byte(self: Any) -> Tensor:
        """The Tensor as uint8."""
        return copies.convert(self, uint8)

    def bool(self: Any) -> Tensor:
        """The Tensor as bool: True where it is not 0."""
        return copies.convert(self, bool_)


class TensorMethods(ConversionMethods):
    """The methods and operators of a Tensor that are operations."""

    # ---------------------------------------------------------------- arithmetic (arithmetic.py)

    def add(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """See ``add``."""
        return arithmetic.add(self, other, alpha=alpha)

    def __add__(self: Any, other: Any) -> Tensor:
        return arithmetic.add(self, other)

    def __radd__(self: Any, other: Any) -> Tensor:
        return arithmetic.add(other, self)

    def mul(self: Any, other: Any) -> Tensor:
        """See ``mul``."""
        return arithmetic.mul(self, other)

    def __mul__(self: Any, other: Any) -> Tensor:
        return arithmetic.mul(self, other)

    def __rmul__(self: Any, other: Any) -> Tensor:
        return arithmetic.mul(other, self)

    # ---------------------------------------------------------------- elementwise (elementwise.py, activation.py)

    # ---------------------------------------------------------------- comparisons and predicates (comparison.py)

    # ---------------------------------------------------------------- reductions (reduction.py)

    # ---------------------------------------------------------------- matrix products (linalg.py)

    # ---------------------------------------------------------------- shape (shape.py)

    def reshape(self: Any, *shape: Any) -> Tensor:
        """See ``reshape``."""
        return shape_ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def view(self: Any, *shape: Any) -> Tensor:
        """See ``ops.shape.view``."""
        return shape_ops.view(self, *shape)

    def view_as(self: Any, other: Tensor) -> Tensor:
        """See ``ops.shape.view_as``."""
        return shape_ops.view_as(self, other)

    def reshape_as(self: Any, other: Tensor) -> Tensor:
        """See ``ops.shape.reshape_as``."""
        return shape_ops.reshape_as(self, other)

    def flatten(self: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """See ``flatten``."""
        return shape_ops.flatten(self, start_dim, end_dim)

    def ravel(self: Any) -> Tensor:
        """See ``ravel``."""
        return shape_ops.ravel(self)

    def unflatten(self: Any, dim: int, sizes: Any) -> Tensor:
        """See ``unflatten``."""
        return shape_ops.unflatten(self, dim, sizes)

    def squeeze(self: Any, dim: Any = None) -> Tensor:
        """See ``squeeze``."""
        return shape_ops.squeeze(self, dim)

    def unsqueeze(self: Any, dim: int) -> Tensor:
        """See ``unsqueeze``."""
        return shape_ops.unsqueeze(self, dim)

    def permute(self: Any, *dims: Any) -> Tensor:
        """See ``permute``."""
        return shape_ops.permute(self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)

    def transpose(self: Any, dim0: int, dim1: int) -> Tensor:
        """See ``transpose``."""
        return shape_ops.transpose(self, dim0, dim1)

    def swapaxes(self: Any, axis0: int, axis1: int) -> Tensor:
        """See ``transpose``."""
        return shape_ops.transpose(self, axis0, axis1)

    def swapdims(self: Any, dim0: int, dim1: int) -> Tensor:
        """See ``transpose``."""
        return shape_ops.transpose(self, dim0, dim1)

    def t(self: Any) -> Tensor:
        """See ``t``."""
        return shape_ops.t(self)

    @property
    def T(self: Any) -> Tensor:
        """The dimensions in reverse order."""
        return shape_ops.reversed_dims(self)

    @property
    def mT(self: Any) -> Tensor:
        """The last two dimensions exchanged."""
        return shape_ops.matrix_transpose(self)

    def movedim(self: Any, source: Any, destination: Any) -> Tensor:
        """See ``movedim``."""
        return shape_ops.movedim(self, source, destination)

    def moveaxis(self: Any, source: Any, destination: Any) -> Tensor:
        """See ``movedim``."""
        return shape_ops.movedim(self, source, destination)

    def expand(self: Any, *sizes: Any) -> Tensor:
        """See ``ops.shape.expand``."""
        return shape_ops.expand(self, *sizes)

    def expand_as(self: Any, other: Tensor) -> Tensor:
        """``self.expand(other.shape)``."""
        return shape_ops.expand(self, other.shape)

    def broadcast_to(self: Any, size: Any) -> Tensor:
        """See ``broadcast_to``."""
        return shape_ops.broadcast_to(self, size)

    def repeat(self: Any, *repeats: Any) -> Tensor:
        """See ``ops.rearrange.repeat``."""
        return rearrange.repeat(self, *repeats)

    def tile(self: Any, *dims: Any) -> Tensor:
        """See ``tile``."""
        return rearrange.tile(self, dims[0] if len(dims) == 1 else dims)

    def repeat_interleave(self: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        """See ``repeat_interleave``."""
        return rearrange.repeat_interleave(self, repeats, dim, output_size=output_size)

    def flip(self: Any, *dims: Any) -> Tensor:
        """See ``flip``."""
        return rearrange.flip(self, dims[0] if len(dims) == 1 else dims)

    def fliplr(self: Any) -> Tensor:
        """See ``fliplr``."""
        return rearrange.fliplr(self)

    def flipud(self: Any) -> Tensor:
        """See ``flipud``."""
        return rearrange.flipud(self)

    def roll(self: Any, shifts: Any, dims: Any = None) -> Tensor:
        """See ``roll``."""
        return rearrange.roll(self, shifts, dims)

    def tril(self: Any, diagonal: int = 0) -> Tensor:
        """See ``tril``."""
        return rearrange.tril(self, diagonal)

    def triu(self: Any, diagonal: int = 0) -> Tensor:
        """See ``triu``."""
        return rearrange.triu(self, diagonal)

    def diagonal(self: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """See ``diagonal``."""
        return rearrange.diagonal(self, offset, dim1, dim2)

    def unfold(self: Any, dimension: int, size: int, step: int) -> Tensor:
        """See ``ops.rearrange.unfold``."""
        return rearrange.unfold(self, dimension, size, step)

    def narrow(self: Any, dim: int, start: int, length: int) -> Tensor:
        """See ``narrow``."""
        return joining.narrow(self, dim, start, length)

    def select(self: Any, dim: int, index: int) -> Tensor:
        """See ``select``."""
        return joining.select(self, dim, index)

    def split(self: Any, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """See ``split``."""
        return joining.split(self, split_size, dim)

    def chunk(self: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """See ``chunk``."""
        return joining.chunk(self, chunks, dim)

    def unbind(self: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """See ``unbind``."""
        return joining.unbind(self, dim)

    # ---------------------------------------------------------------- indexing (indexing.py)

    def __getitem__(self: Any, key: Any) -> Tensor:
        return indexing.getitem(self, key)

    def __setitem__(self: Any, key: Any, value: Any) -> None:
        indexing.setitem(self, key, value)

    def gather(self: Any, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
        """See ``gather``."""
        return gathering.gather(self, dim, index, sparse_grad=sparse_grad)

    def take_along_dim(self: Any, indices: Tensor, dim: int | None = None) -> Tensor:
        """See ``take_along_dim``."""
        return gathering.take_along_dim(self, indices, dim)

    def scatter(
        self: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
    ) -> Tensor:
        """See ``scatter``."""
        return gathering.scatter(self, dim, index, src, value=value, reduce=reduce)

    def scatter_add(self: Any, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """See ``scatter_add``."""
        return gathering.scatter_add(self, dim, index, src)

    def index_select(self: Any, dim: int, index: Tensor) -> Tensor:
        """See ``index_select``."""
        return gathering.index_select(self, dim, index)

    def index_add(self: Any, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """See ``index_add``."""
        return gathering.index_add(self, dim, index, source, alpha=alpha)

    def index_copy(self: Any, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """See ``index_copy``."""
        return gathering.index_copy(self, dim, index, source)

    def index_fill(self: Any, dim: int, index: Tensor, value: Any) -> Tensor:
        """See ``index_fill``."""
        return gathering.index_fill(self, dim, index, value)

    def index_put(self: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
        """See ``index_put``."""
        return gathering.index_put(self, indices, values, accumulate)

    def masked_fill(self: Any, mask: Tensor, value: Any) -> Tensor:
        """See ``masked_fill``."""
        return gathering.masked_fill(self, mask, value)

    def masked_select(self: Any, mask: Tensor) -> Tensor:
        """See ``masked_select``."""
        return gathering.masked_select(self, mask)

    def take(self: Any, index: Tensor) -> Tensor:
        """See ``take``."""
        return gathering.take(self, index)

    # ---------------------------------------------------------------- in place (inplace.py)

    def copy_(self: Any, src: Tensor, non_blocking: bool = False) -> Tensor:
        """See ``ops.inplace.copy_``."""
        return inplace.copy_(self, src, non_blocking)

    def fill_(self: Any, value: Any) -> Tensor:
        """See ``ops.inplace.fill_``."""
        return inplace.fill_(self, value)

    def zero_(self: Any) -> Tensor:
        """Set every element to 0."""
        return inplace.zero_(self)

    def uniform_(self: Any, *args: float, generator: Generator | None = None, **bounds: float) -> Tensor:
        """``uniform_(from=0, to=1)``; see ``ops.inplace.uniform_``."""
        return inplace.uniform_(self, *_from_to(args, bounds, 0.0, 1.0), generator=generator)

    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """See ``ops.inplace.normal_``."""
        return inplace.normal_(self, mean, std, generator=generator)

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """See ``ops.inplace.bernoulli_``."""
        return inplace.bernoulli_(self, p, generator=generator)

    def random_(self: Any, *args: int, generator: Generator | None = None, **bounds: int) -> Tensor:
        """``random_(from, to)`` or ``random_(to)``; see ``ops.inplace.random_``."""
        return inplace.random_(self, *_from_to(args, bounds, 0, None), generator=generator)

    def masked_fill_(self: Any, mask: Tensor, value: Any) -> Tensor:
        """``masked_fill`` in place."""
        return inplace.replace(self, "masked_fill_", gathering.masked_fill, mask, value)

    def scatter_(
        self: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
    ) -> Tensor:
        """``scatter`` in place."""
        return inplace.replace(self, "scatter_", gathering.scatter, dim, index, src, value=value, reduce=reduce)

    def scatter_add_(self: Any, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """``scatter_add`` in place."""
        return inplace.replace(self, "scatter_add_", gathering.scatter_add, dim, index, src)

    def index_add_(self: Any, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """``index_add`` in place."""
        return inplace.replace(self, "index_add_", gathering.index_add, dim, index, source, alpha=alpha)

    def index_copy_(self: Any, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """``index_copy`` in place."""
        return inplace.replace(self, "index_copy_", gathering.index_copy, dim, index, source)

    def index_fill_(self: Any, dim: int, index: Tensor, value: Any) -> Tensor:
        """``index_fill`` in place."""
        return inplace.replace(self, "index_fill_", gathering.index_fill, dim, index, value)

    def index_put_(self: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
        """``index_put`` in place."""
        return inplace.replace(self, "index_put_", gathering.index_put, indices, values, accumulate)

    def tril_(self: Any, diagonal: int = 0) -> Tensor:
        """``tril`` in place."""
        return inplace.replace(self, "tril_", rearrange.tril, diagonal)

    def triu_(self: Any, diagonal: int = 0) -> Tensor:
        """``triu`` in place."""
        return inplace.replace(self, "triu_", rearrange.triu, diagonal)

    # ---------------------------------------------------------------- dtype, copies, properties (copies.py)

    def clone(self: Any, *, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """See ``clone``."""
        return copies.clone(self, memory_format=memory_format)

    def contiguous(self: Any, memory_format: copies.memory_format = copies.contiguous_format) -> Tensor:
        """See ``ops.copies.contiguous``."""
        return copies.contiguous(self, memory_format)

    def is_contiguous(self: Any, memory_format: copies.memory_format = copies.contiguous_format) -> bool:
        """Whether memory is in this order."""
        return copies.is_contiguous(self, memory_format)

    def to(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        """``to(dtype)``, ``to(other)``, ``to("cpu", dtype)``; see ``ops.copies.to``."""
        return copies.to(self, *args, **kwargs)

    def type_as(self: Any, other: Tensor) -> Tensor:
        """The Tensor in ``other``'s dtype."""
        return copies.type_as(self, other)

    def cpu(self: Any) -> Tensor:
        """The Tensor itself: there is no other device."""
        return self

    def item(self: Any) -> Any:
        """The only element as a Python number; see ``ops.copies.item``."""
        return copies.item(self)

    def tolist(self: Any) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._array.tolist()

    def numpy(self: Any, *, force: bool = False) -> np.ndarray:
        """The NumPy array on the same memory; see ``ops.copies.numpy``."""
        return copies.numpy(self, force=force)

    def size(self: Any, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return copies.size(self, dim)

    def stride(self: Any, dim: int | None = None) -> Any:
        """Elements between neighbours in memory, per dimension; see ``ops.copies.stride``."""
        return copies.stride(self, dim)

    def dim(self: Any) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def ndimension(self: Any) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def numel(self: Any) -> int:
        """The number of elements."""
        return self._array.size

    def nelement(self: Any) -> int:
        """The number of elements."""
        return self._array.size

    def element_size(self: Any) -> int:
        """The size of an element in bytes."""
        return self._array.itemsize

    @property
    def itemsize(self: Any) -> int:
        """The size of an element in bytes."""
        return self._array.itemsize

    @property
    def nbytes(self: Any) -> int:
        """The size of all elements in bytes."""
        return self._array.nbytes

    def data_ptr(self: Any) -> int:
        """The address of the first element."""
        return copies.data_ptr(self)

    def is_floating_point(self: Any) -> bool:
        """Whether the dtype is float32 or float64."""
        return self._array.dtype.kind == "f"

    def is_complex(self: Any) -> bool:
        """False: there is no complex dtype."""
        return False

    def __copy__(self: Any) -> Tensor:
        return copies.shallow_copy(self)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Tensor:
        return copies.deepcopy(self, memo)

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        return copies.refuse_pickle(self)

    def new_tensor(
        self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """``tensor(data)`` with this Tensor's dtype."""
        return creation.tensor(
            data, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad
        )

    def new_zeros(self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """``zeros(size)`` with this Tensor's dtype."""
        return creation.zeros(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_ones(self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """``ones(size)`` with this Tensor's dtype."""
        return creation.ones(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_empty(self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """``empty(size)`` with this Tensor's dtype."""
        return creation.empty(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_full(
        self: Any,
        size: Any,
        fill_value: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """``full(size, fill_value)`` with this Tensor's dtype."""
        return creation.full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    # ---------------------------------------------------------------- protocols (interop.py, formatting.py)

    def __repr__(self: Any) -> str:
        return formatting.to_string(self)

    def __format__(self: Any, spec: str) -> str:
        return interop.format_tensor(self, spec)

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return interop.to_array(self, dtype, copy)

    def __array_wrap__(self: Any, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return interop.from_ufunc(array, return_scalar)

    def __dlpack__(self: Any, **options: Any) -> Any:
        return interop.to_dlpack(self, **options)

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __len__(self: Any) -> int:
        return interop.length(self)

    def __iter__(self: Any) -> Iterator[Tensor]:
        return interop.iterate(self)

    def __bool__(self: Any) -> bool:
        return interop.truth(self)

    def __int__(self: Any) -> int:
        return int(copies.item(self))

    def __float__(self: Any) -> float:
        return float(copies.item(self))

    def __index__(self: Any) -> int:
        return interop.index(self)

    def __contains__(self: Any, element: Any) -> bool:
        return interop.contains(self, element)


def _from_to(args: tuple[Any, ...], bounds: dict[str, Any], low: Any, high: Any) -> tuple[Any, Any]:
    """The arguments ``from`` and ``to`` (``from`` is a word of Python's, so it can only be read this way)."""
    given = dict(zip(("from", "to"), args))
    if len(args) > 2 or given.keys() & bounds.keys() or bounds.keys() - {"from", "to"}:
        raise TypeError(f"expected from and to, got {args} and {bounds}")
    given.update(bounds)
    return given.get("from", low), given.get("to", high)
