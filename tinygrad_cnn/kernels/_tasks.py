"""Task kernels: loops over bare addresses that compile once, run on all threads, and share one launcher.

Numba compiles the body of a ``prange`` loop three times over (as typed code, as a "gufunc", inside its wrapper), and
LLVM is slow on array indexing. For the few kernels that convolution had at first that came to 15 s, where task kernels
took 4; for batch normalisation, cross-entropy and the optimizers, in all dtypes and on one and on more threads, to 54
s, where they now take 14. Here a kernel is a C function

    share(worker, workers, numbers, zero)

that does worker number ``worker``'s part of the work; ``numbers`` is the address of an int64 array with the addresses
of all arrays and the numbers of the call, and ``zero`` has the arrays' dtype. One tiny ``prange`` loop, compiled once
per dtype, calls any such function on all threads.

``get(numbers + 8 * i)`` reads number i. The first `FLOATS` of them are the addresses of the float arrays, the next
`INTS` those of int64 arrays, the call's numbers follow from `FIRST` on.

A `Program` is a sequence of such kernels (pad, pack, multiply ...) with all that depends on shapes worked out once.
Running it takes one call into compiled code, and 10 µs of Python less per layer than a call for each of its kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core.ccallback import CFunc

from ..tracing import tracing
from . import _cache, _compilers
from ._addresses import address, get, put
from ._emitter import intrinsic
from ._jit import OPTIONS, SERIAL_WORK, announce_compilation, helper, kernel

Array = np.ndarray[Any, Any]

FLOATS = 6
INTS = 5
FIRST = FLOATS + INTS

OPERANDS = 8
"""Arrays that a program is called with, at most."""

LEFT, RIGHT, BIAS, WORKSPACE, OUT, OUT_COLUMNS = range(6)
"""What they are in most programs: two factors, what is added, scratch memory, the result, sums of the right rows."""

_none = np.empty(0)
_PADDING = (id(_none),) * OPERANDS  # for operands that a program does not have
_NOWHERE = OPERANDS  # stands for address 0, to which the constant arrays' addresses are added

DATA = object.__basicsize__
"""Where a NumPy array's object keeps the address of its memory: in the first field after Python's own header (NumPy's
C API, `PyArrayObject`). Compiled code reads it there; arrays as arguments would take 2 µs more per call, and asking
each for its ``__array_interface__`` 6."""

LAUNCH_WORK = 2_000_000_000
"""Multiply-adds in one launch, at most about this: Ctrl-C is delivered only between launches."""


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

        def on_miss() -> bool:
            announce_compilation(self.name)
            return _compilers.missing(self.name, dtype)

        _cache.attach(callback, "tasks", self.function, on_miss)
        callback.compile()
        return callback


def task_kernel(function: Callable[[int, int, int, Any], None]) -> TaskKernel:
    """Decorator: a function ``share(worker, workers, numbers, zero)`` becomes a `TaskKernel`."""
    return TaskKernel(function)


@helper
def portion(worker, workers, count):
    """The part of ``count`` neighbours that is a worker's (or a chunk's): the first and the one after the last."""
    return count * worker // workers, count * (worker + 1) // workers


class At(NamedTuple):
    """A place in one of the arrays that a program is called with."""

    operand: int
    offset: int = 0  # bytes


NOWHERE = At(_NOWHERE)
"""Address 0: an array that is absent."""


class Stage(NamedTuple):
    """One run of a task kernel. An array is a place in an operand, or one that never changes: a table."""

    kernel: TaskKernel
    work: int  # about how many elements are touched, or `MULTIPLY_ADDS` times that many multiplied and added
    floats: tuple[At | Array, ...]
    ints: tuple[At | Array, ...]
    numbers: tuple[int | float, ...]  # of a float, the bits: `get_real` reads them


MULTIPLY_ADDS = 16
"""Multiply-adds that take about as long as touching one element."""


class Program:
    """Task kernels that run one after the other on the same arrays, prepared once for all calls of one shape.

    Args:
        dtype: float32 or float64: which version of the kernels runs.
        workers: number of shares that each stage's work is cut into.
        stages: what runs, in order.
        workspace: elements of scratch memory that a caller must provide, as the operand `WORKSPACE`.
        writes: the operands that are results; they are written and not read.
        spare: those of them that may be left out: at address 0, they are not written.
    """

    algorithm = ""  # its arithmetic's name, where `conv.choose` has chosen among several

    def __init__(
        self,
        dtype: np.dtype[Any],
        workers: int,
        stages: Sequence[Stage],
        workspace: int,
        writes: tuple[int, ...] = (OUT, OUT_COLUMNS),
        spare: tuple[int, ...] = (),
    ) -> None:
        self.dtype, self.workspace, self.stages = dtype, workspace, tuple(stages)
        self.writes, self.spare = writes, spare
        self.workers = workers
        self._zero = dtype.type(0)
        self._constants = [place for s in stages for place in (*s.floats, *s.ints) if not isinstance(place, At)]
        width = NUMBERS + FIRST + max(len(stage.numbers) for stage in stages)
        plan = np.zeros((len(stages), width), np.int64)
        for row, stage in zip(plan, stages):
            row[:NUMBERS] = _NOWHERE
            row[FUNCTION], row[IS_PARALLEL] = stage.kernel.address(dtype), stage.work >= SERIAL_WORK
            for first, places in ((0, stage.floats), (FLOATS, stage.ints)):
                for k, place in enumerate(places, first):
                    if isinstance(place, At):
                        row[OPERAND + k], row[NUMBERS + k] = place
                    else:
                        row[NUMBERS + k] = place.__array_interface__["data"][0]
            row[NUMBERS + FIRST : NUMBERS + FIRST + len(stage.numbers)] = [
                np.float64(n).view(np.int64) if isinstance(n, float) else n for n in stage.numbers
            ]
        # Each with scratch arrays that no call uses at present: making one takes longer where NumPy has left the cache.
        self._launches: list[tuple[Array, int, list[Array]]]
        self._launches = [(plan[first:after], work, []) for first, after, work in _launches(stages)]

    def __call__(self, *arrays: Array) -> None:
        """Run all stages.

        Args:
            *arrays: the operands that the stages' places refer to, C-contiguous.
        """
        listener = tracing.get()
        if listener is not None:
            listener(self, arrays)
        objects = (*map(id, arrays), *_PADDING[len(arrays) :])
        for plan, work, spare in self._launches:
            try:
                scratch = spare.pop()
            except IndexError:
                scratch = np.empty(OPERANDS + 1 + plan.size, np.int64)
            launch.run(work, plan, self.workers, scratch, self._zero, *objects)
            spare.append(scratch)


def _launches(stages: Sequence[Stage]) -> Iterator[tuple[int, int, int]]:
    """Cut the stages into runs of at most `LAUNCH_WORK`: (first, after, work of the largest)."""
    first, total, largest = 0, 0, 0
    for index, stage in enumerate(stages):
        if total and (total + stage.work) * MULTIPLY_ADDS > LAUNCH_WORK:
            yield first, index, largest
            first, total, largest = index, 0, 0
        total += stage.work
        largest = max(largest, stage.work)
    yield first, len(stages), largest


@intrinsic
def _call(typing_context: Any, function: Any, worker: Any, workers: Any, numbers: Any, zero: Any) -> Any:
    """``_call(function, worker, workers, numbers, zero)``: call the C function at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args[1:]])
        builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), args[1:])
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(int64, int64, int64, int64, zero), generate


FUNCTION, IS_PARALLEL, OPERAND, NUMBERS = 0, 1, 2, 2 + FIRST
"""Columns of a plan: where the stage's function lies, whether all threads share it, for each of its arrays the operand
that it is in, and the numbers: first the places in these operands, or the addresses of arrays that never change."""


@kernel
def launch(plan, workers, scratch, zero, a0, a1, a2, a3, a4, a5, a6, a7):
    """Write the numbers of each stage to ``scratch``, and call its function once for every worker.

    Args:
        plan: (stages, columns) int64.
        workers: Shares that each stage is cut into.
        scratch: (`OPERANDS` + 1 + plan.size,) int64.
        zero: Any value of the dtype that the functions are compiled for.
        a0, ..., a7: Where the operands' objects lie.
    """
    bases = address(scratch)
    put(bases, get(a0 + DATA))
    put(bases + 8, get(a1 + DATA))
    put(bases + 16, get(a2 + DATA))
    put(bases + 24, get(a3 + DATA))
    put(bases + 32, get(a4 + DATA))
    put(bases + 40, get(a5 + DATA))
    put(bases + 48, get(a6 + DATA))
    put(bases + 56, get(a7 + DATA))
    put(bases + 64, 0)
    width = plan.shape[1]
    for stage in range(plan.shape[0]):
        numbers = bases + 8 * (OPERANDS + 1 + stage * width)
        for k in range(FIRST):
            put(numbers + 8 * k, plan[stage, NUMBERS + k] + get(bases + 8 * plan[stage, OPERAND + k]))
        for k in range(FIRST, width - NUMBERS):
            put(numbers + 8 * k, plan[stage, NUMBERS + k])
        function = plan[stage, FUNCTION]
        if plan[stage, IS_PARALLEL]:
            for worker in prange(workers):
                _call(function, worker, workers, numbers, zero)
        else:
            for worker in range(workers):
                _call(function, worker, workers, numbers, zero)
