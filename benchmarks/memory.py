"""Peak memory of training steps against PyTorch: ``python -m benchmarks.memory``.

Every measurement is a process of its own.  It imports the library, does one step on one image, notes its resident size,
does ``STEPS`` steps, and reports how much the peak resident size lies above the one noted: activations, gradients,
workspaces and what the allocators keep, but neither the interpreter nor the libraries themselves.  Weights, images and
optimizer state are there on both sides.  A run that is not counted fills the cache of compiled kernels first.

Both sides begin with the same weights, which the same seed gives them; their losses must agree at every step.

A second table says what `tinygrad_cnn.ops.buffers` costs and brings: the memory of the same steps and the time of one,
with its pool and with memory from the C library for every array.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from . import harness
from .models import INPUT_SHAPES, NAMES, lecture_cnn, lenet5, loss_of, resnet20

CASES = ((lecture_cnn, 64), (lecture_cnn, 256), (lenet5, 64), (lenet5, 256), (resnet20, 128))
SIDES = ("tinygrad_cnn", "tinygrad_cnn captured", "torch NCHW", "torch channels_last")
WITHOUT_POOL = "tinygrad_cnn without pool"
STEPS = 20

FIRST_LOSS = 1e-5
"""Largest relative difference of the first losses, before any update."""

LOSSES = {lecture_cnn: 1e-2, lenet5: 1e-2, resnet20: 0.1}
"""The same for all later losses: Adam makes large steps of small gradients, so rounding errors grow with every step."""


def main() -> None:
    """Measure all cases in turn and save the table; with ``--one``, be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "NETWORK", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        side, network, batch = options.one
        print(json.dumps(measure(side, network, int(batch), options.threads)))
        return
    rows = []
    for build, batch in CASES:
        rows.append(compare(build, batch, options.rounds, options.threads))
        print(rows[-1], flush=True)
    note = "Medians; in brackets the quartiles of the ratios within a round."
    harness.save_columns("memory", rows, options.threads, note)
    rows = []
    for build, batch in CASES:
        rows.append(pool(build, batch, options.rounds, options.threads))
        print(rows[-1], flush=True)
    harness.save_columns("memory_pool", rows, options.threads, note)


def compare(build: Any, batch: int, rounds: int, threads: int) -> dict[str, Any]:
    """One row: a process per side and round, after one of ours that fills the cache."""
    in_new_process(SIDES[0], build, batch, threads)
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        losses = {}
        for side in SIDES:
            report = in_new_process(side, build, batch, threads)
            found[side].append(report["bytes"])
            losses[side] = np.array(report["losses"])
        for side in SIDES[1:]:
            check(losses[SIDES[0]], losses[side], 0.0 if side == SIDES[1] else LOSSES[build])
    ours, *others = SIDES
    best = min(others[1:], key=lambda side: statistics.median(found[side]))
    ratios = [theirs / mine for mine, theirs in zip(found[ours], found[best])]
    return {
        "work": f"{STEPS} training steps, {NAMES[build]}, batch {batch}",
        **{f"{side}, MB": statistics.median(found[side]) / 1e6 for side in SIDES},
        "times less than the best PyTorch mode": harness.quartiles(ratios),
    }


def pool(build: Any, batch: int, rounds: int, threads: int) -> dict[str, Any]:
    """One row of the second table: processes with and without the pool, in turn."""
    found: dict[str, list[dict[str, Any]]] = {SIDES[0]: [], WITHOUT_POOL: []}
    for _ in range(rounds):
        for side, reports in found.items():
            reports.append(in_new_process(side, build, batch, threads))
        ours, theirs = (np.array(reports[-1]["losses"]) for reports in found.values())
        if not np.array_equal(ours, theirs):
            raise AssertionError(f"the losses with and without the pool differ: {ours} and {theirs}")
    medians = {
        what: [statistics.median(report[what] for report in reports) for reports in found.values()]
        for what in ("bytes", "seconds")
    }
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(*found.values())]
    return {
        "work": f"training step, {NAMES[build]}, batch {batch}",
        **{f"{side}, MB": size / 1e6 for side, size in zip(("with", "without"), medians["bytes"])},
        **{f"{side}, ms": 1e3 * seconds for side, seconds in zip(("with", "without"), medians["seconds"])},
        "times faster with it": harness.quartiles(ratios),
    }


def check(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
    """Raise AssertionError unless the losses of both sides agree."""
    difference = np.abs(ours - theirs) / np.abs(theirs)
    if not (difference[0] <= FIRST_LOSS and difference.max() <= tolerance):
        raise AssertionError(f"the losses differ by {difference[0]:.2g} at first, {difference.max():.2g} at most")


def in_new_process(side: str, build: Any, batch: int, threads: int) -> dict[str, Any]:
    """What `measure` finds in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--threads", str(threads)]
    command += ["--one", side, build.__name__, str(batch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(side: str, network: str, batch: int, threads: int) -> dict[str, Any]:
    """The growth of the peak resident size over the steps, in bytes, their losses, and the median time of one."""
    build = {function.__name__: function for function in INPUT_SHAPES}[network]
    library = importlib.import_module(side.split()[0])
    library.set_num_threads(threads)
    if side == WITHOUT_POOL:
        library.ops.buffers.SMALLEST = sys.maxsize
    train(library, side, build, 1, 1)
    before = resident()
    forget_peak()
    losses, seconds = train(library, side, build, batch, STEPS)
    return {"bytes": peak() - before, "losses": losses, "seconds": statistics.median(seconds)}


def train(library: Any, side: str, build: Any, batch: int, steps: int) -> tuple[list[float], list[float]]:
    """Adam steps on one batch of random images; returns the loss and the seconds of each."""
    library.manual_seed(0)
    generator = np.random.default_rng(0)
    images = library.from_numpy(generator.standard_normal((batch, *INPUT_SHAPES[build]), np.float32))
    labels = library.from_numpy(generator.integers(0, 10, batch))
    model = build(library)
    if side == "torch channels_last":
        model = model.to(memory_format=library.channels_last)
        images = images.contiguous(memory_format=library.channels_last)
    options = {"fused": True} if side.startswith("torch") else {}
    optimizer = library.optim.Adam(model.parameters(), **options)
    compute_loss = loss_of(library, model, side.endswith(harness.CAPTURED))
    losses, seconds = [], []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = compute_loss(images, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return losses, seconds


# ---------------------------------------------------------------- what the system says of this process


def resident() -> int:
    """This process's resident size in bytes."""
    return _status("VmRSS")


def peak() -> int:
    """The largest resident size since the process began, or since `forget_peak`, in bytes."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let `peak` begin anew: importing and compiling may have needed more than training does."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
