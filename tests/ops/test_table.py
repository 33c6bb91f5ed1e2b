"""Every property of ``tinygrad_cnn.testing.properties`` for every row of the table of operations."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.autograd.gradcheck import KinkWarning
from tinygrad_cnn.testing import OpSample, check_property
from tinygrad_cnn.testing.cases import outputs_of, tensors_of
from tinygrad_cnn.testing.properties import PROPERTIES

from .drawn import drawn
from .table import all_samples, modules_named

SAMPLES = all_samples()


def applies(property: Any, sample: OpSample) -> bool:
    """Whether a property says anything about a row: no test that passes because it looks at nothing."""
    name = property.__name__
    if name in ("value_equals_torch", "gradient_equals_torch") and sample.torch is None:
        return False
    if name == "adjoint_is_exact":
        return sample.exact
    if name == "second_gradient_equals_differences":
        return sample.order >= 2 and not sample.value_only
    about_gradients = ("gradient", "upstream", "backward")
    return not (sample.value_only and any(word in name for word in about_gradients))


@pytest.mark.parametrize(
    ("sample", "property"),
    [
        pytest.param(sample, property, id=f"{sample.name}-{property.__name__}")
        for sample in SAMPLES
        for property in PROPERTIES
        if applies(property, sample)
    ],
)
def test_property(sample, property):
    if "torch" in property.__name__:
        pytest.importorskip("torch")

    @given(sample.cases)
    def check(case):
        with warnings.catch_warnings():
            warnings.simplefilter("error", KinkWarning)  # rows avoid kinks by construction
            check_property(property, sample, case)

    check()


def is_called_alike(sample: OpSample) -> bool:
    """Whether the row's function is the public one and Tensor has a method of that name with the same arguments."""
    name = sample.name.split("/")[0]
    return sample.function is getattr(tg, name, None) and hasattr(tg.Tensor, name) and name != "where"


SEPARATE_ARGUMENTS = {"flip", "permute", "reshape", "split", "tile"}  # the method takes them as x.flip(0, 1), too


@pytest.mark.parametrize("sample", list(filter(is_called_alike, SAMPLES)), ids=lambda sample: sample.name)
def test_method_is_the_function(sample):
    """The method of the same name, called on the first argument, gives the same as the function."""
    for case in drawn(sample, 3):
        x, *others = tensors_of(case, requires_grad=False)
        name, kwargs = sample.name.split("/")[0], case.kwargs
        method = getattr(x, name)
        by_method = method(*kwargs.values()) if name in SEPARATE_ARGUMENTS else method(*others, **kwargs)
        pairs = zip(outputs_of(by_method), outputs_of(sample.function(x, *others, **case.kwargs)), strict=True)
        for ours, right in pairs:
            assert ours.dtype is right.dtype
            np.testing.assert_array_equal(ours.numpy(), right.numpy())


def test_every_module_of_rows_has_rows():
    for module in modules_named("samples_"):
        assert module.SAMPLES, f"{module.__name__} has no rows"


def test_names_are_unique():
    twice = [name for name, count in Counter(s.name for s in SAMPLES).items() if count > 1]
    assert not twice


def test_rows_are_complete():
    for sample in SAMPLES:
        assert isinstance(sample.cases, st.SearchStrategy), sample.name
        assert sample.reference is not None, f"{sample.name} has no reference"
        assert sample.order in (1, 2) or sample.value_only, sample.name
