"""Task kernels: loops over bare addresses that compile once, run on all threads, and share one launcher.

Numba compiles the body of a ``prange`` loop three times over (as typed code, as a "gufunc", inside its wrapper), and
LLVM is slow on array indexing. For the few large kernels behind convolutions that came to 15 s before the first
training step. Here a kernel is a C function

    share(worker, workers, numbers, zero)

that does worker number ``worker``'s part of the work; ``numbers`` is the address of an int64 array with the addresses
of all arrays and the integers of the call, and ``zero`` has the arrays' dtype. One tiny ``prange`` loop, compiled once
per dtype, calls any such function on all threads. Compiling all of convolution's kernels takes 4 s.

``get(numbers + 8 * i)`` reads number i. The first `FLOATS` of them are the addresses of the float arrays, the next
`INTS` those of int64 arrays, the call's integers follow from `FIRST` on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core.ccallback import CFunc

from . import _cache
from ._jit import OPTIONS, announce_compilation, kernel
from ._simd import address, intrinsic

FLOATS = 6
INTS = 4
FIRST = FLOATS + INTS

_NO_INTS = np.empty(0, np.int64)
_NO_FLOATS = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}


class TaskKernel:
    """A function ``share(worker, workers, numbers, zero)`` over addresses, compiled on first use for each dtype."""

    def __init__(self, function: Callable[[int, int, int, Any], None]) -> None:
        self.function = function
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self._compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<task kernel {self.name}>"

    def __call__(
        self,
        work: int,
        workers: int,
        floats: Sequence[np.ndarray[Any, Any]],
        ints: Sequence[np.ndarray[Any, Any]],
        numbers: Sequence[int],
    ) -> None:
        """Run every worker's share.

        Args:
            work: About how many operations this is; few of them don't wake the threads.
            workers: Number of shares.
            floats: Up to `FLOATS` contiguous arrays of one dtype, float32 or float64.
            ints: Up to `INTS` contiguous int64 arrays.
            numbers: The call's integers.
        """
        dtype = floats[0].dtype
        packed = np.empty(FIRST + len(numbers), np.int64)
        packed[FIRST:] = numbers
        flat = [array.reshape(-1) for array in floats] + [_NO_FLOATS[dtype]] * (FLOATS - len(floats))
        whole = [array.reshape(-1) for array in ints] + [_NO_INTS] * (INTS - len(ints))
        launch.run(work, self.address(dtype), workers, packed, dtype.type(0), *flat, *whole)

    def address(self, dtype: Any) -> int:
        """Where the machine code for ``dtype`` lies; compiled or loaded from the cache on first use."""
        compiled = self._compiled.get(dtype)
        if compiled is None:
            with self._lock:
                compiled = self._compiled.get(dtype) or self._compile(dtype)
                self._compiled[dtype] = compiled
        return compiled.address

    def compiled(self) -> list[Any]:
        """The dtypes compiled or loaded so far."""
        return list(self._compiled)

    def _compile(self, dtype: Any) -> Any:
        int64 = types.int64
        signature = (int64, int64, int64, numba.from_dtype(dtype))
        callback = CFunc(self.function, (signature, types.void), {}, {**OPTIONS, "nopython": True})
        _cache.attach(callback, "tasks", self.function, on_miss=lambda: announce_compilation(self.name))
        callback.compile()
        return callback


def task_kernel(function: Callable[[int, int, int, Any], None]) -> TaskKernel:
    """Decorator: a function ``share(worker, workers, numbers, zero)`` becomes a `TaskKernel`."""
    return TaskKernel(function)


@intrinsic
def _call(typing_context: Any, function: Any, worker: Any, workers: Any, numbers: Any, zero: Any) -> Any:
    """``_call(function, worker, workers, numbers, zero)``: call the C function at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args[1:]])
        builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), args[1:])
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(int64, int64, int64, int64, zero), generate


@intrinsic
def _put(typing_context: Any, numbers: Any, index: Any, value: Any) -> Any:
    """``_put(numbers, index, value)``: write the int64 at an address + 8·index."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = builder.add(args[0], builder.mul(args[1], ir.Constant(ir.IntType(64), 8)))
        builder.store(args[2], builder.inttoptr(where, ir.PointerType()), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@kernel
def launch(function, workers, numbers, zero, f0, f1, f2, f3, f4, f5, i0, i1, i2, i3):
    """Write the arrays' addresses to ``numbers`` and call ``function`` once for every worker."""
    first = address(numbers)
    _put(first, 0, address(f0))
    _put(first, 1, address(f1))
    _put(first, 2, address(f2))
    _put(first, 3, address(f3))
    _put(first, 4, address(f4))
    _put(first, 5, address(f5))
    _put(first, 6, address(i0))
    _put(first, 7, address(i1))
    _put(first, 8, address(i2))
    _put(first, 9, address(i3))
    for worker in prange(workers):
        _call(function, worker, workers, first, zero)
