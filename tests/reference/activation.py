"""Activation functions by their formulas."""

from __future__ import annotations

import math

import numpy as np

from .arithmetic import elementwise

relu = elementwise(lambda x: x if x > 0 else 0 * x)
sigmoid = elementwise(lambda x: 1 / (1 + math.exp(-x)))
silu = elementwise(lambda x: x / (1 + math.exp(-x)))


def leaky_relu(x, negative_slope=0.01):
    return elementwise(lambda v: v if v > 0 else negative_slope * v)(x)


def softplus(x, beta=1.0, threshold=20.0):
    return elementwise(lambda v: v if beta * v > threshold else math.log(1 + math.exp(beta * v)) / beta)(x)


def softmax(x, dim):
    return np.exp(x) / np.exp(x).sum(dim, keepdims=True)


def log_softmax(x, dim):
    return np.log(softmax(x, dim))
