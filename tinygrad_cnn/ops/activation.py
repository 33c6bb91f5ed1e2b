"""Activation functions: ReLU and its kin, sigmoid, softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, is_grad_enabled
from ..autograd.dtype import as_numpy_dtype
from ..errors import DTypeError
from ..kernels._memory import LARGE, flat_views, inverse, is_for_kernel, memory_order
from . import buffers
from .arithmetic import Mul, Sub, add, mul
from .cast import cast
from .dims import wrap_dim
from .elementwise import Exp, Log1p, Neg, floating, one_minus
from .inplace import replace
from .selection import maximum, where


class ReLU(Op):
    """max(x, 0); relu(NaN) = NaN."""

    saves_outputs = (0,)  # its sign is all that backward needs
    makes_fresh_gradients = True
    overwrites_gradient = True

    def forward(self, x: np.ndarray) -> Any:
        if x.dtype.kind == "f" and is_for_kernel(x.size):
            out = buffers.empty_like(x)
            views = flat_views(out, x)
            if views is not None:
                kernels.elementwise.prepare("relu", x.size, x.dtype)(views[1], views[0])
                return out
        return np.maximum(x, x.dtype.type(0))

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (ReLUGrad.apply(grad, out, in_place=self.owns_gradient),)


class ReLUGrad(Op):
    """grad where out is not <= 0 (so also where it is NaN, as in PyTorch), else 0; its own derivative by grad.

    With ``in_place``, large arrays are written over grad: backward needs one array of the output's size less.
    """

    saves_inputs = (1,)
    makes_fresh_gradients = True
    in_place: bool = False

    def forward(self, grad: np.ndarray, out: np.ndarray) -> np.ndarray:
        if grad.dtype.kind == "f" and is_for_kernel(grad.size):
            result = grad if self.in_place else buffers.empty_like(out)
            views = flat_views(result, grad, out)
            if views is not None:
                kernels.elementwise.prepare("relu_grad", grad.size, grad.dtype)(views[1], views[2], views[0])
                return result
        return np.where(out <= 0, grad.dtype.type(0), grad)

    def backward(self, upstream: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return ReLUGrad.apply(upstream, out), None


class ReLUWithBits(ReLU):
    """ReLU of a large array that keeps where it let elements through, a bit of each, and not its output.

    In ``order`` the dimensions of x lie one after the other in memory, without gaps.
    """

    saves_outputs = (1,)
    order: list[int]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turned = x.transpose(self.order)
        out, bits = buffers.empty(turned.shape, x.dtype), buffers.empty((-(-x.size // 8),), np.dtype(np.uint8))
        result = out.transpose(inverse(self.order))
        kernels.elementwise.prepare("relu_with_bits", x.size, x.dtype)(turned, out, bits)
        return result, bits

    def backward(self, grad: Tensor, *bits: Any) -> tuple[Tensor]:
        return (WhereBits.apply(grad, bits[-1], order=self.order, in_place=self.owns_gradient),)

    def let_through(self, bits: np.ndarray) -> np.ndarray:
        """The bits as bools of the output's shape."""
        shape = self.output_shapes[0]
        flat = np.unpackbits(bits, count=math.prod(shape), bitorder="little").astype(bool)
        return flat.reshape([shape[axis] for axis in self.order]).transpose(inverse(self.order))

    def name(self) -> str:
        """As if the array were small."""
        return "ReLUBackward"


class WhereBits(Op):
    """grad where the bit that `ReLUWithBits` kept is 1, else 0; its own derivative by grad.

    With ``in_place``, it is written over grad.
    """

    saves_inputs = (1,)
    makes_fresh_gradients = True
    order: list[int]
    in_place: bool = False

    def forward(self, grad: np.ndarray, bits: np.ndarray) -> np.ndarray:
        turned = grad.transpose(self.order)
        if not turned.flags.carray:
            turned = out = turned.copy(order="C")  # it came in another layout
        else:
            out = turned if self.in_place else buffers.empty(turned.shape, grad.dtype)
        result = out.transpose(inverse(self.order))
        kernels.elementwise.prepare("where_bits", grad.size, grad.dtype)(turned, bits, out)
        return result

    def backward(self, upstream: Tensor, bits: Tensor) -> tuple[Tensor | None, ...]:
        return WhereBits.apply(upstream, bits, order=self.order), None


def fused(function: str, activation: str | None, plain: type[Op], with_relu: type[Op]) -> type[Op]:
    """The operation that also applies the activation.

    Raises:
        ValueError: an activation other than None and ``"relu"``.
    """
    if activation is None:
        return plain
    if activation != "relu":
        raise ValueError(f"{function}: activation must be None or 'relu', got {activation!r}")
    return with_relu


class Sigmoid(Op):
    """1 / (1 + exp(-x)), without overflow on either side."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))
        one = x.dtype.type(1)
        return np.where(x >= 0, one, small) / (one + small)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, Mul.apply(out, one_minus(out))),)


class Softmax(Op):
    """exp(x) / Σ exp(x) along a dimension, shifted by the maximum so that nothing overflows."""

    saves_outputs = (0,)
    makes_fresh_gradients = True
    dim: int

    def forward(self, x: np.ndarray) -> np.ndarray:
        out = _shifted(x, self.dim)
        np.exp(out, out=out)
        out /= out.sum(axis=self.dim, keepdims=True)
        return out

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        weighted = Mul.apply(grad, out)
        return (Sub.apply(weighted, Mul.apply(out, weighted.sum(self.dim, keepdim=True))),)


class LogSoftmax(Op):
    """x - log Σ exp(x) along a dimension, shifted by the maximum."""

    saves_outputs = (0,)
    makes_fresh_gradients = True
    dim: int

    def forward(self, x: np.ndarray) -> np.ndarray:
        out = _shifted(x, self.dim)
        out -= np.log(np.exp(out).sum(axis=self.dim, keepdims=True))
        return out

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Sub.apply(grad, Mul.apply(Exp.apply(out), grad.sum(self.dim, keepdim=True))),)


def _shifted(x: np.ndarray, dim: int) -> np.ndarray:
    if x.shape[dim] == 0:
        return x.copy()
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as in PyTorch
        return np.subtract(x, x.max(axis=dim, keepdims=True))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``, elementwise, any shape; the derivative at 0 is 0, and NaN stays NaN.

    Args:
        input: any shape; integers stay integers.
        inplace: write the result into the input.

    Raises:
        DTypeError: the input is bool.
    """
    if input._array.dtype == np.bool_:
        raise DTypeError("relu: not defined for bool tensors")
    if inplace:
        return input.relu_()
    array = input._array
    if array.size >= LARGE and array.dtype.kind == "f" and input.requires_grad and is_grad_enabled():
        order = memory_order(array)
        if array.transpose(order).flags.carray:
            return ReLUWithBits.apply(input, order=order)[0]
    return ReLU.apply(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where it is positive, else ``negative_slope * input``, elementwise, any shape.

    Raises:
        DTypeError: the input is not floating-point.
    """
    _floating_point("leaky_relu", input)
    if inplace:
        return replace(input, "leaky_relu", leaky_relu, negative_slope)
    return where(input > 0, input, mul(input, negative_slope))


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``, elementwise, any shape; integers become the default dtype."""
    return Sigmoid.apply(floating("sigmoid", input))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, elementwise; the input where beta * input > threshold.

    Raises:
        DTypeError: the input is not floating-point.
    """
    scaled = mul(_floating_point("softplus", input), beta)
    # log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|) overflows nowhere.
    smooth = add(maximum(scaled, 0.0), Log1p.apply(Exp.apply(Neg.apply(scaled.abs()))))
    return where(scaled > threshold, input, mul(smooth, 1 / beta))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)``, elementwise, any shape.

    Raises:
        DTypeError: the input is not floating-point.
    """
    _floating_point("silu", input)
    return replace(input, "silu", silu) if inplace else Mul.apply(input, Sigmoid.apply(input))


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """``exp(input) / Σ exp(input)`` along a dimension: positive numbers that add up to 1.

    Args:
        input: floating-point, any shape.
        dim: the dimension that adds up to 1.
        dtype: convert the input first.

    Returns:
        A Tensor of the input's shape.

    Raises:
        DimError: ``dim`` is out of range.
        ValueError: ``dim`` is missing.
        DTypeError: the input is not floating-point.
    """
    return _normalised("softmax", Softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """The logarithm of ``softmax``, computed without forming the quotient; arguments and errors as there."""
    return _normalised("log_softmax", LogSoftmax, input, dim, dtype)


def _normalised(name: str, function: type[Op], input: Tensor, dim: int | None, dtype: Any) -> Tensor:
    if dtype is not None:
        input = cast(input, as_numpy_dtype(dtype))
    _floating_point(name, input)
    if dim is None:
        raise ValueError(f"{name}: dim must be given: the dimension that adds up to 1, usually 1 or -1")
    dim = wrap_dim(name, dim, input.ndim)
    if input.ndim == 0:  # as if it had one dimension
        return function.apply(input.reshape(1), dim=0).reshape(())
    return function.apply(input, dim=dim)


def _floating_point(name: str, input: Tensor) -> Tensor:
    if not isinstance(input, Tensor) or input._array.dtype.kind != "f":
        found = input.dtype if isinstance(input, Tensor) else type(input).__name__
        raise DTypeError(f"{name}: input must be a floating-point Tensor, got {found}")
    return input
