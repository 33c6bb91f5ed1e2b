"""Copies, conversions between dtypes and memory formats, and what a Tensor says about its memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Size, Tensor, wrap
from ..autograd import dtype as DType
from ..autograd.dtype import FROM_NUMPY, as_numpy_dtype
from ..errors import DimError, GraphError, ShapeError
from ..tracing import python_reads
from .cast import cast
from .dims import wrap_dim


class memory_format:
    """The order of a Tensor's elements in memory, as ``torch.memory_format``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"tinygrad_cnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")
preserve_format = memory_format("preserve_format")


def is_in_format(array: np.ndarray, format: memory_format) -> bool:
    """Whether the array's memory is in this order."""
    if format is channels_last:
        return array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous
    return array.flags.c_contiguous


def copy_in_format(array: np.ndarray, format: memory_format, name: str) -> np.ndarray:
    """A copy of the array with its memory in this order.

    Raises:
        ShapeError: channels_last for an array that has not four dimensions.
    """
    if format is channels_last:
        return empty_in_format(array.shape, array.dtype, format, name, array, fill=True)
    return array.copy(order="C" if format is contiguous_format else "K")


def empty_in_format(
    shape: tuple[int, ...],
    dtype: np.dtype,
    format: memory_format,
    name: str,
    like: np.ndarray | None = None,
    fill: bool = False,
) -> np.ndarray:
    """An array of this shape and memory order; ``preserve_format`` takes the order of ``like``, ``fill`` its values.

    Raises:
        ShapeError: channels_last for a shape that has not four dimensions.
    """
    if format is channels_last:
        if len(shape) != 4:
            raise ShapeError(f"{name}: memory_format channels_last needs 4 dimensions, got shape {tuple(shape)}")
        N, C, H, W = shape
        out = np.empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)
    elif format is preserve_format and like is not None:
        out = np.empty_like(like, dtype, order="K")
    else:
        out = np.empty(shape, dtype)
    if fill:
        out[...] = like
    return out


class Clone(Op):
    """The same values on memory of their own."""

    format: memory_format = preserve_format

    def forward(self, x: np.ndarray) -> np.ndarray:
        return copy_in_format(x, self.format, "clone")

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (grad,)


def clone(input: Tensor, *, memory_format: memory_format = preserve_format) -> Tensor:
    """The same values on memory of their own; the gradient passes through.

    Args:
        input: any shape and dtype.
        memory_format: the order of the copy's memory.  Default: the input's.

    Returns:
        A Tensor of the input's shape and dtype.

    Raises:
        ShapeError: channels_last for an input that has not four dimensions.
    """
    if memory_format is preserve_format:
        return Clone.apply(input)
    return Clone.apply(input, format=memory_format)


def contiguous(input: Tensor, memory_format: memory_format = contiguous_format) -> Tensor:
    """The input itself if its memory is in this order, else a copy that is.

    What a convolution returns is channels-last in memory, so here (as in PyTorch's channels-last mode) it is copied.

    Args:
        input: any shape and dtype.
        memory_format: ``contiguous_format`` or ``channels_last`` (four dimensions).

    Returns:
        A Tensor of the input's shape and dtype.

    Raises:
        ShapeError: channels_last for an input that has not four dimensions.
        ValueError: preserve_format.
    """
    if memory_format is preserve_format:
        raise ValueError("contiguous: memory_format must be contiguous_format or channels_last, got preserve_format")
    if is_in_format(input._array, memory_format):
        return input
    return Clone.apply(input, format=memory_format)


def is_contiguous(input: Tensor, memory_format: memory_format = contiguous_format) -> bool:
    """Whether the input's memory, any shape, is in this order."""
    return is_in_format(input._array, memory_format)


def check_device(name: str, device: Any) -> None:
    """Raise unless the device is None or the CPU.

    Raises:
        RuntimeError: another device.
    """
    if device is not None and str(device) != "cpu":
        raise RuntimeError(f"{name}: device must be 'cpu', got {device!r}")


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The input in another dtype or memory format; itself if nothing changes and no copy is asked for.

    Called as ``to(dtype)``, ``to(other)``, ``to("cpu")`` or ``to("cpu", dtype)``, with PyTorch's further arguments.

    Args:
        input: any shape.
        dtype: the dtype of the result; ``other`` stands for its dtype.
        device: only ``"cpu"`` is there.
        non_blocking: accepted and without effect, as on PyTorch's CPU.
        copy: copy even if nothing changes.  Default False.
        memory_format: the order of the result's memory.  Default: the input's.

    Returns:
        A Tensor of the input's shape.

    Raises:
        DTypeError: there is no such dtype.
        RuntimeError: another device than the CPU.
        TypeError: arguments that PyTorch does not take either.
    """
    return _to(input, *_to_arguments(*args, **kwargs))


def _to_arguments(*args: Any, **kwargs: Any) -> tuple[np.dtype | None, bool, memory_format]:
    """The dtype, copy and memory_format among the arguments of ``to``."""
    rest = list(args)
    first = rest.pop(0) if rest else None
    dtype: Any = None
    if isinstance(first, Tensor):
        dtype = first.dtype
    elif first is None or (isinstance(first, str) and first not in _DTYPE_NAMES):
        check_device("to", first)
        dtype = rest.pop(0) if rest else None
    else:
        dtype = first
    names = ["non_blocking", "copy"]
    if len(rest) > len(names):
        raise TypeError(f"to: {len(args)} positional arguments are too many")
    options = dict(zip(names, rest))
    for name, value in kwargs.items():
        if name in options or name not in ("dtype", "device", "memory_format", *names):
            raise TypeError(f"to: unexpected argument {name}={value!r}")
        options[name] = value
    check_device("to", options.get("device"))
    dtype = options.get("dtype", dtype)
    format = options.get("memory_format", preserve_format)
    return (None if dtype is None else as_numpy_dtype(dtype)), bool(options.get("copy", False)), format


_DTYPE_NAMES = frozenset(d.name for d in FROM_NUMPY.values())


def _to(input: Tensor, dtype: np.dtype | None, copy: bool, format: memory_format) -> Tensor:
    out = input if dtype is None else cast(input, dtype)
    if format is not preserve_format and not is_in_format(out._array, format):
        return Clone.apply(out, format=format)
    return Clone.apply(out) if copy and out is input else out


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The input, any shape, in ``other``'s dtype."""
    return _to(input, other._array.dtype, False, preserve_format)


def convert(input: Tensor, dtype: DType, memory_format: memory_format = preserve_format) -> Tensor:
    """The input, any shape, in this dtype and memory order; itself if it has them."""
    return _to(input, dtype.numpy_dtype, False, memory_format)


_TYPE_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "int64": "LongTensor",
    "int32": "IntTensor",
    "uint8": "ByteTensor",
    "bool": "BoolTensor",
}


def type(input: Tensor, dtype: Any = None) -> str | Tensor:
    """The name of the input's type such as ``"tinygrad_cnn.FloatTensor"``; with a dtype, the input converted to it.

    Raises:
        DTypeError: there is no such dtype.
    """
    if dtype is None:
        return f"tinygrad_cnn.{_TYPE_NAMES[input.dtype.name]}"
    for name, alias in _TYPE_NAMES.items():
        if dtype in (alias, f"tinygrad_cnn.{alias}"):
            dtype = name
    return _to(input, as_numpy_dtype(dtype), False, preserve_format)


# ---------------------------------------------------------------- out of the graph


def item(input: Tensor) -> Any:
    """The only element as a Python number.

    Raises:
        ShapeError: the Tensor has not exactly one element.
    """
    if input._array.size != 1:
        raise ShapeError(f"item: a tensor of one element is needed, got shape {tuple(input._array.shape)}")
    python_reads("item")
    return input._array.item()


def numpy(input: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array on the same memory.

    Args:
        input: any shape and dtype.
        force: detach first instead of raising.

    Returns:
        An array of the Tensor's shape and dtype; writing to it is not seen by the graph.

    Raises:
        GraphError: the Tensor requires grad.
    """
    if not force and input.requires_grad:
        raise GraphError("numpy: the tensor requires grad; use tensor.detach().numpy()")
    python_reads("numpy")
    return input._array


# ---------------------------------------------------------------- what the memory is like


def size(input: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension.

    Raises:
        DimError: dim is out of range.
    """
    if dim is None:
        return Size(input._array.shape)
    return input._array.shape[_own_dim("size", dim, input._array.ndim)]


def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements lie between neighbours along each dimension (or one of them) of the real memory.

    Raises:
        DimError: dim is out of range.
    """
    array = input._array
    if dim is None:
        return tuple(step // array.itemsize for step in array.strides)
    return array.strides[_own_dim("stride", dim, array.ndim)] // array.itemsize


def _own_dim(name: str, dim: int, ndim: int) -> int:
    if ndim == 0:
        raise DimError(f"{name}: dim={dim} of a tensor that has no dimensions")
    return wrap_dim(name, dim, ndim)


def data_ptr(input: Tensor) -> int:
    """The address of the first element."""
    return input._array.__array_interface__["data"][0]


def shares_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two Tensors lie on one block of memory, so that a write to one may change the other."""
    return np.may_share_memory(a._array, b._array)


def deepcopy(input: Tensor, memo: dict[int, Any]) -> Tensor:
    """What ``copy.deepcopy`` does: a leaf with its values, ``requires_grad`` and ``grad`` on memory of their own.

    Raises:
        GraphError: the Tensor is not a leaf.
    """
    if input.grad_fn is not None:
        raise GraphError("deepcopy: only a leaf can be deep-copied; use detach() or clone()")
    python_reads("deepcopy")
    out = wrap(input._array.copy(order="K"))
    out._requires_grad = input._requires_grad
    if input._grad is not None:
        out._grad = deepcopy(input._grad.detach(), memo)
    return out


def shallow_copy(input: Tensor) -> Tensor:
    """What ``copy.copy`` does: another leaf on the same memory."""
    out = input.detach()
    out._requires_grad = input.requires_grad
    return out


def refuse_pickle(input: Tensor) -> Any:
    """What pickling does: nothing.

    Raises:
        TypeError: always.  Loading a pickle can run any code, so this package neither writes nor reads any.
    """
    raise TypeError(
        "a Tensor cannot be pickled (a pickle can run code when it is loaded); "
        "save tensors with safetensors, or hand over tensor.numpy()"
    )
