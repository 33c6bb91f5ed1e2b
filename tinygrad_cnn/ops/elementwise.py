"""Functions of one element: exponentials, logarithms, trigonometry, rounding, signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor, get_default_dtype, wrap
from ..errors import DTypeError
from .arithmetic import Div, Mul, Neg, Sub, add, mul
from .cast import cast
from .erf import erf as erf_array

# ---------------------------------------------------------------- operations


class Exp(Op):
    """e ** x."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    forward: Any = staticmethod(np.exp)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, out),)


class Expm1(Op):
    """e ** x - 1, exact for small x."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.expm1(x)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, add(out, 1)),)


class Log(Op):
    """Natural logarithm, or with ``scale`` = 1 / log(b) the one to base b; computed by the NumPy function given."""

    saves_inputs = (0,)
    makes_fresh_gradients = True
    function: np.ufunc
    scale: float

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.function(x)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        return (Div.apply(grad, x if self.scale == 1 else mul(x, 1 / self.scale)),)


class Log1p(Op):
    """log(1 + x), exact for small x."""

    saves_inputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.log1p(x)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        return (Div.apply(grad, add(x, 1)),)


class Sqrt(Op):
    """The square root."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Div.apply(grad, mul(out, 2)),)


class Reciprocal(Op):
    """1 / x."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.divide(x.dtype.type(1), x)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Neg.apply(Mul.apply(grad, Mul.apply(out, out))),)


class Sin(Op):
    """The sine of an angle in radians."""

    saves_inputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sin(x)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, Cos.apply(x)),)


class Cos(Op):
    """The cosine of an angle in radians."""

    saves_inputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.cos(x)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        return (Neg.apply(Mul.apply(grad, Sin.apply(x))),)


class Tan(Op):
    """The tangent of an angle in radians."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.tan(x)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, add(Mul.apply(out, out), 1)),)


class Tanh(Op):
    """The hyperbolic tangent."""

    saves_outputs = (0,)
    makes_fresh_gradients = True

    forward: Any = staticmethod(np.tanh)

    def backward(self, grad: Tensor, out: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, one_minus(Mul.apply(out, out))),)


class Erf(Op):
    """The error function."""

    saves_inputs = (0,)
    makes_fresh_gradients = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        return erf_array(x)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        slope = mul(Exp.apply(Neg.apply(Mul.apply(x, x))), 2 / np.sqrt(np.pi).item())
        return (Mul.apply(grad, slope),)


class Abs(Op):
    """|x|; its derivative at 0 is 0, and as in PyTorch at NaN too."""

    saves_inputs = (0,)
    makes_fresh_gradients = True

    forward: Any = staticmethod(np.abs)

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor]:
        return (Mul.apply(grad, Step.apply(x, function=_sign)),)


class Step(Op):
    """A function that is constant between its steps (sign, floor ...): its derivative is 0."""

    makes_fresh_gradients = True
    function: Any

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.function(x)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (wrap(np.zeros_like(grad._array)),)


# ---------------------------------------------------------------- functions


def floating(name: str, input: Tensor) -> Tensor:
    """The input, integers and bools converted to the default floating-point dtype.

    Raises:
        DTypeError: the input is not a Tensor.
    """
    if not isinstance(input, Tensor):
        raise DTypeError(f"{name}: input must be a Tensor, got {type(input).__name__}")
    return input if input._array.dtype.kind == "f" else cast(input, get_default_dtype().numpy_dtype)


def one_minus(x: Tensor) -> Tensor:
    """1 - x, differentiable."""
    return Sub.apply(wrap(np.ones((), x._array.dtype)), x)


def exp(input: Tensor) -> Tensor:
    """``e ** input``, elementwise, any shape; integers become the default dtype."""
    return Exp.apply(floating("exp", input))


def expm1(input: Tensor) -> Tensor:
    """``e ** input - 1`` without cancellation near 0, elementwise, any shape."""
    return Expm1.apply(floating("expm1", input))


def log(input: Tensor) -> Tensor:
    """The natural logarithm, elementwise, any shape: -inf at 0, NaN below."""
    return Log.apply(floating("log", input), function=np.log, scale=1.0)


def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2, elementwise, any shape."""
    return Log.apply(floating("log2", input), function=np.log2, scale=1 / np.log(2).item())


def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10, elementwise, any shape."""
    return Log.apply(floating("log10", input), function=np.log10, scale=1 / np.log(10).item())


def log1p(input: Tensor) -> Tensor:
    """``log(1 + input)`` without cancellation near 0, elementwise, any shape."""
    return Log1p.apply(floating("log1p", input))


def sqrt(input: Tensor) -> Tensor:
    """The square root, elementwise, any shape: NaN below 0."""
    return Sqrt.apply(floating("sqrt", input))


def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``, elementwise, any shape."""
    return Reciprocal.apply(Sqrt.apply(floating("rsqrt", input)))


def reciprocal(input: Tensor) -> Tensor:
    """``1 / input``, elementwise, any shape."""
    return Reciprocal.apply(floating("reciprocal", input))


def square(input: Tensor) -> Tensor:
    """``input * input``, elementwise, any shape; bools become int64."""
    return mul(input, input) if input._array.dtype != np.bool_ else cast(input, np.dtype(np.int64))


def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians, elementwise, any shape."""
    return Sin.apply(floating("sin", input))


def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians, elementwise, any shape."""
    return Cos.apply(floating("cos", input))


def tan(input: Tensor) -> Tensor:
    """The tangent of an angle in radians, elementwise, any shape."""
    return Tan.apply(floating("tan", input))


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent, elementwise, any shape."""
    return Tanh.apply(floating("tanh", input))


def erf(input: Tensor) -> Tensor:
    """The error function ``2/√π ∫₀ˣ exp(-t²) dt``, elementwise, any shape; see ``ops/erf.py``."""
    return Erf.apply(floating("erf", input))


def abs(input: Tensor) -> Tensor:
    """The absolute value, elementwise, any shape; its derivative at 0 is 0.

    Raises:
        DTypeError: the input is bool.
    """
    return Abs.apply(_not_bool("abs", input))


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1, elementwise, any shape; the gradient is 0."""
    return Step.apply(input, function=_sign)


def floor(input: Tensor) -> Tensor:
    """The largest integer that is not larger, elementwise, any shape; the gradient is 0.

    Raises:
        DTypeError: the input is bool.
    """
    return _stepwise("floor", np.floor, input)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not smaller, elementwise, any shape; the gradient is 0.

    Raises:
        DTypeError: the input is bool.
    """
    return _stepwise("ceil", np.ceil, input)


def trunc(input: Tensor) -> Tensor:
    """The integer part, elementwise, any shape; the gradient is 0.

    Raises:
        DTypeError: the input is bool.
    """
    return _stepwise("trunc", np.trunc, input)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals, halves to even, elementwise, any shape; the gradient is 0.

    Args:
        input: any shape.
        decimals: places after the point, for floating-point inputs; negative ones before it.

    Raises:
        DTypeError: the input is bool, or an integer with ``decimals``.
    """
    if decimals != 0 and input._array.dtype.kind != "f":
        raise DTypeError(f"round: decimals={decimals} needs a floating-point input, got {input.dtype}")
    return _stepwise("round", lambda x: np.round(x, decimals), input)


def _stepwise(name: str, function: Any, input: Tensor) -> Tensor:
    """A rounding: integers are rounded already."""
    if _not_bool(name, input)._array.dtype.kind != "f":
        return wrap(input._array.copy())
    return Step.apply(input, function=function)


def _not_bool(name: str, input: Tensor) -> Tensor:
    if input._array.dtype == np.bool_:
        raise DTypeError(f"{name}: not defined for bool tensors")
    return input


def _sign(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.bool_:
        return x.copy()
    # NaN has no sign; PyTorch gives 0 there.
    return np.where(np.isnan(x), x.dtype.type(0), np.sign(x)) if x.dtype.kind == "f" else np.sign(x)
