"""Rows for ``ops/shape.py``, ``copies.py``, ``rearrange.py`` and ``padding.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.ops import padding

from ..reference import shape as reference
from . import draw
from .table import Case, OpSample, torch_function


def one(
    parameters: Callable[[Any, tuple[int, ...]], dict[str, Any]], min_dims: int = 0, max_dims: int = 4
) -> st.SearchStrategy[Case]:
    """Cases with one array; ``parameters(draw, shape)`` gives the keywords."""

    @st.composite
    def build(draw_: st.DrawFn) -> Case:
        sides = draw_(draw.shapes(min_dims, max_dims))
        return Case((draw.normal(draw_(draw.seeds), sides),), parameters(draw_, sides))

    return build()


def no_parameters(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {}


def a_dim(draw_: Any, ndim: int) -> int:
    return draw_(st.integers(-ndim, ndim - 1))


def method(name: str) -> Callable[..., Any]:
    """Calls a method with the keywords' values as positional arguments, on our Tensors and on PyTorch's."""
    return lambda x, *args, **kwargs: getattr(x, name)(*args, *kwargs.values())


def attribute(name: str) -> Callable[..., Any]:
    return lambda x: getattr(x, name)


def factors(draw_: Any, count: int) -> list[int]:
    """Sizes whose product is ``count``, some of them 1."""
    sizes = []
    while count > 1:
        size = draw_(st.sampled_from([d for d in range(2, count + 1) if count % d == 0]))
        sizes.append(size)
        count //= size
    for _ in range(draw_(st.integers(0, 2))):
        sizes.insert(draw_(st.integers(0, len(sizes))), 1)
    return sizes


def new_shape(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    count = 1
    for side in sides:
        count *= side
    sizes = factors(draw_, count)
    if sizes and draw_(st.booleans()):
        sizes[draw_(st.integers(0, len(sizes) - 1))] = -1
    return {"shape": tuple(sizes)}


def flatten_dims(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    if not sides:
        return {}
    start = draw_(st.integers(0, len(sides) - 1))
    end = draw_(st.integers(start, len(sides) - 1))
    return {"start_dim": start, "end_dim": end - draw_(st.sampled_from([0, len(sides)]))}


def unflatten_sizes(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    sizes = factors(draw_, sides[dim]) or [1]
    if draw_(st.booleans()):
        sizes[draw_(st.integers(0, len(sizes) - 1))] = -1
    return {"dim": dim, "sizes": tuple(sizes)}


def squeeze_dim(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    if not sides or draw_(st.booleans()):
        return {}
    if draw_(st.booleans()):
        return {"dim": a_dim(draw_, len(sides))}
    return {"dim": tuple(draw_(st.lists(st.integers(0, len(sides) - 1), unique=True)))}


def two_dims(first: str, second: str) -> Callable[..., dict[str, Any]]:
    return lambda draw_, sides: {first: a_dim(draw_, len(sides)), second: a_dim(draw_, len(sides))}


def moved(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    if draw_(st.booleans()):
        return {"source": a_dim(draw_, len(sides)), "destination": a_dim(draw_, len(sides))}
    count = draw_(st.integers(1, len(sides)))
    orders = st.permutations(range(len(sides)))
    return {"source": tuple(draw_(orders)[:count]), "destination": tuple(draw_(orders)[:count])}


@st.composite
def expanded(draw_: st.DrawFn, name: str = "shape") -> Case:
    small, _ = draw_(draw.broadcastable())
    full = [draw_(st.integers(1, 3)) if side == 1 else side for side in small]
    front = [draw_(st.integers(1, 3)) for _ in range(draw_(st.integers(0, 2)))]
    return Case((draw.normal(draw_(draw.seeds), small),), {name: tuple(front + full)})


def counts(name: str, fewer: bool) -> Callable[..., dict[str, Any]]:
    def parameters(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
        length = draw_(st.integers(0 if fewer else len(sides), len(sides) + 1))
        return {name: tuple(draw_(st.integers(1, 3)) for _ in range(length))}

    return parameters


def interleaved(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    if draw_(st.booleans()):
        return {"repeats": draw_(st.integers(1, 3))}
    return {"repeats": draw_(st.integers(1, 3)), "dim": a_dim(draw_, len(sides))}


def some_dims(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {"dims": tuple(draw_(st.lists(st.integers(0, len(sides) - 1), unique=True, min_size=1)))}


def rolled(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    if draw_(st.booleans()):
        return {"shifts": draw_(st.integers(-5, 5))}
    dims = draw_(st.lists(st.integers(0, len(sides) - 1), min_size=1, max_size=3))
    return {"shifts": tuple(draw_(st.integers(-5, 5)) for _ in dims), "dims": tuple(dims)}


def triangle(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    return {"diagonal": draw_(st.integers(-4, 4))}


def diagonals(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    first, second = draw_(st.permutations(range(len(sides))))[:2]
    room = min(sides[first], sides[second]) - 1
    return {"offset": draw_(st.integers(-room, room)), "dim1": first, "dim2": second}


def windows(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    dim = a_dim(draw_, len(sides))
    return {"dimension": dim, "size": draw_(st.integers(1, sides[dim])), "step": draw_(st.integers(1, 4))}


def constant_padding(draw_: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    widths: list[int] = []
    for side in sides[::-1][: draw_(st.integers(0, len(sides)))]:
        cut = side - 1
        before = draw_(st.integers(-cut, 2))
        widths += [before, draw_(st.integers(-(side - 1 - max(-before, 0)), 2))]
    return {"pad": tuple(widths), "value": draw_(st.sampled_from([None, 0.5]))}


@st.composite
def bordered(draw_: st.DrawFn) -> Case:
    mode = draw_(st.sampled_from(["reflect", "replicate", "circular"]))
    padded = draw_(st.integers(1, 3))
    sides = draw_(draw.shapes(padded + 1, padded + 2, min_side=2))
    widths = [draw_(st.integers(0, side - (mode == "reflect"))) for side in sides[::-1][:padded] for _ in range(2)]
    return Case((draw.normal(draw_(draw.seeds), sides),), {"pad": tuple(widths), "mode": mode})


@st.composite
def several(draw_: st.DrawFn) -> Case:
    sides = draw_(draw.broadcastable(3))
    seed = draw_(draw.seeds)
    return Case(tuple(draw.normal(seed + i, s) for i, s in enumerate(sides)))


@st.composite
def axes(draw_: st.DrawFn) -> Case:
    seed = draw_(draw.seeds)
    arrays = tuple(
        draw.normal(seed + i, s) for i, s in enumerate(draw_(st.lists(draw.shapes(0, 1), min_size=1, max_size=3)))
    )
    return Case(arrays, {"indexing": draw_(st.sampled_from(["ij", "xy"]))})


def linear(name: str, function: Any, cases: Any, slow: Any, torch: Any = None) -> OpSample:
    """A row for a function that only moves, copies or drops elements."""
    return OpSample(name, function, cases, slow, torch or torch_function(name), exact=True)


SAMPLES = [
    linear("reshape", tg.reshape, one(new_shape), reference.reshape),
    # What view refuses because of its memory is tested in test_views.py.
    linear(
        "Tensor.view", lambda x, shape: x.contiguous().view(shape), one(new_shape), reference.reshape, method("view")
    ),
    linear("flatten", tg.flatten, one(flatten_dims), reference.flatten),
    linear("ravel", tg.ravel, one(no_parameters), reference.ravel),
    linear("unflatten", tg.unflatten, one(unflatten_sizes, 1), reference.unflatten),
    linear("squeeze", tg.squeeze, one(squeeze_dim), reference.squeeze),
    linear("unsqueeze", tg.unsqueeze, one(lambda d, s: {"dim": a_dim(d, len(s) + 1)}), reference.unsqueeze),
    linear(
        "permute", tg.permute, one(lambda d, s: {"dims": tuple(d(st.permutations(range(len(s)))))}), reference.permute
    ),
    linear("transpose", tg.transpose, one(two_dims("dim0", "dim1"), 1), reference.transpose),
    linear("swapdims", tg.swapdims, one(two_dims("dim0", "dim1"), 1), reference.transpose),
    linear(
        "swapaxes",
        tg.swapaxes,
        one(two_dims("axis0", "axis1"), 1),
        lambda x, axis0, axis1: reference.transpose(x, axis0, axis1),
    ),
    linear("t", tg.t, one(no_parameters, 0, 2), reference.t),
    linear(
        "Tensor.T",
        attribute("T"),
        one(no_parameters, 0, 4),
        reference.reversed_dims,
        lambda x: x.permute(tuple(range(x.ndim - 1, -1, -1))),
    ),
    linear("Tensor.mT", attribute("mT"), one(no_parameters, 2, 4), reference.matrix_transpose, attribute("mT")),
    linear("movedim", tg.movedim, one(moved, 1), reference.movedim),
    linear("moveaxis", tg.moveaxis, one(moved, 1), reference.movedim),
    linear("Tensor.expand", method("expand"), expanded(), reference.expand, method("expand")),
    linear("broadcast_to", tg.broadcast_to, expanded("size"), reference.broadcast_to),
    linear("clone", tg.clone, one(no_parameters), reference.clone),
    linear("Tensor.contiguous", method("contiguous"), one(no_parameters), reference.clone, method("contiguous")),
    linear("Tensor.repeat", method("repeat"), one(counts("repeats", False), 0, 3), reference.repeat, method("repeat")),
    linear("tile", tg.tile, one(counts("dims", True), 0, 3), reference.tile),
    linear("repeat_interleave", tg.repeat_interleave, one(interleaved, 1), reference.repeat_interleave),
    linear("flip", tg.flip, one(some_dims, 1), reference.flip),
    linear("fliplr", tg.fliplr, one(no_parameters, 2), lambda x: reference.flip(x, (1,))),
    linear("flipud", tg.flipud, one(no_parameters, 1), lambda x: reference.flip(x, (0,))),
    linear("roll", tg.roll, one(rolled, 1), reference.roll),
    linear("tril", tg.tril, one(triangle, 2), reference.tril),
    linear("triu", tg.triu, one(triangle, 2), reference.triu),
    linear("diagonal", tg.diagonal, one(diagonals, 2), reference.diagonal),
    linear("Tensor.unfold", method("unfold"), one(windows, 1), reference.unfold, method("unfold")),
    linear("pad", padding.pad, one(constant_padding), reference.pad, torch_function("nn.functional.pad")),
    linear("pad/border", padding.pad, bordered(), reference.pad, torch_function("nn.functional.pad")),
    linear("broadcast_tensors", tg.broadcast_tensors, several(), reference.broadcast_tensors),
    linear("meshgrid", tg.meshgrid, axes(), reference.meshgrid),
]
