"""Rows for ``ops/indexing.py`` and ``ops/gathering.py``: index tensors and masks are arrays of the case."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg

from ..reference import indexing as reference
from ..reference import shape as shape_reference
from . import draw
from .samples_shape import a_dim
from .table import Case, OpSample, torch_function


def integers(seed: int, shape: tuple[int, ...], high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape)


@st.composite
def gathered(draw_: st.DrawFn, with_source: bool = False, unique: bool = False) -> Case:
    sides = draw_(draw.shapes(1, 3))
    dim, seed = a_dim(draw_, len(sides)), draw_(draw.seeds)
    reach = [draw_(st.integers(1, side)) for side in sides]
    if not unique:
        reach[dim] = draw_(st.integers(1, 5))
        index = integers(seed, tuple(reach), sides[dim])
    else:  # a permutation along dim, so that every place is written once
        order = np.argsort(draw.normal(seed, tuple(sides)), axis=dim)
        index = order[tuple(slice(side) for side in reach)]
    x = draw.normal(seed + 1, sides)
    if not with_source:
        return Case((x, index), {"dim": dim})
    # PyTorch differentiates only by a source of the index's shape; a larger one is tested in test_gathering.py.
    return Case((x, index, draw.normal(seed + 2, tuple(reach))), {"dim": dim})


@st.composite
def rows(draw_: st.DrawFn, source: str | None = None, unique: bool = False) -> Case:
    sides = draw_(draw.shapes(1, 4))
    dim, seed = a_dim(draw_, len(sides)), draw_(draw.seeds)
    count = draw_(st.integers(1, sides[dim] if unique else 5))
    if unique:
        index = np.random.default_rng(seed).permutation(sides[dim])[:count]
    else:
        index = integers(seed, (count,), sides[dim])
    arrays = [draw.normal(seed + 1, sides), index]
    if source == "like":
        shape = list(sides)
        shape[dim] = count
        arrays.append(draw.normal(seed + 2, tuple(shape)))
    elif source == "number":
        arrays.append(draw.normal(seed + 2, ()))
    return Case(tuple(arrays), {"dim": dim})


@st.composite
def rows_and_alpha(draw_: st.DrawFn) -> Case:
    case = draw_(rows("like"))
    return Case(case.arrays, {**case.kwargs, "alpha": draw_(st.sampled_from([1, -0.5]))})


@st.composite
def masked(draw_: st.DrawFn, value: bool) -> Case:
    sides, mask_sides = draw_(draw.broadcastable())
    seed = draw_(draw.seeds)
    arrays = (draw.normal(seed, sides), np.random.default_rng(seed).random(mask_sides) < 0.5)
    return Case((*arrays, draw.normal(seed + 1, ())) if value else arrays)


@st.composite
def taken(draw_: st.DrawFn) -> Case:
    sides, seed = draw_(draw.shapes(0, 3)), draw_(draw.seeds)
    count = int(np.prod(sides))
    return Case((draw.normal(seed, sides), integers(seed, draw_(draw.shapes(0, 2)), 2 * count) - count))


def index_entries(draw_: Any, side: int, seed: int, broadcast: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """One entry of a key for a dimension: an int, a slice, a list or an index array."""
    bound = st.one_of(st.none(), st.integers(-side - 1, side + 1))
    return st.one_of(
        st.integers(-side, side - 1),
        st.builds(slice, bound, bound, st.one_of(st.none(), st.integers(1, 3))),
        st.just(integers(seed, broadcast, side)),
        st.just(integers(seed + 1, (1,), side)),
    )


@st.composite
def keys(draw_: st.DrawFn, unique: bool = False) -> Case:
    """Keys on which NumPy and PyTorch agree: index arrays and ints do not stand together."""
    sides, seed = draw_(draw.shapes(1, 4)), draw_(draw.seeds)
    kind = draw_(st.sampled_from(["basic", "arrays", "mask"]))
    key: list[Any] = []
    if kind == "mask":
        covered = draw_(st.integers(1, len(sides)))
        key = [np.random.default_rng(seed).random(sides[:covered]) < 0.5]
    else:
        for side in sides[: draw_(st.integers(0, len(sides)))]:
            entry = draw_(index_entries(draw_, side, seed + len(key), (3,)))
            if kind == "basic" and isinstance(entry, np.ndarray):
                entry = slice(None)
            if kind == "arrays" and isinstance(entry, int):
                entry = np.array([entry])
            if unique and isinstance(entry, np.ndarray):
                entry = entry[:1]
            key.append(entry)
            if draw_(st.integers(0, 4)) == 0:
                key.append(None)
        if draw_(st.booleans()):
            key.append(Ellipsis)
    x = draw.normal(seed, sides)
    return Case((x,), {"key": tuple(key)})


@st.composite
def assigned(draw_: st.DrawFn) -> Case:
    case = draw_(keys(unique=True))
    x, key = case.arrays[0], case.kwargs["key"]
    place = x[key].shape
    shape = place[draw_(st.integers(0, len(place))) :]
    value = draw.normal(draw_(draw.seeds), tuple(1 if draw_(st.booleans()) else side for side in shape))
    return Case((x, value), {"key": key})


@st.composite
def put(draw_: st.DrawFn) -> Case:
    sides, seed = draw_(draw.shapes(1, 3)), draw_(draw.seeds)
    used, count = draw_(st.integers(1, len(sides))), draw_(st.integers(1, 4))
    key = tuple(integers(seed + d, (count,), side) for d, side in enumerate(sides[:used]))
    accumulate = draw_(st.booleans())
    if not accumulate:
        key = tuple(places[:1] for places in key)
    value = draw.normal(seed, (len(key[0]), *sides[used:]))
    return Case((draw.normal(seed + 9, sides), value), {"key": key, "accumulate": accumulate})


def set_item(x: Any, value: Any, key: Any) -> Any:
    out = x.clone()
    out[key] = value
    return out


def index_put(make: Any, method: str = "index_put") -> Any:
    """The method with the key's arrays made into index tensors by ``make``."""
    return lambda x, value, key, accumulate: getattr(x, method)(tuple(map(make, key)), value, accumulate)


def torch_index_put(x: Any, value: Any, key: Any, accumulate: bool) -> Any:
    return index_put(torch_function("from_numpy"))(x, value, key, accumulate)


def row(name: str, function: Any, cases: Any, slow: Any, torch: Any = None, exact: bool = True) -> OpSample:
    return OpSample(name, function, cases, slow, torch or torch_function(name), exact=exact)


def reordered(function: Any) -> Any:
    """The function called as (x, index, rest, dim=dim) though it takes (x, dim, index, rest)."""
    return lambda x, index, *rest, dim, **kwargs: function(x, dim, index, *rest, **kwargs)


def row_with_dim(name: str, cases: Any, slow: Any) -> OpSample:
    return row(name, reordered(getattr(tg, name)), cases, slow, reordered(torch_function(name)))


@st.composite
def along(draw_: st.DrawFn) -> Case:
    sides = draw_(draw.shapes(1, 3))
    dim, seed = a_dim(draw_, len(sides)), draw_(draw.seeds)
    index_sides = [1 if draw_(st.booleans()) else side for side in sides]
    index_sides[dim] = draw_(st.integers(1, 5))
    return Case((draw.normal(seed, sides), integers(seed, tuple(index_sides), sides[dim])), {"dim": dim})


def take_along(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    shape = list(x.shape)
    shape[dim] = index.shape[dim]
    return reference.gather(x, np.broadcast_to(index, shape), dim)


def number_scattered(value: Any, **options: Any) -> Any:
    """``scatter`` of a number, called as the rows call it."""
    return lambda x, index, dim: x.scatter(dim, index, value, **options)


def scattered_sum(x: Any, index: Any, src: Any, dim: int) -> Any:
    return x.scatter(dim, index, src, reduce="add")


SAMPLES = [
    row_with_dim("gather", gathered(), reference.gather),
    row("take_along_dim", tg.take_along_dim, along(), take_along),
    row_with_dim("scatter", gathered(with_source=True, unique=True), reference.scatter),
    row(
        "scatter/number",
        number_scattered(2.5),
        gathered(unique=True),
        lambda x, index, dim: reference.scatter(x, index, np.array(2.5), dim),
        number_scattered(2.5),
    ),
    # PyTorch has no gradient for reduce="add"; scatter_add is the same and has one.
    row(
        "scatter/add",
        scattered_sum,
        gathered(with_source=True),
        reference.scatter_add,
        reordered(torch_function("scatter_add")),
    ),
    row(
        "scatter/add a number",
        number_scattered(2.0, reduce="add"),
        gathered(),
        lambda x, index, dim: reference.scatter_add(x, index, np.full(index.shape, 2.0), dim),
        lambda x, index, dim: x.scatter_add(dim, index, torch_function("full_like")(index, 2.0, dtype=x.dtype)),
    ),
    row_with_dim("scatter_add", gathered(with_source=True), reference.scatter_add),
    row_with_dim("index_select", rows(), lambda x, index, dim: shape_reference.index_select(x, index, dim)),
    row_with_dim("index_add", rows_and_alpha(), reference.index_add),
    row_with_dim("index_copy", rows("like", unique=True), reference.index_copy),
    row_with_dim("index_fill", rows("number", unique=True), reference.index_fill),
    row("take", tg.take, taken(), reference.take),
    row("masked_fill", tg.masked_fill, masked(True), reference.masked_fill),
    row("masked_select", tg.masked_select, masked(False), reference.masked_select),
    row("Tensor.__getitem__", lambda x, key: x[key], keys(), reference.getitem, lambda x, key: x[key]),
    row("Tensor.__setitem__", set_item, assigned(), reference.setitem, set_item),
    row("index_put", index_put(tg.from_numpy), put(), reference.index_put, torch_index_put),
]
