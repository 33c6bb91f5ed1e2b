"""The fully connected layer: as convolution, three operations that are each other's derivatives.

    L(x, w, g) = Σ g[m, o] · w[o, k] · x[m, k]

The matrix products run on our own kernel, not on BLAS, so that the bits don't depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor
from ..errors import DTypeError, ShapeError
from ..kernels._memory import ABSENT
from . import buffers
from .activation import ReLUGrad, fused
from .layout import prepared
from .shape import squeeze, unsqueeze


class Linear(Op):
    """x (..., K) with weight (O, K) and bias (O,) or None: (..., O)."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True
    relu: ClassVar[bool] = False

    def forward(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        out = product(_matrix(x), prepared(weight), False, True, bias, self.relu)
        return out.reshape(*x.shape[:-1], weight.shape[0])

    def backward(self, grad: Tensor, x: Tensor | None, weight: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_x = grad_weight = grad_bias = None
        if weight is not None:
            grad_x = LinearInputGrad.apply(grad, weight)
        if x is not None:
            grad_weight, grad_bias = LinearWeightGrad.apply(x, grad, with_bias=self.needs(2))
        elif self.needs(2):
            grad_bias = RowSum.apply(grad)
        return grad_x, grad_weight, grad_bias if self.needs(2) else None


class LinearReLU(Linear):
    """max(linear, 0) in one kernel."""

    saves_outputs = (0,)
    overwrites_gradient = True
    relu = True

    def backward(
        self, grad: Tensor, x: Tensor | None, weight: Tensor | None, *out: Tensor
    ) -> tuple[Tensor | None, ...]:
        return super().backward(ReLUGrad.apply(grad, *out, in_place=self.owns_gradient), x, weight)


class LinearInputGrad(Op):
    """The gradient by x, (..., K), from grad (..., O) and weight (O, K)."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True

    def forward(self, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
        out = product(_matrix(grad), prepared(weight), False, False)
        return out.reshape(*grad.shape[:-1], weight.shape[1])

    def backward(self, x: Tensor, grad: Tensor | None, weight: Tensor | None) -> tuple[Tensor | None, ...]:
        return (
            None if weight is None else Linear.apply(x, weight, None),
            None if grad is None else LinearWeightGrad.apply(x, grad)[0],
        )


class LinearWeightGrad(Op):
    """The gradients by weight, (O, K), and by bias, (O,), from x (..., K) and grad (..., O).

    One kernel computes both, because it reads grad anyway.  Without ``with_bias`` the second output is empty.
    """

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012
    makes_fresh_gradients = True
    with_bias: bool = False

    def forward(self, x: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        out_bias = np.empty(grad.shape[-1] if self.with_bias else 0, x.dtype)
        return product(_matrix(grad), _matrix(x), True, False, column_sums=out_bias), out_bias

    def backward(
        self, weight: Tensor | None, bias: Tensor | None, x: Tensor | None, grad: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        by_x = by_grad = None
        if weight is not None:
            by_x = None if grad is None else LinearInputGrad.apply(grad, weight)
            by_grad = None if x is None else Linear.apply(x, weight, bias)
        elif bias is not None and self.needs(1):
            by_grad = RowExpand.apply(bias, shape=self.input_shape(1))
        return by_x, by_grad


class RowSum(Op):
    """(..., O) summed over all but the last dimension: the gradient by the bias."""

    makes_fresh_gradients = True
    shape: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return _matrix(x).sum(axis=0)

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (RowExpand.apply(grad, shape=self.shape),)


class RowExpand(Op):
    """(O,) repeated to ``shape``, (..., O): RowSum's adjoint."""

    makes_fresh_gradients = True
    shape: tuple[int, ...]

    def forward(self, x: np.ndarray) -> np.ndarray:
        out = buffers.empty(self.shape, x.dtype)
        out[...] = x
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (RowSum.apply(grad),)


def product(
    a: np.ndarray,
    b: np.ndarray,
    trans_a: bool,
    trans_b: bool,
    bias: np.ndarray | None = None,
    relu: bool = False,
    column_sums: np.ndarray | None = None,
) -> np.ndarray:
    """``op(a) @ op(b) + bias`` of two matrices that a kernel can read, as a new array; with ``relu`` at least 0.

    ``column_sums``, if it has elements, is set to the sums of the columns of ``a``.
    """
    dtype = a.dtype
    out = buffers.empty((a.shape[1 if trans_a else 0], b.shape[0 if trans_b else 1]), dtype)
    with_sums = column_sums is not None and column_sums.size > 0
    run = kernels.matmul.prepare(a.shape, b.shape, trans_a, trans_b, dtype, bias is not None, relu, with_sums)
    bias = ABSENT[dtype] if bias is None else prepared(bias)
    run(a, b, bias, buffers.scratch(run.workspace, dtype), out, ABSENT[dtype] if column_sums is None else column_sums)
    return out


def _matrix(x: np.ndarray) -> np.ndarray:
    """(..., K) as (M, K) for kernels."""
    if x.ndim == 2 and x.flags.carray:
        return x
    return prepared(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None) -> Tensor:
    """``input @ weight.T + bias``: every output is a weighted sum of all inputs.

    Args:
        input: (..., K), at least one dimension; float32 or float64.
        weight: (O, K), or (K,) for a single output without a dimension of its own; input's dtype.
        bias: (O,), or () where weight is (K,); default none.
        activation: ``"relu"`` to replace negative results by 0 in the same pass; default None.  (PyTorch has no such
            argument.)

    Returns:
        (..., O), or (...) where weight is (K,).  The bits do not depend on the number of threads.

    Raises:
        ShapeError: shapes that do not fit together.
        DTypeError: not Tensors of one floating-point dtype (PyTorch also multiplies integers).
        ValueError: an unknown activation.
    """
    for argument, value in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and not (value is None and argument == "bias"):
            raise DTypeError(f"linear: {argument} must be a Tensor, got {type(value).__name__}")
    x, w = input._array, weight._array
    if x.dtype.kind != "f" or w.dtype != x.dtype:
        raise DTypeError(f"linear: input and weight must both be float32 or float64, got {input.dtype}, {weight.dtype}")
    if not x.ndim or w.ndim not in (1, 2) or x.shape[-1] != w.shape[-1]:
        raise ShapeError(
            f"linear: input has {x.shape[-1] if x.ndim else 'no'} features but weight expects "
            f"{w.shape[-1] if w.ndim else 'none'}; input.shape={x.shape}, weight.shape={w.shape}"
        )
    if bias is not None:
        _check_bias(bias, weight)
    operation = fused("linear", activation, Linear, LinearReLU)
    if w.ndim == 2:
        return operation.apply(input, weight, bias)
    return squeeze(operation.apply(input, unsqueeze(weight, 0), None if bias is None else unsqueeze(bias, 0)), -1)


def _check_bias(bias: Tensor, weight: Any) -> None:
    if bias._array.shape != weight._array.shape[:-1]:
        raise ShapeError(
            f"linear: bias must have shape {weight._array.shape[:-1]}, one number for each output of weight, got "
            f"bias.shape={bias._array.shape}, weight.shape={weight._array.shape}"
        )
    if bias._array.dtype != weight._array.dtype:
        raise DTypeError(f"linear: bias is {bias.dtype} but weight is {weight.dtype}")
