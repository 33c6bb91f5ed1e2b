"""Plans: what a matrix product over windows needs to know, and the stages of a program that it becomes.

A `Dot` describes one call of `_tiles.dot_products`, an `Outer` one of `_tiles.outer_products`. Both are made by the
functions that know the geometry (`conv_direct`, `matmul`). `dot_stages` and `outer_stages` turn them into stages of a
`Program`, and cut the scratch arrays that these need out of its workspace.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _tiles
from ._emitter import panel_width
from ._simd import ROWS
from ._tasks import LAUNCH_WORK, MULTIPLY_ADDS, At, Program, Stage, TaskKernel

Array = np.ndarray[Any, np.dtype[Any]]

LEFT, RIGHT, BIAS, WORKSPACE, OUT, OUT_COLUMNS = map(At, range(6))
"""The operands of every program: two factors, what is added, scratch memory, the result, sums of the right rows."""

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

    def __init__(self, dtype: Any) -> None:
        self.itemsize = np.dtype(dtype).itemsize
        self.used = 0  # elements

    def take(self, *shape: int) -> At:
        """Where the next array begins."""
        place = At(WORKSPACE.operand, self.used * self.itemsize)
        line = 64 // self.itemsize
        self.used += -(-product(shape) // line) * line
        return place

    def take_int64(self, *shape: int) -> At:
        """The same for an array of int64."""
        return self.take(product(shape) * 8 // self.itemsize)


class Packed(NamedTuple):
    """The right matrix of a `Dot` as panels, and the scratch arrays of its products."""

    panels: At
    starts: At
    addresses: At
    sums: At


def dot_stages(
    dot: Dot,
    dtype: Any,
    threads: int,
    carver: Carver,
    with_bias: bool,
    relu: bool,
    left: At = LEFT,
    right: At = RIGHT,
    bias: At = BIAS,
    products: TaskKernel = _tiles.dot_products,
) -> list[Stage]:
    """Pack the matrix, then multiply."""
    stage, packed = pack(dot, dtype, threads, carver, with_bias, right, bias)
    return [stage, *multiply(dot, dtype, threads, packed, relu, left, products=products)]


def phases_program(
    dots: Sequence[Dot], dtype: Any, threads: int, products: TaskKernel = _tiles.dot_products
) -> Program:
    """An input gradient: one product after the other, each for the pixels of one phase of the stride."""
    stages, workspace = [], 0
    for dot in dots:
        carver = Carver(dtype)  # every phase uses the same memory
        stages += dot_stages(dot, dtype, threads, carver, with_bias=False, relu=False, products=products)
        workspace = max(workspace, carver.used)
    return Program(dtype, threads, stages, workspace)


def pack(
    dot: Dot, dtype: Any, threads: int, carver: Carver, with_bias: bool, right: At = RIGHT, bias: At = BIAS
) -> tuple[Stage, Packed]:
    """Copy the right matrix into panels."""
    width = panel_width(dtype)
    per_group = -(-dot.columns // width)
    panels, terms = dot.groups * per_group, dot.terms.size
    tiles = BLOCK // ROWS
    packed = Packed(
        carver.take(panels, terms, width),
        carver.take(panels, width),
        carver.take_int64(threads, _addresses(dot)),
        carver.take(threads, tiles * ROWS * width),
    )
    stage = Stage(
        _tiles.pack_panels, panels * terms * width, (right, packed.panels, bias, packed.starts), (dot.terms,),
        (terms, dot.groups, dot.group_step, dot.columns, dot.column_step, per_group, with_bias),
    )  # fmt: skip
    return stage, packed


def multiply(
    dot: Dot,
    dtype: Any,
    threads: int,
    packed: Packed,
    relu: bool,
    left: At = LEFT,
    out: At = OUT,
    products: TaskKernel = _tiles.dot_products,
) -> list[Stage]:
    """The product with a packed matrix, cut into stages of `LAUNCH_WORK` at most."""
    width = panel_width(dtype)
    block, splits = _dot_tasks(dot, width, threads)
    tasks = -(-dot.images * dot.table.shape[1] // block) * splits
    zeros = zero_row(dot.groups * dot.group_run, dtype)
    segments, area = dot.table.shape
    step = max(threads, tasks * LAUNCH_WORK // max(1, dot.work))
    return [
        Stage(
            products, min(step, tasks) * dot.work // (tasks * MULTIPLY_ADDS),
            (left, zeros, packed.panels, packed.starts, packed.sums, out), (dot.table, dot.targets, packed.addresses),
            (first, first + step, dot.images, dot.source_size, dot.out_size, dot.run, dot.group_run, dot.groups,
             dot.columns, -(-dot.columns // width), block, splits, segments, area, relu, _addresses(dot),
             BLOCK * width, dot.pieces, dot.piece_step),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip


def outer_stages(
    outer: Outer,
    dtype: Any,
    threads: int,
    carver: Carver,
    left: At,
    with_columns: bool,
    out: At = OUT,
    out_columns: At = OUT_COLUMNS,
) -> list[Stage]:
    """Sum in chunks, then add up the chunks; ``with_columns`` also sums the right rows, into ``out_columns``."""
    width = panel_width(dtype)
    per_group = -(-outer.columns // width)
    chunks, splits = outer_tasks(outer, dtype)
    block = outer_block(outer, dtype)
    pieces, tiles = outer.table.shape[0], -(-outer.terms.size // ROWS)
    size = chunks * outer.groups * pieces * tiles * per_group * ROWS * width
    sums = carver.take(size)
    column_sums = carver.take(chunks, outer.groups * per_group, width)
    addresses = carver.take_int64(threads, pieces * block)
    packed = carver.take(threads, outer.groups * per_group * block * width)
    # The last tile's missing terms repeat its last one: computed, and never looked at.
    terms = outer.terms[np.minimum(np.arange(tiles * ROWS), outer.terms.size - 1)] * np.dtype(dtype).itemsize
    zeros = zero_row(outer.groups * outer.group_run, dtype)
    tasks = chunks * splits
    step = max(threads, tasks * LAUNCH_WORK // max(1, outer.work))
    stages = [
        Stage(
            _tiles.outer_products, min(step, tasks) * outer.work // (tasks * MULTIPLY_ADDS),
            (left, zeros, RIGHT, packed, sums, column_sums), (outer.table, terms, addresses),
            (first, first + step, outer.images, outer.source_size, outer.group_run, outer.groups, outer.columns,
             per_group, chunks, splits, block, pieces, outer.table.shape[1], tiles),
        )
        for first in range(0, tasks, step)
    ]  # fmt: skip
    return [
        *stages,
        Stage(
            _tiles.sum_chunks, size, (sums, column_sums, out, out_columns), (),
            (chunks, outer.groups, pieces, outer.terms.size, outer.columns, per_group,
             outer.term_step, outer.column_step, outer.group_step, with_columns),
        ),
    ]  # fmt: skip


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


def product(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    size = 1
    for extent in shape:
        size *= extent
    return size


def _addresses(dot: Dot) -> int:
    """int64 numbers that a worker needs for the addresses of one block."""
    return ROWS * (BLOCK // ROWS * (dot.table.shape[0] + 2) + 1)


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
