"""Batch normalisation on (M, C) memory: M = N·H·W pixels of C channels, vectorised over the channels.

    y = (x − mean) · s · weight + bias,     s = 1 / √(var + eps),     mean and var over the M rows of each channel

    ∂x = weight · s · (g − Σg/M − (x − mean) · s² · Σ(g·(x − mean))/M),   ∂weight = s · Σ(g·(x − mean)),   ∂bias = Σg

Training needs the statistics before it can write, so each direction reads its inputs twice and writes once.  The rows
are cut into chunks for the threads to share.  A chunk's statistics are computed a block at a time that stays in the L1
cache: first the mean and then the squared deviations from it (no cancellation, whatever the mean); blocks are merged by
the exact rule for two groups, in vectors, and chunks likewise in float64, in a fixed order.  The number of chunks
depends on the shape alone, so the bits don't depend on the number of threads.

Reference: S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", ICML 2015; T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance: analysis and
recommendations", The American Statistician 37(3), 1983 (merging).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._addresses import address, size_of, zero_bytes
from ._channels import grad_sums, input_grad, merge, moments, normalise
from ._jit import helper, kernel

CHUNK = 32768
"""Elements in a chunk, unless that were fewer than `LEAST_ROWS` rows."""

BLOCK = 4096
"""Elements in a block, with the same exception: half of an L1 cache."""

LEAST_ROWS = 64

WRITTEN = 2048
"""Elements that are written at a time, a vector of channels after the other: three arrays of them fit into L1."""


def chunks(rows: int, channels: int) -> int:
    """The number of chunks that (rows, channels) is cut into, at least 1."""
    return max(1, -(-rows // max(LEAST_ROWS, CHUNK // max(channels, 1))))


@kernel
def batch_norm(x, weight, bias, eps, momentum, partial, running_mean, running_var, mean, s, y):
    """Normalise with the statistics of the batch.

    Args:
        x: (M, C), M at least 1.
        weight, bias: (C,), or (0,) for ones and zeros.
        eps: Added to the variance.
        momentum: Share of this batch in the running statistics.
        partial: (chunks, 4, C), scratch.
        running_mean, running_var: (C,), or (0,) for none; changed. The variance there is divided by M − 1.
        mean, s: (C,), written.
        y: (M, C), written.
    """
    M, C = x.shape
    count = partial.shape[0]
    zero, step = x.dtype.type(0), C * x.itemsize
    for chunk in prange(count):
        low, high = M * chunk // count, M * (chunk + 1) // count
        _moments_of_chunk(address(x) + low * step, high - low, C, address(partial) + 4 * chunk * step, zero)
    _merge(partial, M)
    number = x.dtype.type
    for c in range(C):
        mean[c] = partial[0, 0, c]
        variance = np.float64(partial[0, 1, c]) / M
        s[c] = 1 / np.sqrt(variance + eps)
        if running_mean.size:
            running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
            running_var[c] = (1 - momentum) * running_var[c] + momentum * variance * M / (M - 1)
        partial[0, 0, c] = s[c] * (weight[c] if weight.size else number(1))
        partial[0, 1, c] = bias[c] if bias.size else number(0)
    scale, shift = address(partial), address(partial) + step
    block = max(LEAST_ROWS, WRITTEN // C)
    for chunk in prange(count):
        low, high = M * chunk // count, M * (chunk + 1) // count
        for row in range(low, high, block):
            rows, out = address(x) + row * step, address(y) + row * step
            normalise(rows, out, step, min(block, high - row), C, address(mean), scale, shift, zero)


@helper
def _moments_of_chunk(rows, count, C, here, zero):
    """Write the mean and the squared deviations of ``count`` rows to ``here``, two rows of C; two more are scratch."""
    step = C * size_of(zero)
    block = max(LEAST_ROWS, BLOCK // C)
    zero_bytes(here, 2 * step)
    for first in range(0, count, block):
        more = min(block, count - first)
        moments(rows + first * step, step, more, C, here + 2 * step, here + 3 * step, zero)
        merge(here, here + step, first, here + 2 * step, here + 3 * step, more, C, zero)


@helper
def _merge(partial, M):
    """Merge all chunks' means and squared deviations into those of the first one."""
    count, _, C = partial.shape
    for c in range(C):
        mean, squares = np.float64(partial[0, 0, c]), np.float64(partial[0, 1, c])
        for chunk in range(1, count):
            before = M * chunk // count
            rows = M * (chunk + 1) // count - before
            difference = partial[chunk, 0, c] - mean
            mean += difference * rows / (before + rows)
            squares += partial[chunk, 1, c] + difference * difference * before * rows / (before + rows)
        partial[0, 0, c] = mean
        partial[0, 1, c] = squares


@kernel
def batch_norm_grad(grad, x, weight, mean, s, factor, partial, out, out_weight, out_bias):
    """The gradients by x, weight and bias.

    Args:
        grad, x: (M, C).
        weight: (C,), or (0,) for ones.
        mean, s: (C,), as `batch_norm` wrote them.
        factor: (C,), scratch.
        partial: (chunks, 2, C), scratch.
        out: (M, C), written; may be ``grad``.
        out_weight, out_bias: (C,), written.
    """
    M, C = x.shape
    count = partial.shape[0]
    zero, step = x.dtype.type(0), C * x.itemsize
    for chunk in prange(count):
        low, high = M * chunk // count, M * (chunk + 1) // count
        here = address(partial) + 2 * chunk * step
        rows, grad_rows = address(x) + low * step, address(grad) + low * step
        grad_sums(grad_rows, rows, step, high - low, C, address(mean), here, here + step, zero)
    number = x.dtype.type
    for c in range(C):
        total, product = 0.0, 0.0
        for chunk in range(count):
            total += partial[chunk, 0, c]
            product += partial[chunk, 1, c]
        out_bias[c] = total
        out_weight[c] = product * s[c]
        partial[0, 0, c] = total / M
        partial[0, 1, c] = product / M * s[c] * s[c]
        factor[c] = s[c] * (weight[c] if weight.size else number(1))
    even, slope = address(partial), address(partial) + step
    block = max(LEAST_ROWS, WRITTEN // C)
    for chunk in prange(count):
        low, high = M * chunk // count, M * (chunk + 1) // count
        for row in range(low, high, block):
            rows, grad_rows, target = address(x) + row * step, address(grad) + row * step, address(out) + row * step
            input_grad(
                grad_rows, rows, target, step, min(block, high - row), C, address(mean), address(factor), even, slope,
                zero,
            )  # fmt: skip


@kernel
def scale_and_shift(x, scale, shift, out):
    """``out[r, c] = x[r, c]·scale[c] + shift[c]``.

    Args:
        x: (M, C).
        scale: (C,).
        shift: (C,), or (0,) for zeros.
        out: (M, C), written. Threads share the rows.
    """
    M, C = x.shape
    if shift.size:
        for r in prange(M):
            for c in range(C):
                out[r, c] = x[r, c] * scale[c] + shift[c]
    else:
        for r in prange(M):
            for c in range(C):
                out[r, c] = x[r, c] * scale[c]
