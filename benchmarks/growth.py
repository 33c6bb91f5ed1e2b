"""How time grows with batch size, image size, channels and threads: ``python -m benchmarks.growth``.

Batch size and threads: a training step of the lecture's CNN.  Image size and channels: forward and backward of one
convolution layer, 3×3 with padding, where nothing else grows.  Beside each time stands what one multiply-add takes; a
program that grows no faster than its arithmetic takes no more of it for larger sizes.
Writes the table and the picture ``results/growth.svg`` (which needs matplotlib).
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import tinygrad_cnn

from . import harness
from .models import lecture_cnn
from .networks import training, training_arithmetic

SIDES = ("tinygrad_cnn", "torch channels_last")
PICTURE = harness.RESULTS / "growth.svg"
TOLERANCE = 1e-4  # of the largest element of a gradient

BATCHES = (1, 4, 16, 64, 256)
LAYER_BATCH = 16
LAYER_CHANNELS, IMAGE_SIDES = 32, (8, 16, 32, 64, 128)
LAYER_SIDE, CHANNELS = 16, (8, 16, 32, 64, 128, 256, 512)
STEP_BATCH = 64


class Point(NamedTuple):
    """One size: what varies, its value, the multiply-adds, and the seconds by side."""

    what: str
    size: int
    multiply_adds: int
    seconds: dict[str, float]

    @property
    def picoseconds(self) -> float:
        """Per multiply-add."""
        return 1e12 * self.seconds[SIDES[0]] / self.multiply_adds


def main() -> None:
    """Measure, print the table, save it and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    harness.use_threads(options.threads)
    points = []
    for point in measurements(options.rounds):
        points.append(point)
        times = "  ".join(f"{side} {1e3 * seconds:.3g} ms" for side, seconds in point.seconds.items())
        print(f"{point.what} {point.size:<5} {times}  {point.picoseconds:.3g} ps per multiply-add", flush=True)
    verdict = in_words(points)
    print(verdict)
    harness.save_columns("growth", list(rows(points)), options.threads, f"Medians. {verdict}")
    draw(points, PICTURE)


def measurements(rounds: int) -> Iterator[Point]:
    """All points, one after the other."""
    threads = tinygrad_cnn.get_num_threads()
    for batch in BATCHES:
        yield Point("batch size", batch, training_arithmetic(lecture_cnn, batch), train(batch, rounds))
    for side in IMAGE_SIDES:
        yield Point("image size", side, *convolve(LAYER_CHANNELS, side, rounds))
    for channels in CHANNELS:
        yield Point("channels", channels, *convolve(channels, LAYER_SIDE, rounds))
    for count in range(1, tinygrad_cnn.kernels._jit.max_threads() + 1):
        harness.use_threads(count)
        yield Point("threads", count, training_arithmetic(lecture_cnn, STEP_BATCH), train(STEP_BATCH, rounds))
    harness.use_threads(threads)


def train(batch: int, rounds: int) -> dict[str, float]:
    """Seconds of one training step of the lecture's CNN, by side."""
    found = training(lecture_cnn, batch, compiled=False, rounds=rounds).seconds
    return {side: found[side] for side in SIDES}


def convolve(channels: int, side: int, rounds: int) -> tuple[int, dict[str, float]]:
    """Multiply-adds, and seconds by library, of forward and backward of a layer on (LAYER_BATCH, C, side, side)."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((LAYER_BATCH, side, side, channels)).astype(np.float32).transpose(0, 3, 1, 2)
    weight = generator.standard_normal((channels, channels, 3, 3)).astype(np.float32)
    upstream = generator.standard_normal(x.shape).astype(np.float32)
    calls: dict[str, Callable[[], Any]] = {}
    for name, library in zip(SIDES, (tinygrad_cnn, torch)):
        calls[name] = layer(library, x, weight, upstream)

    def check() -> float:
        ours, theirs = (calls[name]() for name in SIDES)
        return max(harness.difference(a.numpy(), b.numpy()) for a, b in zip(ours, theirs))

    row = harness.compare(f"convolution {channels}→{channels} @{side}", calls, check, TOLERANCE, rounds)
    return 3 * LAYER_BATCH * side * side * channels * channels * 9, row.seconds


def layer(library: Any, x: np.ndarray, weight: np.ndarray, upstream: np.ndarray) -> Callable[[], Any]:
    """A call that gives the gradients of the image and of the filters, both in channels-last memory."""
    last = {"memory_format": library.channels_last}
    tensors = [library.from_numpy(array.copy()).contiguous(**last) for array in (x, weight, upstream)]
    image, filters, by_output = tensors
    image.requires_grad_()
    filters.requires_grad_()

    def call() -> Any:
        image.grad = filters.grad = None
        library.nn.functional.conv2d(image, filters, None, padding=1).backward(by_output)
        return image.grad, filters.grad

    return call


# ---------------------------------------------------------------- table, verdict, picture


def rows(points: list[Point]) -> Iterator[dict[str, Any]]:
    """The cells of the table."""
    for point in points:
        yield {
            "what grows": point.what,
            "size": point.size,
            **{f"{side}, ms": 1e3 * seconds for side, seconds in point.seconds.items()},
            "ours per multiply-add, ps": point.picoseconds,
        }


def in_words(points: list[Point]) -> str:
    """Where the time per multiply-add grows most, or falls least, from one size to the next."""
    steps = [
        (b.picoseconds / a.picoseconds, a, b) for a, b in itertools.pairwise(points) if a.what == b.what != "threads"
    ]
    most, a, b = max(steps, key=lambda step: step[0])
    first, *_, last = [point for point in points if point.what == "threads"] * 2
    faster = first.seconds[SIDES[0]] / last.seconds[SIDES[0]]
    change = "falls by at least" if most < 1 else "grows by at most"
    return (
        f"From one size to the next, the time per multiply-add {change} {100 * abs(most - 1):.0f} % ({a.what} "
        f"{a.size} to {b.size}); {last.size} threads are {faster:.2f} times as fast as one."
    )


def draw(points: list[Point], path: pathlib.Path) -> None:
    """Time against size in four panels, logarithmic but for the threads, beside a line that grows as the arithmetic."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        print("growth: no picture, matplotlib is not installed")
        return
    matplotlib.rcParams["svg.hashsalt"] = "growth"  # the same picture from the same numbers
    figure = Figure(figsize=(10, 7), layout="constrained")
    titles = {
        "batch size": "training step, lecture CNN",
        "image size": f"convolution {LAYER_CHANNELS}→{LAYER_CHANNELS} 3×3, {LAYER_BATCH} images",
        "channels": f"convolution C→C 3×3, {LAYER_BATCH} images of {LAYER_SIDE}×{LAYER_SIDE}",
        "threads": f"training step, lecture CNN, batch {STEP_BATCH}",
    }
    for axes, (what, title) in zip(figure.subplots(2, 2).flat, titles.items()):
        shown = [point for point in points if point.what == what]
        sizes = [point.size for point in shown]
        for side, marker in zip(SIDES, "os"):
            axes.plot(sizes, [1e3 * point.seconds[side] for point in shown], marker=marker, label=side)
        base = shown[0] if what == "threads" else shown[-1]
        ideal = [
            1e3
            * base.seconds[SIDES[0]]
            * point.multiply_adds
            / base.multiply_adds
            / (point.size / base.size if what == "threads" else 1)
            for point in shown
        ]
        axes.plot(sizes, ideal, "--", color="gray", label="ours, if it grew as its arithmetic")
        axes.set(xlabel=what, ylabel="milliseconds", title=title)
        if what == "threads":
            axes.set_ylim(0)
        else:
            axes.set(xscale="log", yscale="log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
