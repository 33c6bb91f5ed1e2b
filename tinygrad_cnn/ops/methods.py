"""Tensor's methods: one typed one-line ``def`` each, pointing to the operation that does the work and documents it.

``Tensor`` names ``TensorMethods`` as its base for type checkers and editors; ``ops/__init__`` adds these methods to the
class in one loop.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import formatting
from ..autograd.dtype import bool_, float32, float64, int32, int64, uint8
from ..kernels._memory import add_to
from ..tracing import python_reads
from . import (
    activation,
    arithmetic,
    comparison,
    copies,
    creation,
    elementwise,
    gathering,
    indexing,
    inplace,
    interop,
    joining,
    linalg,
    ordering,
    power,
    random,
    rearrange,
    reduction,
    selection,
)
from . import shape as shape_ops
from .broadcast import sum_to
from .promotion import is_comparable

if TYPE_CHECKING:
    from ..autograd import Generator, Tensor


class ConversionMethods:
    """The methods whose names hide Python's types; apart, so that annotations elsewhere mean Python's."""

    def type(self: Any, dtype: Any = None) -> Any:
        """The type's name, or the Tensor in another dtype; see ``ops.copies.type``."""
        return copies.type(self, dtype)

    def float(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as float32."""
        return copies.convert(self, float32, memory_format)

    def double(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as float64."""
        return copies.convert(self, float64, memory_format)

    def int(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as int32."""
        return copies.convert(self, int32, memory_format)

    def long(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as int64."""
        return copies.convert(self, int64, memory_format)

    def byte(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as uint8."""
        return copies.convert(self, uint8, memory_format)

    def bool(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor as bool: True where it is not 0."""
        return copies.convert(self, bool_, memory_format)


class TensorMethods(ConversionMethods):
    """The methods and operators of a Tensor that are operations."""

    # ------------------------------------------------------- arithmetic (arithmetic.py, power.py, selection.py)

    def add(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """See ``add``."""
        return arithmetic.add(self, other, alpha=alpha)

    __add__ = arithmetic.operator(arithmetic.Add, arithmetic.add)

    def __radd__(self: Any, other: Any) -> Tensor:
        return arithmetic.add(other, self)

    def sub(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """See ``sub``."""
        return arithmetic.sub(self, other, alpha=alpha)

    subtract = sub

    __sub__ = arithmetic.operator(arithmetic.Sub, arithmetic.sub)

    def __rsub__(self: Any, other: Any) -> Tensor:
        return arithmetic.sub(other, self)

    def neg(self: Any) -> Tensor:
        """See ``neg``."""
        return arithmetic.neg(self)

    negative = neg
    __neg__ = neg

    def __pos__(self: Any) -> Tensor:
        return self

    def mul(self: Any, other: Any) -> Tensor:
        """See ``mul``."""
        return arithmetic.mul(self, other)

    multiply = mul

    __mul__ = arithmetic.operator(arithmetic.Mul, arithmetic.mul)

    def __rmul__(self: Any, other: Any) -> Tensor:
        return arithmetic.mul(other, self)

    def div(self: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """See ``div``."""
        return arithmetic.div(self, other, rounding_mode=rounding_mode)

    divide = div
    true_divide = div

    __truediv__ = arithmetic.operator(arithmetic.Div, arithmetic.div)

    def __rtruediv__(self: Any, other: Any) -> Tensor:
        return arithmetic.div(other, self)

    def floor_divide(self: Any, other: Any) -> Tensor:
        """See ``floor_divide``."""
        return arithmetic.floor_divide(self, other)

    def __floordiv__(self: Any, other: Any) -> Tensor:
        return arithmetic.floor_divide(self, other)

    def __rfloordiv__(self: Any, other: Any) -> Tensor:
        return arithmetic.floor_divide(other, self)

    def remainder(self: Any, other: Any) -> Tensor:
        """See ``remainder``."""
        return arithmetic.remainder(self, other)

    def __mod__(self: Any, other: Any) -> Tensor:
        return arithmetic.remainder(self, other)

    def __rmod__(self: Any, other: Any) -> Tensor:
        return arithmetic.remainder(other, self)

    def fmod(self: Any, other: Any) -> Tensor:
        """See ``fmod``."""
        return arithmetic.fmod(self, other)

    def pow(self: Any, exponent: Any) -> Tensor:
        """See ``pow``."""
        return power.pow(self, exponent)

    def __pow__(self: Any, exponent: Any) -> Tensor:
        return power.pow(self, exponent)

    def __rpow__(self: Any, base: Any) -> Tensor:
        return power.pow(base, self)

    def maximum(self: Any, other: Any) -> Tensor:
        """See ``maximum``."""
        return selection.maximum(self, other)

    def minimum(self: Any, other: Any) -> Tensor:
        """See ``minimum``."""
        return selection.minimum(self, other)

    def clamp(self: Any, min: Any = None, max: Any = None) -> Tensor:
        """See ``clamp``."""
        return selection.clamp(self, min, max)

    clip = clamp

    def clamp_min(self: Any, min: Any) -> Tensor:
        """See ``clamp``."""
        return selection.clamp(self, min=min)

    def clamp_max(self: Any, max: Any) -> Tensor:
        """See ``clamp``."""
        return selection.clamp(self, max=max)

    def where(self: Any, condition: Tensor, other: Any) -> Tensor:
        """See ``where``."""
        return selection.where(condition, self, other)

    # ---------------------------------------------------------------- elementwise (elementwise.py, activation.py)

    def exp(self: Any) -> Tensor:
        """See ``exp``."""
        return elementwise.exp(self)

    def expm1(self: Any) -> Tensor:
        """See ``expm1``."""
        return elementwise.expm1(self)

    def log(self: Any) -> Tensor:
        """See ``log``."""
        return elementwise.log(self)

    def log2(self: Any) -> Tensor:
        """See ``log2``."""
        return elementwise.log2(self)

    def log10(self: Any) -> Tensor:
        """See ``log10``."""
        return elementwise.log10(self)

    def log1p(self: Any) -> Tensor:
        """See ``log1p``."""
        return elementwise.log1p(self)

    def sqrt(self: Any) -> Tensor:
        """See ``sqrt``."""
        return elementwise.sqrt(self)

    def rsqrt(self: Any) -> Tensor:
        """See ``rsqrt``."""
        return elementwise.rsqrt(self)

    def reciprocal(self: Any) -> Tensor:
        """See ``reciprocal``."""
        return elementwise.reciprocal(self)

    def square(self: Any) -> Tensor:
        """See ``square``."""
        return elementwise.square(self)

    def sin(self: Any) -> Tensor:
        """See ``sin``."""
        return elementwise.sin(self)

    def cos(self: Any) -> Tensor:
        """See ``cos``."""
        return elementwise.cos(self)

    def tan(self: Any) -> Tensor:
        """See ``tan``."""
        return elementwise.tan(self)

    def tanh(self: Any) -> Tensor:
        """See ``tanh``."""
        return elementwise.tanh(self)

    def erf(self: Any) -> Tensor:
        """See ``erf``."""
        return elementwise.erf(self)

    def abs(self: Any) -> Tensor:
        """See ``abs``."""
        return elementwise.abs(self)

    absolute = abs
    __abs__ = abs

    def sign(self: Any) -> Tensor:
        """See ``sign``."""
        return elementwise.sign(self)

    def floor(self: Any) -> Tensor:
        """See ``floor``."""
        return elementwise.floor(self)

    def ceil(self: Any) -> Tensor:
        """See ``ceil``."""
        return elementwise.ceil(self)

    def trunc(self: Any) -> Tensor:
        """See ``trunc``."""
        return elementwise.trunc(self)

    fix = trunc

    def round(self: Any, *, decimals: int = 0) -> Tensor:
        """See ``round``."""
        return elementwise.round(self, decimals=decimals)

    def relu(self: Any) -> Tensor:
        """See ``relu``."""
        return activation.relu(self)

    def sigmoid(self: Any) -> Tensor:
        """See ``sigmoid``."""
        return activation.sigmoid(self)

    def softmax(self: Any, dim: int | None = None, dtype: Any = None) -> Tensor:
        """See ``softmax``."""
        return activation.softmax(self, dim, dtype)

    def log_softmax(self: Any, dim: int | None = None, dtype: Any = None) -> Tensor:
        """See ``log_softmax``."""
        return activation.log_softmax(self, dim, dtype)

    # ---------------------------------------------------------------- comparisons and predicates (comparison.py)

    def eq(self: Any, other: Any) -> Tensor:
        """See ``eq``."""
        return comparison.eq(self, other)

    def ne(self: Any, other: Any) -> Tensor:
        """See ``ne``."""
        return comparison.ne(self, other)

    def lt(self: Any, other: Any) -> Tensor:
        """See ``lt``."""
        return comparison.lt(self, other)

    def le(self: Any, other: Any) -> Tensor:
        """See ``le``."""
        return comparison.le(self, other)

    def gt(self: Any, other: Any) -> Tensor:
        """See ``gt``."""
        return comparison.gt(self, other)

    def ge(self: Any, other: Any) -> Tensor:
        """See ``ge``."""
        return comparison.ge(self, other)

    def __eq__(self: Any, other: Any) -> Any:
        return comparison.eq(self, other) if is_comparable(other) else False

    def __ne__(self: Any, other: Any) -> Any:
        return comparison.ne(self, other) if is_comparable(other) else True

    def __lt__(self: Any, other: Any) -> Tensor:
        return comparison.lt(self, other)

    def __le__(self: Any, other: Any) -> Tensor:
        return comparison.le(self, other)

    def __gt__(self: Any, other: Any) -> Tensor:
        return comparison.gt(self, other)

    def __ge__(self: Any, other: Any) -> Tensor:
        return comparison.ge(self, other)

    def logical_and(self: Any, other: Any) -> Tensor:
        """See ``logical_and``."""
        return comparison.logical_and(self, other)

    def logical_or(self: Any, other: Any) -> Tensor:
        """See ``logical_or``."""
        return comparison.logical_or(self, other)

    def logical_xor(self: Any, other: Any) -> Tensor:
        """See ``logical_xor``."""
        return comparison.logical_xor(self, other)

    def logical_not(self: Any) -> Tensor:
        """See ``logical_not``."""
        return comparison.logical_not(self)

    def bitwise_and(self: Any, other: Any) -> Tensor:
        """See ``bitwise_and``."""
        return comparison.bitwise_and(self, other)

    def __and__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_and(self, other)

    def __rand__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_and(other, self)

    def bitwise_or(self: Any, other: Any) -> Tensor:
        """See ``bitwise_or``."""
        return comparison.bitwise_or(self, other)

    def __or__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_or(self, other)

    def __ror__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_or(other, self)

    def bitwise_xor(self: Any, other: Any) -> Tensor:
        """See ``bitwise_xor``."""
        return comparison.bitwise_xor(self, other)

    def __xor__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_xor(self, other)

    def __rxor__(self: Any, other: Any) -> Tensor:
        return comparison.bitwise_xor(other, self)

    def bitwise_not(self: Any) -> Tensor:
        """See ``bitwise_not``."""
        return comparison.bitwise_not(self)

    __invert__ = bitwise_not

    def isnan(self: Any) -> Tensor:
        """See ``isnan``."""
        return comparison.isnan(self)

    def isinf(self: Any) -> Tensor:
        """See ``isinf``."""
        return comparison.isinf(self)

    def isfinite(self: Any) -> Tensor:
        """See ``isfinite``."""
        return comparison.isfinite(self)

    def isclose(self: Any, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: Any = False) -> Tensor:
        """See ``isclose``."""
        return comparison.isclose(self, other, rtol, atol, equal_nan)

    def allclose(self: Any, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: Any = False) -> Any:
        """See ``allclose``."""
        return comparison.allclose(self, other, rtol, atol, equal_nan)

    def equal(self: Any, other: Tensor) -> Any:
        """See ``equal``."""
        return comparison.equal(self, other)

    def nonzero(self: Any, *, as_tuple: Any = False) -> Any:
        """See ``nonzero``."""
        return comparison.nonzero(self, as_tuple=as_tuple)

    def all(self: Any, dim: Any = None, keepdim: Any = False) -> Tensor:
        """See ``all``."""
        return comparison.all(self, dim, keepdim)

    def any(self: Any, dim: Any = None, keepdim: Any = False) -> Tensor:
        """See ``any``."""
        return comparison.any(self, dim, keepdim)

    # ---------------------------------------------------------------- reductions (reduction.py, ordering.py)

    def sum(self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """See ``sum``."""
        return reduction.sum(self, dim, keepdim, dtype=dtype)

    def mean(self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """See ``mean``."""
        return reduction.mean(self, dim, keepdim, dtype=dtype)

    def prod(self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """See ``prod``."""
        return reduction.prod(self, dim, keepdim, dtype=dtype)

    def var(
        self: Any, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None
    ) -> Tensor:
        """See ``var``."""
        return reduction.var(self, dim, unbiased, keepdim, correction=correction)

    def std(
        self: Any, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None
    ) -> Tensor:
        """See ``std``."""
        return reduction.std(self, dim, unbiased, keepdim, correction=correction)

    def amax(self: Any, dim: Any = (), keepdim: Any = False) -> Tensor:
        """See ``amax``."""
        return reduction.amax(self, dim, keepdim)

    def amin(self: Any, dim: Any = (), keepdim: Any = False) -> Tensor:
        """See ``amin``."""
        return reduction.amin(self, dim, keepdim)

    def logsumexp(self: Any, dim: Any, keepdim: Any = False) -> Tensor:
        """See ``logsumexp``."""
        return reduction.logsumexp(self, dim, keepdim)

    def norm(self: Any, p: Any = "fro", dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Tensor:
        """See ``norm``."""
        return reduction.norm(self, p, dim, keepdim, dtype)

    def cumsum(self: Any, dim: Any, *, dtype: Any = None) -> Tensor:
        """See ``cumsum``."""
        return reduction.cumsum(self, dim, dtype=dtype)

    def cumprod(self: Any, dim: Any, *, dtype: Any = None) -> Tensor:
        """See ``cumprod``."""
        return reduction.cumprod(self, dim, dtype=dtype)

    def count_nonzero(self: Any, dim: Any = None) -> Tensor:
        """See ``count_nonzero``."""
        return reduction.count_nonzero(self, dim)

    def max(self: Any, dim: Any = None, keepdim: Any = False) -> Any:
        """See ``max``."""
        return ordering.max(self, dim, keepdim)

    def min(self: Any, dim: Any = None, keepdim: Any = False) -> Any:
        """See ``min``."""
        return ordering.min(self, dim, keepdim)

    def argmax(self: Any, dim: Any = None, keepdim: Any = False) -> Tensor:
        """See ``argmax``."""
        return ordering.argmax(self, dim, keepdim)

    def argmin(self: Any, dim: Any = None, keepdim: Any = False) -> Tensor:
        """See ``argmin``."""
        return ordering.argmin(self, dim, keepdim)

    def sort(self: Any, dim: Any = -1, descending: Any = False, stable: Any = False) -> ordering.Extrema:
        """See ``sort``."""
        return ordering.sort(self, dim, descending, stable)

    def argsort(self: Any, dim: Any = -1, descending: Any = False, stable: Any = False) -> Tensor:
        """See ``argsort``."""
        return ordering.argsort(self, dim, descending, stable)

    def topk(self: Any, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> ordering.Extrema:
        """See ``topk``."""
        return ordering.topk(self, k, dim, largest, sorted)

    def median(self: Any, dim: Any = None, keepdim: Any = False) -> Any:
        """See ``median``."""
        return ordering.median(self, dim, keepdim)

    # ---------------------------------------------------------------- matrix products (linalg.py)

    def matmul(self: Any, other: Tensor) -> Tensor:
        """See ``matmul``."""
        return linalg.matmul(self, other)

    def __matmul__(self: Any, other: Any) -> Tensor:
        return linalg.matmul(self, other)

    def __rmatmul__(self: Any, other: Any) -> Tensor:
        return linalg.matmul(other, self)

    def mm(self: Any, mat2: Tensor) -> Tensor:
        """See ``mm``."""
        return linalg.mm(self, mat2)

    def bmm(self: Any, mat2: Tensor) -> Tensor:
        """See ``bmm``."""
        return linalg.bmm(self, mat2)

    def mv(self: Any, vec: Tensor) -> Tensor:
        """See ``mv``."""
        return linalg.mv(self, vec)

    def dot(self: Any, tensor: Tensor) -> Tensor:
        """See ``dot``."""
        return linalg.dot(self, tensor)

    def outer(self: Any, vec2: Tensor) -> Tensor:
        """See ``outer``."""
        return linalg.outer(self, vec2)

    def addmm(self: Any, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See ``addmm``."""
        return linalg.addmm(self, mat1, mat2, beta=beta, alpha=alpha)

    def baddbmm(self: Any, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See ``baddbmm``."""
        return linalg.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)

    def addmv(self: Any, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See ``addmv``."""
        return linalg.addmv(self, mat, vec, beta=beta, alpha=alpha)

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

    def add_(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """``add`` in place."""
        return inplace.binary(
            self, other if alpha == 1 else arithmetic.mul(other, alpha), "add_", arithmetic.add, np.add
        )

    def sub_(self: Any, other: Any, *, alpha: float = 1) -> Tensor:
        """``sub`` in place."""
        arithmetic.refuse_bool("sub_", other)
        return inplace.binary(
            self, other if alpha == 1 else arithmetic.mul(other, alpha), "sub_", arithmetic.sub, np.subtract
        )

    def mul_(self: Any, other: Any) -> Tensor:
        """``mul`` in place."""
        return inplace.binary(self, other, "mul_", arithmetic.mul, np.multiply, keeps=True)

    def div_(self: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """``div`` in place."""
        if rounding_mode is not None:
            return inplace.replace(self, "div_", arithmetic.div, other, rounding_mode=rounding_mode)
        return inplace.binary(self, other, "div_", arithmetic.div, np.divide, keeps=True, floating=True)

    def remainder_(self: Any, other: Any) -> Tensor:
        """``remainder`` in place."""
        return inplace.replace(self, "remainder_", arithmetic.remainder, other)

    def pow_(self: Any, exponent: Any) -> Tensor:
        """``pow`` in place."""
        return inplace.replace(self, "pow_", operator.pow, exponent)

    def __iadd__(self: Any, other: Any) -> Tensor:
        return self.add_(other)

    def __isub__(self: Any, other: Any) -> Tensor:
        return self.sub_(other)

    def __imul__(self: Any, other: Any) -> Tensor:
        return self.mul_(other)

    def __itruediv__(self: Any, other: Any) -> Tensor:
        return self.div_(other)

    def __ifloordiv__(self: Any, other: Any) -> Tensor:
        return self.div_(other, rounding_mode="floor")

    def __imod__(self: Any, other: Any) -> Tensor:
        return self.remainder_(other)

    def __ipow__(self: Any, exponent: Any) -> Tensor:
        return self.pow_(exponent)

    def neg_(self: Any) -> Tensor:
        """``neg`` in place."""
        return inplace.unary(self, "neg_", arithmetic.neg, np.negative)

    def exp_(self: Any) -> Tensor:
        """``exp`` in place."""
        return inplace.unary(self, "exp_", elementwise.exp, np.exp)

    def expm1_(self: Any) -> Tensor:
        """``expm1`` in place."""
        return inplace.unary(self, "expm1_", elementwise.expm1, np.expm1)

    def log_(self: Any) -> Tensor:
        """``log`` in place."""
        return inplace.unary(self, "log_", elementwise.log, np.log, keeps=True)

    def log1p_(self: Any) -> Tensor:
        """``log1p`` in place."""
        return inplace.unary(self, "log1p_", elementwise.log1p, np.log1p, keeps=True)

    def sqrt_(self: Any) -> Tensor:
        """``sqrt`` in place."""
        return inplace.unary(self, "sqrt_", elementwise.sqrt, np.sqrt)

    def square_(self: Any) -> Tensor:
        """``square`` in place."""
        return inplace.unary(self, "square_", elementwise.square, np.square, keeps=True)

    def sin_(self: Any) -> Tensor:
        """``sin`` in place."""
        return inplace.unary(self, "sin_", elementwise.sin, np.sin, keeps=True)

    def cos_(self: Any) -> Tensor:
        """``cos`` in place."""
        return inplace.unary(self, "cos_", elementwise.cos, np.cos, keeps=True)

    def tanh_(self: Any) -> Tensor:
        """``tanh`` in place."""
        return inplace.unary(self, "tanh_", elementwise.tanh, np.tanh)

    def floor_(self: Any) -> Tensor:
        """``floor`` in place."""
        return inplace.unary(self, "floor_", elementwise.floor, np.floor)

    def ceil_(self: Any) -> Tensor:
        """``ceil`` in place."""
        return inplace.unary(self, "ceil_", elementwise.ceil, np.ceil)

    def trunc_(self: Any) -> Tensor:
        """``trunc`` in place."""
        return inplace.unary(self, "trunc_", elementwise.trunc, np.trunc)

    def abs_(self: Any) -> Tensor:
        """``abs`` in place."""
        return inplace.replace(self, "abs_", elementwise.abs)

    def sign_(self: Any) -> Tensor:
        """``sign`` in place."""
        return inplace.replace(self, "sign_", elementwise.sign)

    def rsqrt_(self: Any) -> Tensor:
        """``rsqrt`` in place."""
        return inplace.replace(self, "rsqrt_", elementwise.rsqrt)

    def reciprocal_(self: Any) -> Tensor:
        """``reciprocal`` in place."""
        return inplace.replace(self, "reciprocal_", elementwise.reciprocal)

    def round_(self: Any, *, decimals: int = 0) -> Tensor:
        """``round`` in place."""
        return inplace.replace(self, "round_", elementwise.round, decimals=decimals)

    def sigmoid_(self: Any) -> Tensor:
        """``sigmoid`` in place."""
        return inplace.replace(self, "sigmoid_", activation.sigmoid)

    def relu_(self: Any) -> Tensor:
        """``relu`` in place."""
        return inplace.replace(self, "relu_", activation.relu)

    def clamp_(self: Any, min: Any = None, max: Any = None) -> Tensor:
        """``clamp`` in place."""
        return inplace.replace(self, "clamp_", selection.clamp, min, max)

    def clip_(self: Any, min: Any = None, max: Any = None) -> Tensor:
        """``clamp`` in place."""
        return self.clamp_(min, max)

    def clamp_min_(self: Any, min: Any) -> Tensor:
        """``clamp`` from below in place."""
        return self.clamp_(min)

    def clamp_max_(self: Any, max: Any) -> Tensor:
        """``clamp`` from above in place."""
        return self.clamp_(None, max)

    def uniform_(self: Any, *args: float, generator: Generator | None = None, **bounds: float) -> Tensor:
        """``uniform_(from=0, to=1)``; see ``ops.inplace.uniform_``."""
        return inplace.uniform_(self, *_from_to(args, bounds, 0.0, 1.0), generator=generator)

    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """See ``ops.inplace.normal_``."""
        return inplace.normal_(self, mean, std, generator=generator)

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """See ``ops.inplace.bernoulli_``."""
        return inplace.bernoulli_(self, p, generator=generator)

    def bernoulli(self: Any, *, generator: Generator | None = None) -> Tensor:
        """See ``bernoulli``."""
        return random.bernoulli(self, generator=generator)

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

    def cpu(self: Any, memory_format: copies.memory_format = copies.preserve_format) -> Tensor:
        """The Tensor itself, unless its memory is in another order: there is no other device."""
        return copies.convert(self, self.dtype, memory_format)

    def item(self: Any) -> Any:
        """The only element as a Python number; see ``ops.copies.item``."""
        return copies.item(self)

    def tolist(self: Any) -> Any:
        """The elements as nested lists of Python numbers."""
        python_reads("tolist")
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

    # ---------------------------------------------------------------- protocols (interop.py, autograd/formatting.py)

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

    def _accumulate(self: Any, other: Any) -> None:
        """Add another Tensor's numbers to this one's memory, unseen by the graph: how backward adds gradients up."""
        add_to(self._array, other._array)

    def _summed_to(self: Any, shape: tuple[int, ...]) -> Tensor:
        """The sum over the dimensions along which ``shape`` was broadcast to this Tensor's: what backward makes of a
        gradient for a smaller operand."""
        return sum_to(self, shape)

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
