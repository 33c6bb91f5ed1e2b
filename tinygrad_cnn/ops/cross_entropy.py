"""Cross-entropy and negative log-likelihood with class indices, as operations that are each other's derivatives."""

from __future__ import annotations

import functools

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, wrap
from ..errors import DimError
from ..kernels._memory import ABSENT
from ..tracing import then
from . import arithmetic, buffers
from .broadcast import sum_to
from .layout import from_rows, prepared, rows
from .shape import squeeze, unsqueeze


class CrossEntropy(Op):
    """logits (N, C, d1, ...) and class indices (N, d1, ...): the loss, and the softmax that its gradient needs.

    Softmax is an output and not a hidden intermediate: in second order it has a gradient of its own.
    """

    saves_inputs = (1, 2)
    saves_outputs = (1,)
    makes_fresh_gradients = True
    ignore_index: int
    smoothing: float
    reduction: int

    def forward(self, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        matrix, labels = rows(x), prepared(target).reshape(-1)
        p = buffers.empty(matrix.shape, x.dtype)
        losses = np.empty(len(matrix), x.dtype)
        reduced = np.empty(1, x.dtype)
        bad_row = np.empty(1, np.int64)
        _run(self, "forward", matrix, labels, weight, p, losses, reduced, bad_row)
        check = functools.partial(_check_labels, matrix.shape[1], self.ignore_index)
        check(labels, bad_row)
        then(check, labels, bad_row)
        loss = losses.reshape(target.shape) if self.reduction == 0 else reduced.reshape(())
        return loss, from_rows(p, x.shape)

    def backward(
        self, grad: Tensor | None, grad_p: Tensor | None, target: Tensor, weight: Tensor | None, p: Tensor
    ) -> tuple[Tensor | None, ...]:
        result = None
        if grad is not None:
            result = CrossEntropyGrad.apply(
                grad,
                p,
                target,
                weight,
                ignore_index=self.ignore_index,
                smoothing=self.smoothing,
                reduction=self.reduction,
            )
        if grad_p is not None:  # through softmax: p·(grad_p − Σ grad_p·p)
            product = arithmetic.mul(grad_p, p)
            through = arithmetic.add(product, arithmetic.mul(p, class_sum(product)), alpha=-1)
            result = through if result is None else arithmetic.add(result, through)
        return result, None, None


def _check_labels(classes: int, ignore_index: int, labels: np.ndarray, bad_row: np.ndarray) -> None:
    """Raise if the kernel found a label that is no class: the first one's index is in ``bad_row`` (1,), or -1."""
    if bad_row[0] >= 0:
        raise bad_label("cross_entropy", int(labels[bad_row[0]]), classes, ignore_index)


class CrossEntropyGrad(Op):
    """The gradient by the logits from that of the loss and from softmax, in which it is linear."""

    saves_inputs = (0, 1, 2, 3)
    ignore_index: int
    smoothing: float
    reduction: int

    def forward(self, grad: np.ndarray, p: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        matrix, labels = rows(p), prepared(target).reshape(-1)
        out = buffers.empty(matrix.shape, p.dtype)
        _run(self, "input_grad", matrix, labels, weight, out, prepared(grad).reshape(-1))
        return from_rows(out, p.shape)

    def backward(
        self, upstream: Tensor, grad: Tensor, p: Tensor, target: Tensor, weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        settings = {"ignore_index": self.ignore_index, "smoothing": self.smoothing, "reduction": self.reduction}
        by_grad = by_p = None
        if self.needs(0):
            unit = CrossEntropyGrad.apply(wrap(np.ones_like(grad._array)), p, target, weight, **settings)
            product = arithmetic.mul(upstream, unit)
            by_grad = sum_to(product, ()) if self.reduction else squeeze(class_sum(product), class_dim(p))
        if self.needs(1):
            factor = wrap(self._factor(target._array, None if weight is None else weight._array, p._array))
            if not self.reduction:
                grad = unsqueeze(grad, class_dim(p))
            by_p = arithmetic.mul(upstream, arithmetic.mul(factor, grad))
        return by_grad, by_p, None, None

    def _factor(self, target: np.ndarray, weight: np.ndarray | None, p: np.ndarray) -> np.ndarray:
        """∂out/∂p at an upstream gradient of 1, with a dimension of size 1 for the classes."""
        axis = 0 if p.ndim == 1 else 1
        C = p.shape[axis]
        weight = np.ones(C, p.dtype) if weight is None else weight
        counts = target != self.ignore_index
        chosen = np.where(counts, weight[np.where(counts, target, 0)], 0)
        factor = (1 - self.smoothing) * chosen + counts * (self.smoothing / C * weight.sum())
        if self.reduction == 2:
            factor = factor / chosen.sum()
        return np.expand_dims(factor.astype(p.dtype), axis)


def _run(
    op: CrossEntropy | CrossEntropyGrad,
    kind: str,
    matrix: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    *results: np.ndarray,
) -> None:
    """Call the kernel of this kind with the settings of an operation."""
    settings = (op.ignore_index, op.smoothing, op.reduction)
    run = kernels.loss.prepare(kind, matrix.shape, matrix.dtype, *settings, weight is not None)
    none = ABSENT[matrix.dtype]
    run(matrix, labels, none if weight is None else prepared(weight), none, *results)


class NLLLoss(Op):
    """log-probabilities x (N, C, d1, ...) at the class indices (N, d1, ...), times −weight; linear in x."""

    saves_inputs = (1, 2)
    makes_fresh_gradients = True
    ignore_index: int
    reduction: int

    def forward(self, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        axis = 0 if x.ndim == 1 else 1
        index, factor = _chosen(target, weight, self.ignore_index, self.reduction, x.dtype)
        picked = np.take_along_axis(x, np.expand_dims(index, axis), axis).squeeze(axis)
        losses = np.where(target != self.ignore_index, -factor * picked, x.dtype.type(0))
        return np.asarray(losses.sum() if self.reduction else losses)

    def backward(self, grad: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor | None, ...]:
        shape = self.input_shape(0)
        return (
            NLLLossGrad.apply(
                grad, target, weight, ignore_index=self.ignore_index, reduction=self.reduction, shape=shape
            ),
            None,
            None,
        )


class NLLLossGrad(Op):
    """The gradient by the log-probabilities, of this shape: NLLLoss's adjoint."""

    saves_inputs = (1, 2)
    makes_fresh_gradients = True
    ignore_index: int
    reduction: int
    shape: tuple[int, ...]

    def forward(self, grad: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        axis = 0 if len(self.shape) == 1 else 1
        index, factor = _chosen(target, weight, self.ignore_index, self.reduction, grad.dtype)
        values = np.where(target != self.ignore_index, -factor * grad, grad.dtype.type(0))
        out = np.zeros(self.shape, grad.dtype)
        np.put_along_axis(out, np.expand_dims(index, axis), np.expand_dims(values, axis), axis)
        return out

    def backward(self, x: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor | None, ...]:
        loss = NLLLoss.apply(x, target, weight, ignore_index=self.ignore_index, reduction=self.reduction)
        return loss, None, None


def _chosen(
    target: np.ndarray, weight: np.ndarray | None, ignore_index: int, reduction: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Per target: an index to read at (0 where it is ignored), and the weight over what the mean divides by."""
    counts = target != ignore_index
    index = np.where(counts, target, 0)
    factor = counts.astype(dtype) if weight is None else np.where(counts, weight[index], dtype.type(0))
    if reduction == 2:
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing counts: the mean of nothing is NaN
            return index, np.asarray(factor / factor.sum())
    return index, factor


def class_dim(x: Tensor) -> int:
    return 0 if x._array.ndim == 1 else 1


def class_sum(x: Tensor) -> Tensor:
    """Summed over the classes, which stay as a dimension of size 1."""
    shape = list(x._array.shape)
    shape[class_dim(x)] = 1
    return sum_to(x, tuple(shape))


def bad_label(name: str, label: int, classes: int, ignore_index: int) -> DimError:
    return DimError(
        f"{name}: target contains {label}, but input has {classes} classes, 0 to {classes - 1} "
        f"(ignore_index={ignore_index})"
    )
