"""Losses, element by element."""

from __future__ import annotations

import itertools

import numpy as np


def reduced(losses, weights, reduction):
    if reduction == "none":
        return losses
    return losses.sum() / (weights.sum() if reduction == "mean" else 1)


def with_classes_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim > 1 else x


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    x, weight = with_classes_last(x), np.ones(x.shape[0 if x.ndim == 1 else 1]) if weight is None else weight
    losses, weights = np.zeros(target.shape), np.zeros(target.shape)
    for place in itertools.product(*map(range, target.shape)):
        y = target[place]
        if y != ignore_index:
            losses[place], weights[place] = -weight[y] * x[place][y], weight[y]
    return reduced(losses, weights, reduction)


def log_softmax(row):
    return row - np.log(np.exp(row).sum())


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    x = with_classes_last(x)
    C = x.shape[-1]
    weight = np.ones(C) if weight is None else weight
    soft = target.dtype.kind == "f"
    shape = x.shape[:-1]
    target = with_classes_last(target) if soft else target
    losses, weights = np.zeros(shape), np.zeros(shape)
    for place in itertools.product(*map(range, shape)):
        if soft:
            wanted, weights[place] = target[place], 1.0
        else:
            y = target[place]
            if y == ignore_index:
                continue
            wanted, weights[place] = np.eye(C)[y], weight[y]
        wanted = (1 - label_smoothing) * wanted + label_smoothing / C
        losses[place] = -(weight * wanted * log_softmax(x[place])).sum()
    return reduced(losses, weights, reduction)


def mse_loss(input, target, reduction="mean"):
    return reduced((input - target) ** 2, np.ones(input.shape), reduction)


def l1_loss(input, target, reduction="mean"):
    return reduced(abs(input - target), np.ones(input.shape), reduction)
