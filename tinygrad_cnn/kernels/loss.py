"""Cross-entropy of logits with class indices: softmax, loss and reduction in one kernel, the gradient in another.

    p[r, c] = exp(x[r, c] − max_r) / Σ_k exp(x[r, k] − max_r)
    loss[r] = Σ_c t[r, c] · (−log p[r, c]),     t[r, c] = (1 − smoothing)·weight[y]·[c = y] + smoothing/C · weight[c]
    ∂loss[r]/∂x[r, c] = p[r, c] · Σ_k t[r, k] − t[r, c]

The reduction over rows is one sequential sum in float64, so it does not depend on the number of threads.

Reference: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", Neurocomputing,
1990 (softmax); C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016 (smoothing).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._addresses import address
from ._jit import helper, kernel
from ._rows import row_exp, row_max, row_scale

NONE, SUM, MEAN = 0, 1, 2
"""The reductions: none, the sum, the sum divided by the sum of the rows' class weights."""


@kernel
def cross_entropy(x, target, weight, ignore_index, smoothing, reduction, losses, p, reduced, bad_row):
    """Write softmax, losses and their reduction.

    Args:
        x: (M, C) logits.
        target: (M,) int64, class indices.
        weight: (C,), or (0,) for ones.
        ignore_index: Rows with this target count nothing.
        smoothing: Label smoothing, from 0 to 1.
        reduction: `NONE`, `SUM` or `MEAN`.
        losses: (M,), written.
        p: (M, C), written.
        reduced: (1,), written unless the reduction is `NONE`.
        bad_row: (1,) int64, written: a row whose target is neither a class nor ``ignore_index``, or −1. Such rows are
            left out, so that the caller can look first and raise then.
    """
    M, C = x.shape
    total_weight = _total(weight, C)
    for r in prange(M):
        log_sum = _softmax_row(x, r, p)
        y = target[r]
        losses[r] = 0
        if y != ignore_index and 0 <= y < C:
            losses[r] = (1 - smoothing) * _weight(weight, y) * (log_sum - x[r, y])
            if smoothing > 0:
                spread = total_weight * log_sum
                for c in range(C):
                    spread -= _weight(weight, c) * x[r, c]
                losses[r] += smoothing / C * spread
    bad_row[0] = -1
    total = 0.0
    for r in range(M):
        y = target[r]
        total += losses[r]
        if y != ignore_index and not 0 <= y < C:
            bad_row[0] = r
    if reduction != NONE:
        reduced[0] = total / _divisor(target, weight, ignore_index, C) if reduction == MEAN else total


@helper
def _softmax_row(x, r, p):
    """Write softmax of row r; returns log Σ exp(x)."""
    C = x.shape[1]
    start, target = address(x) + r * C * x.itemsize, address(p) + r * C * p.itemsize
    number = x.dtype.type
    top = row_max(start, C, number(0))
    total = row_exp(start, top, target, C)
    row_scale(target, number(1 / total), target, C)
    return top + np.log(total)


@helper
def _weight(weight, c):
    return weight[c] if weight.size else weight.dtype.type(1)


@helper
def _total(weight, C):
    """The sum of all class weights."""
    total = 0.0
    for c in range(C):
        total += _weight(weight, c)
    return total


@helper
def _divisor(target, weight, ignore_index, C):
    """The sum of the class weights of all rows that count."""
    total = 0.0
    for r in range(target.size):
        y = target[r]
        if y != ignore_index and 0 <= y < C:
            total += _weight(weight, y)
    return total


@kernel
def cross_entropy_grad(grad, p, target, weight, ignore_index, smoothing, reduction, out):
    """Write the gradient by the logits.

    Args:
        grad: (M,) for the reduction `NONE`, else (1,).
        p: (M, C), softmax of the logits.
        target, weight, ignore_index, smoothing, reduction: As in `cross_entropy`.
        out: (M, C), written; 0 in rows that don't count.
    """
    M, C = p.shape
    number = p.dtype.type
    scale = 1 / _divisor(target, weight, ignore_index, C) if reduction == MEAN else 1.0
    spread = smoothing / C
    total_weight = _total(weight, C)
    for r in prange(M):
        y = target[r]
        if y == ignore_index:
            for c in range(C):
                out[r, c] = 0
            continue
        factor = scale * (grad[r] if reduction == NONE else grad[0])
        on_target = (1 - smoothing) * _weight(weight, y)
        whole = number(factor * (on_target + spread * total_weight))
        row_scale(address(p) + r * C * p.itemsize, whole, address(out) + r * C * p.itemsize, C)
        if smoothing > 0:
            share = number(factor * spread)
            for c in range(C):
                out[r, c] -= share * _weight(weight, c)
        out[r, y] -= number(factor * on_target)
