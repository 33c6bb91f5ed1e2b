"""Batch normalisation: every channel shifted and scaled to mean 0 and variance 1 over the batch.

Reference: S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", ICML 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, wrap
from ..autograd.grad_mode import recording
from ..errors import DTypeError, ShapeError
from ..kernels._memory import ABSENT
from ..tracing import then
from . import buffers
from .arithmetic import add, mul
from .broadcast import sum_to
from .layout import channels_last, from_rows, prepared, rows
from .shape import reshape


class BatchNorm(Op):
    """x (N, C, ...) normalised with its own statistics: y, and the mean and s = 1/√(var + eps), both (C,), it used.

    The statistics are outputs, because the gradient reads them and, in second order, has a gradient by them.  The
    running statistics, (C,) or None, are brought up to date in place.
    """

    saves_inputs = (0, 1)
    saves_outputs = (1, 2)
    makes_fresh_gradients = True
    overwrites_gradient = True
    eps: float
    momentum: float

    def forward(self, x: np.ndarray, *vectors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        matrix = rows(x)
        M, C = matrix.shape
        with_weight, with_bias, with_running, _ = [v is not None for v in vectors]
        weight, bias, running_mean, running_var = [_vector(v, x.dtype) for v in vectors]
        run = kernels.norm.prepare(M, C, x.dtype, self.eps, self.momentum, (with_weight, with_bias), with_running)
        y, statistics = buffers.empty(matrix.shape, x.dtype), np.empty((2, C), x.dtype)
        workspace = buffers.scratch(run.workspace, x.dtype)
        result = from_rows(y, x.shape), *statistics
        run(matrix, weight, bias, workspace, y, statistics, running_mean, running_var)
        return result

    def backward(
        self,
        grad: Tensor | None,
        grad_mean: Tensor | None,
        grad_s: Tensor | None,
        x: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        s: Tensor,
    ) -> tuple[Tensor | None, ...]:
        by_x = by_weight = by_bias = None
        if grad is not None:
            by_x, by_weight, by_bias = BatchNormGrad.apply(
                _in_rows(grad), x, weight, mean, s, in_place=self.owns_gradient
            )
        if grad_mean is not None and grad_s is not None:  # BatchNormGrad gives both or none
            through = self._through_statistics(grad_mean, grad_s, x, mean, s)
            by_x = through if by_x is None else add(by_x, through)
        return by_x, by_weight if self.needs(1) else None, by_bias if self.needs(2) else None, None, None

    def _through_statistics(self, grad_mean: Tensor, grad_s: Tensor, x: Tensor, mean: Tensor, s: Tensor) -> Tensor:
        """What the gradients of the two statistics give to x: ∂mean/∂x = 1/M, ∂s/∂x = −s³·(x − mean)/M."""
        share = _channels(x) / x._array.size
        factor = _as_channel(mul(grad_s, mul(mul(s, mul(s, s)), -share)), x)
        return add(mul(factor, _centred(x, mean)), _as_channel(mul(grad_mean, share), x))


class BatchNormGrad(Op):
    """The gradients by x, weight and bias, from those by y; mean and s count as variables of their own.

    With c = x − mean, A = Σg, B = Σ g·c over the M elements of a channel:

        ∂x = weight · s · (g − A/M − s²·c·B/M),    ∂weight = s·B,    ∂bias = A

    With ``in_place``, ∂x is written over the gradient by y.
    """

    saves_inputs = (0, 1, 2, 3, 4)
    in_place: bool = False

    def forward(
        self, grad: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, s: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        grad_rows, matrix = rows(grad), rows(x)
        M, C = matrix.shape
        out = grad_rows if self.in_place else buffers.empty(matrix.shape, x.dtype)
        sums = np.empty((2, C), x.dtype)
        run = kernels.norm.prepare_grad(M, C, x.dtype, weight is not None)
        workspace = buffers.scratch(run.workspace, x.dtype)
        result = from_rows(out, x.shape), *sums
        run(grad_rows, matrix, _vector(weight, x.dtype), workspace, out, sums, prepared(mean), prepared(s))
        return result

    def backward(
        self,
        u: Tensor | None,
        v: Tensor | None,
        w: Tensor | None,
        grad: Tensor,
        x: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        s: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """The derivatives of L = Σ u·∂x + Σ v·∂weight + Σ w·∂bias, with P = Σu, Q = Σ u·c, R = Σ u·g per channel:

        L = weight·s·(R − A·P/M − s²·B·Q/M) + v·s·B + w·A.
        """
        share = _channels(x) / x._array.size
        u = wrap(np.zeros_like(x._array)) if u is None else u
        zeros = wrap(np.zeros_like(s._array))
        v, w = _as_channel(zeros if v is None else v, x), _as_channel(zeros if w is None else w, x)
        gamma = _as_channel(wrap(np.ones_like(s._array)) if weight is None else weight, x)
        s = _as_channel(s, x)
        c = _centred(x, mean)
        A, B, P, Q, R = [_channel_sum(t) for t in (grad, mul(grad, c), u, mul(u, c), mul(u, grad))]
        square = mul(mul(s, s), share)  # s²/M
        product = mul(square, mul(B, Q))
        spread = add(R, add(mul(mul(A, P), share), product), alpha=-1)  # R − A·P/M − s²·B·Q/M
        factor = mul(gamma, s)
        even = add(u, add(mul(P, share), mul(c, mul(square, Q))), alpha=-1)
        by_grad = add(mul(factor, even), add(mul(c, mul(s, v)), w))
        by_c = add(mul(grad, mul(s, v)), mul(mul(factor, square), add(mul(grad, Q), mul(u, B))), alpha=-1)
        by_s = add(mul(gamma, add(spread, product, alpha=-2)), mul(B, v))
        return (
            by_grad,
            by_c,
            _as_vector(mul(s, spread)) if weight is not None else None,
            mul(_as_vector(_channel_sum(by_c)), -1),
            _as_vector(by_s),
        )


class ScaleAndShift(Op):
    """x (N, C, ...) times scale (C,) plus shift (C,) or None."""

    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012

    def forward(self, x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
        matrix = rows(x)
        out = buffers.empty(matrix.shape, x.dtype)
        run = kernels.norm.prepare_scale(*matrix.shape, x.dtype, shift is not None)
        run(matrix, prepared(scale), _vector(shift, x.dtype), ABSENT[x.dtype], out)
        return from_rows(out, x.shape)

    def backward(self, grad: Tensor, x: Tensor | None, scale: Tensor | None) -> tuple[Tensor | None, ...]:
        return (
            None if scale is None else ScaleAndShift.apply(_in_rows(grad), scale, None),
            None if x is None else _as_vector(_channel_sum(mul(grad, x))),
            _as_vector(_channel_sum(grad)) if self.needs(2) else None,
        )


def _vector(v: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    return ABSENT[dtype] if v is None else prepared(v)


def _in_rows(x: Tensor) -> Tensor:
    """(N, C, H, W) in channels-last memory; other shapes as they are."""
    return channels_last(x) if x._array.ndim == 4 else x


def _channels(x: Tensor) -> int:
    return x._array.shape[1]


def _as_channel(v: Tensor, x: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...), to be broadcast with x."""
    return reshape(v, (1, -1) + (1,) * (x._array.ndim - 2))


def _as_vector(v: Tensor) -> Tensor:
    """(1, C, 1, ...) as (C,)."""
    return reshape(v, (-1,))


def _channel_sum(x: Tensor) -> Tensor:
    """The sum over all dimensions but the channels', which stay as dimensions of size 1."""
    return sum_to(x, (1, x._array.shape[1]) + (1,) * (x._array.ndim - 2))


def _centred(x: Tensor, mean: Tensor) -> Tensor:
    return add(x, _as_channel(mean, x), alpha=-1)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(input − mean) / √(var + eps) · weight + bias``, channel by channel.

    Args:
        input: (N, C) or (N, C, d1, ...); float32 or float64.
        running_mean, running_var: (C,), what is used while not training; while training they are moved towards the
            batch's mean and unbiased variance, in place.  None: not kept, and then needed only while not training.
        weight, bias: (C,), default ones and zeros.
        training: use the mean and (biased) variance of the batch.
        momentum: the batch's share in the running statistics.
        eps: keeps the root away from 0.

    Returns:
        A Tensor of input's shape.

    Raises:
        ShapeError: shapes that do not fit together, one value per channel while training, no running statistics
            while not training, a negative eps.
        DTypeError: not Tensors of one floating-point dtype.
    """
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check(input, vectors, eps)
    if training:
        x = input._array
        if x.size and x.size == x.shape[1]:
            raise ShapeError(
                f"batch_norm: more than one value per channel is needed in training; input.shape={x.shape}"
            )
        if not x.size:
            return ScaleAndShift.apply(input, _ones(weight, input), bias)
        running_var = running_var if running_mean is not None else None
        running_mean = running_mean if running_var is not None else None
        statistics = [None if v is None else _writable(v) for v in (running_mean, running_var)]
        y, _, _ = BatchNorm.apply(_in_rows(input), weight, bias, *statistics, eps=float(eps), momentum=float(momentum))
        for v in (running_mean, running_var):
            if v is not None:
                v._mark_written()
                then(v._mark_written)
        return y
    if running_mean is None or running_var is None:
        missing = "running_mean" if running_mean is None else "running_var"
        raise ShapeError(f"batch_norm: {missing} is None, but it is needed while not training")
    if recording.get() and any([v is not None and v.requires_grad for v in (weight, bias)]):
        s = wrap(1 / np.sqrt(running_var._array + input._array.dtype.type(eps)))
        scale = s if weight is None else mul(weight, s)
        offset = mul(scale, wrap(-running_mean._array))
        shift = offset if bias is None else add(offset, bias)
    else:
        scale, shift = map(wrap, _vectors(running_mean._array, running_var._array, weight, bias, eps))
    return ScaleAndShift.apply(_in_rows(input), scale, shift)


def _vectors(
    running_mean: np.ndarray, running_var: np.ndarray, weight: Tensor | None, bias: Tensor | None, eps: float
) -> np.ndarray:
    """Scale and shift, (2, C), with the bits that NumPy would give them, in one kernel."""
    dtype, C = running_mean.dtype, len(running_mean)
    vectors = np.empty((2, C), dtype)
    run = kernels.norm.prepare_vectors(C, dtype, float(eps), (weight is not None, bias is not None))
    weight_array, bias_array = (_vector(None if v is None else v._array, dtype) for v in (weight, bias))
    run(prepared(running_mean), prepared(running_var), weight_array, ABSENT[dtype], vectors, bias_array)
    return vectors


def count_batch(batches: Tensor) -> None:
    """One more in a Tensor of one number: how many batches the running statistics contain."""
    _add_one(batches._array)
    batches._mark_written()
    then(_add_one, batches._array)


def _add_one(number: np.ndarray) -> None:
    number.fill(number.item() + 1)  # between large kernels a fifth of the time of "+= 1"


def _ones(weight: Tensor | None, input: Tensor) -> Tensor:
    return wrap(np.ones(_channels(input), input._array.dtype)) if weight is None else weight


def _writable(v: Tensor) -> Tensor:
    """A Tensor on the memory of a running statistic, for the kernel to write to.

    Raises:
        ShapeError: its memory is not contiguous and writable.
    """
    if not v._array.flags.carray:
        raise ShapeError("batch_norm: running_mean and running_var must be contiguous and writable in training")
    return wrap(v._array)


def _check(input: Any, vectors: dict[str, Any], eps: float) -> None:
    if not isinstance(input, Tensor):
        raise DTypeError(f"batch_norm: input must be a Tensor, got {type(input).__name__}")
    x = input._array
    if x.dtype.kind != "f":
        raise DTypeError(f"batch_norm: input must be float32 or float64, got {input.dtype}")
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: input must be (N, C) or (N, C, d1, ...); input.shape={x.shape}")
    if eps < 0:
        raise ShapeError(f"batch_norm: eps must not be negative, got {eps}")
    for name, v in vectors.items():
        if v is None:
            continue
        if not isinstance(v, Tensor):
            raise DTypeError(f"batch_norm: {name} must be a Tensor or None, got {type(v).__name__}")
        if v._array.shape != (x.shape[1],):
            raise ShapeError(
                f"batch_norm: {name} must have one number for each of the {x.shape[1]} channels; "
                f"{name}.shape={v._array.shape}, input.shape={x.shape}"
            )
        if v._array.dtype != x.dtype:
            raise DTypeError(f"batch_norm: {name} is {v.dtype} but input is {input.dtype}")
