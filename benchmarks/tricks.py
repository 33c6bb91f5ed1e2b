"""What each trick brings: the same work with and without it, ``python -m benchmarks.tricks``.

First the algorithms of convolution: for every pass where `kernels.conv.choose` takes another one than the plain matrix
product ("direct"), the time of both; where it takes Winograd's with blocks that all workers share, also the time of
blocks of their own.  Then what goes on between kernels: a ReLU that runs with its neighbour, a batch cut into a few
images at a time, all layers recorded as one program, one launch for all parameters, forward and backward captured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_cnn
from tinygrad_cnn import nn
from tinygrad_cnn.kernels import conv
from tinygrad_cnn.ops import conv_pool
from tinygrad_cnn.optim import Adam

from . import harness
from .convolution import BATCH, LAYERS, Layer
from .models import NAMES, lecture_cnn, lenet5, resnet20
from .networks import data, step

TOLERANCE = 1e-4  # of the largest element
WITH, WITHOUT = "with", "without"
SHARED = " shared"
PASSES = {"forward": "forward", "input_grad": "input gradient", "weight_grad": "weight gradient"}


def main() -> None:
    """Measure all tricks and save their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    options = parser.parse_args()
    harness.use_threads(options.threads)
    rows = []
    for measured in (algorithms, between_kernels):
        for row in measured(options.rounds):
            rows.append(row)
            print(row, flush=True)
    harness.save("tricks", rows, options.threads)


def compare(name: str, sides: dict[str, Callable[[], Any]], results: Any, rounds: int) -> harness.Comparison:
    """Time both sides after comparing what they return; ``results(side)`` gives it as arrays."""

    def check() -> float:
        return max(harness.difference(a, b) for a, b in zip(results(WITH), results(WITHOUT), strict=True))

    return harness.compare(name, sides, check, TOLERANCE, rounds)


# ---------------------------------------------------------------- algorithms of convolution


def algorithms(rounds: int) -> Iterator[harness.Comparison]:
    """Each pass for which another algorithm than the direct product is chosen, with it and with the one it beats."""
    for layer in LAYERS:
        for kind, name in PASSES.items():
            geometry = conv.Geometry((layer.stride,) * 2, (layer.padding,) * 2, (1, 1), layer.groups)
            shapes = (BATCH, layer.side, layer.side, layer.channels), layer.filters_shape
            choice = conv.choose(kind, *shapes, geometry, np.dtype(np.float32))
            others = [] if choice.name == "direct" else ["direct"]
            if choice.name.endswith(SHARED):
                others.append(choice.name.removesuffix(SHARED))
            for other in others:
                title = f"{choice.name} instead of {other}: {name}, {layer}"
                yield algorithm(title, kind, layer, shapes, geometry, (choice.name, other), rounds)


def algorithm(
    title: str, kind: str, layer: Layer, shapes: Any, geometry: conv.Geometry, names: tuple[str, str], rounds: int
) -> harness.Comparison:
    """One pass by two algorithms."""
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    out_size = geometry.output_size(x.shape[1:3], weight.shape[1:3])
    grad = rng.standard_normal((BATCH, *out_size, layer.filters)).astype(np.float32)
    none = np.empty(0, np.float32)
    operands, result = {
        "forward": ((x, weight), grad.shape),
        "input_grad": ((grad, weight), x.shape),
        "weight_grad": ((x, grad), weight.shape),
    }[kind]
    sides, written = {}, {}
    for side, used in zip((WITH, WITHOUT), names):
        run = conv.prepare(kind, *shapes, geometry, x.dtype, algorithm=used)
        workspace = np.empty(run.workspace, np.float32)
        written[side] = out = np.empty(result, np.float32)
        more = (none,) if kind == "weight_grad" else ()
        sides[side] = lambda run=run, arrays=(*operands, none, workspace, out, *more): run(*arrays)

    def results(side: str) -> list[np.ndarray]:
        sides[side]()
        return [written[side]]

    return compare(title, sides, results, rounds)


# ---------------------------------------------------------------- between kernels


class LayerByLayer(nn.Module):
    """A Sequential's layers, called one after the other with nothing in common."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.ModuleList(model)

    def forward(self, x: Any) -> Any:
        """The output of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x


def between_kernels(rounds: int) -> Iterator[harness.Comparison]:
    """Networks with and without what saves memory traffic and Python between the kernels."""
    yield relu_with_its_neighbour(lecture_cnn, 64, rounds)
    for batch in (64, 256):
        yield pooled_in_chunks(lecture_cnn, batch, rounds)
    for batch in (1, 64):
        yield replayed("all layers in one program", lenet5, batch, rounds)
    for batch in (64, 256):
        yield replayed("all layers on a few images at a time", lecture_cnn, batch, rounds)
    yield one_launch(resnet20, rounds)
    for build, batch in ((lecture_cnn, 64), (lenet5, 64), (resnet20, 128)):
        yield captured(build, batch, rounds)


def relu_with_its_neighbour(build: Callable[[Any], Any], batch: int, rounds: int) -> harness.Comparison:
    """A training step of the Sequential and of its layers one by one."""
    models, steps = two_models(build, batch, LayerByLayer)
    name = f"ReLU with its neighbour: training step, {NAMES[build]}, batch {batch}"
    return compare_steps(name, models, steps, rounds)


class WholeBatch(nn.Module):
    """A model whose convolutions take the whole batch before max pooling does."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        """The model's output."""
        before, conv_pool.CHUNK = conv_pool.CHUNK, sys.maxsize
        try:
            return self.model(x)
        finally:
            conv_pool.CHUNK = before


def pooled_in_chunks(build: Callable[[Any], Any], batch: int, rounds: int) -> harness.Comparison:
    """Forward and backward with convolution, ReLU and max pooling in chunks of the batch, and of the whole batch."""
    images, labels = map(tinygrad_cnn.from_numpy, data(build, batch))
    models, _ = two_models(build, batch, WholeBatch)

    def differentiate(model: Any) -> Callable[[], None]:
        def call() -> None:
            model.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()

        return call

    sides = {side: differentiate(model) for side, model in models.items()}

    def results(side: str) -> list[np.ndarray]:
        sides[side]()
        return [parameter.grad.numpy() for parameter in models[side].parameters()]

    name = f"convolution and max pooling on a few images at a time: forward and backward, {NAMES[build]}, batch {batch}"
    return compare(name, sides, results, rounds)


def replayed(trick: str, build: Callable[[Any], Any], batch: int, rounds: int) -> harness.Comparison:
    """Inference with recorded programs, and with a call for each layer."""
    tinygrad_cnn.manual_seed(0)
    model = build(tinygrad_cnn).eval()
    images = tinygrad_cnn.from_numpy(data(build, batch)[0])

    def inference(run: Callable[[Any], Any]) -> Callable[[], Any]:
        def call() -> Any:
            with tinygrad_cnn.inference_mode():
                return run(images)

        return call

    sides = {WITH: inference(model), WITHOUT: inference(model._in_turn)}
    name = f"{trick}: inference, {NAMES[build]}, batch {batch}"
    return compare(name, sides, lambda side: [sides[side]().numpy()], rounds)


def one_launch(build: Callable[[Any], Any], rounds: int) -> harness.Comparison:
    """A step of Adam for all parameters at once, and with an optimizer for each."""
    models, _ = two_models(build, 1)
    rng = np.random.default_rng(0)
    for values in zip(*(model.parameters() for model in models.values())):
        grad = rng.standard_normal(values[0].shape).astype(np.float32)
        for value in values:
            value.grad = tinygrad_cnn.from_numpy(grad.copy())
    each = [Adam([value]) for value in models[WITHOUT].parameters()]
    steps = {WITH: Adam(models[WITH].parameters()).step, WITHOUT: lambda: [optimizer.step() for optimizer in each]}
    return compare_steps(f"one launch for all parameters: Adam step, {NAMES[build]}", models, steps, rounds)


def captured(build: Callable[[Any], Any], batch: int, rounds: int) -> harness.Comparison:
    """A training step whose loss goes through ``capture``, and an eager one."""
    models, steps = two_models(build, batch)
    images, labels = map(tinygrad_cnn.from_numpy, data(build, batch))
    steps[WITH] = step(tinygrad_cnn, models[WITH], images, labels, captured=True)
    return compare_steps(f"captured: training step, {NAMES[build]}, batch {batch}", models, steps, rounds)


def two_models(
    build: Callable[[Any], Any], batch: int, changed: Callable[[Any], Any] = lambda model: model
) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """The same network twice, the second one changed, and a training step of each, by side."""
    images, labels = map(tinygrad_cnn.from_numpy, data(build, batch))
    models, steps = {}, {}
    for side in (WITH, WITHOUT):
        tinygrad_cnn.manual_seed(0)
        model = build(tinygrad_cnn)
        models[side] = model if side == WITH else changed(model)
        steps[side] = step(tinygrad_cnn, models[side], images, labels)
    return models, steps


def compare_steps(
    name: str, models: dict[str, Any], steps: dict[str, Callable[[], Any]], rounds: int
) -> harness.Comparison:
    """Time two steps, after comparing the parameters that one of each leaves behind."""

    def results(side: str) -> list[np.ndarray]:
        steps[side]()
        return [parameter.detach().numpy() for parameter in models[side].parameters()]

    return compare(name, steps, results, rounds)


if __name__ == "__main__":
    main()
