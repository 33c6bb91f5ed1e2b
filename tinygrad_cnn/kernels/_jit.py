"""The one decorator of all kernels, the threads they run on, and the cache of compiled code.

``@kernel`` turns a loop over arrays into a `Kernel`, which compiles it on first use, in two versions:

* calling it, ``scale(x, factor, out)``, runs the *parallel* version, where ``prange`` is spread over the threads;
* ``scale.run(work, x, factor, out)`` runs the *serial* version, where ``prange`` is ``range``, when ``work`` (roughly
  the number of arithmetic operations or of elements touched) is below `SERIAL_WORK`. Waking a thread pool costs 2 to
  7 µs where it is idle and far more where the machine is busy.

A forked child always runs the serial version: GNU OpenMP kills a forked child at its first parallel loop. Parallel
launches hold one lock, because Numba's fallback threading layer ("workqueue") aborts the process when two Python
threads launch at once. Parallel kernels are called from Python only, never from another kernel (numba#4807).

``@helper`` and ``@inlined`` compile a function that kernels call. Kernels reach helpers as module globals: a kernel
that *closes over* a helper or an intrinsic is never found in the cache again.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numba
from numba.core import event
from numba.np.ufunc import parallel as numba_threads

from . import _cache, _compilers

SERIAL_WORK: float = 20_000
"""Below this amount of work (operations or elements) `Kernel.run` does not wake the threads."""

# How long an idle thread waits for the next kernel before it lets go of its core; GNU OpenMP reads this when its
# library is loaded, at the first parallel kernel. It must outlast the Python code between two kernels, or every launch
# wakes a sleeping thread: a LeNet-5 step takes 3.3 ms with 30,000 rounds and with OpenMP's default, 300,000, but 5 with
# 1,000. Where another process wants the core it should be short: there the step takes 270 ms with the default, 30 to 60
# with this, 9 with 1,000.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

_config: Any = numba.config

OPTIONS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "nogil": True}
"""How everything is compiled. Every operation is rounded as written: what may be reordered is reordered differently in
each copy of a function that the compiler makes (in the parallel and in the serial version, in the loop and in the few
elements left over behind it, in the process that compiles and in the one that finds the code in the cache), and the
last bit of a result with it. Sums that have to be fast are cut into vectors by hand (`_simd`, `_rows`)."""

on_compile: list[Callable[[str], None]] = []
"""Called with a kernel's name when its compilation begins (a cache hit is none), so that an application can print
"compiling kernels (first run only)…" instead of looking hung."""

_njit: Any = numba.njit  # its type does not know all options

helper = _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)
"""The decorator of functions that only kernels call: compiled into each of them, inlined where LLVM finds it good."""

inlined = _njit(inline="always", **OPTIONS)
"""`helper` for a long function that is called in one place: Numba copies it there before compiling, where it would
compile it twice, alone and as a part of the kernel (the kernels of max pooling take 30 % less time to compile)."""


class Kernel:
    """A loop over arrays, compiled on first use; see the module's docstring for its two versions."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self._parallel: Any = None
        self._serial: Any = None

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    def __call__(self, *args: Any) -> None:
        """Run on all threads (on one in a forked child)."""
        if _forked:
            self.run(0, *args)
            return
        with _lock:
            if self._parallel is None:
                self._parallel = _compile(self, parallel=True)
            if _thread.count != _count:
                numba_threads.set_num_threads(_count)
                _thread.count = _count
            self._parallel(*args)

    def run(self, work: int, *args: Any) -> None:
        """Run on all threads, or on this one where ``work`` is below `SERIAL_WORK`.

        Args:
            work: About how many arithmetic operations (or elements to touch) this call has.
            *args: The kernel's arguments.
        """
        if work >= SERIAL_WORK and not _forked:
            self(*args)
            return
        if self._serial is None:
            with _lock:
                if self._serial is None:
                    self._serial = _compile(self, parallel=False)
        self._serial(*args)

    def compiled(self) -> dict[str, list[Any]]:
        """The signatures compiled or loaded so far: ``{"parallel": [...], "serial": [...]}``."""
        versions = {"parallel": self._parallel, "serial": self._serial}
        return {name: list(version.signatures) if version else [] for name, version in versions.items()}


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorator: a loop over arrays becomes a `Kernel`. Nothing is compiled before the first call."""
    return Kernel(function)


def kernels_in(module: ModuleType) -> list[Kernel]:
    """All kernels that a module defines, in the order of its source."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, Kernel) and value.function.__module__ == module.__name__
    ]


def get_num_threads() -> int:
    """The number of threads that parallel kernels run on."""
    return _count


def max_threads() -> int:
    """The most threads that `set_num_threads` accepts: the cores this process may use, or $NUMBA_NUM_THREADS."""
    return int(_config.NUMBA_NUM_THREADS)


def set_num_threads(count: int) -> None:
    """Run parallel kernels on ``count`` threads from now on, from whatever Python thread they are called.

    Raises:
        ValueError: If ``count`` is below 1 or above `max_threads`.
    """
    global _count
    if not 1 <= count <= max_threads():
        raise ValueError(f"set_num_threads: count must be between 1 and {max_threads()}, got {count}")
    with _lock:
        _count = count


@contextmanager
def serial_below(work: float) -> Iterator[None]:
    """Another `SERIAL_WORK` inside the ``with`` block: 1 makes every kernel parallel that has work, infinity none."""
    global SERIAL_WORK
    before, SERIAL_WORK = SERIAL_WORK, work
    try:
        yield
    finally:
        SERIAL_WORK = before


@contextmanager
def announce(callback: Callable[[str], None]) -> Iterator[None]:
    """Call ``callback(name)`` for every kernel whose compilation begins inside the ``with`` block."""
    on_compile.append(callback)
    try:
        yield
    finally:
        on_compile.remove(callback)


class _PerThread(threading.local):
    """Numba keeps the number of threads per Python thread; this is what it was last told on this one."""

    count = 0


_count = max_threads()
_thread = _PerThread()
_lock = threading.RLock()
_forked = False
_names: dict[Any, str] = {}  # dispatcher -> kernel name, for the announcements


def _compile(kernel: Kernel, parallel: bool) -> Any:
    """Build Numba's lazy dispatcher for one version of a kernel and give it its place in the cache."""
    dispatcher = numba.njit(parallel=parallel, **OPTIONS)(kernel.function)
    _cache.attach(dispatcher, "parallel" if parallel else "serial", kernel.function)
    _names[dispatcher] = kernel.name
    return dispatcher


def announce_compilation(name: str) -> None:
    """Tell everyone in `on_compile` that the kernel ``name`` is about to be compiled."""
    for callback in list(on_compile):
        callback(name)


class _CompileListener(event.Listener):
    """Passes Numba's "compilation begins" event on to `on_compile`, for kernels only."""

    def on_start(self, event: Any) -> None:
        name = _names.get(event.data["dispatcher"])
        if name is not None:
            announce_compilation(name)

    def on_end(self, event: Any) -> None:
        """Nothing to do: only beginnings are announced."""


event.register("numba:compile", _CompileListener())


def _after_fork_in_child() -> None:
    """A child has no worker threads, and a lock held by another thread of the parent would stay locked for ever."""
    global _forked, _lock
    _forked = True
    _lock = threading.RLock()
    _compilers.forget()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)

# A parallel kernel none of whose loops Numba could parallelise would be a bug of ours; tests turn this into an error.
warnings.filterwarnings("once", category=numba.core.errors.NumbaPerformanceWarning)
