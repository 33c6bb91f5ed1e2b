"""Cross-entropy of logits with class indices: softmax, loss and reduction in one kernel, the gradient in another.

    p[r, c] = exp(x[r, c] − max_r) / Σ_k exp(x[r, k] − max_r)
    loss[r] = Σ_c t[r, c] · (−log p[r, c]),     t[r, c] = (1 − smoothing)·weight[y]·[c = y] + smoothing/C · weight[c]
    ∂loss[r]/∂x[r, c] = p[r, c] · Σ_k t[r, k] − t[r, c]

The reduction over rows is one sequential sum in float64, so it does not depend on the number of threads.

Reference: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", Neurocomputing,
1990 (softmax); C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016 (smoothing).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._addresses import cast, elements, get, get_real, put, size_of
from ._jit import get_num_threads, helper
from ._rows import row_exp, row_max, row_scale
from ._tasks import FIRST, NOWHERE, At, Program, Stage, portion, task_kernel

NONE, SUM, MEAN = 0, 1, 2
"""The reductions: none, the sum, the sum divided by the sum of the rows' class weights."""


def prepare(
    kind: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    ignore_index: int,
    smoothing: float,
    reduction: int,
    with_weight: bool,
) -> Program:
    """What runs on as many threads as there are now.

    Args:
        kind: "forward" or "input_grad".
        shape: (M, C), of the logits.
        dtype: float32 or float64, of all arrays that are not said to be of int64.
        ignore_index: Rows with this target count nothing.
        smoothing: Label smoothing, from 0 to 1.
        reduction: `NONE`, `SUM` or `MEAN`.
        with_weight: Whether there are class weights; else they are ones.

    Returns:
        "forward": ``run(x, target, weight, none, p, losses, reduced, bad_row)`` reads ``x (M, C)``, ``target (M,)``,
        int64 class indices, and ``weight (C,)``, and writes softmax to ``p (M, C)``, ``losses (M,)``, their reduction
        to ``reduced (1,)``, unless it is `NONE`, and to ``bad_row (1,)``, int64, a row whose target is neither a class
        nor ``ignore_index``, or −1. Such rows are left out, so that the caller can look first and raise then.
        "input_grad": ``run(p, target, weight, none, out, grad)`` writes the gradient by the logits to ``out (M, C)``, 0
        in rows that don't count; ``grad`` is (M,) for the reduction `NONE`, else (1,).
    """
    return _prepare(kind, shape, dtype, ignore_index, float(smoothing), reduction, with_weight, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(
    kind: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    ignore_index: int,
    smoothing: float,
    reduction: int,
    with_weight: bool,
    threads: int,
) -> Program:
    M, C = shape
    numbers = (M, C, ignore_index, reduction, smoothing)
    weight = At(2) if with_weight else NOWHERE
    if kind == "forward":
        x, target, _, _, p, losses, reduced, bad_row = map(At, range(8))
        stages = (
            Stage(softmax_and_losses, 6 * M * C, (x, weight, p, losses, target), (), numbers),
            Stage(reduce_losses, 0, (losses, weight, reduced, target, bad_row), (), numbers),
        )
        return Program(dtype, threads, stages, 0, tuple(place.operand for place in (p, losses, reduced, bad_row)))
    p, target, _, _, out, grad = map(At, range(6))
    stage = Stage(logit_grads, 2 * M * C, (p, weight, out, grad, target), (), numbers)
    return Program(dtype, threads, [stage], 0, (out.operand,))


ROWS, CLASSES, IGNORED, REDUCTION, SMOOTHING = range(8 * FIRST, 8 * (FIRST + 5), 8)
"""Where the numbers of the task kernels lie."""


@task_kernel
def softmax_and_losses(worker, workers, numbers, zero):
    """Write softmax and loss of every row. Workers share the rows.

    Floats: ``x (M, C)``; ``weight (C,)`` or absent; ``p (M, C)`` and ``losses (M,)``, written; ``target (M,)``, int64.
    Numbers: M, C, ignore_index, reduction, smoothing.
    """
    C, smoothing, weight = get(numbers + CLASSES), get_real(numbers + SMOOTHING), get(numbers + 8)
    total_weight = _total(weight, C, zero)
    for r in range(*portion(worker, workers, get(numbers + ROWS))):
        row = get(numbers) + r * C * size_of(zero)
        log_sum = _softmax(row, get(numbers + 16) + r * C * size_of(zero), C, zero)
        x, loss = elements(row, 0, C, zero), 0.0
        y = get(get(numbers + 32) + 8 * r)
        if _counts(y, numbers):
            loss = (1 - smoothing) * _weight(weight, y, zero) * (log_sum - x[y])
            if smoothing > 0:
                spread = total_weight * log_sum
                for c in range(C):
                    spread -= _weight(weight, c, zero) * x[c]
                loss += smoothing / C * spread
        elements(get(numbers + 24), r, 1, zero)[0] = loss


@task_kernel
def reduce_losses(worker, workers, numbers, zero):
    """Add up the losses, and look for targets that are no classes. One worker does it all.

    Floats: ``losses (M,)``; ``weight (C,)`` or absent; ``reduced (1,)``, written unless the reduction is `NONE`;
    ``target (M,)``, int64; ``bad_row (1,)``, int64, written.
    Numbers: M, C, ignore_index, reduction, smoothing.
    """
    if worker:
        return
    losses, bad_row, reduction = elements(get(numbers), 0, get(numbers + ROWS), zero), -1, get(numbers + REDUCTION)
    total = 0.0
    for r in range(losses.size):
        y = get(get(numbers + 24) + 8 * r)
        total += losses[r]
        if y != get(numbers + IGNORED) and not _counts(y, numbers):
            bad_row = r
    put(get(numbers + 32), bad_row)
    if reduction == MEAN:
        total /= _divisor(get(numbers + 24), get(numbers + 8), numbers, zero)
    if reduction != NONE:
        elements(get(numbers + 16), 0, 1, zero)[0] = total


@task_kernel
def logit_grads(worker, workers, numbers, zero):
    """Write the gradient by the logits. Workers share the rows.

    Floats: ``p (M, C)``; ``weight (C,)`` or absent; ``out (M, C)``, written; ``grad (M,)`` or ``(1,)``; ``target
    (M,)``, int64.
    Numbers: M, C, ignore_index, reduction, smoothing.
    """
    C, smoothing, weight = get(numbers + CLASSES), get_real(numbers + SMOOTHING), get(numbers + 8)
    reduction, grads, targets = get(numbers + REDUCTION), get(numbers + 24), get(numbers + 32)
    scale = 1 / _divisor(targets, weight, numbers, zero) if reduction == MEAN else 1.0
    spread, total_weight = smoothing / C, _total(weight, C, zero)
    for r in range(*portion(worker, workers, get(numbers + ROWS))):
        place = r * C * size_of(zero)
        out = elements(get(numbers + 16) + place, 0, C, zero)
        y = get(targets + 8 * r)
        if not _counts(y, numbers):
            out[:] = 0
            continue
        factor = scale * elements(grads, r if reduction == NONE else 0, 1, zero)[0]
        on_target = (1 - smoothing) * _weight(weight, y, zero)
        whole = cast(factor * (on_target + spread * total_weight), zero)
        row_scale(get(numbers) + place, whole, get(numbers + 16) + place, C)
        if smoothing > 0:
            share = cast(factor * spread, zero)
            for c in range(C):
                out[c] -= share * _weight(weight, c, zero)
        out[y] -= cast(factor * on_target, zero)


@helper
def _counts(y, numbers):
    """Whether a target is a class that is not ignored."""
    return y != get(numbers + IGNORED) and 0 <= y < get(numbers + CLASSES)


@helper
def _softmax(row, out, C, zero):
    """Write softmax of a row; returns log Σ exp(x)."""
    top = row_max(row, C, zero)
    total = row_exp(row, top, out, C)
    row_scale(out, cast(1 / total, zero), out, C)
    return top + np.log(total)


@helper
def _weight(weight, c, zero):
    """The class weight, 1 where there are none."""
    return np.float64(elements(weight, c, 1, zero)[0]) if weight else 1.0


@helper
def _total(weight, C, zero):
    """The sum of all class weights."""
    total = 0.0
    for c in range(C):
        total += _weight(weight, c, zero)
    return total


@helper
def _divisor(targets, weight, numbers, zero):
    """The sum of the class weights of all rows that count."""
    total = 0.0
    for r in range(get(numbers + ROWS)):
        y = get(targets + 8 * r)
        if _counts(y, numbers):
            total += _weight(weight, y, zero)
    return total
