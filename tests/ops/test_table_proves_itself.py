"""The table finds faults: with one element of one gradient multiplied by 1.001, each row fails its gradient property.

The fault sits in an identity in front of the row's function, so that every row is tried the same way: in its backward
for the first derivative, in the backward of its backward for the second.  The gradient of a step function is 0
everywhere; there 0.001 is added to one element.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tinygrad_cnn.autograd import Op, Tensor, grad, wrap
from tinygrad_cnn.testing import GradcheckError
from tinygrad_cnn.testing.cases import float_leaves, is_float, outputs_of, tensors_of
from tinygrad_cnn.testing.properties import gradient_equals_differences, second_gradient_equals_differences

from .drawn import drawn
from .table import Case, OpSample, all_samples

ROWS = [sample for sample in all_samples() if not sample.value_only]
CASES = (2, 12)  # so many are tried to find one in which the gradient is not 0, and if there is none, so many


class Slightly(Op):
    """The identity; one element of its gradient (or of that one's gradient) is multiplied by a factor."""

    element: int
    order: int
    factor: float
    extra: float

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x.copy()

    def backward(self, gradient: Tensor) -> tuple[Tensor]:
        if self.order > 1:
            return (Slightly.apply(gradient, **{**vars_of(self), "order": self.order - 1}),)
        array = np.array(gradient._array, order="C")
        flat = array.reshape(-1)
        flat[self.element] = flat[self.element] * self.factor + self.extra
        return (wrap(array),)


def vars_of(node: Slightly) -> dict[str, Any]:
    return {name: getattr(node, name) for name in ("element", "order", "factor", "extra")}


def with_fault(sample: OpSample, position: int, **fault: Any) -> OpSample:
    def function(*tensors: Any, **kwargs: Any) -> Any:
        arguments = list(tensors)
        arguments[position] = Slightly.apply(arguments[position], **fault)
        return sample.function(*arguments, **kwargs)

    return dataclasses.replace(sample, function=function)


def gradients(sample: OpSample, case: Case) -> dict[int, np.ndarray]:
    """The gradient by every floating-point input of the case, for a random upstream gradient, where there is one."""
    tensors = tensors_of(case)
    outs = [out for out in outputs_of(sample.function(*tensors, **case.kwargs)) if out.requires_grad]
    if not outs:
        return {}
    rng = np.random.default_rng(1)
    upstream = [wrap(rng.standard_normal(out._array.shape)) for out in outs]
    found = grad(outs, float_leaves(tensors), upstream, allow_unused=True)
    positions = [i for i, array in enumerate(case.arrays) if is_float(array)]
    return {i: g._array for i, g in zip(positions, found) if g is not None}


@dataclasses.dataclass(frozen=True)
class Place:
    """A case, one of its inputs and an element of the gradient by it."""

    case: Case
    position: int
    element: int
    is_zero: bool


def places(sample: OpSample, count: int) -> list[Place]:
    """For every input position, an element of its gradient that is not nearly 0, if one of ``count`` cases has one."""
    found: dict[int, Place] = {}
    for case in drawn(sample, count):
        for position, gradient in gradients(sample, case).items():
            sizes = np.abs(np.array(gradient, order="C")).reshape(-1)
            large = np.flatnonzero(sizes > 1e-3 * np.max(sizes, initial=0.0))
            if len(large) and found.get(position, NOWHERE).is_zero:
                found[position] = Place(case, position, int(large[len(large) // 2]), False)
            elif len(sizes) and position not in found:
                found[position] = Place(case, position, 0, True)
    return list(found.values())


NOWHERE = Place(Case(()), 0, 0, True)


@pytest.mark.parametrize("sample", ROWS, ids=lambda sample: sample.name)
def test_row_fails_with_one_element_off_by_a_thousandth(sample):
    found = places(sample, CASES[0])
    if not found or any(place.is_zero for place in found):
        found = places(sample, CASES[1])
    assert found, f"no gradient in {CASES[1]} cases"
    for place in found:
        fault = {"element": place.element, "factor": 1.001, "extra": 0.001 if place.is_zero else 0.0}
        with pytest.raises(GradcheckError):
            gradient_equals_differences(with_fault(sample, place.position, order=1, **fault), place.case)
        if sample.order > 1 and not place.is_zero:
            with pytest.raises(GradcheckError):
                second_gradient_equals_differences(with_fault(sample, place.position, order=2, **fault), place.case)


def test_without_a_fault_the_wrapped_function_passes():
    row = next(sample for sample in ROWS if sample.name == "mul")
    for order, property in enumerate((gradient_equals_differences, second_gradient_equals_differences), 1):
        property(with_fault(row, 0, element=0, order=order, factor=1.0, extra=0.0), drawn(row, 1)[0])
