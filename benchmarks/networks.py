"""Training steps and inference of whole networks against PyTorch's modes: ``python -m benchmarks.networks``.

PyTorch runs eager on NCHW memory, eager on channels-last memory (weights and images converted before the clock
starts) and, where a C++ compiler is found, through ``torch.compile``; its Adam is the fused one.  Both sides start from
the same weights; our gradients are compared with PyTorch's in float64 before anything is timed.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinygrad_cnn

from . import harness
from .floor import STEP_ARRAYS, floor
from .models import INPUT_SHAPES, NAMES, lecture_cnn, lenet5, loss_of, resnet20

TRAINING = ((lecture_cnn, 64), (lecture_cnn, 256), (lenet5, 64), (lenet5, 256), (resnet20, 128))
INFERENCE = ((lecture_cnn, 1), (lecture_cnn, 64), (lecture_cnn, 256), (lenet5, 1), (lenet5, 64), (lenet5, 256))
TOLERANCE = 1e-4
"""Of the largest element.  A gradient may also be off by twice what PyTorch's own float32 gradient is off from its
float64 one: through 20 layers with batch normalisation that is up to 2 %."""


def main() -> None:
    """Run the tables that were asked for and save their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3 * harness.ROUNDS)
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=has_compiler(),
        help="with or without torch.compile (minutes more); default: with it where a C++ compiler is found",
    )
    parser.add_argument("--only", choices=["training", "inference"], help="one of the two tables")
    options = parser.parse_args()
    if not options.compile:
        print("torch.compile: left out")
    harness.use_threads(options.threads)
    for table, cases, run in (("training", TRAINING, training), ("inference", INFERENCE, inference)):
        if options.only in (None, table):
            rows = []
            for build, batch in cases:
                rows.append(run(build, batch, options.compile, options.rounds))
                print(rows[-1], flush=True)
            harness.save(table, rows, options.threads)


def has_compiler() -> bool:
    """Whether torch.compile finds what it needs to compile its code: $CXX, or g++."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def data(build: Callable[[Any], Any], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images (batch, C, H, W) float32 and labels (batch,) int64."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, *INPUT_SHAPES[build])).astype(np.float32)
    return images, generator.integers(0, 10, batch)


def same_models(build: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """Our network and two of PyTorch's with the same weights, the second in channels-last memory."""
    tinygrad_cnn.manual_seed(0)
    ours = build(tinygrad_cnn)
    theirs = [build(torch), build(torch).to(memory_format=torch.channels_last)]
    for model in theirs:
        state = {name: torch.from_numpy(value.numpy().copy()) for name, value in ours.state_dict().items()}
        model.load_state_dict(state)
    return ours, theirs


def training(build: Callable[[Any], Any], batch: int, compiled: bool, rounds: int) -> harness.Comparison:
    """One step: zero_grad, forward, cross-entropy, backward, Adam."""
    images, labels = data(build, batch)
    ours, (nchw, last) = same_models(build)
    x, target = tinygrad_cnn.from_numpy(images), tinygrad_cnn.from_numpy(labels)
    their_x, their_target = torch.from_numpy(images), torch.from_numpy(labels)
    last_x = their_x.contiguous(memory_format=torch.channels_last)

    sides: dict[str, Callable[[], Any]] = {"tinygrad_cnn": step(tinygrad_cnn, ours, x, target)}
    twin, _ = same_models(build)
    sides[harness.CAPTURED] = step(tinygrad_cnn, twin, x, target, captured=True)
    sides["torch NCHW"] = step(torch, nchw, their_x, their_target, fused=True)
    sides["torch channels_last"] = step(torch, last, last_x, their_target, fused=True)
    if compiled:
        torch._dynamo.reset()
        _, (_, model) = same_models(build)
        sides["torch.compile"] = step(torch, torch.compile(model), last_x, their_target, fused=True)

    exact_model = copy.deepcopy(nchw).double()
    exact = gradients(torch, exact_model, their_x.double(), their_target)
    pytorch_error = worst(gradients(torch, nchw, their_x, their_target), exact)

    def check() -> float:
        found = gradients(tinygrad_cnn, ours, x, target)
        captured = gradients(tinygrad_cnn, twin, x, target, captured=True)
        if any(a.tobytes() != b.tobytes() for a, b in zip(found, captured, strict=True)):
            return float("inf")
        return worst(found, exact)

    name = f"training step, {NAMES[build]}, batch {batch}"
    moved = images.nbytes + STEP_ARRAYS["Adam"] * parameter_bytes(nchw)
    least = floor(training_arithmetic(build, batch), moved)
    return harness.compare(name, sides, check, max(TOLERANCE, 2 * pytorch_error), rounds, least)


def arithmetic(build: Callable[[Any], Any], batch: int) -> list[int]:
    """The multiply-adds of every convolution and linear layer, in the order that they run, for a batch of images."""
    found = []

    def count(layer: Any, inputs: Any, out: Any) -> None:
        found.append(out.numel() * layer.weight[0].numel())

    model = build(torch)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, *INPUT_SHAPES[build]))
    return [batch * each for each in found]


def training_arithmetic(build: Callable[[Any], Any], batch: int) -> int:
    """The multiply-adds of a step: forward, the weights' gradients and, but for the images, the inputs' gradients."""
    each = arithmetic(build, batch)
    return 3 * sum(each) - each[0]


def parameter_bytes(model: Any) -> int:
    """The size of all parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def gradients(library: Any, model: Any, images: Any, labels: Any, captured: bool = False) -> list[np.ndarray]:
    """The gradient of the cross-entropy by every parameter."""
    model.zero_grad()
    loss_of(library, model, captured)(images, labels).backward()
    return [np.array(parameter.grad.numpy()) for parameter in model.parameters()]


def worst(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest relative difference over all parameters."""
    return max(harness.difference(a, b) for a, b in zip(found, expected, strict=True))


def step(library: Any, model: Any, images: Any, labels: Any, captured: bool = False, **adam: Any) -> Callable[[], None]:
    """A call that trains the model on one batch."""
    optimizer = library.optim.Adam(model.parameters(), lr=1e-3, **adam)
    loss = loss_of(library, model, captured)

    def call() -> None:
        optimizer.zero_grad()
        loss(images, labels).backward()
        optimizer.step()

    return call


def inference(build: Callable[[Any], Any], batch: int, compiled: bool, rounds: int) -> harness.Comparison:
    """The logits of one batch, in eval mode, nothing recorded."""
    images, _ = data(build, batch)
    ours, (nchw, last) = same_models(build)
    x, their_x = tinygrad_cnn.from_numpy(images), torch.from_numpy(images)
    last_x = their_x.contiguous(memory_format=torch.channels_last)
    sides: dict[str, Callable[[], Any]] = {"tinygrad_cnn": forward(tinygrad_cnn, ours, x)}
    sides["torch NCHW"] = forward(torch, nchw, their_x)
    sides["torch channels_last"] = forward(torch, last, last_x)
    if compiled:
        torch._dynamo.reset()
        sides["torch.compile"] = forward(torch, torch.compile(last), last_x)
    session = onnx_runtime(nchw, their_x)
    if session is not None:
        sides["ONNX Runtime"] = session

    def check() -> float:
        mine = sides["tinygrad_cnn"]().numpy()
        others = [np.asarray(call()) for side, call in sides.items() if side != "tinygrad_cnn"]
        return max(harness.difference(mine, other) for other in others)

    least = floor(sum(arithmetic(build, batch)), images.nbytes + parameter_bytes(nchw))
    return harness.compare(f"inference, {NAMES[build]}, batch {batch}", sides, check, TOLERANCE, rounds, least)


def forward(library: Any, model: Any, images: Any) -> Callable[[], Any]:
    """A call that gives the logits."""
    model.eval()

    def call() -> Any:
        with library.inference_mode():
            return model(images)

    return call


def onnx_runtime(model: Any, images: Any) -> Callable[[], Any] | None:
    """ONNX Runtime on the exported network with as many threads as PyTorch, None where it is not installed."""
    try:
        import io

        import onnx  # noqa: F401  (the exporter needs it)
        import onnxruntime
    except ImportError:
        return None
    exported = io.BytesIO()
    torch.onnx.export(model.eval(), (images,), exported, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)[0]


if __name__ == "__main__":
    main()
