"""Rows for ``ops/arithmetic.py`` and ``ops/power.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import arithmetic as reference
from . import draw
from .table import Case, OpSample, torch_function


def two(
    values: Callable[[int, tuple[int, ...], tuple[int, ...]], tuple[np.ndarray, np.ndarray]], **options: list[Any]
) -> st.SearchStrategy[Case]:
    """Cases with two arrays of broadcastable shapes; an option is a list of values, one of which is drawn."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        arrays = values(draw_(draw.seeds), *draw_(draw.broadcastable()))
        return Case(arrays, {name: draw_(st.sampled_from(choices)) for name, choices in options.items()})

    return build()


def with_number(values: Callable[[int, tuple[int, ...]], np.ndarray], numbers: list[Any]) -> st.SearchStrategy[Case]:
    """Cases with one array and a Python number."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        return Case((values(draw_(draw.seeds), draw_(draw.shapes())),), {"number": draw_(st.sampled_from(numbers))})

    return build()


def number_last(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, number: function(x, number)


def number_first(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, number: function(number, x)


def normals(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return draw.normal(seed, a), draw.normal(seed + 1, b)


def of_either_sign(seed: int, shape: tuple[int, ...], low: float = 0.5, high: float = 2.0) -> np.ndarray:
    """Away from 0."""
    return np.asarray(draw.uniform(seed, shape, low, high) * np.random.default_rng(seed + 1).choice([-1, 1], shape))


def quotients(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return draw.normal(seed, a), of_either_sign(seed + 1, b)


def uneven_quotients(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """a / b is at least 0.2 away from every integer, where the rounded quotient has its steps."""
    full = np.broadcast_shapes(a, b)
    rng = np.random.default_rng(seed)
    quotient = rng.integers(-3, 3, full) + rng.uniform(0.2, 0.8, full)
    if a == full:
        divisor = of_either_sign(seed + 2, b)
        return np.asarray(quotient * divisor), divisor
    dividend = of_either_sign(seed + 2, a)
    return dividend, np.asarray(dividend / quotient)


def integer_quotients(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.integers(-9, 10, a)), np.asarray(rng.integers(1, 5, b) * rng.choice([-1, 1], b))


def mixed_dtypes(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A floating-point array and one of integers or bools, in either order."""
    kind = ["int64", "int32", "uint8", "bool"][seed % 4]
    pair = draw.normal(seed, a), np.asarray(np.random.default_rng(seed).integers(0, 5, b).astype(kind))
    return pair if seed % 8 < 4 else (pair[1].reshape(b), pair[0].reshape(a))


def powers(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return draw.uniform(seed, a, 0.3, 2.0), draw.normal(seed + 1, b)


def integer_powers(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Bases of either sign with integer exponents, which carry no gradient."""
    return of_either_sign(seed, a), np.asarray(np.random.default_rng(seed).integers(-2, 4, b))


def natural_powers(seed: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.integers(-4, 5, a)), np.asarray(rng.integers(0, 5, b))


def positive(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return draw.uniform(seed, shape, 0.3, 2.0)


def floored(input: Any, other: Any) -> Any:
    """PyTorch's quotient with a gradient, which its own floor_divide does not have."""
    return torch_function("div")(input, other, rounding_mode="floor")


def number_row(name: str, values: Any, numbers: list[Any]) -> OpSample:
    """The second operand is a Python number."""
    function = name.split("/")[0]
    ours, right, theirs = getattr(tg, function), getattr(reference, function), torch_function(function)
    cases = with_number(values, numbers)
    return OpSample(name, number_last(ours), cases, number_last(right), number_last(theirs))


def of_a_number(name: str, operator: Callable[..., Any], values: Any, numbers: list[Any]) -> OpSample:
    """The first operand is a Python number: the operator calls the Tensor's reflected method."""
    right = number_first(getattr(reference, name))
    cases = with_number(values, numbers)
    return OpSample(f"{name}/of a number", number_first(operator), cases, right, number_first(operator))


roundings = ["trunc", "floor"]

SAMPLES = [
    OpSample("add", tg.add, two(normals, alpha=[1, 2, -0.5]), reference.add, torch_function("add"), exact=True),
    OpSample("add/large", tg.add, draw.large(draw.normal, 2), reference.add, torch_function("add"), exact=True),
    OpSample("sub", tg.sub, two(normals, alpha=[1, 2, -0.5]), reference.sub, torch_function("sub"), exact=True),
    OpSample("rsub", tg.rsub, two(normals, alpha=[1, 2, -0.5]), reference.rsub, torch_function("rsub"), exact=True),
    OpSample("mul", tg.mul, two(normals), reference.mul, torch_function("mul"), exact=True),
    OpSample("add/mixed", tg.add, two(mixed_dtypes, alpha=[1, 2]), reference.add, torch_function("add"), exact=True),
    OpSample("mul/mixed", tg.mul, two(mixed_dtypes), reference.mul, torch_function("mul"), exact=True),
    OpSample(
        "neg", tg.neg, draw.shapes().map(lambda s: Case((draw.normal(0, s),))), reference.neg, torch_function("neg")
    ),
    OpSample("div", tg.div, two(quotients), reference.div, torch_function("div")),
    OpSample(
        "div/rounded",
        tg.div,
        two(uneven_quotients, rounding_mode=roundings),
        reference.div,
        torch_function("div"),
    ),
    OpSample(
        "div/integers",
        tg.div,
        two(integer_quotients, rounding_mode=roundings),
        reference.div,
        torch_function("div"),
        value_only=True,
    ),
    OpSample("floor_divide", tg.floor_divide, two(uneven_quotients), reference.floor_divide, floored),
    OpSample("remainder", tg.remainder, two(uneven_quotients), reference.remainder, torch_function("remainder")),
    OpSample("fmod", tg.fmod, two(uneven_quotients), reference.fmod, torch_function("fmod")),
    OpSample(
        "remainder/integers",
        tg.remainder,
        two(integer_quotients),
        reference.remainder,
        torch_function("remainder"),
        value_only=True,
    ),
    OpSample("fmod/integers", tg.fmod, two(integer_quotients), reference.fmod, torch_function("fmod"), value_only=True),
    OpSample("pow", tg.pow, two(powers), reference.pow, torch_function("pow")),
    OpSample("pow/integer exponents", tg.pow, two(integer_powers), reference.pow, torch_function("pow")),
    OpSample("pow/integers", tg.pow, two(natural_powers), reference.pow, torch_function("pow"), value_only=True),
    number_row("add/number", draw.normal, [2, -1.5, True]),
    number_row("sub/number", draw.normal, [2, -1.5]),
    number_row("mul/number", draw.normal, [2, -1.5, 0, True]),
    number_row("div/number", of_either_sign, [2, -1.5, True]),
    number_row("pow/number", of_either_sign, [-2, -1, 0, 1, 2, 2.0, 3, True]),
    number_row("pow/fraction", positive, [-0.5, 0.5, 1.5, 0.0]),
    of_a_number("add", lambda a, b: a + b, draw.normal, [2, -1.5, True]),
    of_a_number("sub", lambda a, b: a - b, draw.normal, [2, -1.5]),
    of_a_number("mul", lambda a, b: a * b, draw.normal, [2, -1.5, True]),
    of_a_number("div", lambda a, b: a / b, of_either_sign, [2, -1.5, True]),
    of_a_number("pow", lambda a, b: a**b, draw.normal, [2, 0.5, 1]),
]
