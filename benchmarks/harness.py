"""The one harness: correctness first, then interleaved rounds of all sides, medians, spreads and ratios.

Machines are shared and noisy, so a time alone says little.  Every round times every side once, one after the other,
and what is reported is the median over the rounds of the *ratio* within a round, with the quartiles as spread.
"""

from __future__ import annotations

import dataclasses
import datetime
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
ROUNDS = 7
SECONDS_PER_SAMPLE = 0.05

SETTLE = 0.02
"""Seconds before a sample, and then a call that is not timed: the threads of the side before wait actively for some
milliseconds after their last work, and would take a core away from this one."""

CAPTURED = "captured"
"""The side that is ours through ``tinygrad_cnn.capture``."""

_PACKAGES = ("tinygrad_cnn", "numpy", "numba", "torch", "onnxruntime", "jax", "mygrad", "autograd", "tinygrad")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One line of a table: the time of each side and how much faster we are than the best other side.

    Attributes:
        name: the work, for example "training step, LeNet-5, batch 64".
        seconds: the median time of one call, by side; ours comes first.
        ratios: per other side, the quartiles (25 %, 50 %, 75 %) of its time divided by ours within a round.
        error: the largest difference found by the correctness check, relative to the largest value compared.
        above_floor: the quartiles of our time divided by the least that the work can take; None if that is not known.
        captured: as `ratios` for the best other side, but of our time through ``capture``; None if that is no side.
    """

    name: str
    seconds: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]
    error: float
    above_floor: tuple[float, float, float] | None = None
    captured: tuple[float, float, float] | None = None

    @property
    def best_other(self) -> str | None:
        """The quickest of PyTorch's modes; of all other sides where PyTorch is not among them; None without others."""
        return best_of(self.seconds)

    @property
    def ratio(self) -> float | None:
        """How many times faster than `best_other`: the median over the rounds."""
        return None if self.best_other is None else self.ratios[self.best_other][1]

    def __str__(self) -> str:
        times = "  ".join(f"{side} {1e3 * seconds:.3g}" for side, seconds in self.seconds.items())
        ratio = ""
        if self.best_other is not None:
            low, middle, high = self.ratios[self.best_other]
            ratio = f"ratio {middle:.2f} ({low:.2f} to {high:.2f})"
        if self.captured is not None:
            low, middle, high = self.captured
            ratio += f"  captured {middle:.2f} ({low:.2f} to {high:.2f})"
        floor = "" if self.above_floor is None else f"  {self.above_floor[1]:.3g} times the floor"
        return f"{self.name:<48} ms: {times}  {ratio}{floor}  error {self.error:.1e}"


def compare(
    name: str,
    sides: Mapping[str, Callable[[], Any]],
    check: Callable[[], float],
    tolerance: float,
    rounds: int = ROUNDS,
    floor: Callable[[], float] | None = None,
) -> Comparison:
    """Check that all sides compute the same, then time them in turn.

    Args:
        name: the work.
        sides: a call per side, ours first.
        check: the largest relative difference between the sides' results, from the same inputs and weights.
        tolerance: the most that may be.
        rounds: how many times every side is timed.
        floor: measures the least seconds that the work can take (`benchmarks.floor`).

    Raises:
        AssertionError: the results differ by more than the tolerance; nothing is timed then.
    """
    error = check()
    if not error <= tolerance:
        raise AssertionError(f"{name}: the results differ by {error:.3g}, more than {tolerance:.3g}")
    gc.collect()
    gc.freeze()  # what is left is no garbage: to look through it before every sample would take most of the time
    repeats = {side: repeats_of(call) for side, call in sides.items()}
    samples: dict[str, list[float]] = {side: [] for side in sides}
    least: list[float] = []
    for _ in range(rounds):
        for side, call in sides.items():
            samples[side].append(time_of(call, repeats[side]))
        if floor is not None:
            least.append(floor())
    gc.unfreeze()
    ours, *others = sides
    ratios = {}
    for side in others:
        ratios[side] = ratio_quartiles(samples[side], samples[ours])
    medians = {side: statistics.median(times) for side, times in samples.items()}
    above_floor = None if floor is None else ratio_quartiles(samples[ours], least)
    best = best_of(medians)
    captured = None if best is None or CAPTURED not in sides else ratio_quartiles(samples[best], samples[CAPTURED])
    return Comparison(name, medians, ratios, error, above_floor, captured)


def best_of(seconds: Mapping[str, float]) -> str | None:
    """The quickest of the sides that are not ours, PyTorch's if there are any; None if there is no other."""
    others = [side for side in list(seconds)[1:] if side != CAPTURED]
    modes = [side for side in others if side.startswith("torch")] or others
    return min(modes, key=lambda side: seconds[side], default=None)


def repeats_of(call: Callable[[], Any]) -> int:
    """How many calls make one sample long enough to time; warms the call up."""
    call()
    once = min(time_of(call, 1) for _ in range(3))
    return max(1, round(SECONDS_PER_SAMPLE / once))


def time_of(call: Callable[[], Any], repeats: int) -> float:
    """Seconds per call.  The garbage collector runs before, not during."""
    gc.collect()
    time.sleep(SETTLE)
    call()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats
    finally:
        gc.enable()


def difference(ours: Any, theirs: Any) -> float:
    """The largest absolute difference of two arrays, relative to the largest absolute value of the second."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if a.shape != b.shape:
        return float("inf")
    return float(np.max(np.abs(a - b), initial=0.0) / max(float(np.max(np.abs(b), initial=0.0)), 1e-30))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios."""
    return statistics.geometric_mean(values)


def use_threads(count: int) -> None:
    """Run both sides on ``count`` threads."""
    import tinygrad_cnn

    tinygrad_cnn.set_num_threads(count)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(count)


def machine(threads: int) -> dict[str, Any]:
    """What a result depends on: processor, cores, threads, versions and date."""
    from llvmlite import binding

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    features = binding.get_host_cpu_features()
    return {
        "processor": f"{binding.get_host_cpu_name()}, {'AVX-512' if features.get('avx512f') else 'AVX2 or less'}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def ratio_quartiles(times: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The quartiles of the ratios within the rounds."""
    low, middle, high = quartiles([time / other for time, other in zip(times, others, strict=True)])
    return low, middle, high


def quartiles(values: Sequence[float]) -> list[float]:
    """25 %, 50 % and 75 % of what was measured; one value stands for all three."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [float(values[0])] * 3


def save(table: str, comparisons: Sequence[Comparison], threads: int) -> pathlib.Path:
    """Write a table of times as JSON for ``benchmarks.tables``; returns the file."""
    rows = [dataclasses.asdict(row) | {"best_other": row.best_other, "ratio": row.ratio} for row in comparisons]
    return _write(table, {"table": table, "machine": machine(threads), "rows": rows})


def save_columns(table: str, rows: Sequence[Mapping[str, Any]], threads: int, note: str) -> pathlib.Path:
    """Write a table of other things than times as JSON for ``benchmarks.tables``; returns the file.

    Args:
        table: its name.
        rows: the cells by column: text, numbers, three numbers (`quartiles` of a ratio), None for an empty cell.
        threads: how many were used.
        note: what stands below the table, after the machine.
    """
    return _write(table, {"table": table, "machine": machine(threads), "note": note, "cells": list(rows)})


def _write(table: str, content: Mapping[str, Any]) -> pathlib.Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{table}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path
