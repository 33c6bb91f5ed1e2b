"""check_op finds what is wrong with an operation of the user's, and says which property does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.autograd import Op
from tinygrad_cnn.errors import DTypeError
from tinygrad_cnn.testing import Case, GradcheckError, check_op, torch_function
from tinygrad_cnn.testing.properties import PROPERTIES
from tinygrad_cnn.testing.strategies import conv_geometries, pool_geometries, seeds, tensors

EXAMPLES = 10


class Cube(Op):
    """x³, right in every respect."""

    saves_inputs = (0,)

    def forward(self, x: Any) -> Any:
        return x**3

    def backward(self, grad: Any, x: Any) -> Any:
        return (3 * grad * x * x,)


class WrongValue(Cube):
    def forward(self, x):
        return x**3 + 1e-6


class WritesToItsInput(Cube):
    def forward(self, x):
        if x.flags.writeable:
            x += 1
        return (x - 1) ** 3


class DependsOnLayout(Cube):
    def forward(self, x):
        return x.ravel(order="K").reshape(x.shape) ** 3


class DoublePrecisionOnly(Cube):
    def forward(self, x):
        return x.astype(np.float16).astype(x.dtype) ** 3 if x.dtype == np.float32 else x**3


class WrongGradient(Cube):
    def backward(self, grad, x):
        return (3.003 * grad * x * x,)


class WrongSecondGradient(Cube):
    def backward(self, grad, x):
        return (3 * grad * x * x.detach(),)


class GradientOfNothing(Cube):
    def backward(self, grad, x):
        return (3 * grad * x * x + 1e-14,)


class SharedMemory(Op):
    makes_fresh_gradients = True

    def forward(self, x):
        return x.copy()

    def backward(self, grad):
        return (grad,)


class KeepsAnArray(Cube):
    def forward(self, x):
        self.remembered = x
        return x**3


class ReferenceCycle(Cube):
    def forward(self, x):
        self.me = [self]
        return x**3


def cube(x):
    return x * x * x


def test_right_operation_passes():
    check_op(Cube.apply, tensors(), reference=cube, torch=cube, max_examples=EXAMPLES)


@pytest.mark.parametrize(
    ("op", "property"),
    [
        (WrongValue, "value_equals_reference"),
        (WritesToItsInput, "inputs_are_not_mutated"),
        (DependsOnLayout, "layouts_agree"),
        (DoublePrecisionOnly, "float32_agrees"),
        (WrongGradient, "gradient_equals_differences"),
        (WrongSecondGradient, "second_gradient_equals_differences"),
        (GradientOfNothing, "zero_upstream_gives_zeros"),
        (SharedMemory, "gradients_own_their_memory"),
        (KeepsAnArray, "nothing_undeclared_on_nodes"),
        (ReferenceCycle, "graph_is_freed"),
    ],
)
def test_fault_is_found_by_its_property(op, property):
    reference = None if op in (WritesToItsInput, SharedMemory) else cube
    with pytest.raises(AssertionError) as caught:
        check_op(op.apply, tensors(shape=(2, 2)), reference=reference, max_examples=2)
    notes = "\n".join(caught.value.__notes__)
    assert f"{op.__name__}.apply: {property} does not hold for" in notes
    assert "import tinygrad_cnn as tg" in notes


def test_every_fault_is_an_assertion():
    assert issubclass(GradcheckError, AssertionError)
    assert len({property.__name__ for property in PROPERTIES}) == len(PROPERTIES)


def test_first_order_only():
    check_op(WrongSecondGradient.apply, tensors(), order=1, max_examples=EXAMPLES)


def test_exact_adjoint():
    check_op(lambda x: 3 * x, tensors(), exact=True, max_examples=EXAMPLES)
    with pytest.raises(AssertionError):
        check_op(cube, tensors(), exact=True, max_examples=EXAMPLES)


def test_against_torch():
    pytest.importorskip("torch")
    check_op(tg.sigmoid, tensors(), torch=torch_function("sigmoid"), max_examples=EXAMPLES)
    with pytest.raises(AssertionError, match="against PyTorch"):
        check_op(tg.sigmoid, tensors(), torch=torch_function("tanh"), max_examples=EXAMPLES)


def test_geometries_are_cases_of_our_layers():
    convolutions = st.builds(lambda geometry, seed: geometry.case(seed), conv_geometries(), seeds)
    check_op(F.conv2d, convolutions, max_examples=4)
    poolings = st.builds(lambda geometry, seed: geometry.case(seed), pool_geometries(), seeds)
    check_op(F.max_pool2d, poolings, max_examples=4)


@pytest.mark.parametrize("drawn", [np.ones(2), tg.ones(2, dtype=tg.float64), Case((np.ones(2),)), (np.ones(2), None)])
def test_what_a_strategy_may_draw(drawn):
    check_op(lambda x, y=None: x * x, st.just(drawn), max_examples=1)


def test_strategy_of_something_else():
    with pytest.raises(DTypeError, match="Tensors, arrays or None"):
        check_op(cube, st.just("three"), max_examples=1)
