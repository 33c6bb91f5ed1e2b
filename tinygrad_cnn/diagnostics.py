"""What ``python -m tinygrad_cnn doctor`` says: the machine, the threads, the BLAS, the cache, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import kernels
from ._version import __version__
from .threads import get_num_threads, openblas

_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("neon", "NEON"), ("sse4.2", "SSE4.2"))
_SLOW_SETTINGS = {
    "NUMBA_DISABLE_JIT": "kernels run as interpreted Python, hundreds of times slower; unset it",
    "NUMBA_BOUNDSCHECK": "kernels check every index; unset it except for debugging",
    "NUMBA_CPU_NAME": "kernels are compiled for another CPU than this one; unset it except for testing",
    "NUMBA_OPT": "kernels are compiled at another optimisation level than 3; unset it",
}
_ROOM_FOR_CACHE = 50 * 2**20  # bytes; a full cache takes less than 10 MB


@dataclass
class Report:
    """The facts by topic, and the problems found, each with what to do."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        width = max(len(topic) for topic, _ in self.facts)
        lines = [f"{topic:<{width}}  {text}" for topic, text in self.facts]
        if self.problems:
            lines += ["", *(f"problem: {text}" for text in self.problems)]
        else:
            lines += ["", "no problems found"]
        return "\n".join(lines)


def examine() -> Report:
    """Look at everything that decides how fast this installation runs.  Launches one small parallel kernel."""
    report = Report()
    _versions(report)
    _processor(report)
    _threads(report)
    _blas(report)
    _cache(report)
    for name, consequence in _SLOW_SETTINGS.items():
        if os.environ.get(name, "0") not in ("", "0"):
            report.problems.append(f"${name}={os.environ[name]}: {consequence}")
    return report


def _versions(report: Report) -> None:
    import llvmlite
    import numba

    report.facts += [
        ("tinygrad_cnn", f"{__version__}, {Path(__file__).parent}"),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("packages", f"numpy {np.__version__}, numba {numba.__version__}, llvmlite {llvmlite.__version__}"),
    ]


def _processor(report: Report) -> None:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    vectors = next((label for key, label in _VECTORS if features.get(key)), "no vector extension known here")
    fused = "with" if features.get("fma") or platform.machine() in ("arm64", "aarch64") else "without"
    report.facts.append(("processor", f"{binding.get_host_cpu_name()}, {vectors}, {fused} fused multiply-add"))
    if fused == "without":
        report.problems.append("the processor has no fused multiply-add: kernels run at half their speed or less")


def _threads(report: Report) -> None:
    import numba

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    _launch_parallel_kernel()
    layer = numba.threading_layer()
    report.facts.append(("threads", f"{get_num_threads()} for kernels; {usable} of {os.cpu_count()} cores usable"))
    report.facts.append(("threading layer", layer))
    if get_num_threads() < usable:
        report.problems.append(
            f"kernels run on {get_num_threads()} of {usable} cores; unset $NUMBA_NUM_THREADS or call set_num_threads"
        )
    if layer == "workqueue":
        report.problems.append(
            "Numba's fallback threading layer is in use: it works, but starts a loop more slowly; install libgomp "
            "(Linux), libomp (macOS) or the Python package tbb"
        )


def _launch_parallel_kernel() -> None:
    """Numba settles on a threading layer when the first parallel loop runs."""
    size = 1 << 16
    x = np.zeros(size, np.float32)
    kernels.elementwise.prepare("relu", size, x.dtype)(x, np.empty_like(x))


def _blas(report: Report) -> None:
    build = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    report.facts.append(("BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}, for matmul outside layers"))
    if openblas() is None:
        report.problems.append(
            "NumPy's BLAS is not the OpenBLAS of its wheels: set_num_threads does not reach it; limit its threads by "
            "its own environment variable (OMP_NUM_THREADS, MKL_NUM_THREADS, VECLIB_MAXIMUM_THREADS)"
        )


def _cache(report: Report) -> None:
    try:
        folder = kernels._cache.folder()
    except OSError as error:
        report.facts.append(("kernel cache", f"{kernels._cache.root()}: not usable"))
        report.problems.append(f"compiled kernels cannot be cached ({error}): every start compiles again")
        return
    files = [path for path in folder.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 2**20
    report.facts.append(("kernel cache", f"{folder}: {len(files)} files, {megabytes:.1f} MB"))
    if shutil.disk_usage(folder).free < _ROOM_FOR_CACHE:
        report.problems.append(f"the disk of the kernel cache is full: {folder}")
    if sys.flags.dont_write_bytecode:
        report.problems.append(
            "Python writes no bytecode (PYTHONDONTWRITEBYTECODE or -B): every start compiles all imported modules "
            "again; unset it"
        )
