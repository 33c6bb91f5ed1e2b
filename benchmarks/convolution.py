"""Convolution layers against oneDNN through PyTorch: ``python -m benchmarks.convolution``.

Forward, input gradient and weight gradient (with the bias's) of twelve geometries, each by itself and each through the
library's public function.  PyTorch runs on NCHW and on channels-last memory, converted before the clock starts; ours
is channels-last, as it is between our layers.  Results are compared with PyTorch's in float64 first.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as TF

import tinygrad_cnn
import tinygrad_cnn.nn.functional as F

from . import harness
from .floor import floor

BATCH = 64
TOLERANCE = 1e-5  # of the largest element


class Layer(NamedTuple):
    """A convolution: channels to filters, kernel, image side, and how the window moves."""

    channels: int
    filters: int
    kernel: int
    side: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def multiply_adds(self) -> int:
        """Of one pass over a batch; the same for all three."""
        return BATCH * self._outputs * math.prod(self.filters_shape)

    @property
    def moved(self) -> int:
        """Bytes of images, filters, bias and outputs; each pass reads or writes them all once."""
        images = BATCH * self.side**2 * self.channels
        outputs = BATCH * self._outputs * self.filters
        return 4 * (images + math.prod(self.filters_shape) + self.filters + outputs)

    @property
    def _outputs(self) -> int:
        return ((self.side + 2 * self.padding - self.kernel) // self.stride + 1) ** 2

    @property
    def filters_shape(self) -> tuple[int, int, int, int]:
        """(O, KH, KW, C/groups)."""
        return self.filters, self.kernel, self.kernel, self.channels // self.groups

    def __str__(self) -> str:
        text = f"{self.channels}→{self.filters} {self.kernel}×{self.kernel} @{self.side}"
        if self.stride > 1:
            text += f" stride {self.stride}"
        if self.groups == self.channels > 1:
            return text + " depthwise"
        return text + (f" in {self.groups} groups" if self.groups > 1 else "")


LAYERS = (
    Layer(1, 6, 5, 28, padding=2),
    Layer(6, 16, 5, 14),
    Layer(1, 32, 3, 28),
    Layer(32, 64, 3, 26),
    Layer(3, 64, 3, 32, padding=1),
    Layer(64, 64, 3, 32, padding=1),
    Layer(128, 128, 3, 16, padding=1),
    Layer(512, 512, 3, 4, padding=1),
    Layer(16, 32, 3, 32, stride=2, padding=1),
    Layer(64, 128, 1, 16),
    Layer(128, 128, 3, 16, padding=1, groups=128),
    Layer(128, 128, 3, 16, padding=1, groups=4),
)


def main() -> None:
    """Run all layers, or those whose name contains a word, and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    parser.add_argument("--only", default="", help="a part of the layers' names")
    options = parser.parse_args()
    harness.use_threads(options.threads)
    rows = []
    for layer in LAYERS:
        if options.only in str(layer):
            for row in compare(layer, options.rounds):
                rows.append(row)
                print(row, flush=True)
    ratios = [row.ratios[row.best_other][1] for row in rows if row.best_other is not None]
    print(f"geometric mean {harness.geometric_mean(ratios):.2f}, smallest {min(ratios):.2f}")
    if not options.only:
        harness.save("convolution", rows, options.threads)


def compare(layer: Layer, rounds: int) -> Iterator[harness.Comparison]:
    """The three passes of a layer."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, layer.side, layer.side, layer.channels)).astype(np.float32)
    weight = rng.standard_normal(layer.filters_shape).astype(np.float32)
    bias = rng.standard_normal(layer.filters).astype(np.float32)
    arrays = (x, weight, bias)

    def tensors(library: Any) -> list[Any]:
        return [library.from_numpy(array.copy()) for array in arrays]

    exact = passes(torch, TF.conv2d, layer, *[t.double() for t in tensors(torch)])
    sides = {
        "tinygrad_cnn": passes(tinygrad_cnn, F.conv2d, layer, *tensors(tinygrad_cnn)),
        "torch NCHW": passes(torch, TF.conv2d, layer, *tensors(torch), contiguous=True),
        "torch channels_last": passes(torch, TF.conv2d, layer, *tensors(torch)),
    }
    for name in exact:
        calls = {side: made[name] for side, made in sides.items()}

        def check(name: str = name, calls: Any = calls) -> float:
            right = [t.detach().numpy() for t in exact[name]()]
            return max(harness.difference(a.detach().numpy(), b) for a, b in zip(calls["tinygrad_cnn"](), right))

        least = floor(layer.multiply_adds, layer.moved)
        yield harness.compare(f"{name}, {layer}", calls, check, TOLERANCE, rounds, least)


def passes(
    library: Any, conv2d: Any, layer: Layer, x: Any, weight: Any, bias: Any, contiguous: bool = False
) -> dict[str, Callable[[], tuple[Any, ...]]]:
    """Calls for the three passes; tensors come as channels-last memory and are used so, or as NCHW (``contiguous``)."""
    x, weight = x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2)
    if contiguous:
        x, weight = x.contiguous(), weight.contiguous()
    geometry = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    by_x, by_weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    by_bias = bias.detach().requires_grad_()
    out = conv2d(by_x, weight, bias, **geometry)
    through_x, through_weight = out, conv2d(x, by_weight, by_bias, **geometry)
    upstream = np.random.default_rng(1).standard_normal(tuple(out.shape))
    grad = library.empty_like(out.detach())  # in memory as the output is
    grad.copy_(library.tensor(upstream, dtype=out.dtype))

    def forward() -> tuple[Any, ...]:
        with library.no_grad():
            return (conv2d(x, weight, bias, **geometry),)

    return {
        "forward": forward,
        "input gradient": lambda: library.autograd.grad(through_x, [by_x], grad, retain_graph=True),
        "weight gradient": lambda: library.autograd.grad(through_weight, [by_weight, by_bias], grad, retain_graph=True),
    }


if __name__ == "__main__":
    main()
