"""Rows for ``ops/reduction.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import reduction as reference
from . import draw
from .samples_arithmetic import of_either_sign
from .samples_shape import one
from .table import Case, OpSample, torch_function


def a_dim(draw_: Any, ndim: int) -> int:
    span = ndim or 1  # a 0-dimensional tensor takes 0 and -1
    return draw_(st.integers(-span, span - 1))


def several_dims(draw_: Any, ndim: int) -> tuple[int, ...]:
    """Some dimensions, each once, some of them negative; () means all of them."""
    chosen = draw_(st.lists(st.integers(0, (ndim or 1) - 1), unique=True))
    return tuple(d - (ndim or 1) * draw_(st.booleans()) for d in chosen)


def some_dims(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    """``dim`` as an int or a tuple, with or without ``keepdim``; or nothing."""
    if draw_(st.integers(0, 3)) == 0:
        return {}
    dim = several_dims(draw_, len(sides)) if draw_(st.booleans()) else a_dim(draw_, len(sides))
    return {"dim": dim, **({"keepdim": draw_(st.booleans())} if draw_(st.booleans()) else {})}


def named_dims(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    """``dim`` as an int or a tuple that names some, and ``keepdim``."""
    dim = (draw_(st.booleans()) and several_dims(draw_, len(sides))) or a_dim(draw_, len(sides))
    return {"dim": dim, "keepdim": draw_(st.booleans())}


def one_dim(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    """``dim`` as an int, with or without ``keepdim``; or nothing."""
    if draw_(st.integers(0, 3)) == 0:
        return {}
    return {"dim": a_dim(draw_, len(sides)), "keepdim": draw_(st.booleans())}


def running_dim(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {"dim": a_dim(draw_, len(sides))}


def counted_dims(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {"dim": several_dims(draw_, len(sides)) or None}


def magnitudes(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Values whose sizes are at least 0.2 and at least 0.1 apart: no tie in a norm of order inf, no kink of abs."""
    sizes = draw.distinct(seed, shape)
    signs = np.random.default_rng(seed + 1).choice([-1.0, 1.0], shape)
    return np.asarray((sizes - sizes.min() + 0.2) * signs)


def with_zeros(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Normal values, about a fifth of them 0."""
    return np.asarray(draw.normal(seed, shape) * (np.random.default_rng(seed + 1).random(shape) < 0.8))


def filled(values: Callable[[int, tuple[int, ...]], np.ndarray], parameters: Any, max_dims: int = 3) -> Any:
    """Cases with one array of such values; ``parameters(draw, shape)`` gives the keywords."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        sides = draw_(draw.shapes(max_dims=max_dims))
        return Case((values(draw_(draw.seeds), sides),), parameters(draw_, sides))

    return build()


def integral(parameters: Any) -> Any:
    """Cases with one array of an integer dtype or bool."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        sides = draw_(draw.shapes(max_dims=3))
        values = np.random.default_rng(draw_(draw.seeds)).integers(0, 3, sides)
        dtype = draw_(st.sampled_from([np.int64, np.int32, np.uint8, np.bool_]))
        return Case((np.asarray(values, dtype),), parameters(draw_, sides))

    return build()


@st.composite
def samples_of_two(draw_: st.DrawFn) -> Case:
    """Arrays and dimensions with more elements to a variance than its correction takes away."""
    sides = draw_(draw.shapes(1, 3, min_side=2))
    # PyTorch's gradient of var(dim=()) is wrong: it counts one element.
    kwargs = named_dims(draw_, sides) if draw_(st.booleans()) else {}
    kind = draw_(st.sampled_from(["default", "unbiased", "correction"]))
    if kind == "unbiased" and "dim" in kwargs:
        kwargs["unbiased"] = draw_(st.booleans())
    if kind == "correction":
        kwargs["correction"] = draw_(st.sampled_from([0, 1, 0.5]))
    return Case((draw.normal(draw_(draw.seeds), sides),), kwargs)


def orders(*allowed: Any) -> Callable[..., dict[str, Any]]:
    def parameters(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
        p, kwargs = draw_(st.sampled_from(allowed)), some_dims(draw_, sides)
        dim = kwargs.get("dim")
        if p == "fro" and isinstance(dim, tuple) and len(dim or sides) > 2:
            p = 2  # PyTorch refuses "fro" over three named dimensions
        return {"p": p, **kwargs}

    return parameters


def row(name: str, cases: Any, slow: Any, **options: Any) -> OpSample:
    path = name.split("/")[0]
    return OpSample(name, getattr(tg, path), cases, slow, torch_function(path), **options)


SAMPLES = [
    row("sum", one(some_dims), reference.sum, exact=True),
    row("sum/integers", integral(some_dims), reference.sum, value_only=True),
    row("mean", one(some_dims), reference.mean),
    row("var", samples_of_two(), reference.var),
    row("std", samples_of_two(), reference.std),
    row("var_mean", samples_of_two(), reference.var_mean),
    # A factor near 0 costs digits: the others are the product divided by it.
    row("prod", filled(of_either_sign, one_dim), reference.prod),
    row("prod/zeros", filled(with_zeros, one_dim), reference.prod),
    row("prod/integers", integral(one_dim), reference.prod, value_only=True),
    row("amax", filled(draw.distinct, some_dims), reference.amax),
    row("amin", filled(draw.distinct, some_dims), reference.amin),
    row("logsumexp", one(named_dims, min_dims=1), reference.logsumexp),
    row("norm", filled(magnitudes, orders("fro", 2, 1, 3, 0.5, 1.5, -1)), reference.norm),
    row("norm/extremes", filled(magnitudes, orders(float("inf"), float("-inf"))), reference.norm),
    row("norm/count", filled(magnitudes, orders(0)), reference.norm),
    row("cumsum", one(running_dim), reference.cumsum, exact=True),
    row("cumsum/integers", integral(running_dim), reference.cumsum, value_only=True),
    row("cumprod", filled(of_either_sign, running_dim), reference.cumprod),
    row("cumprod/zeros", filled(with_zeros, running_dim), reference.cumprod),
    row("cumprod/integers", integral(running_dim), reference.cumprod, value_only=True),
    row(
        "count_nonzero",
        st.one_of(integral(counted_dims), filled(with_zeros, counted_dims)),
        reference.count_nonzero,
        value_only=True,
    ),
]
