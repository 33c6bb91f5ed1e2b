"""Slow convolutions to compare with, and geometries to compare on: nothing here imports the package.

Used by the tests of the convolution kernels and, in another process, by the one that runs them between guard pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Pair = tuple[int, int]


class Case(NamedTuple):
    """One convolution."""

    images: int
    size: Pair
    channels: int
    filters: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def output_size(self) -> Pair:
        return tuple(
            (self.size[a] + 2 * self.padding[a] - self.dilation[a] * (self.kernel_size[a] - 1) - 1) // self.stride[a]
            + 1
            for a in (0, 1)
        )  # type: ignore[return-value]

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.images, *self.size, self.channels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.filters, *self.kernel_size, self.channels // self.groups)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.images, *self.output_size, self.filters)


def random_case(rng: np.random.Generator, lanes: int) -> Case:
    """Any geometry with an output, the ugly ones as likely as the common; ``lanes`` float32 numbers fill a vector."""
    while True:
        kind = rng.choice(["any", "any", "winograd", "sliding", "depthwise", "pointwise"])

        def pair(low: int, high: int) -> Pair:
            return (int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1)))

        images = int(rng.choice([0, 1, 1, 2, 3]))
        if kind == "winograd":
            groups = int(rng.choice([1, 1, 2, 3]))
            channels, filters = (int(lanes * groups * c) for c in rng.choice([1, 2, 3, 5], 2))
            case = Case(images, pair(1, 11), channels, filters, (3, 3), padding=pair(0, 2), groups=groups)
        elif kind == "sliding":
            groups, taps = int(rng.choice([1, 1, 2])), int(rng.choice([3, 3, 5]))
            channels, filters = (groups * int(c) for c in rng.permutation([rng.integers(1, 17), rng.integers(1, 37)]))
            size, kernel_size = (int(rng.integers(1, 12)), int(rng.integers(8, 41))), (int(rng.integers(1, 6)), taps)
            dilation = (int(rng.integers(1, 3)), 1)
            case = Case(images, size, channels, filters, kernel_size, (1, 1), pair(0, 3), dilation, groups)
        elif kind == "depthwise":
            channels, kernel_size, stride, dilation = int(rng.integers(2, 40)), (3, 3), (1, 1), (1, 1)
            if rng.integers(2):
                kernel_size, stride, dilation = pair(1, 4), pair(1, 3), pair(1, 2)
            case = Case(images, pair(1, 9), channels, channels, kernel_size, stride, pair(0, 3), dilation, channels)
        elif kind == "pointwise":
            case = Case(images, pair(1, 7), int(rng.integers(1, 40)), int(rng.integers(1, 40)), (1, 1), pair(1, 2))
        else:
            groups = int(rng.choice([1, 1, 1, 2, 3]))
            channels, filters = (groups * int(c) for c in rng.integers(1, 20, 2))
            case = Case(images, pair(1, 10), channels, filters, pair(1, 5), pair(1, 4), pair(0, 5), pair(1, 3), groups)
        if min(case.output_size) >= 1:
            return case


def windows(case: Case, x: np.ndarray) -> np.ndarray:
    """(N, OH, OW, KH, KW, groups, C/groups): what every output pixel sees, in float64."""
    (ph, pw), (sh, sw), (dh, dw) = case.padding, case.stride, case.dilation
    padded = np.pad(x.astype(np.float64), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    OH, OW = case.output_size
    KH, KW = case.kernel_size
    i = np.arange(OH)[:, None] * sh + np.arange(KH) * dh
    j = np.arange(OW)[:, None] * sw + np.arange(KW) * dw
    seen = padded[:, i[:, None, :, None], j[None, :, None, :]]
    return seen.reshape(*seen.shape[:5], case.groups, case.channels // case.groups)


def forward(case: Case, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """The definition, in float64."""
    w = weight.astype(np.float64).reshape(case.groups, case.filters // case.groups, *weight.shape[1:])
    out = np.einsum("nijpqgc,gopqc->nijgo", windows(case, x), w).reshape(case.out_shape)
    return out if bias is None else out + bias.astype(np.float64)


def weight_grad(case: Case, x: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """The sum over all images and pixels, in float64."""
    g = grad.astype(np.float64).reshape(*grad.shape[:3], case.groups, case.filters // case.groups)
    return np.einsum("nijpqgc,nijgo->gopqc", windows(case, x), g).reshape(case.weight_shape)


def input_grad(case: Case, grad: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every output pixel's gradient, added to the pixels that it saw, in float64."""
    (ph, pw), (sh, sw), (dh, dw) = case.padding, case.stride, case.dilation
    (H, W), (OH, OW) = case.size, case.output_size
    padded = np.zeros((case.images, H + 2 * ph, W + 2 * pw, case.channels))
    g = grad.astype(np.float64).reshape(*grad.shape[:3], case.groups, case.filters // case.groups)
    w = weight.astype(np.float64).reshape(case.groups, case.filters // case.groups, *weight.shape[1:])
    for p in range(case.kernel_size[0]):
        for q in range(case.kernel_size[1]):
            part = np.einsum("nijgo,goc->nijgc", g, w[:, :, p, q]).reshape(*grad.shape[:3], case.channels)
            rows = slice(p * dh, p * dh + (OH - 1) * sh + 1, sh)
            padded[:, rows, q * dw : q * dw + (OW - 1) * sw + 1 : sw] += part
    return padded[:, ph : ph + H, pw : pw + W]


KINDS = ("forward", "input_grad", "weight_grad")


def run(conv: Any, case: Case, arrays: dict[str, np.ndarray], algorithms: Mapping[str, str] | None = None) -> None:
    """All three kernels, on arrays that the caller made: see `array_shapes`."""
    a, none = arrays, np.empty(0, arrays["x"].dtype)
    forward, input_grad, weight_grad = (prepare(conv, case, none.dtype, kind, algorithms) for kind in KINDS)
    forward(a["x"], a["weight"], a["bias"], a["forward"], a["out"])
    input_grad(a["grad"], a["weight"], none, a["input_grad"], a["out_x"])
    weight_grad(a["x"], a["grad"], none, a["weight_grad"], a["out_weight"], a["out_bias"])


def prepare(
    conv: Any, case: Case, dtype: Any, kind: str, algorithms: Mapping[str, str] | None = None, relu: bool = False
) -> Any:
    """What computes one of the three: by the algorithm that is given for its kind, else by the best one."""
    geometry = conv.Geometry(case.stride, case.padding, case.dilation, case.groups)
    with_bias = kind != "input_grad" and case.filters > 0
    algorithm = None if algorithms is None else algorithms[kind]
    return conv.prepare(
        kind, case.x_shape, case.weight_shape, geometry, np.dtype(dtype), with_bias, relu, algorithm=algorithm
    )


def any_algorithms(conv: Any, case: Case, dtype: Any, rng: np.random.Generator) -> dict[str, str]:
    """One of the algorithms that can compute each of the three."""
    geometry = conv.Geometry(case.stride, case.padding, case.dilation, case.groups)
    possible = {kind: conv.possible(kind, case.x_shape, case.weight_shape, geometry, dtype) for kind in KINDS}
    return {kind: str(rng.choice(names)) for kind, names in possible.items()}


def array_shapes(
    conv: Any, case: Case, dtype: Any, algorithms: Mapping[str, str] | None = None
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all arrays of `run`, workspaces included."""
    shapes: dict[str, tuple[int, ...]] = {
        "x": case.x_shape,
        "weight": case.weight_shape,
        "bias": (case.filters,),
        "grad": case.out_shape,
        "out": case.out_shape,
        "out_x": case.x_shape,
        "out_weight": case.weight_shape,
        "out_bias": (case.filters,),
    }
    for kind in KINDS:
        shapes[kind] = (prepare(conv, case, dtype, kind, algorithms).workspace,)
    return shapes
