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

import functools
from typing import Any

import numpy as np

from ._addresses import cast, elements, get, get_real, size_of, zero_bytes
from ._channels import grad_sums, input_grad, merge, moments, normalise
from ._jit import get_num_threads, helper
from ._tasks import FIRST, NOWHERE, At, Program, Stage, portion, task_kernel

CHUNK = 32768
"""Elements in a chunk, unless that were fewer than `LEAST_ROWS` rows."""

SUMMED = 4096
"""Elements in a block that is read twice, with the same exception: half of an L1 cache."""

WRITTEN = 2048
"""Elements that are written at a time, a vector of channels after the other: three arrays of them fit into L1."""

LEAST_ROWS = 64


def prepare(
    rows: int,
    channels: int,
    dtype: np.dtype[Any],
    eps: float,
    momentum: float,
    affine: tuple[bool, bool],
    running: bool,
) -> Program:
    """What normalises with the statistics of the batch, on as many threads as there are now.

    Args:
        rows, channels: M and C, at least 1.
        dtype: float32 or float64.
        eps: Added to the variance.
        momentum: Share of this batch in the running statistics.
        affine: Whether there are a weight and a bias; else they are ones and zeros.
        running: Whether there are running statistics.

    Returns:
        ``run(x, weight, bias, workspace, y, statistics, running_mean, running_var)`` reads ``x (M, C)``, ``weight`` and
        ``bias (C,)``, writes ``y (M, C)`` and, as ``statistics (2, C)``, mean and s, and moves the running statistics
        ``(C,)``; the variance there is divided by M − 1.
    """
    return _prepare(rows, channels, dtype, eps, momentum, affine, running, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(
    rows: int,
    channels: int,
    dtype: np.dtype[Any],
    eps: float,
    momentum: float,
    affine: tuple[bool, bool],
    running: bool,
    threads: int,
) -> Program:
    x, weight, bias, workspace, y, statistics, running_mean, running_var = map(At, range(8))
    count = _chunks(rows, channels)
    summed, written = _numbers(rows, channels, SUMMED), _numbers(rows, channels, WRITTEN)
    scale = workspace
    shift = At(workspace.operand, channels * dtype.itemsize)
    optional = [
        place if there else NOWHERE
        for place, there in zip((weight, bias, running_mean, running_var), (*affine, running, running))
    ]
    stages = (
        Stage(chunk_moments, 2 * rows * channels, (x, workspace), (), summed),
        Stage(finish_moments, count * channels, (workspace, statistics, *optional), (), (*summed, eps, momentum)),
        Stage(normalise_chunks, 2 * rows * channels, (x, y, statistics, scale, shift), (), written),
    )
    return Program(dtype, threads, stages, 4 * count * channels, (y.operand, statistics.operand))


def prepare_grad(rows: int, channels: int, dtype: np.dtype[Any], with_weight: bool) -> Program:
    """What computes the gradients by x, weight and bias.

    Args:
        rows, channels, dtype: As in `prepare`.
        with_weight: Whether there is a weight.

    Returns:
        ``run(grad, x, weight, workspace, out, sums, mean, s)`` reads ``grad`` and ``x (M, C)``, ``weight``, ``mean``
        and ``s (C,)``, and writes ``out (M, C)``, which may be ``grad``, and, as ``sums (2, C)``, the gradients by
        weight and bias.
    """
    return _prepare_grad(rows, channels, dtype, with_weight, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare_grad(rows: int, channels: int, dtype: np.dtype[Any], with_weight: bool, threads: int) -> Program:
    grad, x, weight, workspace, out, sums, mean, s = map(At, range(8))
    count = _chunks(rows, channels)
    numbers = _numbers(rows, channels, WRITTEN)
    vectors, partial = workspace, At(workspace.operand, 3 * channels * dtype.itemsize)
    finish = (partial, s, weight if with_weight else NOWHERE, sums, vectors)
    stages = (
        Stage(chunk_grad_sums, 2 * rows * channels, (grad, x, mean, partial), (), numbers),
        Stage(finish_grad_sums, count * channels, finish, (), numbers),
        Stage(input_grad_chunks, 2 * rows * channels, (grad, x, out, mean, vectors), (), numbers),
    )
    return Program(dtype, threads, stages, (3 + 2 * count) * channels, (out.operand, sums.operand))


def prepare_scale(rows: int, channels: int, dtype: np.dtype[Any], with_shift: bool) -> Program:
    """``run(x, scale, shift, none, out)`` writes ``x[r, c]·scale[c] + shift[c]``; shapes (M, C) and (C,)."""
    return _prepare_scale(rows, channels, dtype, with_shift, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare_scale(rows: int, channels: int, dtype: np.dtype[Any], with_shift: bool, threads: int) -> Program:
    x, scale, shift, _, out = map(At, range(5))
    zeros = np.zeros(channels, dtype)
    places = (x, out, zeros, scale, shift if with_shift else zeros)
    numbers = _numbers(rows, channels, WRITTEN)
    return Program(dtype, threads, [Stage(normalise_chunks, rows * channels, places, (), numbers)], 0, (out.operand,))


def prepare_vectors(channels: int, dtype: np.dtype[Any], eps: float, affine: tuple[bool, bool]) -> Program:
    """What computes scale and shift from running statistics.

    Args:
        channels, dtype, eps, affine: As in `prepare`.

    Returns:
        ``run(running_mean, running_var, weight, none, vectors, bias)`` writes ``scale = weight / √(running_var + eps)``
        and ``shift = bias − scale·running_mean`` to ``vectors (2, C)``; the others are ``(C,)``.
    """
    return _prepare_vectors(channels, dtype, eps, affine, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare_vectors(
    channels: int, dtype: np.dtype[Any], eps: float, affine: tuple[bool, bool], threads: int
) -> Program:
    mean, var, weight, _, vectors, bias = map(At, range(6))
    places = (mean, var, weight if affine[0] else NOWHERE, bias if affine[1] else NOWHERE, vectors)
    stage = Stage(fixed_vectors, channels, places, (), (channels, eps))
    return Program(dtype, threads, [stage], 0, (vectors.operand,))


def _numbers(rows: int, channels: int, elements: int) -> tuple[int, ...]:
    """(rows, channels, chunks, rows of a block with so many elements)."""
    return rows, channels, _chunks(rows, channels), _block(channels, elements)


def _chunks(rows: int, channels: int) -> int:
    """The number of chunks that (rows, channels) is cut into, at least 1."""
    return max(1, -(-rows // _block(channels, CHUNK)))


def _block(channels: int, elements: int) -> int:
    return max(LEAST_ROWS, elements // max(channels, 1))


ROWS, CHANNELS, CHUNKS, BLOCK, EPS, MOMENTUM = range(8 * FIRST, 8 * (FIRST + 6), 8)
"""Where the numbers of the task kernels lie; the last two are those of `finish_moments`."""


@task_kernel
def chunk_moments(worker, workers, numbers, zero):
    """Write the mean and the squared deviations of every chunk. Workers share the chunks.

    Floats: ``x (M, C)``; ``partial (chunks, 4, C)``, of which rows 0 and 1 are written and the others scratch.
    Numbers: those of `_numbers`.
    """
    C = get(numbers + CHANNELS)
    step = C * size_of(zero)
    block = get(numbers + BLOCK)
    for chunk in range(*portion(worker, workers, get(numbers + CHUNKS))):
        low, high = _rows_of(chunk, numbers)
        mean = get(numbers + 8) + 4 * chunk * step
        squares, block_mean, block_squares = mean + step, mean + 2 * step, mean + 3 * step
        zero_bytes(mean, 2 * step)
        for row in range(low, high, block):
            rows = min(block, high - row)
            moments(get(numbers) + row * step, step, rows, C, block_mean, block_squares, zero)
            merge(mean, squares, row - low, block_mean, block_squares, rows, C, zero)


@task_kernel
def finish_moments(worker, workers, numbers, zero):
    """Merge all chunks' moments; write mean and s, scale and shift, and the running statistics. Workers share channels.

    Floats: ``partial``, as `chunk_moments` wrote it; of its first chunk, rows 0 and 1 are overwritten with scale and
    shift; ``statistics (2, C)``, written; ``weight``, ``bias``, ``running_mean`` and ``running_var (C,)``, or absent.
    Numbers: those of `_numbers`, eps, momentum.
    """
    M, C, count = get(numbers + ROWS), get(numbers + CHANNELS), get(numbers + CHUNKS)
    momentum = get_real(numbers + MOMENTUM)
    partial, statistics = elements(get(numbers), 0, 4 * count * C, zero), elements(get(numbers + 8), 0, 2 * C, zero)
    weight, bias = get(numbers + 16), get(numbers + 24)
    running_mean, running_var = get(numbers + 32), get(numbers + 40)
    for c in range(C * worker // workers, C * (worker + 1) // workers):
        mean, squares = np.float64(partial[c]), np.float64(partial[C + c])
        for chunk in range(1, count):
            before, after = _rows_of(chunk, numbers)
            rows = after - before
            difference = partial[4 * chunk * C + c] - mean
            mean += difference * rows / (before + rows)
            squares += partial[(4 * chunk + 1) * C + c] + difference * difference * before * rows / (before + rows)
        variance = squares / M
        s = 1 / np.sqrt(variance + get_real(numbers + EPS))
        statistics[c] = mean
        statistics[C + c] = s
        partial[c] = _times(statistics[C + c], weight, c, zero)
        partial[C + c] = elements(bias, c, 1, zero)[0] if bias else zero
        if running_mean:
            _move(running_mean, c, momentum, statistics[c], zero)
            _move(running_var, c, momentum, variance * M / (M - 1), zero)


@helper
def _times(s, weight, c, zero):
    """``s·weight[c]``; an absent weight is 1."""
    return s * elements(weight, c, 1, zero)[0] if weight else s


@helper
def _move(running, c, momentum, value, zero):
    """Move a running statistic towards a new value."""
    place = elements(running, c, 1, zero)
    place[0] = (1 - momentum) * place[0] + momentum * value


@task_kernel
def fixed_vectors(worker, workers, numbers, zero):
    """Write scale and shift for running statistics. Workers share the channels.

    Floats: ``running_mean`` and ``running_var (C,)``; ``weight`` and ``bias (C,)``, or absent; ``vectors (2, C)``,
    written. Numbers: C, eps.
    """
    C = get(numbers + 8 * FIRST)
    mean, variance = elements(get(numbers), 0, C, zero), elements(get(numbers + 8), 0, C, zero)
    weight, bias, vectors = get(numbers + 16), get(numbers + 24), elements(get(numbers + 32), 0, 2 * C, zero)
    eps, one = cast(get_real(numbers + 8 * FIRST + 8), zero), cast(1, zero)
    for c in range(C * worker // workers, C * (worker + 1) // workers):
        scale = _times(one / np.sqrt(variance[c] + eps), weight, c, zero)
        shift = scale * -mean[c]
        vectors[c] = scale
        vectors[C + c] = shift + elements(bias, c, 1, zero)[0] if bias else shift


@task_kernel
def normalise_chunks(worker, workers, numbers, zero):
    """``out[r, c] = (x[r, c] − mean[c])·scale[c] + shift[c]``. Workers share the chunks.

    Floats: ``x (M, C)``; ``out (M, C)``, written; ``mean``, ``scale`` and ``shift (C,)``. Numbers: those of `_numbers`.
    """
    C = get(numbers + CHANNELS)
    step = C * size_of(zero)
    block = get(numbers + BLOCK)
    mean, scale, shift = get(numbers + 16), get(numbers + 24), get(numbers + 32)
    for chunk in range(*portion(worker, workers, get(numbers + CHUNKS))):
        low, high = _rows_of(chunk, numbers)
        for row in range(low, high, block):
            x, out = get(numbers) + row * step, get(numbers + 8) + row * step
            normalise(x, out, step, min(block, high - row), C, mean, scale, shift, zero)


@task_kernel
def chunk_grad_sums(worker, workers, numbers, zero):
    """Write Σ g and Σ g·(x − mean) of every chunk. Workers share the chunks.

    Floats: ``grad`` and ``x (M, C)``; ``mean (C,)``; ``partial (chunks, 2, C)``, written. Numbers: those of `_numbers`.
    """
    C = get(numbers + CHANNELS)
    step = C * size_of(zero)
    for chunk in range(*portion(worker, workers, get(numbers + CHUNKS))):
        low, high = _rows_of(chunk, numbers)
        grad, x = get(numbers) + low * step, get(numbers + 8) + low * step
        total = get(numbers + 24) + 2 * chunk * step
        grad_sums(grad, x, step, high - low, C, get(numbers + 16), total, total + step, zero)


@task_kernel
def finish_grad_sums(worker, workers, numbers, zero):
    """Add up all chunks' sums. Workers share the channels.

    Floats: ``partial (chunks, 2, C)``; ``s (C,)``; ``weight (C,)`` or absent; ``sums (2, C)``, written: the gradients
    by weight and bias; ``vectors (3, C)``, written: `input_grad`'s factor, even and slope.
    Numbers: those of `_numbers`.
    """
    M, C, count = get(numbers + ROWS), get(numbers + CHANNELS), get(numbers + CHUNKS)
    partial, all_s = elements(get(numbers), 0, 2 * count * C, zero), elements(get(numbers + 8), 0, C, zero)
    sums, vectors = elements(get(numbers + 24), 0, 2 * C, zero), elements(get(numbers + 32), 0, 3 * C, zero)
    for c in range(C * worker // workers, C * (worker + 1) // workers):
        total, product, s = 0.0, 0.0, all_s[c]
        for chunk in range(count):
            total += partial[2 * chunk * C + c]
            product += partial[(2 * chunk + 1) * C + c]
        sums[c] = product * s
        sums[C + c] = total
        vectors[c] = _times(s, get(numbers + 16), c, zero)
        vectors[C + c] = total / M
        vectors[2 * C + c] = product / M * s * s


@task_kernel
def input_grad_chunks(worker, workers, numbers, zero):
    """``out = factor·(grad − even − (x − mean)·slope)``. Workers share the chunks.

    Floats: ``grad`` and ``x (M, C)``; ``out (M, C)``, written; ``mean (C,)``; ``vectors (3, C)``: factor, even, slope.
    Numbers: those of `_numbers`.
    """
    C = get(numbers + CHANNELS)
    step = C * size_of(zero)
    block = get(numbers + BLOCK)
    mean, factor = get(numbers + 24), get(numbers + 32)
    even, slope = factor + step, factor + 2 * step
    for chunk in range(*portion(worker, workers, get(numbers + CHUNKS))):
        low, high = _rows_of(chunk, numbers)
        for row in range(low, high, block):
            grad, x, out = get(numbers) + row * step, get(numbers + 8) + row * step, get(numbers + 16) + row * step
            input_grad(grad, x, out, step, min(block, high - row), C, mean, factor, even, slope, zero)


@helper
def _rows_of(chunk, numbers):
    """A chunk's rows: the first and the one after the last."""
    M, count = get(numbers + ROWS), get(numbers + CHUNKS)
    return M * chunk // count, M * (chunk + 1) // count
