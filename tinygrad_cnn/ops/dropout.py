"""Dropout: while training, every element is zero with probability p.

Reference: N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a simple way to prevent
neural networks from overfitting", JMLR 15, 2014.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .. import kernels
from ..autograd import Generator, Op, Tensor, default_generator, wrap
from ..autograd.inplace import write
from ..errors import DTypeError, ShapeError
from ..kernels._memory import flat_views
from ..tracing import redrawn
from . import buffers

LARGE = 1 << 14
"""From this many elements on the kernel draws quicker, though reading and writing the generator takes 0.1 ms."""


class Dropout(Op):
    """x · mask · scale for a uint8 mask of zeros and ones of x's shape; linear in x."""

    saves_inputs = (1,)
    makes_fresh_gradients = True
    scale: float

    def forward(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        out = buffers.empty_like(x)
        views = flat_views(out, x, mask)
        if views is None:  # x or mask lies in memory in another order
            np.multiply(x, mask * x.dtype.type(self.scale), out=out)
        else:
            kernels.elementwise.prepare("scale_where", x.size, x.dtype, self.scale)(views[1], views[2], views[0])
        return out

    def backward(self, grad: Tensor, mask: Tensor) -> tuple[Tensor | None, ...]:
        return Dropout.apply(grad, mask, scale=self.scale), None


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero every element with probability p and divide the others by 1 − p, so that the expectation stays.

    Args:
        input: any shape; float32 or float64.
        p: the probability of a zero, from 0 to 1.
        training: False gives the input itself.
        inplace: write to ``input`` and return it.

    Returns:
        A Tensor of input's shape and memory layout.  With the same seed, PyTorch's mask: the elements are drawn in the
        order of the shape, from the default generator.

    Raises:
        ShapeError: p is outside [0, 1].
        DTypeError: input is not a floating-point Tensor.
    """
    if not 0 <= p <= 1:
        raise ShapeError(f"dropout: p must be between 0 and 1, got {p}")
    if not isinstance(input, Tensor):
        raise DTypeError(f"dropout: input must be a Tensor, got {type(input).__name__}")
    array = input._array
    if not training or p == 0 or not array.size:
        return input
    if array.dtype.kind != "f":
        raise DTypeError(f"dropout: input must be float32 or float64, got {input.dtype}")
    mask = np.zeros_like(array, dtype=np.uint8)
    scale = 1.0
    if p < 1:
        scale = float(array.dtype.type(1) / array.dtype.type(1 - p))
        _draw(1 - p, mask)
        redrawn(functools.partial(_draw, 1 - p), mask)
    out = Dropout.apply(input, wrap(mask), scale=scale)
    return write(input, out, "dropout") if inplace else out


def _draw(keep: float, mask: np.ndarray) -> None:
    """Write ones with probability ``keep``, drawn in the order of the shape."""
    np.copyto(mask, bernoulli(default_generator, keep, mask.size).reshape(mask.shape))


def bernoulli(generator: Generator, p: float, count: int) -> np.ndarray:
    """(count,) uint8, 1 with probability p: ``generator.bernoulli``'s bits and state afterwards, 15 times as fast."""
    if count < LARGE:
        return generator.bernoulli(p, (count,)).view(np.uint8)
    state = generator.get_state()
    position = np.array([state["pos"]], np.int64)
    out = buffers.empty((count,), np.dtype(np.uint8))
    kernels.random.bernoulli.run(0, math.ceil(p * 2.0**53), state["key"], position, out)
    generator.set_state({**state, "pos": int(position[0])})
    return out
