"""Compiling on several cores: other processes compile what a training step will need later.

Numba compiles one function at a time, under one lock, so threads would not help, and a first training step with an
empty cache compiles some twenty kernels. Where this process finds one of them missing, `NEEDED_LATER` names those that
a training step misses after it. *Helpers*, processes that do nothing else, compile them, the last one first, while this
process compiles those that it has come to: both meet in the middle. On two cores the first step of the lecture's
network takes 15 to 17 s instead of 27. What a helper has compiled is found in the cache on disk, like everything
compiled by another process.

A helper that can't be started, fails or is killed is no error: the kernel is compiled here then. Helpers end when they
had nothing to do for `IDLE` seconds, and with this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np

from . import _cache

NEEDED_LATER: dict[str, tuple[str, ...]] = {
    "_dot.pack_panels": (  # the first kernel of most convolutions and of Linear
        *("_dot.dot_products", "layout.transpose"),
        *("loss.softmax_and_losses", "loss.reduce_losses", "loss.logit_grads"),
        *("_outer.sum_rows", "_outer.outer_products", "_outer.sum_chunks", "optim.adam_steps"),
    ),
    "conv_winograd.transform_filters": (
        *("conv_winograd.winograd_products", "conv_winograd_weight.transform_tiles"),
        *("conv_winograd_weight.winograd_outer_products", "conv_winograd_weight.finish_weight_grad"),
    ),
    "max_pool.max_rows": ("max_pool.spread_rows",),
    "average_pool.average_rows": ("average_pool.spread_averages",),
    "norm.chunk_moments": (
        *("norm.finish_moments", "norm.normalise_chunks"),
        *("norm.chunk_grad_sums", "norm.finish_grad_sums", "norm.input_grad_chunks"),
    ),
}
"""Kernels by the one that is missing first, in the order in which a training step comes to them."""

IDLE = 5.0
"""Seconds that a helper waits for more to do. Each keeps 150 to 200 MB of memory while it waits."""

MOST_HELPERS = 3
"""More would seldom find work: `NEEDED_LATER` has nine kernels at most for them."""

Job = tuple[str, str]  # kernel, dtype

_changed = threading.Condition()
_waiting: list[Job] = []  # for a helper; the last one is taken first
_begun: dict[Job, threading.Event | None] = {}  # by a helper, with what it sets when it is done; or by this process
_helpers = 0  # running
_alone = False  # nobody compiles for this process: a helper has failed, or it is a forked child


def helper_count() -> int:
    """Processes that may compile beside this one: $TINYGRAD_CNN_COMPILERS, or one per further core, 3 at most.

    None in a forked child, which often is one of many already, after a helper has failed, because the next one would,
    and where there is no interpreter to start: in an application that brings its own (PyInstaller), ``sys.executable``
    is the application.
    """
    if _alone or not sys.executable or getattr(sys, "frozen", False):
        return 0
    chosen = os.environ.get("TINYGRAD_CNN_COMPILERS", "")
    if chosen.isdecimal():
        return int(chosen)
    config: Any = numba.config
    return min(int(config.NUMBA_NUM_THREADS) - 1, MOST_HELPERS)


def missing(name: str, dtype: np.dtype[Any]) -> bool:
    """A kernel that this process needs now is not in the cache. Waits if a helper is compiling it.

    Args:
        name: the kernel's, ``module.function``.
        dtype: what it is to be compiled for.

    Returns:
        Whether to look into the cache again. False: compile it here.
    """
    job = (name, dtype.name)
    with _changed:
        if job not in _begun:
            _begun[job] = None
            jobs = [(later, dtype.name) for later in NEEDED_LATER.get(name, ())]
            _waiting.extend(later for later in jobs if later not in _begun and later not in _waiting)
            _start_helpers()
        done = _begun[job]
    if done is None:
        return False
    done.wait()
    return True


def forget() -> None:
    """In a forked child, which does not have the threads that wait for helpers: nobody compiles for it."""
    global _changed, _alone
    _changed = threading.Condition()  # one of those threads may hold the old one
    _alone = True
    _waiting.clear()
    _begun.clear()


def serve() -> None:
    """What a helper does: compile each kernel that a line of standard input names, and repeat the line when done."""
    import importlib
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that it helps, with which it ends
    if str(_cache.folder()) != sys.argv[1]:
        return  # other files or settings than that process has: it would not find what is compiled here
    for line in sys.stdin:
        name, dtype = line.split()
        module, _, function = name.partition(".")
        getattr(importlib.import_module(f"{__package__}.{module}"), function).address(np.dtype(dtype))
        print(line, end="", flush=True)


def _start_helpers() -> None:
    """As many as there is work for."""
    global _helpers
    _changed.notify_all()
    for _ in range(min(len(_waiting), helper_count()) - _helpers):
        _helpers += 1
        threading.Thread(target=_help, name="tinygrad_cnn compiler", daemon=True).start()


def _help() -> None:
    """Run one helper, and give it one job after the other."""
    global _helpers, _alone
    failed = True
    try:
        with _process() as process:
            job = _next_job()
            while job is not None and _compiled_by(process, job):
                job = _next_job()
            failed = job is not None
    except OSError:  # no process can be started here, or it has gone
        pass
    finally:
        with _changed:
            _helpers -= 1
            _alone = _alone or failed


def _process() -> subprocess.Popen[str]:
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()", str(_cache.folder())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "TINYGRAD_CNN_COMPILERS": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a kernel that can't be compiled fails again, and visibly, in this process
        text=True,
    )


def _next_job() -> Job | None:
    """The next kernel for a helper; None when there was none for a while."""
    with _changed:
        while _changed.wait_for(lambda: bool(_waiting), IDLE):
            job = _waiting.pop()
            if job not in _begun:
                _begun[job] = threading.Event()
                return job
    return None


def _compiled_by(process: subprocess.Popen[str], job: Job) -> bool:
    """Let a helper compile a kernel; False, or an OSError, if the helper is gone."""
    done = _begun[job]
    assert process.stdin is not None
    assert process.stdout is not None
    assert done is not None
    line = " ".join(job) + "\n"
    try:
        process.stdin.write(line)
        process.stdin.flush()
        return line in process.stdout  # reads up to this line: Numba may have been told to print more
    finally:
        done.set()
