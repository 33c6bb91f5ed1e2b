"""Layers other than convolution, forward and backward, and optimizer steps: ``python -m benchmarks.layers``.

Both sides go through their public functions and their graphs, as in a training step.  PyTorch gets its images once in
NCHW and once in channels-last memory, converted before the clock starts; ours are channels-last, as they are between
our layers.  PyTorch's optimizers run in every implementation they have.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as TF

import tinygrad_cnn
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import optim

from . import harness
from .floor import STEP_ARRAYS, floor
from .models import lecture_cnn, resnet20

TOLERANCE = 1e-4  # of the largest element: float32 sums in another order


def main() -> None:
    """Run all cases, or those whose name contains a word, and save their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3 * harness.ROUNDS)  # some take only microseconds
    parser.add_argument("--only", default="", help="a part of the cases' names")
    options = parser.parse_args()
    harness.use_threads(options.threads)
    rows = []
    for name, run in cases():
        if options.only in name:
            rows.append(run(name, options.rounds))
            print(rows[-1], flush=True)
    if not options.only:
        harness.save("layers", rows, options.threads)


def cases() -> Iterator[tuple[str, Callable[[str, int], harness.Comparison]]]:
    """The names and what to run."""
    for shape, window in (((64, 64, 24, 24), (2,)), ((64, 6, 24, 24), (2,)), ((64, 32, 24, 24), (3, 2, 1))):
        yield f"max_pool2d{window} of {shape}", image_layer(F.max_pool2d, TF.max_pool2d, shape, *window)
    yield "avg_pool2d(2,) of (64, 64, 24, 24)", image_layer(F.avg_pool2d, TF.avg_pool2d, (64, 64, 24, 24), 2)
    yield "relu of (64, 64, 24, 24)", image_layer(F.relu, TF.relu, (64, 64, 24, 24))
    for shape in ((128, 16, 32, 32), (128, 64, 8, 8)):
        yield f"batch_norm of {shape}", image_layer(*batch_norms(shape[1]), shape)
    yield "dropout of (64, 64, 12, 12)", image_layer(*seeded_dropouts(), (64, 64, 12, 12))
    for shape in ((64, 10), (256, 10), (256, 1000)):
        yield f"cross_entropy of {shape}", cross_entropy(*shape)
    for build in (lecture_cnn, resnet20):
        for rule, keywords in (("SGD", {"lr": 0.01, "momentum": 0.9}), ("Adam", {"lr": 0.001})):
            yield f"{rule} step, {build.__name__}", optimizer_step(build, rule, keywords)


def image_layer(ours: Any, theirs: Any, shape: tuple[int, ...], *args: Any) -> Any:
    """Forward and backward of a function of images."""

    def run(name: str, rounds: int) -> harness.Comparison:
        rng = np.random.default_rng(0)
        images = np.ascontiguousarray(rng.standard_normal(shape).astype(np.float32).transpose(0, 2, 3, 1))
        x = tinygrad_cnn.from_numpy(images.transpose(0, 3, 1, 2))
        last = torch.from_numpy(images).permute(0, 3, 1, 2)
        sides = {}
        inputs = (
            ("tinygrad_cnn", ours, x),
            ("torch", theirs, last.contiguous()),
            ("torch channels_last", theirs, last),
        )
        for side, function, value in inputs:
            sides[side] = forward_and_backward(lambda v, f=function: f(v, *args), value)
        out, grad = sides["tinygrad_cnn"]()
        moved = 2 * (out.numel() * out.element_size() + grad.numel() * grad.element_size())  # both ways
        return harness.compare(name, sides, check_of(sides), TOLERANCE, rounds, floor(0, moved))

    return run


def forward_and_backward(function: Callable[[Any], Any], x: Any) -> Callable[[], tuple[Any, Any]]:
    """A call that gives output and gradient.  The upstream gradient is fixed and lies in memory as the output does."""
    leaf = x.detach().requires_grad_()
    out = function(leaf)
    upstream = np.random.default_rng(1).standard_normal(tuple(out.shape)).astype(np.float32)
    grad = out.detach().clone()
    grad.copy_(type(out.detach())(upstream))

    def call() -> tuple[Any, Any]:
        leaf.grad = None
        out = function(leaf)
        out.backward(grad)
        return out, leaf.grad

    return call


def check_of(sides: dict[str, Callable[[], Any]]) -> Callable[[], float]:
    """Our results against every other side's."""

    def check() -> float:
        mine = [t.detach().numpy() for t in sides["tinygrad_cnn"]()]
        worst = 0.0
        for call in sides.values():
            worst = max([worst] + [harness.difference(a, t.detach().numpy()) for a, t in zip(mine, call())])
        return worst

    return check


def batch_norms(channels: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Training-mode batch normalisation with weight, bias and running statistics, ours and PyTorch's."""
    rng = np.random.default_rng(2)
    weight, bias = rng.uniform(0.5, 2, channels).astype(np.float32), rng.standard_normal(channels).astype(np.float32)

    def made(function: Any, tensor: Any) -> Callable[[Any], Any]:
        w, b = tensor(weight).requires_grad_(), tensor(bias).requires_grad_()
        mean, var = tensor(np.zeros(channels, np.float32)), tensor(np.ones(channels, np.float32))

        def call(x: Any) -> Any:
            w.grad = b.grad = None
            return function(x, mean, var, w, b, training=True)

        return call

    return made(F.batch_norm, tinygrad_cnn.tensor), made(TF.batch_norm, torch.tensor)


def seeded_dropouts() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Dropout on both sides; p so small that the masks, drawn in different memory orders, hardly ever differ.

    The draw costs the same for every p.
    """
    p = 1e-12
    return lambda x: F.dropout(x, p), lambda x: TF.dropout(x, p)


def cross_entropy(batch: int, classes: int) -> Any:
    """Forward and backward of the loss of a batch of logits with class indices."""

    def run(name: str, rounds: int) -> harness.Comparison:
        rng = np.random.default_rng(0)
        logits = rng.standard_normal((batch, classes)).astype(np.float32)
        labels = rng.integers(0, classes, batch)
        mine, theirs = tinygrad_cnn.from_numpy(labels), torch.from_numpy(labels)
        x = tinygrad_cnn.from_numpy(logits)
        sides = {
            "tinygrad_cnn": forward_and_backward(lambda v: F.cross_entropy(v, mine), x),
            "torch": forward_and_backward(lambda v: TF.cross_entropy(v, theirs), torch.from_numpy(logits)),
        }
        moved = 2 * logits.nbytes + labels.nbytes  # the gradient is as large as the logits
        return harness.compare(name, sides, check_of(sides), TOLERANCE, rounds, floor(0, moved))

    return run


def optimizer_step(build: Any, rule: str, keywords: dict[str, Any]) -> Any:
    """One step on the parameters of a network with fixed gradients."""

    def run(name: str, rounds: int) -> harness.Comparison:
        implementations = {"torch": {}, "torch foreach": {"foreach": True}, "torch fused": {"fused": True}}
        sides, parameters = {}, {}
        for side, extra in {"tinygrad_cnn": None, **implementations}.items():
            library = tinygrad_cnn if extra is None else torch
            library.manual_seed(0)
            values = list(build(library).parameters())
            rng = np.random.default_rng(0)
            for value in values:
                start, grad = rng.standard_normal((2, *value.shape)).astype(np.float32)
                with library.no_grad():
                    value.copy_(library.from_numpy(start))
                value.grad = library.zeros_like(value)
                value.grad.copy_(library.from_numpy(grad))
            optimizers = optim if extra is None else torch.optim
            sides[side] = getattr(optimizers, rule)(values, **keywords, **(extra or {})).step
            parameters[side] = values

        def check() -> float:
            for step in sides.values():
                for _ in range(3):
                    step()
            mine = parameters["tinygrad_cnn"]
            return max(
                harness.difference(a.detach().numpy(), b.detach().numpy())
                for side in implementations
                for a, b in zip(mine, parameters[side])
            )

        moved = STEP_ARRAYS[rule] * sum(4 * value.numel() for value in parameters["tinygrad_cnn"])
        return harness.compare(name, sides, check, TOLERANCE, rounds, floor(0, moved))

    return run


if __name__ == "__main__":
    main()
