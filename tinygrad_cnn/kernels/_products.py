"""Plans: what a matrix product over windows needs to know, worked out once per shape, and how to run it.

A `Dot` describes one call of `_tiles.dot_products`, an `Outer` one of `_tiles.outer_products`. Both are made by the
functions that know the geometry (`conv_direct`, `matmul`) and kept in their caches; running one only carves the
workspace and launches.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from . import _tiles
from ._jit import get_num_threads
from ._simd import ROWS, panel_width
from ._tasks import TaskKernel

Array = np.ndarray[Any, np.dtype[Any]]

LAUNCH_WORK = 2_000_000_000
"""Multiply-adds in one launch, at most about this: Ctrl-C is delivered only between launches."""

BLOCK = 16 * ROWS
"""Pixels that a task takes through all panels."""

CHUNKS = 16
"""Most chunks that a sum over pixels is cut into: enough for 16 threads, whatever the number of threads is."""


class Dot(NamedTuple):
    """``out[n, t, l] = start[l] + Σ_k window(n, t)[k] · matrix[k, l]``."""

    images: int
    source_size: int  # elements per image
    out_size: int
    table: Array  # (S, P) where piece s of pixel t lies in an image, −1 for zeros; or (1, P), the first of them
    pieces: int  # S
    piece_step: int  # elements from piece to piece if the table has only the first
    run: int  # elements in a piece
    targets: Array  # (P,) where in an image of the output pixel t goes
    terms: Array  # (K,) where the matrix's rows lie
    column_step: int  # from column to column of the matrix
    group_step: int
    groups: int
    columns: int  # per group
    group_run: int  # channels per group of the source

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.images * self.table.shape[1] * self.terms.size * self.groups * self.columns


class Outer(NamedTuple):
    """``out[s, k, l] = Σ_{n, t} window_s(n, t)[k] · rows[n, t, l]``."""

    images: int
    source_size: int
    table: Array  # (S, P)
    terms: Array  # (K,) where a piece's terms lie from its beginning
    groups: int
    columns: int
    group_run: int
    term_step: int  # steps in the output
    column_step: int
    group_step: int

    @property
    def work(self) -> int:
        """Multiply-adds."""
        pieces, pixels = self.table.shape
        return self.images * pixels * pieces * self.terms.size * self.groups * self.columns


class Carver:
    """Cuts a workspace into arrays that each begin on a 64-byte line, if the workspace does."""

    def __init__(self, workspace: Array | None, dtype: Any) -> None:
        self.workspace = workspace
        self.itemsize = np.dtype(dtype).itemsize
        self.used = 0

    def take(self, *shape: int) -> Array:
        """The next piece; with no workspace at hand, only its size is counted."""
        size = 1
        for extent in shape:
            size *= extent
        begin = self.used
        line = 64 // self.itemsize
        self.used += -(-size // line) * line
        if self.workspace is None:
            return np.empty(0)
        return self.workspace[begin : begin + size].reshape(shape)

    def take_int64(self, *shape: int) -> Array:
        """The next piece, as int64."""
        elements = shape[-1] * 8 // self.itemsize
        return self.take(*shape[:-1], elements).view(np.int64)


def dot_workspace(dot: Dot, dtype: Any) -> int:
    """Elements of workspace for `run_dot`."""
    carver = Carver(None, dtype)
    _carve_dot(dot, dtype, carver, get_num_threads())
    return carver.used


def run_dot(
    dot: Dot,
    source: Array,
    matrix: Array,
    bias: Array,
    workspace: Array,
    out: Array,
    relu: bool,
    products: TaskKernel = _tiles.dot_products,
) -> None:
    """Pack the matrix, then launch ``products`` over all tasks."""
    dtype = out.dtype
    threads = get_num_threads()
    # The threads may have become more since the workspace was measured: use as many as it has room for.
    while threads > 1 and _dot_size(dot, dtype, threads) > workspace.size:
        threads -= 1
    panels, starts, addresses, sums = _carve_dot(dot, dtype, Carver(workspace, dtype), threads)
    width = panels.shape[2]
    per_group = -(-dot.columns // width)
    terms = dot.terms.size
    _tiles.pack_panels(
        panels.size, threads, (matrix, panels), (dot.terms,),
        (terms, dot.groups, dot.group_step, dot.columns, dot.column_step, per_group),
    )  # fmt: skip
    _fill_starts(starts.reshape(dot.groups, per_group * width), bias, dot.columns)
    block, splits = _dot_tasks(dot, width, threads)
    tasks = -(-dot.images * dot.table.shape[1] // block) * splits
    zeros = zero_row(dot.groups * dot.group_run, dtype)
    segments, area = dot.table.shape
    step = max(threads, tasks * LAUNCH_WORK // max(1, dot.work))
    for first in range(0, tasks, step):
        products(
            dot.work, threads, (source, zeros, panels, starts, sums, out), (dot.table, dot.targets, addresses),
            (first, first + step, dot.images, dot.source_size, dot.out_size, dot.run, dot.group_run, dot.groups,
             dot.columns, per_group, block, splits, segments, area, relu, addresses.shape[1], sums.shape[1],
             dot.pieces, dot.piece_step),
        )  # fmt: skip


def outer_workspace(outer: Outer, dtype: Any) -> int:
    """Elements of workspace for `run_outer`."""
    return _outer_size(outer, dtype, get_num_threads())


def run_outer(outer: Outer, source: Array, rows: Array, workspace: Array, out: Array, out_columns: Array) -> None:
    """Launch `_tiles.outer_products` over all tasks, then add up the chunks."""
    dtype = out.dtype
    threads = get_num_threads()
    while threads > 1 and _outer_size(outer, dtype, threads) > workspace.size:
        threads -= 1
    sums, column_sums, addresses, packed = _carve_outer(outer, dtype, Carver(workspace, dtype), threads)
    chunks, splits = outer_tasks(outer, dtype)
    pieces, tiles = outer.table.shape[0], -(-outer.terms.size // ROWS)
    # The last tile's missing terms repeat its last one: computed, and never looked at.
    terms = outer.terms[np.minimum(np.arange(tiles * ROWS), outer.terms.size - 1)] * dtype.itemsize
    zeros = zero_row(outer.groups * outer.group_run, dtype)
    per_group = sums.shape[2]
    tasks = chunks * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, outer.work))
    for first in range(0, tasks, step):
        _tiles.outer_products(
            outer.work, threads, (source, zeros, rows, packed, sums, column_sums), (outer.table, terms, addresses),
            (first, first + step, outer.images, outer.source_size, outer.group_run, outer.groups, outer.columns,
             per_group, chunks, splits, outer_block(outer, dtype), pieces, outer.table.shape[1], tiles),
        )  # fmt: skip
    _tiles.sum_chunks(
        sums.size, threads, (sums, column_sums, out, out_columns), (),
        (chunks, outer.groups, pieces, outer.terms.size, outer.columns, per_group,
         outer.term_step, outer.column_step, outer.group_step, out_columns.size > 0),
    )  # fmt: skip


def outer_tasks(outer: Outer, dtype: Any) -> tuple[int, int]:
    """How many chunks the pixels, and how many parts the left terms, are cut into: by the shapes alone.

    Small results are summed in up to `CHUNKS` chunks, each with sums of its own. A result so large that a chunk's
    sums would leave the L2 cache (256 KB) is cut by terms first, and a result cut into enough parts needs no chunks.
    """
    width = panel_width(dtype)
    size = outer.table.shape[0] * round_up(outer.terms.size, ROWS) * round_up(outer.columns, width)
    size *= outer.groups * np.dtype(dtype).itemsize
    units = outer.groups * outer.table.shape[0] * -(-outer.terms.size // ROWS)
    splits = max(1, min(units, -(-size // (256 * 1024))))
    blocks = -(-outer.images * outer.table.shape[1] // outer_block(outer, dtype))
    chunks = max(1, min(blocks, CHUNKS // min(splits, CHUNKS)))
    return chunks, splits


def outer_block(outer: Outer, dtype: Any) -> int:
    """Pixels whose left and right rows stay in the L1 cache while all tiles pass over them."""
    return 64 if outer.groups * outer.columns * np.dtype(dtype).itemsize >= 128 else 256


@functools.lru_cache(maxsize=64)
def zero_row(size: int, dtype: Any) -> Array:
    """Zeros that padding is read from. Never written."""
    return np.zeros(max(1, size), dtype)


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _fill_starts(starts: Array, bias: Array, columns: int) -> None:
    """Spread the bias over the panels: (groups, panels · width), zero beyond each group's columns."""
    if bias.size:
        starts[:, :columns] = bias.reshape(-1, columns)
        starts[:, columns:] = 0
    else:
        starts[...] = 0


def _dot_tasks(dot: Dot, width: int, threads: int) -> tuple[int, int]:
    """Pixels per task and parts that the panels are cut into; no bit depends on either."""
    pixels = dot.images * dot.table.shape[1]
    panels = dot.groups * -(-dot.columns // width)
    if threads == 1:
        return BLOCK, 1
    blocks = -(-pixels // BLOCK)
    if blocks >= 4 * threads:
        return BLOCK, 1
    if panels >= 2 * threads:
        return BLOCK, 2 * threads
    return min(BLOCK, max(ROWS, round_up(-(-pixels // (2 * threads)), ROWS))), 1


def _dot_size(dot: Dot, dtype: Any, threads: int) -> int:
    carver = Carver(None, dtype)
    _carve_dot(dot, dtype, carver, threads)
    return carver.used


def _carve_dot(dot: Dot, dtype: Any, carver: Carver, threads: int) -> tuple[Array, Array, Array, Array]:
    width = panel_width(dtype)
    panels = dot.groups * -(-dot.columns // width)
    tiles = BLOCK // ROWS
    return (
        carver.take(panels, dot.terms.size, width),
        carver.take(panels, width),
        carver.take_int64(threads, ROWS * (tiles * (dot.table.shape[0] + 2) + 1)),
        carver.take(threads, tiles * ROWS * width),
    )


def _outer_size(outer: Outer, dtype: Any, threads: int) -> int:
    carver = Carver(None, dtype)
    _carve_outer(outer, dtype, carver, threads)
    return carver.used


def _carve_outer(outer: Outer, dtype: Any, carver: Carver, threads: int) -> tuple[Array, Array, Array, Array]:
    width = panel_width(dtype)
    per_group = -(-outer.columns // width)
    chunks, _ = outer_tasks(outer, dtype)
    block = outer_block(outer, dtype)
    units = outer.groups * outer.table.shape[0] * -(-outer.terms.size // ROWS)
    return (
        carver.take(chunks, units, per_group, ROWS, width),
        carver.take(chunks, outer.groups * per_group, width),
        carver.take_int64(threads, outer.table.shape[0] * block),
        carver.take(threads, outer.groups * per_group * block * width),
    )
