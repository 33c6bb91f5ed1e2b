"""Rows for the in-place methods: they write to a copy of their first input and have the cases of another row."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import indexing as indexing_reference
from . import (
    draw,
    samples_activation,
    samples_arithmetic,
    samples_elementwise,
    samples_indexing,
    samples_selection,
    samples_shape,
)
from .samples_elementwise import one
from .table import Case, OpSample, torch_function

Call = Callable[..., Any]

ROWS = {
    sample.name: sample
    for module in (
        samples_activation,
        samples_arithmetic,
        samples_elementwise,
        samples_indexing,
        samples_selection,
        samples_shape,
    )
    for sample in module.SAMPLES
}
UNARY = ["abs", "ceil", "cos", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "relu", "round"]
UNARY += ["rsqrt", "sigmoid", "sign", "sin", "sqrt", "square", "tanh", "trunc"]
BINARY = ["add", "sub", "mul", "div", "div/rounded", "remainder", "pow", "masked_fill", "clamp", "clamp/tensors"]
INTEGERS = ["div/integers", "remainder/integers", "pow/integers", "clamp/integers", "abs/integers", "relu/integers"]
NUMBERS = ["add/number", "sub/number", "mul/number", "div/number", "pow/number"]
ALONG_A_DIM = ["scatter", "scatter_add", "index_add", "index_copy", "index_fill"]
OPERATORS = {
    "add": operator.iadd,
    "sub": operator.isub,
    "mul": operator.imul,
    "div": operator.itruediv,
    "remainder": operator.imod,
    "pow": operator.ipow,
}


def target(x: Any, *others: Any) -> Any:
    """A copy of x that the others broadcast to."""
    return x.expand(np.broadcast_shapes(*(tuple(t.shape) for t in (x, *others) if t is not None))).clone()


def method(name: str) -> Call:
    """The method, for our Tensors and for PyTorch's."""
    return lambda x, *others, **kwargs: getattr(target(x, *others), name)(*others, **kwargs)


def with_number(name: str) -> Call:
    return lambda x, number: getattr(x.clone(), name)(number)


def along_a_dim(name: str) -> Call:
    return lambda x, index, *rest, dim, **kwargs: getattr(x.clone(), name)(dim, index, *rest, **kwargs)


def augmented(operation: Call) -> Call:
    return lambda x, other: operation(target(x, other), other)


def row(name: str, call: Call, source: str, **changes: Any) -> OpSample:
    """The row called ``source`` with the in-place method in place of the function."""
    return dataclasses.replace(ROWS[source], name=name, **{"function": call, "torch": call, **changes})


def name_of(source: str) -> str:
    """``div/rounded`` is the row ``Tensor.div_/rounded``."""
    function, *variant = source.split("/")
    return "/".join([f"Tensor.{function}_", *variant])


def method_of(source: str) -> str:
    return f"{source.split('/')[0]}_"


def without_options(cases: Any) -> Any:
    return cases.map(lambda case: Case(case.arrays))


@st.composite
def two_arrays(draw_: st.DrawFn) -> Case:
    large, small = draw_(draw.broadcastable())
    seed = draw_(draw.seeds)
    return Case((draw.normal(seed, np.broadcast_shapes(large, small)), draw.normal(seed + 1, small)))


def itself(x: Any, other: Any) -> Any:
    """The two operands of an in-place product are the same Tensor."""
    x = target(x, other) * other
    return x.mul_(x)


def index_put_(make: Call) -> Call:
    return samples_indexing.index_put(make, "index_put_")


SAMPLES = [
    *(row(name_of(source), method(method_of(source)), source) for source in [*UNARY, *BINARY, *INTEGERS]),
    *(row(name_of(source), with_number(method_of(source)), source) for source in NUMBERS),
    *(row(name_of(source), along_a_dim(method_of(source)), source) for source in ALONG_A_DIM),
    *(
        row(f"Tensor.__{operation.__name__}__", augmented(operation), source, cases=without_options(ROWS[source].cases))
        for source, operation in OPERATORS.items()
    ),
    row(
        "Tensor.__ifloordiv__",
        augmented(operator.ifloordiv),
        "floor_divide",
        torch=samples_arithmetic.floored,  # PyTorch's floor_divide has no gradient
    ),
    *(
        row(f"Tensor.{name}_", lambda x, diagonal, name=name: getattr(x.clone(), f"{name}_")(diagonal), name)
        for name in ("tril", "triu")
    ),
    OpSample(
        "Tensor.mul_/itself",
        itself,
        two_arrays(),
        lambda x, other: (x * other) ** 2,
        lambda x, other: (x * other) ** 2,  # PyTorch's backward refuses the product that overwrote its own operands
    ),
    OpSample(
        "Tensor.copy_",
        method("copy_"),
        two_arrays(),
        lambda x, other: np.broadcast_to(other, x.shape),
        method("copy_"),
        exact=True,
    ),
    OpSample(
        "Tensor.fill_",
        lambda x, number: x.clone().fill_(number),
        st.builds(
            lambda seed, shape: Case((draw.normal(seed, shape), draw.normal(seed + 1, ()))), draw.seeds, draw.shapes()
        ),
        lambda x, number: np.full_like(x, number),
        lambda x, number: x.clone().fill_(number),
        exact=True,
    ),
    OpSample(
        "Tensor.zero_",
        lambda x: x.clone().zero_(),
        one(draw.normal),
        np.zeros_like,
        lambda x: x.clone().zero_(),
        exact=True,
    ),
    OpSample(
        "Tensor.index_put_",
        lambda x, *rest, **key: index_put_(tg.from_numpy)(x.clone(), *rest, **key),
        samples_indexing.put(),
        indexing_reference.index_put,
        lambda x, *rest, **key: index_put_(torch_function("from_numpy"))(x.clone(), *rest, **key),
    ),
]
