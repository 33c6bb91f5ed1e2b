"""Printing: what PyTorch prints, compared with it where it is installed, and with stored strings everywhere."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..ops import draw

EDGE_VALUES = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    1e-5,
    1e-4,
    12345.678,
    1e8,
    1e9,
    1e30,
    -3e-20,
    np.inf,
    -np.inf,
    np.nan,
    100.0,
    999.5,
]


@pytest.fixture(autouse=True)
def _default_options():
    yield
    tg.set_printoptions(profile="default")


def printed_like(text: str) -> str:
    """PyTorch's text in our names."""
    return text.replace("torch.", "tinygrad_cnn.")


def with_dtype_in_line(text: str) -> str:
    """The text with its dtype in the line before: our dtypes' names are longer, so they wrap earlier."""
    return re.sub(r",\n *(dtype|requires_grad|grad_fn)=", r", \1=", text)


STORED = [
    (lambda: tg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda: tg.tensor(3), "tensor(3)"),
    (lambda: tg.tensor([True, False]), "tensor([ True, False])"),
    (lambda: tg.tensor([1.5, float("nan"), float("-inf")]), "tensor([1.5000,    nan,   -inf])"),
    (lambda: tg.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
    (lambda: tg.tensor([1.0], dtype=tg.float64), "tensor([1.], dtype=tinygrad_cnn.float64)"),
    (lambda: tg.tensor([1], dtype=tg.uint8), "tensor([1], dtype=tinygrad_cnn.uint8)"),
    (lambda: tg.empty(0), "tensor([])"),
    (lambda: tg.empty(2, 0, dtype=tg.int64), "tensor([], size=(2, 0), dtype=tinygrad_cnn.int64)"),
    (lambda: tg.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
    (lambda: tg.ones(2, requires_grad=True) + 1, "tensor([2., 2.], grad_fn=<AddBackward>)"),
    (lambda: tg.tensor([[1.25, -2], [3, 4]]), "tensor([[ 1.2500, -2.0000],\n        [ 3.0000,  4.0000]])"),
    (lambda: tg.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    (lambda: tg.zeros(3).shape, "tinygrad_cnn.Size([3])"),
]


@pytest.mark.parametrize(("make", "expected"), STORED)
def test_stored_strings(make, expected):
    assert repr(make()) == expected


@st.composite
def arrays(draw_):
    return np.asarray(draw_(values()))


@st.composite
def values(draw_):
    shape = draw_(draw.shapes(0, 4, min_side=0, max_side=6))
    rng = np.random.default_rng(draw_(draw.seeds))
    kind = draw_(st.sampled_from(["normal", "whole", "edge", "int", "bool", "small", "uint8", "many"]))
    if kind == "many":
        shape = draw_(st.sampled_from([(1001,), (40, 30), (3, 400), (1, 2, 600), (7, 8, 9, 3)]))
    if kind in ("normal", "many"):
        return (rng.standard_normal(shape) * 10.0 ** draw_(st.integers(-6, 9))).astype(
            draw_(st.sampled_from(["float32", "float64"]))
        )
    if kind == "whole":
        return rng.integers(-2000, 2000, shape).astype("float32")
    if kind == "edge":
        return rng.choice(EDGE_VALUES, shape).astype(draw_(st.sampled_from(["float32", "float64"])))
    if kind == "small":
        return (rng.standard_normal(shape) * 1e-3).astype("float32")
    if kind == "bool":
        return rng.random(shape) < 0.5
    return rng.integers(0, 200, shape).astype(
        "uint8" if kind == "uint8" else draw_(st.sampled_from(["int64", "int32"]))
    )


options = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 8),
        "threshold": st.sampled_from([3, 10, 100]),
        "edgeitems": st.integers(1, 4),
        "linewidth": st.integers(30, 120),
        "sci_mode": st.booleans(),
        "profile": st.sampled_from(["default", "short", "full"]),
    },
)


@given(arrays(), options, st.booleans())
@example(np.array(-0.0, "float32"), {"sci_mode": True, "precision": 0}, False)
@example(np.array([0.0, np.inf, np.nan], "float32"), {"sci_mode": True}, False)
@settings(max_examples=200)
def test_the_same_as_pytorch(array, given_options, requires_grad):
    torch = pytest.importorskip("torch")
    ours, theirs = tg.from_numpy(array), torch.from_numpy(array)
    if requires_grad and array.dtype.kind == "f":
        ours.requires_grad_()
        theirs.requires_grad_()
    try:
        for library in (tg, torch):
            library.set_printoptions(profile="default")
            library.set_printoptions(**given_options)
        assert with_dtype_in_line(repr(ours)) == with_dtype_in_line(printed_like(repr(theirs)))
    finally:
        torch.set_printoptions(profile="default")


def test_numbers_format_as_numbers():
    assert f"{tg.tensor(3.14159):.2f}" == "3.14"
    assert f"{tg.tensor(7):04d}" == "0007"
    assert f"{tg.tensor([1.0])}" == "tensor([1.])"


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="profile must be one of default, short, full, got 'tiny'"):
        tg.set_printoptions(profile="tiny")
