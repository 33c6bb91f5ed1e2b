"""Matrix products of the layers, with bits that don't depend on the number of threads.

    out = op(a) @ op(b) + bias,   op = transpose where asked

OpenBLAS splits the work by the number of threads, and with it the order of the sums (8 of 12 shapes gave different
bits over 1 to 4 threads); here every output element is summed in one fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ._jit import kernel

Array = np.ndarray[Any, np.dtype[Any]]


def workspace_size(
    a_shape: tuple[int, ...], b_shape: tuple[int, ...], trans_a: bool, trans_b: bool, dtype: Any
) -> int:
    """Number of elements (of ``dtype``) of scratch memory that `matmul` needs for these operands; may be 0."""
    return 0


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
    product_loops(a.T if trans_a else a, b.T if trans_b else b, bias, relu, out)


@kernel
def product_loops(a, b, bias, relu, out):
    """``out[m, l] = bias[l] + Σ_k a[m, k] · b[k, l]``. Threads share the rows."""
    M, K = a.shape
    for m in prange(M):
        for column in range(b.shape[1]):
            total = bias[column] if bias.size else out.dtype.type(0)
            for k in range(K):
                total += a[m, k] * b[k, column]
            if relu and total < 0:
                total = out.dtype.type(0)
            out[m, column] = total
