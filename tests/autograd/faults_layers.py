"""Faults of activations, pooling, normalisation, losses, dropout and indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.autograd import Op, Tensor, wrap
from tinygrad_cnn.ops import activation, cross_entropy, dropout, gathering, joining, norm, pooling

from .planting import (
    Fault,
    altered,
    constant,
    element,
    labelled,
    normalised,
    normals,
    single_precision,
    spaced,
    with_arguments,
    with_tensor,
)


def ones(self: Op, grad: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    """The upstream gradient ignored."""
    return (wrap(np.ones_like(grad._array)), *saved)


def not_a_number(gradient: np.ndarray) -> np.ndarray:
    gradient.reshape(-1)[1] = np.nan
    return gradient


def log_softmax_without_sum(self: activation.LogSoftmax, grad: Tensor, out: Tensor) -> tuple[Tensor]:
    return (grad - out.exp(),)


ACTIVATIONS = [
    Fault(
        "sigmoid: upstream gradient ignored",
        activation.Sigmoid,
        with_arguments(activation.Sigmoid, ones),
        tg.sigmoid,
        normals((2, 3)),
        "the upstream gradient is ignored",
    ),
    Fault(
        "sigmoid: NaN at one element",
        activation.Sigmoid,
        altered(activation.Sigmoid, 0, not_a_number),
        tg.sigmoid,
        normals((2, 3)),
        "values that are not finite",
    ),
    Fault(
        "sigmoid: gradient in single precision",
        activation.Sigmoid,
        altered(activation.Sigmoid, 0, single_precision),
        tg.sigmoid,
        normals((2, 3)),
        "rounding: .*single precision",
    ),
    Fault(
        "sigmoid: saved output taken for a constant in the second derivative",
        activation.Sigmoid,
        with_arguments(activation.Sigmoid, lambda self, grad, out: (grad, constant(out))),
        tg.sigmoid,
        normals((2, 3)),
        r"inputs\[0\].*\n.*missing term: no gradient reaches this input",
        order=2,
    ),
    Fault(
        "relu: gradient also where the output is 0",
        activation.ReLUGrad,
        lambda self, grad, out: np.where(out < 0, 0.0, grad),
        tg.relu,
        spaced(2, 5),
        "extra term: .*there it should be 0",
        method="forward",
    ),
    Fault(
        "softmax: cross term dropped",
        activation.Softmax,
        lambda self, grad, out: (grad * out,),
        lambda x: tg.softmax(x, 1),
        normals((2, 4)),
        r"inputs\[0\]",
    ),
    Fault(
        "softmax: one element off by 0.01 %",
        activation.Softmax,
        altered(activation.Softmax, 0, element(1.0001)),
        lambda x: tg.softmax(x, 1),
        normals((2, 4)),
        r"only 1 of 8 elements are wrong, by a factor of 1\.0001",
    ),
    Fault(
        "log_softmax: sum over the upstream gradient forgotten",
        activation.LogSoftmax,
        log_softmax_without_sum,
        lambda x: tg.log_softmax(x, 1),
        normals((2, 4)),
        "upstream gradient is not used linearly",
    ),
]


# ---------------------------------------------------------------------- pooling


def next_place(self: pooling.MaxPoolGrad, grad: np.ndarray, places: np.ndarray) -> np.ndarray:
    KH, KW = self.window.size
    return RIGHT_MAX_POOL_GRAD(self, grad, (places + 1) % (KH * KW))


def overwritten(self: pooling.MaxPoolGrad, grad: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A pixel that won several windows gets the gradient of the last one only."""
    N, C = grad.shape[:2]
    out = np.zeros((N, C, self.size[0] * self.size[1]))
    index = pooling._indices(places, self.window, self.size)
    np.put_along_axis(out, index.reshape(N, C, -1), grad.reshape(N, C, -1), 2)
    return out.reshape(N, C, *self.size)


RIGHT_MAX_POOL_GRAD = pooling.MaxPoolGrad.forward


POOLING = [
    Fault(
        "max_pool2d: gradient to the wrong one of the window",
        pooling.MaxPoolGrad,
        next_place,
        lambda x: F.max_pool2d(x, 2),
        spaced(1, 2, 4, 4),
        "permuted: .* right values in the wrong places",
        method="forward",
    ),
    Fault(
        "max_pool2d: overlapping windows overwrite each other",
        pooling.MaxPoolGrad,
        overwritten,
        lambda x: F.max_pool2d(x, 3, stride=1),
        spaced(1, 2, 6, 6),
        r"inputs\[0\]",
        method="forward",
    ),
    Fault(
        "max_pool2d: wrong place only in the second derivative",
        pooling.MaxPoolGrad,
        altered(pooling.MaxPoolGrad, 0, lambda g: np.flip(g, 3)),
        lambda x: F.max_pool2d(x, 2),
        spaced(1, 1, 4, 4),
        r"grad_outputs\[0\].*\n.*flipped: dimension 3",
        order=2,
    ),
    Fault(
        "avg_pool2d: not divided by the size of the window",
        pooling.AveragePool2d,
        altered(pooling.AveragePool2d, 0, lambda g: 4 * g),
        lambda x: F.avg_pool2d(x, 2),
        normals((1, 2, 4, 4)),
        "wrong scale: everything is 4 times too large",
    ),
]


# ---------------------------------------------------------------------- batch normalisation


def batch_norm_gradient(mean_term: bool = True, var_term: bool = True, scaled: bool = True) -> Callable[..., Any]:
    """``BatchNormGrad.forward`` in plain NumPy, without one of its terms."""

    def forward(
        self: norm.BatchNormGrad, grad: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, s: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
        c, M = x - mean.reshape(shape), x.size // x.shape[1]
        A, B = grad.sum(axis=axes), (grad * c).sum(axis=axes)
        inner = grad - mean_term * (A / M).reshape(shape) - var_term * (s**2 * B / M).reshape(shape) * c
        return inner * (s * (weight if scaled else 1)).reshape(shape), s * B, A

    return forward


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, weight, bias, training=True)


def frozen_batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    statistics = [wrap(np.linspace(low, 2, x.shape[1])) for low in (-1, 0.5)]
    return F.batch_norm(x, *statistics, weight, bias)


NORMALISATION = [
    *(
        Fault(
            f"batch_norm: {name}",
            norm.BatchNormGrad,
            batch_norm_gradient(**wrong),
            batch_norm,
            normalised(3, 2, 2),
            r"inputs\[0\]",
            method="forward",
        )
        for name, wrong in (
            ("gradient through the mean dropped", {"mean_term": False}),
            ("gradient through the variance dropped", {"var_term": False}),
            ("weight left out", {"scaled": False}),
        )
    ),
    Fault(
        "batch_norm: one element off by 0.01 %",
        norm.BatchNorm,
        altered(norm.BatchNorm, 0, element(1.0001)),
        batch_norm,
        normalised(3, 2, 2),
        r"only 1 of 24 elements are wrong, by a factor of 1\.0001",
    ),
    Fault(
        "batch_norm: one of 512 elements off by 0.1 %",
        norm.BatchNorm,
        altered(norm.BatchNorm, 0, element(1.001)),
        batch_norm,
        normalised(4, 8, 4),
        r"by a factor of 1\.001",
    ),
    Fault(
        "batch_norm: gradient in single precision",
        norm.BatchNorm,
        altered(norm.BatchNorm, 0, single_precision),
        batch_norm,
        normalised(3, 2, 2),
        "rounding: .*single precision",
    ),
    Fault(
        "batch_norm, not training: one channel's weight gradient off by 1 %",
        norm.ScaleAndShift,
        altered(norm.ScaleAndShift, 1, element(1.01)),
        frozen_batch_norm,
        normalised(2, 3, 2),
        r"inputs\[1\].*\n.*only 1 of 3 elements are wrong",
    ),
    Fault(
        "batch_norm: mean taken for a constant in the second derivative",
        norm.BatchNormGrad,
        with_tensor(norm.BatchNormGrad, 3, lambda _: None),
        batch_norm,
        normalised(2, 2, 2),
        r"inputs\[0\]",
        order=2,
    ),
    Fault(
        "batch_norm: standard deviation taken for a constant in the second derivative",
        norm.BatchNorm,
        with_arguments(norm.BatchNorm, lambda self, grad, by_mean, by_s, *saved: (grad, by_mean, None, *saved)),
        batch_norm,
        normalised(2, 2, 2),
        r"inputs\[0\]",
        order=2,
    ),
]


# ---------------------------------------------------------------------- losses, dropout, indexing


def mean_reduction(self: cross_entropy.CrossEntropyGrad, *arrays: Any) -> np.ndarray:
    self.reduction = 2
    return RIGHT_CROSS_ENTROPY_GRAD(self, *arrays)


def label_not_subtracted(self: cross_entropy.CrossEntropy, grad: Tensor, *others: Any) -> tuple[Any, ...]:
    return grad * others[-1], None, None


def next_index(self: gathering.ScatterSum, src: np.ndarray, index: np.ndarray) -> np.ndarray:
    return RIGHT_SCATTER_SUM(self, src, (index + 1) % self.shape[self.dim])


def last_one_wins(self: gathering.ScatterSum, src: np.ndarray, index: np.ndarray) -> np.ndarray:
    out = np.zeros(self.shape)
    np.put_along_axis(out, index, src, self.dim)
    return out


def one_row_early(self: joining.Cat, grad: Tensor) -> tuple[Any, ...]:
    first, second = RIGHT_CAT(self, grad)
    start = first.shape[self.dim] - 1
    return first, grad.narrow(self.dim, start, second.shape[self.dim])


def seeded_dropout(x: Tensor) -> Tensor:
    tg.manual_seed(3)
    return F.dropout(x, 0.5)


RIGHT_CROSS_ENTROPY_GRAD = cross_entropy.CrossEntropyGrad.forward
RIGHT_SCATTER_SUM = gathering.ScatterSum.forward
RIGHT_CAT = joining.Cat.backward
INDEX = wrap(np.array([[0, 2, 0, 1], [3, 3, 1, 0]]))


OTHERS = [
    Fault(
        "cross_entropy: gradient of the mean for reduction='sum'",
        cross_entropy.CrossEntropyGrad,
        mean_reduction,
        lambda x, target: F.cross_entropy(x, target, reduction="sum"),
        labelled(4, 3),
        r"wrong scale: everything is 0\.25 times too large",
        method="forward",
    ),
    Fault(
        "cross_entropy: label not subtracted from the probabilities",
        cross_entropy.CrossEntropy,
        label_not_subtracted,
        lambda x, target: F.cross_entropy(x, target, reduction="sum"),
        labelled(4, 3),
        r"inputs\[0\]",
    ),
    Fault(
        "cross_entropy: probabilities taken for constants in the second derivative",
        cross_entropy.CrossEntropy,
        with_arguments(
            cross_entropy.CrossEntropy, lambda self, grad, by_p, *saved: (grad, by_p, *saved[:-1], constant(saved[-1]))
        ),
        F.cross_entropy,
        labelled(3, 3),
        r"inputs\[0\].*\n.*missing term: no gradient reaches this input",
        order=2,
    ),
    Fault(
        "dropout: mask forgotten in the gradient",
        dropout.Dropout,
        lambda self, grad, mask: (grad * self.scale, None),
        seeded_dropout,
        normals((3, 4)),
        "extra term: .*there it should be 0",
    ),
    Fault(
        "dropout: gradient not scaled",
        dropout.Dropout,
        lambda self, grad, mask: (dropout.Dropout.apply(grad, mask, scale=1.0), None),
        seeded_dropout,
        normals((3, 4)),
        r"wrong scale: everything is 0\.5 times too large",
    ),
    Fault(
        "gather: index off by one",
        gathering.ScatterSum,
        next_index,
        lambda x: tg.gather(x, 1, INDEX),
        normals((2, 4)),
        "shifted: the gradient is moved by 1 along dimension 1",
        method="forward",
    ),
    Fault(
        "gather: index that occurs twice not summed",
        gathering.ScatterSum,
        last_one_wins,
        lambda x: tg.gather(x, 1, INDEX),
        normals((2, 4)),
        r"inputs\[0\]",
        method="forward",
    ),
    Fault(
        "cat: second operand's gradient starts one row early",
        joining.Cat,
        one_row_early,
        lambda a, b: tg.cat([a, b]),
        normals((2, 3), (3, 3)),
        r"inputs\[1\]",
    ),
]

FAULTS = [*ACTIVATIONS, *POOLING, *NORMALISATION, *OTHERS]
