"""Elementwise loops that networks spend time in: sums, ReLU and its gradient, and the product with a dropout mask.

All arrays are flat views (n,) of one memory order; the workers share the elements. Both sides of a choice are loaded
before it is made, so that the compiler can turn it into a vector select.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._addresses import cast, elements, get, get_real, size_of
from ._bits import WORD, keep_words, relu_words
from ._jit import get_num_threads, helper
from ._tasks import FIRST, At, Program, Stage, TaskKernel, portion, task_kernel

CHUNK = 16 * WORD
"""Elements that belong to one worker: whole cache lines of everything, also of the bits that are kept of each."""


def prepare(name: str, size: int, dtype: np.dtype[Any], *numbers: float) -> Program:
    """What computes ``size`` elements, on as many threads as there are now.

    Args:
        name: Of what is computed.
        size: n, the number of elements.
        dtype: float32 or float64.
        *numbers: ``scale``, for "scale_where".

    Returns:
        "add":            ``run(a, b, out)``: ``out = a + b``, which may be written over either.
        "relu":           ``run(x, out)``: ``out = max(x, 0)``; NaN stays NaN, because it is not ``<= 0``.
        "relu_grad":      ``run(grad, y, out)``: ``out = grad`` where ``y`` (ReLU's output or input) is not ``<= 0``,
                          else 0; ``out`` may be ``grad``.
        "relu_with_bits": ``run(x, out, bits)``: "relu", and bit ``i % 8`` of ``bits[i // 8]``, (⌈n / 8⌉,) uint8, is 1
                          where ``x[i]`` is not ``<= 0``.
        "where_bits":     ``run(grad, bits, out)``: ``out = grad`` where the bit is 1, else 0; ``out`` may be ``grad``.
        "scale_where":    ``run(x, mask, out)``: ``out = x·(mask·scale)`` for a uint8 mask of zeros and ones; as in
                          PyTorch, 0·NaN is NaN and 0·(−1) is −0.
    """
    return _prepare(name, size, dtype, numbers, get_num_threads())


@functools.lru_cache(maxsize=512)
def _prepare(name: str, size: int, dtype: np.dtype[Any], numbers: tuple[float, ...], threads: int) -> Program:
    kernel, operands, writes = _KERNELS[name]
    stage = Stage(kernel, size, tuple(map(At, range(operands))), (), (size, *numbers))
    return Program(dtype, threads, [stage], 0, writes)


SIZE, SCALE = range(8 * FIRST, 8 * (FIRST + 2), 8)
"""Where the numbers of the task kernels lie. Their floats are the arrays that `prepare` names, in that order."""


@helper
def _share(worker, workers, numbers):
    """Which elements are a worker's: (the first, how many)."""
    size = get(numbers + SIZE)
    first, after = portion(worker, workers, (size + CHUNK - 1) // CHUNK)
    return first * CHUNK, min(after * CHUNK, size) - first * CHUNK


@task_kernel
def add(worker, workers, numbers, zero):
    """``out = a + b``. Floats: a, b, out. Numbers: n."""
    begin, count = _share(worker, workers, numbers)
    a, b = elements(get(numbers), begin, count, zero), elements(get(numbers + 8), begin, count, zero)
    out = elements(get(numbers + 16), begin, count, zero)
    for i in range(count):
        out[i] = a[i] + b[i]


@task_kernel
def relu(worker, workers, numbers, zero):
    """``out = max(x, 0)``. Floats: x, out. Numbers: n."""
    begin, count = _share(worker, workers, numbers)
    x, out = elements(get(numbers), begin, count, zero), elements(get(numbers + 8), begin, count, zero)
    for i in range(count):
        value = x[i]
        out[i] = zero if value <= zero else value


@task_kernel
def relu_grad(worker, workers, numbers, zero):
    """``out = grad`` where ``y`` is not ``<= 0``, else 0. Floats: grad, y, out. Numbers: n."""
    begin, count = _share(worker, workers, numbers)
    grad, y = elements(get(numbers), begin, count, zero), elements(get(numbers + 8), begin, count, zero)
    out = elements(get(numbers + 16), begin, count, zero)
    for i in range(count):
        value = grad[i]
        out[i] = zero if y[i] <= zero else value


@task_kernel
def relu_with_bits(worker, workers, numbers, zero):
    """`relu`, and a bit of each element. Floats: x, out; bits, uint8. Numbers: n."""
    begin, count = _share(worker, workers, numbers)
    item, words = size_of(zero), count // WORD
    x, out, bits = get(numbers) + begin * item, get(numbers + 8) + begin * item, get(numbers + 16) + begin // 8
    relu_words(x, out, bits, words, zero)
    done = words * WORD
    rest = elements(x, done, count - done, zero)
    results = elements(out, done, count - done, zero)
    places = elements(bits, done // 8, (count - done + 7) // 8, np.uint8(0))
    for i in range(count - done):
        value = rest[i]
        passes = not value <= zero
        results[i] = value if passes else zero
        before = places[i // 8] if i % 8 else np.uint8(0)  # the bits after this one become 0
        places[i // 8] = np.uint8(before | (np.uint8(passes) << np.uint8(i % 8)))


@task_kernel
def where_bits(worker, workers, numbers, zero):
    """``out = grad`` where the bit is 1, else 0. Floats: grad; bits, uint8; out. Numbers: n."""
    begin, count = _share(worker, workers, numbers)
    item, words = size_of(zero), count // WORD
    grad, bits, out = get(numbers) + begin * item, get(numbers + 8) + begin // 8, get(numbers + 16) + begin * item
    keep_words(grad, bits, out, words, zero)
    done = words * WORD
    rest = elements(grad, done, count - done, zero)
    results = elements(out, done, count - done, zero)
    places = elements(bits, done // 8, (count - done + 7) // 8, np.uint8(0))
    for i in range(count - done):
        results[i] = rest[i] if places[i // 8] >> (i % 8) & 1 else zero


@task_kernel
def scale_where(worker, workers, numbers, zero):
    """``out = x·(mask·scale)``. Floats: x; mask, uint8; out. Numbers: n, scale."""
    begin, count = _share(worker, workers, numbers)
    x, out = elements(get(numbers), begin, count, zero), elements(get(numbers + 16), begin, count, zero)
    mask = elements(get(numbers + 8), begin, count, np.uint8(0))
    factor = cast(get_real(numbers + SCALE), zero)
    for i in range(count):
        out[i] = x[i] * (cast(mask[i], zero) * factor)


_KERNELS: dict[str, tuple[TaskKernel, int, tuple[int, ...]]] = {
    "add": (add, 3, (2,)),
    "relu": (relu, 2, (1,)),
    "relu_grad": (relu_grad, 3, (2,)),
    "relu_with_bits": (relu_with_bits, 3, (1, 2)),
    "where_bits": (where_bits, 3, (2,)),
    "scale_where": (scale_where, 3, (2,)),
}
"""By name: the kernel, how many operands it has, and which of them it writes."""
