"""Initial values of parameters, written in place, under PyTorch's names.

The random numbers come from the default generator (or the one given) in PyTorch's order, which is that of the
*logical* shape: for the same seed a uniform initialisation gives PyTorch's values bit for bit, though a convolution's
weights lie in memory in another order.

Reference:
    Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks.  AISTATS 2010 (xavier).
    He, Zhang, Ren, Sun: Delving deep into rectifiers.  ICCV 2015 (kaiming).
    Klambauer, Unterthiner, Mayr, Hochreiter: Self-normalizing neural networks.  NeurIPS 2017 (the gain of selu).
"""

from __future__ import annotations

import math

from ..autograd import Generator, Tensor, no_grad
from ..errors import ShapeError
from ..ops import inplace

_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations from shrinking through a nonlinearity.

    Args:
        nonlinearity: ``"linear"``, ``"conv2d"`` and kin, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` or
            ``"selu"``.
        param: the negative slope of leaky_relu, 0.01 by default.

    Raises:
        ValueError: another nonlinearity.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: nonlinearity must be one of {known}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers drawn uniformly from [a, b).

    Args:
        tensor: floating-point Tensor of any shape.
        a, b: the bounds.
        generator: where the numbers come from; the default generator if None.

    Returns:
        The tensor itself.

    Raises:
        ShapeError: a > b.
        DTypeError: the tensor is not of a floating-point dtype.
    """
    with no_grad():
        return inplace.uniform_(tensor, a, b, generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normally distributed numbers.

    Args:
        tensor: floating-point Tensor of any shape.
        mean, std: mean and standard deviation.
        generator: where the numbers come from; the default generator if None.

    Returns:
        The tensor itself.

    Raises:
        ShapeError: std is negative.
        DTypeError: the tensor is not of a floating-point dtype.
    """
    with no_grad():
        return inplace.normal_(tensor, mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill a Tensor of any shape and dtype with one number; returns the tensor."""
    with no_grad():
        return inplace.fill_(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones; returns the tensor."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros; returns the tensor."""
    return constant_(tensor, 0)


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output has and how many outputs one input reaches.

    Args:
        tensor: weights of shape (out, in) or (out, in, *kernel).

    Returns:
        ``(fan_in, fan_out)``: in and out, each times the number of places in the kernel.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"fan_in and fan_out need a tensor of at least 2 dimensions, got shape {tuple(tensor.shape)}")
    out_channels, in_channels, *kernel = tensor.shape
    places = math.prod(kernel)
    return in_channels * places, out_channels * places


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers of variance ``gain² · 2 / (fan_in + fan_out)``.

    Args:
        tensor: weights of shape (out, in, ...).
        gain: see ``calculate_gain``.
        generator: where the numbers come from; the default generator if None.

    Returns:
        The tensor itself.

    Raises:
        ShapeError: fewer than two dimensions.
        DTypeError: the tensor is not of a floating-point dtype.
    """
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / sum(fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance ``gain² · 2 / (fan_in + fan_out)``; arguments as ``xavier_uniform_``."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill with uniform numbers of variance ``gain² / fan``.

    Args:
        tensor: weights of shape (out, in, ...).
        a: the negative slope of the leaky_relu that follows.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: what follows, see ``calculate_gain``.
        generator: where the numbers come from; the default generator if None.

    Returns:
        The tensor itself.

    Raises:
        ValueError: another mode or an unknown nonlinearity.
        ShapeError: fewer than two dimensions.
        DTypeError: the tensor is not of a floating-point dtype.
    """
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill with normal numbers of variance ``gain² / fan``; arguments as ``kaiming_uniform_``."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = fans(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def fan_in_defaults_(weight: Tensor, bias: Tensor | None) -> None:
    """The default values of a convolution or a dense layer: uniform on ±1/√fan_in, first the weight, then the bias.

    Args:
        weight: (out, in, ...).
        bias: (out,), or None.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))  # the slope √5 makes the gain 1/√3, so the bound is 1/√fan_in
    fan_in, _ = fans(weight)
    if bias is not None and fan_in > 0:
        uniform_(bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
