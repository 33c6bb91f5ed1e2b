"""Hypothesis strategies for tests of networks: shapes, tensors, geometries of convolution and pooling, small modules.

Hypothesis draws shapes, parameters and a seed, NumPy fills the arrays: examples stay small to draw and to print.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "tinygrad_cnn.testing needs hypothesis to draw examples: pip install 'tinygrad_cnn[test]'"
    ) from error

from .. import nn
from ..autograd import Tensor, wrap
from ..autograd.dtype import as_numpy_dtype
from .cases import Case

seeds = st.integers(0, 2**32 - 1)


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy:
    """Tuples of sizes."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def broadcastable(draw: st.DrawFn, count: int = 2, max_dims: int = 4) -> tuple[tuple[int, ...], ...]:
    """``count`` shapes that broadcast together: some dimensions set to 1, some leading ones dropped."""
    full = draw(shapes(max_dims=max_dims))
    result = []
    for _ in range(count):
        kept = full[draw(st.integers(0, len(full))) :]
        result.append(tuple(1 if draw(st.booleans()) and draw(st.booleans()) else size for size in kept))
    result[draw(st.integers(0, count - 1))] = full
    return tuple(result)


# ---------------------------------------------------------------------- values


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float64 values."""
    return np.random.default_rng(seed).standard_normal(shape)


def uniform(seed: int, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Uniform float64 values in [low, high)."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def distinct(seed: int, shape: tuple[int, ...], gap: float = 0.1) -> np.ndarray:
    """A shuffled arithmetic progression around 0 that leaves 0 out: no ties, no kink within ``gap / 2``."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2 + 0.5) * gap
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def integers(seed: int, shape: tuple[int, ...], low: int = -4, high: int = 4) -> np.ndarray:
    """Integers from low to high as float64: sums and products of them are exact."""
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.float64)


_VALUES = {
    "normal": normal,
    "distinct": distinct,
    "integers": integers,
    "positive": lambda seed, shape: uniform(seed, shape, 0.1, 2.0),
    "probabilities": lambda seed, shape: uniform(seed, shape, 0.01, 0.99),
}


@st.composite
def tensors(
    draw: st.DrawFn,
    shape: Any = None,
    values: str = "normal",
    dtype: Any = "float64",
    requires_grad: bool = True,
) -> Tensor:
    """Tensors that require grad.

    Args:
        shape: a shape, or a strategy of shapes.  Default: ``shapes()``.
        values: ``"normal"``, ``"distinct"`` (no ties, not 0: for operations with kinks), ``"integers"``,
            ``"positive"`` (0.1 to 2) or ``"probabilities"`` (0.01 to 0.99).
        dtype: of the Tensor.  Default float64, which gradient checks need.
        requires_grad: default True.
    """
    if values not in _VALUES:
        raise ValueError(f"tensors: values must be one of {', '.join(_VALUES)}, got {values!r}")
    strategy = shapes() if shape is None else shape
    sides = draw(strategy) if isinstance(strategy, st.SearchStrategy) else tuple(strategy)
    array = _VALUES[values](draw(seeds), sides)
    return wrap(array.astype(as_numpy_dtype(dtype))).requires_grad_(requires_grad)


# ---------------------------------------------------------------------- geometries


@dataclasses.dataclass(frozen=True)
class ConvGeometry:
    """Shapes and parameters of one convolution that fit together.

    Attributes:
        input_shape: (N, C, H, W); ``weight_shape`` (O, C/groups, KH, KW).
        bias: whether there is one, (O,).
        stride, padding, dilation: (vertical, horizontal).
        groups: divides C and O.
    """

    input_shape: tuple[int, int, int, int]
    weight_shape: tuple[int, int, int, int]
    bias: bool
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def case(self, seed: int) -> Case:
        """Normal values for input, weight and, if there is one, bias, and the keywords of ``conv2d``."""
        arrays = [normal(seed, self.input_shape), normal(seed + 1, self.weight_shape)]
        if self.bias:
            arrays.append(normal(seed + 2, self.weight_shape[:1]))
        names = ("stride", "padding", "dilation", "groups")
        return Case(tuple(arrays), {name: getattr(self, name) for name in names})


@st.composite
def conv_geometries(draw: st.DrawFn, max_batch: int = 2, max_channels: int = 3, max_extra: int = 3) -> ConvGeometry:
    """Convolutions with every combination of stride, padding, dilation and groups, not only those that fit evenly.

    Args:
        max_batch: the largest N.
        max_channels: the most input and output channels per group.
        max_extra: how much larger than one window the image may be.
    """
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel_size, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    groups = draw(st.integers(1, 2))
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, max_extra))
        for k, d, p in zip(kernel_size, dilation, padding)
    ]
    per_group, filters = draw(st.integers(1, max_channels)), draw(st.integers(1, max_channels))
    batch = draw(st.integers(1, max_batch))
    return ConvGeometry(
        (batch, groups * per_group, size[0], size[1]),
        (groups * filters, per_group, *kernel_size),
        draw(st.booleans()),
        stride,
        padding,
        dilation,
        groups,
    )


@dataclasses.dataclass(frozen=True)
class PoolGeometry:
    """Shape and parameters of one pooling that fit together; ``padding`` is at most half of the window.

    Attributes:
        input_shape: (N, C, H, W).
        kernel_size, stride, padding: (vertical, horizontal).
        ceil_mode: count the last, incomplete window.
    """

    input_shape: tuple[int, int, int, int]
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil_mode: bool

    def case(self, seed: int) -> Case:
        """Distinct values, so that no maximum is tied, and the keywords of ``max_pool2d`` and ``avg_pool2d``."""
        names = ("kernel_size", "stride", "padding", "ceil_mode")
        return Case((distinct(seed, self.input_shape),), {name: getattr(self, name) for name in names})


@st.composite
def pool_geometries(draw: st.DrawFn, max_batch: int = 2, max_channels: int = 3, max_extra: int = 4) -> PoolGeometry:
    """Poolings, overlapping windows, gaps and incomplete windows included.

    Args:
        max_batch, max_channels: the largest N and C.
        max_extra: how much larger than one window the image may be.
    """
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel_size, stride = draw(pair), draw(pair)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel_size)
    size = tuple(max(1, k - 2 * p) + draw(st.integers(0, max_extra)) for k, p in zip(kernel_size, padding))
    leading = (draw(st.integers(1, max_batch)), draw(st.integers(1, max_channels)))
    return PoolGeometry((*leading, *size), kernel_size, stride, padding, draw(st.booleans()))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- modules


@st.composite
def modules(draw: st.DrawFn, max_layers: int = 3) -> tuple[nn.Module, tuple[int, ...]]:
    """Small networks in float64 with the shape of an input: convolutions and pooling, then a linear classifier.

    Args:
        max_layers: the most convolutions.

    Returns:
        A strategy of (module, input shape (N, C, H, W)).
    """
    channels, side = draw(st.integers(1, 2)), draw(st.integers(6, 8))
    shape = (draw(st.integers(2, 3)), channels, side, side)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(0, max_layers))):
        filters = draw(st.integers(1, 3))
        layers.append(nn.Conv2d(channels, filters, 3, padding=1, bias=draw(st.booleans())))
        layers.append(draw(st.sampled_from([nn.Tanh, nn.Sigmoid]))())
        channels = filters
        if side >= 4 and draw(st.booleans()):
            layers.append(nn.AvgPool2d(2))
            side //= 2
    layers += [nn.Flatten(), nn.Linear(channels * side * side, draw(st.integers(1, 4)))]
    return nn.Sequential(*layers).double(), shape
