"""Faults of matrix products, arithmetic with broadcasting, and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.autograd import Tensor, wrap
from tinygrad_cnn.ops import arithmetic, broadcast, linalg, linear, reduction

from .planting import Fault, altered, constant, element, normals, single_precision, with_arguments, with_tensor

# ---------------------------------------------------------------------- matrix products


def not_transposed(self: linalg.MatMul, grad: Tensor, a: Tensor, b: Tensor) -> tuple[Any, ...]:
    return linalg.MatMul.apply(grad, b), linalg.MatMul.apply(a.transpose(-1, -2), grad)


def first_of_the_batch(self: linalg.MatMul, grad: Tensor, a: Tensor, b: Tensor) -> tuple[Any, ...]:
    return linalg.MatMul.apply(grad, b.transpose(-1, -2)), linalg.MatMul.apply(a.transpose(-1, -2), grad)[0]


_noise = np.random.default_rng()


def uninitialised(gradient: np.ndarray) -> np.ndarray:
    """As if one element was never written: another number every time."""
    gradient.reshape(-1)[0] += _noise.standard_normal()
    return gradient


MATRICES = [
    Fault(
        "linear: weight gradient transposed",
        linear.Linear,
        altered(linear.Linear, 1, np.transpose),
        F.linear,
        normals((2, 4), (4, 4), (4,)),
        "transposed: dimensions 0 and 1",
    ),
    Fault(
        "linear: one element of the weight gradient off by 0.1 %",
        linear.Linear,
        altered(linear.Linear, 1, element(1.001)),
        F.linear,
        normals((3, 5), (4, 5), (4,)),
        r"by a factor of 1\.001\.",
    ),
    Fault(
        "linear: one element of the weight gradient never written",
        linear.Linear,
        altered(linear.Linear, 1, uninitialised),
        F.linear,
        normals((3, 5), (4, 5), (4,)),
        r"backward is not deterministic: .*inputs\[1\]",
    ),
    Fault(
        "matmul: second operand not transposed",
        linalg.MatMul,
        not_transposed,
        tg.matmul,
        normals((3, 3), (3, 3)),
        r"inputs\[0\]",
    ),
    Fault(
        "matmul: one of 2,500 elements off by 0.01 %",
        linalg.MatMul,
        altered(linalg.MatMul, 0, element(1.0001)),
        tg.matmul,
        normals((50, 50), (50, 2)),
        r"by a factor of 1\.0001\.",
    ),
    Fault(
        "matmul: gradient of a broadcast operand not summed over the batch",
        linalg.MatMul,
        first_of_the_batch,
        tg.matmul,
        normals((3, 2, 4), (4, 2)),
        r"inputs\[1\]",
    ),
    Fault(
        "matmul: gradient in single precision",
        linalg.MatMul,
        altered(linalg.MatMul, 1, single_precision),
        tg.matmul,
        normals((3, 4), (4, 2)),
        "rounding: .*single precision",
    ),
]


# ---------------------------------------------------------------------- arithmetic


def wrong_dimension(self: arithmetic.Mul, grad: Tensor, a: Tensor, b: Tensor) -> tuple[Any, ...]:
    """By b, (n, 1), summed over the first dimension instead of the last."""
    return grad * b, (grad * a).sum(0).reshape(-1, 1)


def mean_instead_of_sum(self: broadcast.SumTo, x: np.ndarray) -> np.ndarray:
    out = RIGHT_SUM_TO(self, x)
    return out * (out.size / x.size)


RIGHT_SUM_TO = broadcast.SumTo.forward


ARITHMETIC = [
    Fault(
        "sub: sign of the second gradient",
        arithmetic.Sub,
        altered(arithmetic.Sub, 1, np.negative),
        tg.sub,
        normals((2, 3), (2, 3)),
        r"inputs\[1\].*\n.*the wrong sign",
    ),
    Fault(
        "mul: broadcast operand's gradient summed over the wrong dimension",
        arithmetic.Mul,
        wrong_dimension,
        tg.mul,
        normals((3, 3), (3, 1)),
        r"inputs\[1\]",
    ),
    Fault(
        "add: broadcast operand's gradient averaged instead of summed",
        broadcast.SumTo,
        mean_instead_of_sum,
        tg.add,
        normals((4, 3), (3,)),
        r"wrong scale: everything is 0\.25 times too large",
        method="forward",
    ),
    Fault(
        "mul: factors taken for constants in the second derivative",
        arithmetic.Mul,
        with_arguments(arithmetic.Mul, lambda self, grad, a, b: (grad, constant(a), constant(b))),
        tg.mul,
        normals((2, 3), (2, 3)),
        r"inputs\[0\].*\n.*missing term: no gradient reaches this input",
        order=2,
    ),
    Fault(
        "div: numerator left out of the second derivative",
        arithmetic.Div,
        with_arguments(arithmetic.Div, lambda self, grad, a, b: (grad, constant(a), b)),
        lambda a, b: tg.div(a, b * b + 1),
        normals((2, 3), (2, 3)),
        r"inputs\[0\].*\n.*missing term: no gradient reaches this input",
        order=2,
    ),
]


# ---------------------------------------------------------------------- reductions


REDUCTIONS = [
    Fault(
        "sum: gradient of the mean",
        reduction.Sum,
        altered(reduction.Sum, 0, lambda g: g / g.size),
        tg.sum,
        normals((2, 5)),
        r"wrong scale: everything is 0\.1 times too large",
    ),
    Fault(
        "cumsum: running sum of the gradient in the wrong direction",
        reduction.CumSum,
        lambda self, grad: (reduction.CumSum.apply(grad, dim=self.dim, reverse=self.reverse),),
        lambda x: tg.cumsum(x, 1),
        normals((2, 4)),
        r"inputs\[0\]",
    ),
    Fault(
        "prod: upstream gradient averaged",
        reduction.Prod,
        with_arguments(
            reduction.Prod, lambda self, grad, *saved: (wrap(np.full_like(grad._array, grad._array.mean())), *saved)
        ),
        lambda x: tg.prod(x, 1),
        normals((3, 4)),
        "upstream gradient is averaged",
    ),
    Fault(
        "prod: product taken for a constant in the second derivative",
        reduction.Prod,
        with_arguments(reduction.Prod, lambda self, grad, x, out: (grad, x, constant(out))),
        lambda x: tg.prod(x, 1),
        normals((2, 3)),
        r"inputs\[0\]",
        order=2,
    ),
    Fault(
        "sum: second derivative detached from the upstream gradient",
        reduction.Sum,
        with_tensor(reduction.Sum, 0, constant),
        lambda x: tg.sum(x * x, 1),
        normals((2, 3)),
        r"grad_outputs\[0\].*\n.*missing term: no gradient reaches this input",
        order=2,
    ),
]

FAULTS = [*MATRICES, *ARITHMETIC, *REDUCTIONS]
