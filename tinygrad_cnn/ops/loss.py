"""Losses: how far a prediction is from what it should be, as one number to minimise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Op, Tensor, wrap
from ..errors import DimError, DTypeError, GraphError, ShapeError
from ..kernels._memory import ABSENT
from . import arithmetic, buffers
from .broadcast import sum_to
from .layout import from_rows, prepared, rows
from .shape import squeeze, unsqueeze

_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}  # the numbers that kernels.loss gives them


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
        weight = ABSENT[x.dtype] if weight is None else prepared(weight)
        settings = (self.ignore_index, self.smoothing, self.reduction)
        kernels.loss.cross_entropy.run(matrix.size * 10, matrix, labels, weight, *settings, losses, p, reduced, bad_row)
        if bad_row[0] >= 0:
            raise _bad_label("cross_entropy", labels[bad_row[0]], matrix.shape[1], self.ignore_index)
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
            through = arithmetic.add(product, arithmetic.mul(p, _class_sum(product)), alpha=-1)
            result = through if result is None else arithmetic.add(result, through)
        return result, None, None


class CrossEntropyGrad(Op):
    """The gradient by the logits from that of the loss and from softmax, in which it is linear."""

    saves_inputs = (0, 1, 2, 3)
    ignore_index: int
    smoothing: float
    reduction: int

    def forward(self, grad: np.ndarray, p: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        matrix, labels = rows(p), prepared(target).reshape(-1)
        out = buffers.empty(matrix.shape, p.dtype)
        weight = ABSENT[p.dtype] if weight is None else prepared(weight)
        settings = (self.ignore_index, self.smoothing, self.reduction)
        grad = prepared(grad).reshape(-1)
        kernels.loss.cross_entropy_grad.run(matrix.size * 2, grad, matrix, labels, weight, *settings, out)
        return from_rows(out, p.shape)

    def backward(
        self, upstream: Tensor, grad: Tensor, p: Tensor, target: Tensor, weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        settings = {"ignore_index": self.ignore_index, "smoothing": self.smoothing, "reduction": self.reduction}
        by_grad = by_p = None
        if self.needs(0):
            unit = CrossEntropyGrad.apply(wrap(np.ones_like(grad._array)), p, target, weight, **settings)
            product = arithmetic.mul(upstream, unit)
            by_grad = sum_to(product, ()) if self.reduction else squeeze(_class_sum(product), _class_dim(p))
        if self.needs(1):
            factor = wrap(self._factor(target._array, None if weight is None else weight._array, p._array))
            if not self.reduction:
                grad = unsqueeze(grad, _class_dim(p))
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


def _class_dim(x: Tensor) -> int:
    return 0 if x._array.ndim == 1 else 1


def _class_sum(x: Tensor) -> Tensor:
    """Summed over the classes, which stay as a dimension of size 1."""
    shape = list(x._array.shape)
    shape[_class_dim(x)] = 1
    return sum_to(x, tuple(shape))


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """How surprised softmax(input) is by the target: −log of the probability that it gave to the right class.

    Args:
        input: (N, C), (C,) or (N, C, d1, ...) logits; float32 or float64.
        target: class indices from 0 to C − 1, int64 or uint8, of input's shape without C; or probabilities of
            input's shape and dtype.
        weight: (C,), a factor for each class; default ones.
        ignore_index: a class index that counts nothing.
        reduction: "mean" over the elements that count, weighted by ``weight`` (for probabilities: over all but the
            class dimension), "sum", or "none".
        label_smoothing: this part of the target, from 0 to 1, is spread evenly over the classes.  Default 0.

    Returns:
        A scalar, or a Tensor of input's shape without C for "none"; NaN where the mean has nothing to count.

    Raises:
        ShapeError: shapes that do not fit together, an unknown reduction, a smoothing outside [0, 1].
        DTypeError: dtypes other than those above.
        DimError: a class index outside 0 to C − 1.
        GraphError: weight requires grad and target is indices, as in PyTorch.
    """
    if not 0 <= label_smoothing <= 1:
        raise ShapeError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    number = _check_loss("cross_entropy", input, target, weight, reduction)
    if target._array.dtype.kind == "f":
        return _soft_cross_entropy(input, target, weight, number, label_smoothing)
    target = _check_labels("cross_entropy", input, target, weight)
    loss, _ = CrossEntropy.apply(
        input, target, weight, ignore_index=ignore_index, smoothing=float(label_smoothing), reduction=number
    )
    return loss


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: int, smoothing: float
) -> Tensor:
    """Cross-entropy with a distribution over the classes per element."""
    from .activation import log_softmax

    x, t = input._array, target._array
    if t.shape != x.shape or t.dtype != x.dtype:
        raise ShapeError(
            f"cross_entropy: target must be class indices (int64) or probabilities of input's shape and dtype, got "
            f"{target.dtype}; input.shape={x.shape}, target.shape={t.shape}"
        )
    dim = _class_dim(input)
    if smoothing:
        target = arithmetic.add(arithmetic.mul(target, 1 - smoothing), smoothing / x.shape[dim])
    product = arithmetic.mul(log_softmax(input, dim), target)
    if weight is not None:
        for _ in range(x.ndim - dim - 1):
            weight = unsqueeze(weight, -1)
        product = arithmetic.mul(product, weight)
    if reduction == 0:
        return arithmetic.mul(squeeze(_class_sum(product), dim), -1)
    count = x.size // x.shape[dim] if reduction == 2 else 1
    return arithmetic.mul(sum_to(product, ()), -1 / count if count else float("nan"))


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The negative of the given log-probability of the right class; ``cross_entropy`` is this after log_softmax.

    Args:
        input: (N, C), (C,) or (N, C, d1, ...) log-probabilities; float32 or float64.
        target: class indices from 0 to C − 1, int64 or uint8, of input's shape without C.
        weight: (C,), a factor for each class; default ones.
        ignore_index: a class index that counts nothing.
        reduction: "mean" over the elements that count, weighted by ``weight``, "sum", or "none".

    Returns:
        A scalar, or a Tensor of target's shape for "none"; NaN where the mean has nothing to count.

    Raises:
        ShapeError, DTypeError, DimError, GraphError: as ``cross_entropy``.
    """
    number = _check_loss("nll_loss", input, target, weight, reduction)
    target = _check_labels("nll_loss", input, target, weight)
    C, labels = input._array.shape[_class_dim(input)], target._array
    bad = labels[(labels != ignore_index) & ((labels < 0) | (labels >= C))]
    if bad.size:
        raise _bad_label("nll_loss", bad[0], C, ignore_index)
    return NLLLoss.apply(input, target, weight, ignore_index=ignore_index, reduction=number)


def _check_loss(name: str, input: Any, target: Any, weight: Any, reduction: Any) -> int:
    """The reduction's number, after checks that hold for every kind of target."""
    for argument, value in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(value, Tensor) and not (value is None and argument == "weight"):
            raise DTypeError(f"{name}: {argument} must be a Tensor, got {type(value).__name__}")
    if reduction not in _REDUCTIONS:
        raise ShapeError(f"{name}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    x = input._array
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: input must be float32 or float64, got {input.dtype}")
    if not x.ndim or not x.shape[_class_dim(input)]:
        raise ShapeError(f"{name}: input must have a dimension of classes, at least one; input.shape={x.shape}")
    if weight is not None:
        C = x.shape[_class_dim(input)]
        if weight._array.shape != (C,):
            raise ShapeError(
                f"{name}: weight must have one number for each of the {C} classes, got {weight._array.shape}"
            )
        if weight._array.dtype != x.dtype:
            raise DTypeError(f"{name}: weight is {weight.dtype} but input is {input.dtype}")
    return _REDUCTIONS[reduction]


def _check_labels(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The class indices as int64, after checks of dtype and shape."""
    x, t = input._array, target._array
    if t.dtype != np.int64:
        if t.dtype != np.uint8:
            raise DTypeError(f"{name}: target must be int64 or uint8 class indices, got {target.dtype}")
        target = wrap(t.astype(np.int64))
    if t.shape != x.shape[:1] + x.shape[2:] and not (x.ndim == 1 and t.ndim == 0):
        raise ShapeError(
            f"{name}: target must have input's shape without the classes, {x.shape[:1] + x.shape[2:]}; "
            f"input.shape={x.shape}, target.shape={t.shape}"
        )
    if weight is not None and weight.requires_grad:
        raise GraphError(f"{name}: weight requires grad, but the loss is not differentiable by the class weights")
    return target


def _bad_label(name: str, label: Any, classes: int, ignore_index: int) -> DimError:
    return DimError(
        f"{name}: target contains {int(label)}, but input has {classes} classes, 0 to {classes - 1} "
        f"(ignore_index={ignore_index})"
    )
