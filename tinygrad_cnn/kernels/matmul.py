"""Matrix products of the layers, with bits that don't depend on the number of threads.

    out = op(a) @ op(b) + bias,   op = transpose where asked

OpenBLAS splits the work by the number of threads, and with it the order of the sums (8 of 12 shapes gave different
bits over 1 to 4 threads), and its spinning workers fight Numba's. Here a product is a convolution with a 1x1 filter
(`dot_products`). Where the sum runs over rows (a layer's weight gradient) the left matrix, which is the smaller one, is
transposed first; or, where there are many rows, they are summed in chunks (`outer_products`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._addresses import elements, get, size_of
from ._blocks import one_to_one
from ._dot import Dot, Places, dot_stages
from ._jit import get_num_threads
from ._outer import Outer, outer_stages, sum_rows_stage
from ._rows import row_dot
from ._tasks import FIRST, MULTIPLY_ADDS, Program, Stage, task_kernel
from ._workspace import BIAS, LEFT, OUT, OUT_COLUMNS, RIGHT, Carver
from .layout import transpose_stage

Array = np.ndarray[Any, np.dtype[Any]]

FEW_ROWS = 4
"""Up to this many rows, a product with a transposed matrix reads that matrix in place."""

MANY_TERMS = 2048
"""From here on a sum over rows is cut into chunks, for threads to share and because a long sum rounds more."""


def prepare(
    a_shape: tuple[int, ...],
    b_shape: tuple[int, ...],
    trans_a: bool,
    trans_b: bool,
    dtype: Any,
    with_bias: bool = False,
    relu: bool = False,
    with_sums: bool = False,
) -> Any:
    """What multiplies matrices of these shapes, on as many threads as there are now.

    Args:
        a_shape: (M, K), or (K, M) with ``trans_a``.
        b_shape: (K, L), or (L, K) with ``trans_b``.
        trans_a: Use ``a`` transposed.
        trans_b: Use ``b`` transposed.
        dtype: float32 or float64.
        with_bias: A bias is added to every row.
        relu: Replace every negative element by 0 (NaN stays NaN).
        with_sums: Also sum the columns of ``a``.

    Returns:
        ``run`` with ``run.workspace``, the number of elements of 1-d scratch memory that a call needs;
        ``run(a, b, bias, workspace, out, sums)`` writes ``op(a) @ op(b) + bias`` to ``out (M, L)``, ``bias`` being
        (L,), or (0,) for none, and the sums to ``sums``, or leaves it alone. Where K is 0, ``out`` is the bias, or 0.
    """
    return _prepare(a_shape, b_shape, trans_a, trans_b, dtype, with_bias, relu, with_sums, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(
    a_shape: tuple[int, ...],
    b_shape: tuple[int, ...],
    trans_a: bool,
    trans_b: bool,
    dtype: Any,
    with_bias: bool,
    relu: bool,
    with_sums: bool,
    threads: int,
) -> Any:
    M, K = a_shape[::-1] if trans_a else a_shape
    L = b_shape[0] if trans_b else b_shape[1]
    if _has_few_rows(a_shape, trans_a, trans_b) and not with_sums:
        stage = Stage(
            few_rows, M * K * L // MULTIPLY_ADDS, (LEFT, RIGHT, BIAS, OUT), (), (M, K, L, with_bias, relu)
        )  # fmt: skip
        return Program(dtype, threads, [stage], 0)
    if 0 in (M, K, L):
        return _Completed(None, False, relu)
    carver = Carver(dtype)
    summing = [sum_rows_stage(a_shape[0], a_shape[1], LEFT, OUT_COLUMNS)] if with_sums else []
    if trans_a and K > MANY_TERMS:
        outer = Outer(one_to_one(K, M), groups=1, columns=L, term_step=L, column_step=1, group_step=0)
        stages = summing + outer_stages(outer, dtype, threads, carver, LEFT, with_columns=False)
        return _Completed(Program(dtype, threads, stages, carver.used), trans_b, relu)
    stages, left = summing, LEFT
    if trans_a:
        left = carver.take(M, K)
        stages.append(transpose_stage(1, K, M, LEFT, left))
    terms = np.arange(K, dtype=np.int64)
    dot = Dot(
        one_to_one(M, K), side_by_side=True, targets=Places(0, 0, L, 0), terms=terms if trans_b else terms * L,
        column_step=K if trans_b else 1, group_step=0, groups=1, columns=L,
    )  # fmt: skip
    stages += dot_stages(dot, dtype, threads, carver, with_bias, relu, left)
    return Program(dtype, threads, stages, carver.used)


class _Completed:
    """A sum of outer products, or of nothing (None), to which bias and ReLU are added afterwards."""

    def __init__(self, program: Program | None, trans_b: bool, relu: bool) -> None:
        self.program, self.trans_b, self.relu = program, trans_b, relu
        self.workspace = 0 if program is None else program.workspace

    def __call__(self, a: Array, b: Array, bias: Array, workspace: Array, out: Array, sums: Array) -> None:
        if self.program is None:
            out[...] = 0
            if sums.size:
                np.sum(a, axis=0, out=sums)
        else:  # it reads its right operand in rows
            self.program(a, np.ascontiguousarray(b.T) if self.trans_b else b, bias, workspace, out, sums)
        if bias.size:
            out += bias
        if self.relu:
            np.maximum(out, 0, out=out)


def _has_few_rows(a_shape: tuple[int, ...], trans_a: bool, trans_b: bool) -> bool:
    return trans_b and not trans_a and 0 < a_shape[0] <= FEW_ROWS


@task_kernel
def few_rows(worker, workers, numbers, zero):
    """``out[m, l] = bias[l] + Σ_k a[m, k] · b[l, k]``, for so few m that packing ``b`` would cost more than it saves.

    Every matrix element is read once, where it lies: one image through 9216→128 takes 0.12 ms instead of 0.5. Workers
    share the rows of ``b``.

    Floats: ``a (M, K)``; ``b (L, K)``; ``bias (L,)``; ``out (M, L)``, written.
    Numbers: M, K, L, 1 if there is a bias, 1 for ReLU.
    """
    own = numbers + 8 * FIRST
    item = size_of(zero)
    M, K, L = get(own), get(own + 8), get(own + 16)
    for l in range(L * worker // workers, L * (worker + 1) // workers):
        start = elements(get(numbers + 16), l, 1, zero)[0] if get(own + 24) else zero
        for m in range(M):
            total = row_dot(get(numbers) + m * K * item, get(numbers + 8) + l * K * item, K, zero) + start
            elements(get(numbers + 24), m * L + l, 1, zero)[0] = zero if get(own + 32) and total <= 0 else total
