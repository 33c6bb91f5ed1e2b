"""How a fault is planted: one method of one ``Op`` is replaced by a wrong one, as it might be written by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Op, Tensor, wrap
from tinygrad_cnn.testing.cases import leaf
from tinygrad_cnn.testing.strategies import distinct, normal, uniform


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: as in the docs.
        op, method: what is replaced, by ``wrong``.
        function: the public call that is checked, on ``inputs(seed)``.
        says: a part of the message: the kind of fault that is named, or the input.
        order: 1 if ``gradcheck`` must find it; 2 if only the second derivatives are wrong.
    """

    name: str
    op: type[Op]
    wrong: Callable[..., Any]
    function: Callable[..., Any]
    inputs: Callable[[int], list[Any]]
    says: str
    order: int = 1
    method: str = "backward"


# ---------------------------------------------------------------------- how methods are replaced


def altered(op: type[Op], position: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """``op.backward`` with one of its gradients changed, as an array."""
    return with_tensor(op, position, lambda gradient: wrap(change(np.array(gradient._array, order="C"))))


def with_tensor(op: type[Op], position: int, change: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
    """``op.backward`` with one of its gradients changed by operations, so that it can be differentiated again."""
    right = op.backward

    def backward(self: Op, *tensors: Tensor) -> tuple[Any, ...]:
        gradients = list(right(self, *tensors))
        if gradients[position] is not None:
            gradients[position] = change(gradients[position])
        return tuple(gradients)

    return backward


def with_arguments(op: type[Op], change: Callable[..., Any]) -> Callable[..., Any]:
    """``op.backward`` called with other gradients or saved values: ``change(self, *tensors)`` gives them."""
    right = op.backward
    return lambda self, *tensors: right(self, *change(self, *tensors))


def element(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    """The middle element multiplied."""

    def change(gradient: np.ndarray) -> np.ndarray:
        gradient.reshape(-1)[gradient.size // 2] *= factor
        return gradient

    return change


def single_precision(gradient: np.ndarray) -> np.ndarray:
    """Rounded to float32."""
    return gradient.astype(np.float32).astype(np.float64)


def constant(t: Tensor | None) -> Tensor | None:
    """A saved value that the second derivative takes for a constant."""
    return None if t is None else t.detach()


# ---------------------------------------------------------------------- inputs


def normals(*shapes: tuple[int, ...]) -> Callable[[int], list[Tensor]]:
    return lambda seed: [leaf(normal(10 * seed + i, shape)) for i, shape in enumerate(shapes)]


def spaced(*shape: int) -> Callable[[int], list[Tensor]]:
    return lambda seed: [leaf(distinct(seed, shape))]


def labelled(N: int, C: int) -> Callable[[int], list[Tensor]]:
    labels = np.random.default_rng(0).permutation(N) % C
    return lambda seed: [leaf(normal(seed, (N, C))), wrap(labels)]


def normalised(N: int, C: int, side: int) -> Callable[[int], list[Tensor]]:
    return lambda seed: [
        leaf(normal(seed, (N, C, side, side))),
        leaf(uniform(seed + 1, (C,), 0.5, 2)),
        leaf(normal(seed + 2, (C,))),
    ]
