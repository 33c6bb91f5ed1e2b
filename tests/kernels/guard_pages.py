"""Run the kernels that compute with addresses on arrays between pages without access.

``python -c "from tests.kernels.guard_pages import main; main()" 2000`` draws 2000 geometries. Each runs twice: with
every array ending right before such a page, and with every array beginning right after one. An access outside kills the
process with SIGSEGV; the last geometry printed is the one. The algorithms are drawn from those that can compute it, and
the tables of convolutions lie between such pages too.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.kernels.geometries import any_algorithms, array_shapes, random_case, run
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels._emitter import lanes
from tinygrad_cnn.kernels._tasks import At, Program, Stage

PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """Memory with a page without access on either side; ``array`` lies at its end or its beginning."""

    def __init__(self, shape: tuple[int, ...], dtype: type, at_end: bool) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        room = -(-max(size, 1) // PAGE) * PAGE
        self.map = mmap.mmap(-1, room + 2 * PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for guard in (base, base + PAGE + room):
            if _libc.mprotect(guard, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = PAGE + (room - size if at_end else 0)
        self.array = np.frombuffer(self.map, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)


def guarded(shapes: dict[str, tuple[int, ...]], dtype: type, at_end: bool, seed: int) -> dict[str, np.ndarray]:
    """Arrays of these shapes, each with guards of its own, full of numbers."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = Guarded(shape, dtype, at_end).array
        arrays[name][...] = rng.standard_normal(shape)
    return arrays


@contextmanager
def guarded_tables(at_end: bool) -> Iterator[None]:
    """Programs that are made meanwhile have their tables between guards."""
    make = Program.__init__

    def place(where: At | np.ndarray) -> At | np.ndarray:
        if isinstance(where, At):
            return where
        copy = Guarded(where.shape, where.dtype.type, at_end).array
        copy[...] = where
        return copy

    def make_guarded(self: Program, dtype: Any, workers: int, stages: Sequence[Stage], *rest: Any) -> None:
        stages = [s._replace(floats=tuple(map(place, s.floats)), ints=tuple(map(place, s.ints))) for s in stages]
        make(self, dtype, workers, stages, *rest)

    Program.__init__ = make_guarded
    try:
        yield
    finally:
        Program.__init__ = make


def run_matmul(rng: np.random.Generator, dtype: type, at_end: bool, seed: int) -> None:
    """One matrix product between guards."""
    M, K, L = (int(n) for n in rng.integers(1, 40, 3))
    trans_a, trans_b = (bool(t) for t in rng.integers(0, 2, 2))
    a_shape, b_shape = (K, M) if trans_a else (M, K), (L, K) if trans_b else (K, L)
    product = kernels.matmul.prepare(
        a_shape, b_shape, trans_a, trans_b, np.dtype(dtype), with_bias=True, with_sums=True
    )
    shapes = {"a": a_shape, "b": b_shape, "bias": (L,), "workspace": (product.workspace,), "out": (M, L)}
    shapes["sums"] = a_shape[1:]
    product(*guarded(shapes, dtype, at_end, seed).values())


def run_max_pool(rng: np.random.Generator, dtype: type, at_end: bool, seed: int) -> None:
    """Max pooling and its gradient between guards."""
    N, H, W, C = (int(n) for n in rng.integers(1, (3, 12, 12, 20)))
    size, stride, dilation = ((int(a), int(b)) for a, b in rng.integers(1, 4, (3, 2)))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, size)]
    padding = (int(rng.integers(0, span[0] // 2 + 1)), int(rng.integers(0, span[1] // 2 + 1)))
    OH, OW = ((side + 2 * p - s) // step + 1 for side, p, s, step in zip((H, W), padding, span, stride))
    if min(OH, OW) < 1:
        return
    window = kernels.max_pool.Window(size, stride, padding, dilation)
    shape, pooled = (N, H, W, C), (N, OH, OW, C)
    arrays = guarded({"x": shape, "out": pooled, "grad": shape}, dtype, at_end, seed)
    places = Guarded(pooled, np.uint8, at_end).array
    relu = bool(seed % 2)
    sizes = (shape, (OH, OW), window, np.dtype(dtype))
    kernels.max_pool.prepare("forward", *sizes, relu)(arrays["x"], arrays["out"], places)
    kernels.max_pool.prepare("input_grad", *sizes)(arrays["out"], places, arrays["grad"])


def run_elementwise(rng: np.random.Generator, dtype: type, at_end: bool, seed: int) -> None:
    """Every elementwise kernel between guards."""
    size = int(rng.integers(1, 100))
    a, b, out = guarded({"a": (size,), "b": (size,), "out": (size,)}, dtype, at_end, seed).values()
    bits, mask = (Guarded((count,), np.uint8, at_end).array for count in (-(-size // 8), size))
    operands = {
        "add": (a, b, out), "relu": (a, out), "relu_grad": (a, b, out), "relu_with_bits": (a, out, bits),
        "where_bits": (a, bits, out), "scale_where": (a, mask, out),
    }  # fmt: skip
    for name, arrays in operands.items():
        numbers = (2.0,) if name == "scale_where" else ()
        kernels.elementwise.prepare(name, size, np.dtype(dtype), *numbers)(*arrays)


def run_batch_norm(rng: np.random.Generator, dtype: type, at_end: bool, seed: int) -> None:
    """Batch norm, its gradient and its use outside training between guards."""
    M, C = int(rng.integers(2, 200)), int(rng.integers(1, 40))
    affine = (seed % 2 == 0, seed % 3 == 0)
    forward = kernels.norm.prepare(M, C, np.dtype(dtype), 1e-5, 0.1, affine, running=True)
    backward = kernels.norm.prepare_grad(M, C, np.dtype(dtype), with_weight=affine[0])
    shapes = {
        "x": (M, C), "weight": (C,), "bias": (C,), "scratch": (forward.workspace,), "y": (M, C), "statistics": (2, C),
        "running_mean": (C,), "running_var": (C,), "more": (backward.workspace,), "sums": (2, C), "mean": (C,),
        "s": (C,),
    }  # fmt: skip
    arrays = guarded(shapes, dtype, at_end, seed)
    x, weight, bias, scratch, y, statistics, running_mean, running_var, more, sums, mean, s = arrays.values()
    forward(x, weight, bias, scratch, y, statistics, running_mean, running_var)
    backward(y, x, weight, more, y, sums, mean, s)
    kernels.norm.prepare_scale(M, C, np.dtype(dtype), with_shift=affine[1])(x, weight, bias, more, y)
    fixed = kernels.norm.prepare_vectors(C, np.dtype(dtype), 1e-5, affine)
    fixed(running_mean, running_var, weight, more, statistics, bias)


def run_cross_entropy(rng: np.random.Generator, dtype: type, at_end: bool, seed: int) -> None:
    """Cross-entropy and its gradient between guards."""
    M, C = int(rng.integers(1, 30)), int(rng.integers(1, 40))
    reduction, weighted = seed % 3, seed % 2 == 0
    shapes = {"x": (M, C), "weight": (C,), "none": (0,), "p": (M, C), "losses": (M,), "reduced": (1,)}
    x, weight, none, p, losses, reduced = guarded(shapes, dtype, at_end, seed).values()
    target, bad_row = (Guarded((count,), np.int64, at_end).array for count in (M, 1))
    target[:] = rng.integers(-1, C + 1, M)  # some are ignored, some bad
    settings = ((M, C), np.dtype(dtype), -1, 0.1 * (seed % 2), reduction, weighted)
    kernels.loss.prepare("forward", *settings)(x, target, weight, none, p, losses, reduced, bad_row)
    grad = losses if reduction == kernels.loss.NONE else reduced
    kernels.loss.prepare("input_grad", *settings)(p, target, weight, none, x, grad)


def main() -> None:
    """Draw as many geometries as the first argument says."""
    count = int(sys.argv[1])
    for seed in range(count):
        rng = np.random.default_rng(seed)
        case = random_case(rng, lanes(np.float32))
        print(seed, case, flush=True)
        dtype = np.float32 if seed % 3 else np.float64
        algorithms = any_algorithms(kernels.conv, case, dtype, rng)
        shapes = array_shapes(kernels.conv, case, dtype, algorithms)
        for at_end in (True, False):
            kernels.conv._prepare.cache_clear()
            with guarded_tables(at_end):
                run(kernels.conv, case, guarded(shapes, dtype, at_end, seed), algorithms)
            run_matmul(np.random.default_rng(seed), dtype, at_end, seed)
            run_max_pool(np.random.default_rng(seed), dtype, at_end, seed)
            run_elementwise(np.random.default_rng(seed), dtype, at_end, seed)
            run_batch_norm(np.random.default_rng(seed), dtype, at_end, seed)
            run_cross_entropy(np.random.default_rng(seed), dtype, at_end, seed)
    print(count)
