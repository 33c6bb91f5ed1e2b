"""NumPy and Python on both sides: conversion protocols, DLPack, dtype questions."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..autograd import dtype as DType
from ..autograd.dtype import FROM_NUMPY, as_numpy_dtype
from ..autograd.dtype import can_cast as _can_cast
from ..errors import DTypeError, GraphError, ShapeError
from ..tracing import python_reads
from .copies import item, numpy
from .creation import from_numpy
from .joining import unbind
from .promotion import promote_types as _promote_types
from .promotion import result_dtype

# ---------------------------------------------------------------- NumPy


def to_array(input: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """What ``np.asarray(tensor)`` gives: the Tensor's memory, or a copy if the dtype differs or one is asked for.

    Raises:
        GraphError: the Tensor requires grad.
        ValueError: ``copy=False`` with another dtype.
    """
    array = numpy(input)
    if dtype is None or np.dtype(dtype) == array.dtype:
        return array.copy() if copy else array
    if copy is False:
        raise ValueError(f"__array__: {array.dtype} cannot become {np.dtype(dtype)} without a copy")
    return array.astype(dtype)


def from_ufunc(array: Any, return_scalar: bool = False) -> Any:
    """What NumPy's functions on a Tensor give back: a Tensor, or NumPy's own array for a dtype that Tensors lack."""
    found = np.asarray(array)
    return wrap(found) if found.dtype in FROM_NUMPY else found


# ---------------------------------------------------------------- DLPack


def to_dlpack(input: Tensor, **options: Any) -> Any:
    """A DLPack capsule on the Tensor's memory.

    Raises:
        GraphError: the Tensor requires grad.
    """
    if input.requires_grad:
        raise GraphError("__dlpack__: the tensor requires grad; use tensor.detach()")
    python_reads("__dlpack__")
    return input._array.__dlpack__(**options)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor on the memory of another library's array, without copying.

    Args:
        ext_tensor: an object with ``__dlpack__`` and ``__dlpack_device__`` on the CPU.

    Returns:
        A Tensor of its shape and dtype.

    Raises:
        DTypeError: no such object, or a dtype that Tensors lack.
    """
    if not hasattr(ext_tensor, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an object with __dlpack__, got {type(ext_tensor).__name__}")
    return from_numpy(np.from_dlpack(ext_tensor))


# ---------------------------------------------------------------- Python


def length(input: Tensor) -> int:
    """``len(tensor)``: the first size.

    Raises:
        TypeError: the Tensor has no dimensions.
    """
    if not input._array.ndim:
        raise TypeError("len: a tensor without dimensions has no length")
    return len(input._array)


def iterate(input: Tensor) -> Iterator[Tensor]:
    """``iter(tensor)``: the views along the first dimension.

    Raises:
        TypeError: the Tensor has no dimensions.
    """
    if not input._array.ndim:
        raise TypeError("iter: a tensor without dimensions cannot be iterated over")
    return iter(unbind(input))


def truth(input: Tensor) -> bool:
    """``bool(tensor)``: whether the only element is not 0.

    Raises:
        ShapeError: the Tensor has not exactly one element.
    """
    if input._array.size != 1:
        raise ShapeError(
            f"bool: the truth of a tensor of shape {tuple(input.shape)} is ambiguous; it needs one element"
        )
    python_reads("bool")
    return bool(input._array.item())


def index(input: Tensor) -> int:
    """``operator.index(tensor)``: the only element of an integer Tensor.

    Raises:
        DTypeError: the Tensor is not of an integer or bool dtype, or has several elements.
    """
    if input._array.dtype.kind == "f" or input._array.size != 1:
        raise DTypeError(
            f"__index__: only an integer tensor of one element is an index, got {input.dtype} of shape "
            f"{tuple(input.shape)}"
        )
    python_reads("__index__")
    return operator.index(int(input._array.item()))


def contains(input: Tensor, element: Any) -> bool:
    """``element in tensor``: whether any element equals it.

    Raises:
        DTypeError: element is no number and no Tensor.
    """
    python_reads("__contains__")
    if isinstance(element, Tensor):
        return bool((input._array == element._array).any())
    if isinstance(element, bool | int | float | np.generic):
        return bool((input._array == element).any())
    raise DTypeError(f"__contains__: element must be a number or a Tensor, got {type(element).__name__}")


def format_tensor(input: Tensor, spec: str) -> str:
    """``format(tensor, spec)``: the number's format for a Tensor without dimensions."""
    if not input._array.ndim:
        return format(item(input), spec)
    return object.__format__(input, spec)


# ---------------------------------------------------------------- questions


def is_tensor(obj: Any) -> bool:
    """Whether the object is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the Tensor's dtype is float32 or float64."""
    return input._array.dtype.kind == "f"


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._array.size


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype in which an elementwise operation on two Tensors or numbers is computed."""
    return FROM_NUMPY[result_dtype(tensor1, tensor2)]


def promote_types(type1: Any, type2: Any) -> DType:
    """The smallest dtype of the higher category that holds both."""
    return FROM_NUMPY[_promote_types(as_numpy_dtype(type1, "type1"), as_numpy_dtype(type2, "type2"))]


def can_cast(from_: Any, to: Any) -> bool:
    """Whether promotion may convert ``from_`` to ``to``: not to a lower one of bool < integer < floating point."""
    return _can_cast(as_numpy_dtype(from_, "from_"), as_numpy_dtype(to, "to"))
