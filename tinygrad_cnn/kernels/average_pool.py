"""Average pooling on (N, H, W, C) memory, adaptive or not, vectorised over the channels.

    forward   out[n, i, j, c] = Σ x[n, h, w, c] / (divisor_i · divisor_j) over the window (i, j)
    backward  its adjoint

The windows are small tables, so that one pair of kernels serves all kinds. The threads share the rows of the output,
and an element is always summed in the same order.
"""

from __future__ import annotations

from numba import prange

from ._jit import kernel


@kernel
def forward(x, row_windows, column_windows, out):
    """Average over windows.

    Args:
        x: (N, H, W, C).
        row_windows: (OH, 3) int64: first row of the window, row after its last, divisor.
        column_windows: (OW, 3) int64: the same for columns.
        out: (N, OH, OW, C), written.
    """
    N, OH, OW, _ = out.shape
    for row in prange(N * OH):
        n, i = row // OH, row % OH
        for j in range(OW):
            total = out[n, i, j]
            total[:] = 0
            for h in range(row_windows[i, 0], row_windows[i, 1]):
                for w in range(column_windows[j, 0], column_windows[j, 1]):
                    pixel = x[n, h, w]
                    for c in range(total.size):
                        total[c] += pixel[c]
            divisor = total.dtype.type(row_windows[i, 2] * column_windows[j, 2])
            for c in range(total.size):
                total[c] /= divisor


@kernel
def backward(grad, row_windows, column_windows, row_users, out):
    """Spread every window's gradient evenly over its pixels.

    Args:
        grad: (N, OH, OW, C).
        row_windows, column_windows: As in `forward`.
        row_users: (H, 2) int64: the first row of windows that contains this row of pixels, and the one after the last.
        out: (N, H, W, C), written.
    """
    N, H, _, _ = out.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        out[n, h] = 0
        for i in range(row_users[h, 0], row_users[h, 1]):
            for j in range(grad.shape[2]):
                g = grad[n, i, j]
                share = 1 / g.dtype.type(row_windows[i, 2] * column_windows[j, 2])
                for w in range(column_windows[j, 0], column_windows[j, 1]):
                    pixel = out[n, h, w]
                    for c in range(g.size):
                        pixel[c] += g[c] * share
