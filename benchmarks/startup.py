"""Import and first training step, warm and cold, against PyTorch: ``python -m benchmarks.startup``.

Every measurement is a process of its own.  The clock runs from before the first import (NumPy's) until one training
step of the lecture's CNN on 64 images has ended; the interpreter's own start is not part of it.  *Warm* means that
Python's files of byte code and our cache of compiled kernels are there, *cold* that the kernels' cache is an empty
folder.  A second table says where the time of a warm start goes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

SIDES = ("tinygrad_cnn", "torch")
BATCH = 64
TOLERANCE = 1e-5  # of the loss, which both sides compute from the same weights


def main() -> None:
    """Measure in turn and save the tables; with ``--one``, be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--one", metavar="SIDE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(start(options.one, options.threads)))
        return
    from . import harness

    for side in SIDES:  # not counted: writes byte code and fills the cache
        in_new_process(side, options.threads)
    warm = [{side: in_new_process(side, options.threads) for side in SIDES} for _ in range(options.rounds)]
    cold = []
    for _ in range(options.cold_rounds):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(in_new_process(SIDES[0], options.threads, NUMBA_CACHE_DIR=folder))
    for found in warm:
        check(found)
    rows = table(warm, cold)
    print(*rows, sep="\n")
    note = "Medians; in brackets the quartiles over the rounds."
    harness.save_columns("startup", rows, options.threads, note)
    rows = parts([found[SIDES[0]] for found in warm])
    print(*rows, sep="\n")
    harness.save_columns("startup_parts", rows, options.threads, "Medians.")


def check(found: dict[str, dict[str, Any]]) -> None:
    """Raise AssertionError unless both sides found the same loss."""
    ours, theirs = (found[side]["loss"] for side in SIDES)
    if not abs(ours - theirs) <= TOLERANCE * abs(theirs):
        raise AssertionError(f"the losses differ: {ours} and {theirs}")


def table(warm: list[dict[str, dict[str, Any]]], cold: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds of both sides, and of ours with an empty cache."""
    from . import harness

    seconds = {side: [sum(found[side]["seconds"].values()) for found in warm] for side in SIDES}
    ours, theirs = (seconds[side] for side in SIDES)
    compiling = [sum(found["seconds"].values()) for found in cold]
    return [
        {
            "import and first training step": "warm cache",
            **{f"{side}, s": statistics.median(seconds[side]) for side in SIDES},
            "times faster than PyTorch": harness.quartiles([b / a for a, b in zip(ours, theirs)]),
        },
        {"import and first training step": "no cache", f"{SIDES[0]}, s": statistics.median(compiling)},
    ]


def parts(warm: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The median seconds of each part of our start."""
    return [
        {"part of a warm start": part, "s": statistics.median(found["seconds"][part] for found in warm)}
        for part in warm[0]["seconds"]
    ]


def in_new_process(side: str, threads: int, **environment: str) -> dict[str, Any]:
    """What `start` finds in a process of its own."""
    variables = {**os.environ, **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "benchmarks.startup", "--threads", str(threads), "--one", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=variables)
    return json.loads(done.stdout)


def start(side: str, threads: int) -> dict[str, Any]:
    """The seconds of each part of the start, and the loss of the first step."""
    seconds, before = {}, time.perf_counter()

    def lap(part: str) -> None:
        nonlocal before
        now = time.perf_counter()
        seconds[part], before = now - before, now

    import numpy as np

    lap("import numpy")
    library = importlib.import_module(side)
    lap(f"import {side}")
    if side == "tinygrad_cnn":
        importlib.import_module("numba")
        lap("import numba")
    library.set_num_threads(threads)
    library.manual_seed(0)
    from .models import lecture_cnn

    model = lecture_cnn(library)
    optimizer = library.optim.Adam(model.parameters(), **({"fused": True} if side == "torch" else {}))
    generator = np.random.default_rng(0)
    images = library.from_numpy(generator.standard_normal((BATCH, 1, 28, 28), np.float32))
    labels = library.from_numpy(generator.integers(0, 10, BATCH))
    lap("model, optimizer, images")
    loss = library.nn.functional.cross_entropy(model(images), labels)
    lap("forward")
    loss.backward()
    lap("backward")
    optimizer.step()
    lap("optimizer")
    return {"seconds": seconds, "loss": loss.item()}


if __name__ == "__main__":
    main()
