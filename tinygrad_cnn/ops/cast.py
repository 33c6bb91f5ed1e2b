"""Conversion between dtypes as a differentiable operation."""

from __future__ import annotations

import numpy as np

from ..autograd import Op, Tensor, wrap


class Cast(Op):
    """The same values in another floating-point dtype; the gradient is cast back."""

    to: np.dtype
    source: np.dtype

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.source = x.dtype
        with np.errstate(all="ignore"):  # what does not fit becomes infinite without a word, as in PyTorch
            return x.astype(self.to)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Cast.apply(grad, to=self.source),)


def cast(input: Tensor, dtype: np.dtype) -> Tensor:
    """``input``, any shape, with its values converted to a NumPy dtype; itself if it has that dtype.

    Integers and bools carry no gradient.  Values out of an integer's range wrap or are undefined, as in PyTorch.
    """
    if input._array.dtype == dtype:
        return input
    if dtype.kind == "f":
        return Cast.apply(input, to=dtype)
    with np.errstate(all="ignore"):
        return wrap(input._array.astype(dtype))
