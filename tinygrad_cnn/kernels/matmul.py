"""Matrix products of the layers, with bits that don't depend on the number of threads.

    out = op(a) @ op(b) + bias,   op = transpose where asked

OpenBLAS splits the work by the number of threads, and with it the order of the sums (8 of 12 shapes gave different
bits over 1 to 4 threads), and its spinning workers fight Numba's. Here a product is a convolution with a 1x1 filter
(`dot_products`: a layer's output and its input gradient), or the weight gradient of one where the sum runs over the
rows (`outer_products`: a layer's weight gradient).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._products import Carver, Dot, Outer, dot_workspace, outer_workspace, run_dot, run_outer

Array = np.ndarray[Any, np.dtype[Any]]


def workspace_size(a_shape: tuple[int, ...], b_shape: tuple[int, ...], trans_a: bool, trans_b: bool, dtype: Any) -> int:
    """Number of elements (of ``dtype``) of scratch memory that `matmul` needs for these operands; may be 0."""
    plan = _plan(a_shape, b_shape, trans_a, trans_b)
    if plan is None:
        return 0
    if isinstance(plan, Dot):
        return dot_workspace(plan, dtype)
    return _transposed_size(b_shape, trans_b, dtype) + outer_workspace(plan, dtype)


def matmul(
    a: Array,
    b: Array,
    trans_a: bool,
    trans_b: bool,
    bias: Array,
    workspace: Array,
    out: Array,
    relu: bool = False,
) -> None:
    """Write ``op(a) @ op(b) + bias`` to ``out``.

    Args:
        a: (M, K), or (K, M) with ``trans_a``.
        b: (K, L), or (L, K) with ``trans_b``.
        trans_a: Use ``a`` transposed.
        trans_b: Use ``b`` transposed.
        bias: (L,), added to every row; (0,) for none.
        workspace: 1-d scratch of at least `workspace_size` elements.
        out: (M, L), written. Where K is 0, it is the bias, or 0.
        relu: Also replace every negative element by 0 (NaN stays NaN).
    """
    plan = _plan(a.shape, b.shape, trans_a, trans_b)
    if plan is None:
        out[...] = bias if bias.size else 0
        if relu:
            np.maximum(out, 0, out=out)
    elif isinstance(plan, Dot):
        run_dot(plan, a, b, bias, workspace, out, relu)
    else:
        used = _transposed_size(b.shape, trans_b, b.dtype)
        if trans_b:
            copy = workspace[: b.size].reshape(b.shape[::-1])
            np.copyto(copy, b.T)
            b = copy
        run_outer(plan, a, b, workspace[used:], out, np.empty(0, out.dtype))
        if bias.size:
            out += bias
        if relu:
            np.maximum(out, 0, out=out)


@functools.lru_cache(maxsize=256)
def _plan(a_shape: tuple[int, ...], b_shape: tuple[int, ...], trans_a: bool, trans_b: bool) -> Dot | Outer | None:
    """What runs: a `Dot`, an `Outer` where ``a`` is transposed, or nothing for a sum over nothing."""
    M, K = a_shape[::-1] if trans_a else a_shape
    L = b_shape[0] if trans_b else b_shape[1]
    if 0 in (M, K, L):
        return None
    if trans_a:
        # Rows of the sum are "pixels", a's columns the left terms.
        pixels = np.arange(K, dtype=np.int64)[None] * M
        return Outer(
            images=1, source_size=0, table=pixels, terms=np.arange(M, dtype=np.int64), groups=1, columns=L,
            group_run=M, term_step=L, column_step=1, group_step=0,
        )  # fmt: skip
    rows = np.arange(M, dtype=np.int64)
    terms = np.arange(K, dtype=np.int64)
    return Dot(
        images=1, source_size=0, out_size=0, table=rows[None] * K, pieces=1, piece_step=0, run=K, targets=rows * L,
        terms=terms if trans_b else terms * L, column_step=K if trans_b else 1, group_step=0, groups=1, columns=L,
        group_run=K,
    )  # fmt: skip


def _transposed_size(b_shape: tuple[int, ...], trans_b: bool, dtype: Any) -> int:
    """Elements for a transposed copy of ``b``, which an `Outer` wants in rows."""
    if not trans_b:
        return 0
    carver = Carver(None, dtype)
    carver.take(*b_shape)
    return carver.used
