"""Losses: how far a prediction is from what it should be, as one number to minimise."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import DTypeError, GraphError, ShapeError
from .activation import log_softmax
from .arithmetic import add, mul, sub
from .broadcast import sum_to
from .cross_entropy import CrossEntropy, NLLLoss, bad_label, class_dim, class_sum
from .elementwise import abs as absolute
from .reduction import mean
from .reduction import sum as total
from .shape import squeeze, unsqueeze

_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}  # the numbers that kernels.loss gives them


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
    x, t = input._array, target._array
    if t.shape != x.shape or t.dtype != x.dtype:
        raise ShapeError(
            f"cross_entropy: target must be class indices (int64) or probabilities of input's shape and dtype, got "
            f"{target.dtype}; input.shape={x.shape}, target.shape={t.shape}"
        )
    dim = class_dim(input)
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / x.shape[dim])
    product = mul(log_softmax(input, dim), target)
    if weight is not None:
        for _ in range(x.ndim - dim - 1):
            weight = unsqueeze(weight, -1)
        product = mul(product, weight)
    if reduction == 0:
        return mul(squeeze(class_sum(product), dim), -1)
    count = x.size // x.shape[dim] if reduction == 2 else 1
    return mul(sum_to(product, ()), -1 / count if count else float("nan"))


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
    C, labels = input._array.shape[class_dim(input)], target._array
    bad = labels[(labels != ignore_index) & ((labels < 0) | (labels >= C))]
    if bad.size:
        raise bad_label("nll_loss", int(bad[0]), C, ignore_index)
    return NLLLoss.apply(input, target, weight, ignore_index=ignore_index, reduction=number)


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference, ``(input − target)²``.

    Args:
        input, target: broadcastable shapes, normally equal ones; floating-point dtypes.
        reduction: "mean" over all elements, "sum", or "none".

    Returns:
        A scalar, or a Tensor of the broadcast shape for "none".

    Raises:
        ShapeError: shapes that cannot be broadcast together, an unknown reduction.
        DTypeError: not Tensors.
    """
    difference = _difference("mse_loss", input, target, reduction)
    return _reduced(mul(difference, difference), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute difference, ``|input − target|``; arguments, result and errors as ``mse_loss``."""
    return _reduced(absolute(_difference("l1_loss", input, target, reduction)), reduction)


def _difference(name: str, input: Any, target: Any, reduction: Any) -> Tensor:
    for argument, value in (("input", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise DTypeError(f"{name}: {argument} must be a Tensor, got {type(value).__name__}")
    _reduction_number(name, reduction)
    difference = sub(input, target)
    if input._array.shape != target._array.shape:
        warnings.warn(
            f"{name}: input.shape={input._array.shape} and target.shape={target._array.shape} are broadcast together; "
            "this is rarely what is meant",
            stacklevel=3,
        )
    return difference


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return losses if reduction == "none" else mean(losses) if reduction == "mean" else total(losses)


def _reduction_number(name: str, reduction: Any) -> int:
    if reduction not in _REDUCTIONS:
        raise ShapeError(f"{name}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return _REDUCTIONS[reduction]


def _check_loss(name: str, input: Any, target: Any, weight: Any, reduction: Any) -> int:
    """The reduction's number, after checks that hold for every kind of target."""
    for argument, value in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(value, Tensor) and not (value is None and argument == "weight"):
            raise DTypeError(f"{name}: {argument} must be a Tensor, got {type(value).__name__}")
    number = _reduction_number(name, reduction)
    x = input._array
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: input must be float32 or float64, got {input.dtype}")
    if not x.ndim or not x.shape[class_dim(input)]:
        raise ShapeError(f"{name}: input must have a dimension of classes, at least one; input.shape={x.shape}")
    if weight is not None:
        C = x.shape[class_dim(input)]
        if weight._array.shape != (C,):
            raise ShapeError(
                f"{name}: weight must have one number for each of the {C} classes, got {weight._array.shape}"
            )
        if weight._array.dtype != x.dtype:
            raise DTypeError(f"{name}: weight is {weight.dtype} but input is {input.dtype}")
    return number


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
