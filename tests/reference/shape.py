"""Slow, obvious rearrangements: every output element is looked up by its index."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Index = tuple[int, ...]


def lookup(x: np.ndarray, shape: Sequence[int], place: Callable[[Index], Index | None]) -> np.ndarray:
    """The array of this shape whose element at ``i`` is ``x[place(i)]``, 0 where place gives None."""
    out = np.zeros(tuple(shape), x.dtype)
    for i in itertools.product(*map(range, shape)):
        source = place(i)
        if source is not None:
            out[i] = x[source]
    return out


def clone(x: np.ndarray) -> np.ndarray:
    return lookup(x, x.shape, lambda i: i)


def reshape(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    known = 1
    for side in shape:
        known *= side if side != -1 else 1
    full = [side if side != -1 else x.size // known for side in shape]
    elements = [x[i] for i in itertools.product(*map(range, x.shape))]
    out = np.zeros(full, x.dtype)
    for element, i in zip(elements, itertools.product(*map(range, full))):
        out[i] = element
    return out


def flatten(x: np.ndarray, start_dim: int = 0, end_dim: int = -1) -> np.ndarray:
    start, end = start_dim % max(x.ndim, 1), end_dim % max(x.ndim, 1)
    joined = 1
    for side in x.shape[start : end + 1]:
        joined *= side
    return reshape(x, (*x.shape[:start], joined, *x.shape[end + 1 :]))


def ravel(x: np.ndarray) -> np.ndarray:
    return reshape(x, (x.size,))


def unflatten(x: np.ndarray, dim: int, sizes: Sequence[int]) -> np.ndarray:
    dim %= x.ndim
    return reshape(x, (*x.shape[:dim], *reshape(np.arange(x.shape[dim]), sizes).shape, *x.shape[dim + 1 :]))


def squeeze(x: np.ndarray, dim: Any = None) -> np.ndarray:
    dims = range(x.ndim) if dim is None else [d % x.ndim for d in (dim if isinstance(dim, tuple) else (dim,))]
    return reshape(x, [side for d, side in enumerate(x.shape) if d not in dims or side != 1])


def unsqueeze(x: np.ndarray, dim: int) -> np.ndarray:
    shape = list(x.shape)
    shape.insert(dim % (x.ndim + 1), 1)
    return reshape(x, shape)


def permute(x: np.ndarray, dims: Sequence[int]) -> np.ndarray:
    dims = [d % x.ndim for d in dims]
    return lookup(x, [x.shape[d] for d in dims], lambda i: tuple(i[dims.index(d)] for d in range(x.ndim)))


def transpose(x: np.ndarray, dim0: int, dim1: int) -> np.ndarray:
    dims = list(range(x.ndim))
    if x.ndim:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return permute(x, dims)


def t(x: np.ndarray) -> np.ndarray:
    return transpose(x, 0, -1)


def matrix_transpose(x: np.ndarray) -> np.ndarray:
    return transpose(x, -1, -2)


def reversed_dims(x: np.ndarray) -> np.ndarray:
    return permute(x, range(x.ndim - 1, -1, -1))


def movedim(x: np.ndarray, source: Any, destination: Any) -> np.ndarray:
    sources = [d % x.ndim for d in (source if isinstance(source, tuple) else (source,))]
    places = [d % x.ndim for d in (destination if isinstance(destination, tuple) else (destination,))]
    rest = [d for d in range(x.ndim) if d not in sources]
    order = [sources[places.index(d)] if d in places else rest.pop(0) for d in range(x.ndim)]
    return permute(x, order)


def expand(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    added = len(shape) - x.ndim
    full = [x.shape[d - added] if side == -1 else side for d, side in enumerate(shape)]
    return lookup(x, full, lambda i: tuple(0 if x.shape[d] == 1 else i[d + added] for d in range(x.ndim)))


def broadcast_to(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return expand(x, size)


def repeat(x: np.ndarray, repeats: Sequence[int]) -> np.ndarray:
    added = len(repeats) - x.ndim
    full = [count * (1 if d < added else x.shape[d - added]) for d, count in enumerate(repeats)]
    return lookup(x, full, lambda i: tuple(i[d + added] % x.shape[d] for d in range(x.ndim)))


def tile(x: np.ndarray, dims: Sequence[int]) -> np.ndarray:
    return repeat(x, (*[1] * (x.ndim - len(dims)), *dims))


def repeat_interleave(x: np.ndarray, repeats: Any, dim: int | None = None) -> np.ndarray:
    if dim is None:
        x, dim = ravel(x), 0
    counts = np.broadcast_to(repeats, x.shape[dim]).tolist()
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    return index_select(x, np.array(places, int), dim)


def flip(x: np.ndarray, dims: Sequence[int]) -> np.ndarray:
    dims = [d % x.ndim for d in dims]
    return lookup(x, x.shape, lambda i: tuple(x.shape[d] - 1 - k if d in dims else k for d, k in enumerate(i)))


def roll(x: np.ndarray, shifts: Any, dims: Any = None) -> np.ndarray:
    if dims is None:
        return reshape(roll(ravel(x), shifts, 0), x.shape)
    amounts = [0] * x.ndim
    for d, shift in zip(
        dims if isinstance(dims, tuple) else (dims,), shifts if isinstance(shifts, tuple) else (shifts,)
    ):
        amounts[d] += shift
    return lookup(x, x.shape, lambda i: tuple((k - amounts[d]) % x.shape[d] for d, k in enumerate(i)))


def tril(x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    return lookup(x, x.shape, lambda i: i if i[-1] - i[-2] <= diagonal else None)


def triu(x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    return lookup(x, x.shape, lambda i: i if i[-1] - i[-2] >= diagonal else None)


def diagonal(x: np.ndarray, offset: int = 0, dim1: int = 0, dim2: int = 1) -> np.ndarray:
    dim1, dim2 = dim1 % x.ndim, dim2 % x.ndim
    rest = [d for d in range(x.ndim) if d not in (dim1, dim2)]
    row, column = max(-offset, 0), max(offset, 0)
    length = max(min(x.shape[dim1] - row, x.shape[dim2] - column), 0)

    def place(i: Index) -> Index:
        source = [0] * x.ndim
        for d, k in zip(rest, i):
            source[d] = k
        source[dim1], source[dim2] = row + i[-1], column + i[-1]
        return tuple(source)

    return lookup(x, [*(x.shape[d] for d in rest), length], place)


def unfold(x: np.ndarray, dimension: int, size: int, step: int) -> np.ndarray:
    dim = dimension % x.ndim
    shape = [*x.shape, size]
    shape[dim] = (x.shape[dim] - size) // step + 1
    return lookup(x, shape, lambda i: (*i[:dim], i[dim] * step + i[-1], *i[dim + 1 : -1]))


def pad(x: np.ndarray, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> np.ndarray:
    before, after = [0] * x.ndim, [0] * x.ndim
    for k in range(len(pad) // 2):
        before[-1 - k], after[-1 - k] = pad[2 * k], pad[2 * k + 1]
    shape = [b + side + a for b, side, a in zip(before, x.shape, after)]
    filled = lookup(x + 0, shape, lambda i: _padded(i, before, x.shape, mode))
    if value:
        for i in itertools.product(*map(range, shape)):
            if _padded(i, before, x.shape, mode) is None:
                filled[i] = value
    return filled


def _padded(i: Index, before: Sequence[int], sides: Sequence[int], mode: str) -> Index | None:
    source = []
    for k, b, side in zip(i, before, sides):
        place = k - b
        if not 0 <= place < side:
            if mode == "constant":
                return None
            if mode == "circular":
                place %= side
            elif mode == "replicate":
                place = 0 if place < 0 else side - 1
            else:
                place = -place if place < 0 else 2 * (side - 1) - place
        source.append(place)
    return tuple(source)


def cat(*arrays: np.ndarray, dim: int = 0) -> np.ndarray:
    dim %= arrays[0].ndim
    owners = [(a, k) for a in arrays for k in range(a.shape[dim])]
    shape = list(arrays[0].shape)
    shape[dim] = len(owners)
    out = np.zeros(shape, arrays[0].dtype)
    for i in itertools.product(*map(range, shape)):
        array, place = owners[i[dim]]
        out[i] = array[(*i[:dim], place, *i[dim + 1 :])]
    return out


def stack(*arrays: np.ndarray, dim: int = 0) -> np.ndarray:
    return cat(*(unsqueeze(a, dim) for a in arrays), dim=dim)


def hstack(*arrays: np.ndarray) -> np.ndarray:
    arrays = tuple(a if a.ndim else reshape(a, (1,)) for a in arrays)
    return cat(*arrays, dim=0 if arrays[0].ndim == 1 else 1)


def vstack(*arrays: np.ndarray) -> np.ndarray:
    return cat(*(reshape(a, (1,) * (2 - a.ndim) + a.shape) for a in arrays))


def split(x: np.ndarray, sizes: Any, dim: int = 0) -> tuple[np.ndarray, ...]:
    side = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, side - start) for start in range(0, side, sizes)]
    ends = list(itertools.accumulate(sizes))
    return tuple(index_select(x, np.arange(end - size, end), dim) for size, end in zip(sizes, ends))


def chunk(x: np.ndarray, chunks: int, dim: int = 0) -> tuple[np.ndarray, ...]:
    return split(x, -(-x.shape[dim] // chunks), dim)


def unbind(x: np.ndarray, dim: int = 0) -> tuple[np.ndarray, ...]:
    return tuple(select(x, dim, k) for k in range(x.shape[dim]))


def select(x: np.ndarray, dim: int, index: int) -> np.ndarray:
    chosen = index_select(x, np.array([index % x.shape[dim]]), dim)
    return reshape(chosen, [side for d, side in enumerate(x.shape) if d != dim % x.ndim])


def narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    start %= x.shape[dim] + (start >= 0)
    return index_select(x, np.arange(start, start + length), dim)


def index_select(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    dim %= x.ndim
    shape = [*x.shape[:dim], len(index), *x.shape[dim + 1 :]]
    return lookup(x, shape, lambda i: (*i[:dim], int(index[i[dim]]), *i[dim + 1 :]))


def broadcast_tensors(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(expand(a, shape) for a in arrays)


def meshgrid(*arrays: np.ndarray, indexing: str = "ij") -> tuple[np.ndarray, ...]:
    shape = [a.size for a in arrays]
    grids = [lookup(ravel(a), shape, lambda i, d=d: (i[d],)) for d, a in enumerate(arrays)]
    return tuple(transpose(g, 0, 1) if indexing == "xy" and len(arrays) > 1 else g for g in grids)
