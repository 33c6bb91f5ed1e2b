"""The least time that work can take on this machine: its arithmetic at the speed of a matrix product, its bytes at that
of a copy.

Both speeds are measured in the same rounds as the work itself.  The matrix product is the quicker of PyTorch's and ours
for 1024×1024 matrices; the copy, PyTorch's, moves as many bytes as the work, so that it finds room in the same caches.
What counts is the larger of the two times.

Arithmetic is that of the plain sum: Winograd's algorithm has less of it, and may stay below this "floor". Bytes are
those of every argument read once and of every result written once; what a layer keeps for its gradient is not counted,
nor what is read twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import tinygrad_cnn
import tinygrad_cnn.nn.functional as F

from . import harness

SIDE = 1024

STEP_ARRAYS = {"SGD": 5, "Adam": 7}
"""How many arrays of a parameter's size an optimizer's step moves: gradient in, parameter and state in and out."""


def floor(multiply_adds: int, moved: int) -> Callable[[], float]:
    """A call that measures the least seconds of some work now.

    Args:
        multiply_adds: how many products it adds up.
        moved: bytes that it reads and writes.
    """
    measured = []
    if multiply_adds:
        products = [timer(call) for call in matrix_products()]
        measured.append(lambda: min(product() for product in products) * multiply_adds / SIDE**3)
    if moved:
        source = torch.zeros(max(1, moved // 2), dtype=torch.uint8)
        target = torch.empty_like(source)
        measured.append(timer(lambda: target.copy_(source)))
    return lambda: max(seconds() for seconds in measured)


def matrix_products() -> list[Callable[[], Any]]:
    """Calls that multiply two float32 matrices, one in PyTorch and one in this library."""
    a = torch.rand(SIDE, SIDE)
    out = torch.empty_like(a)
    x = tinygrad_cnn.from_numpy(a.numpy())

    def ours() -> Any:
        with tinygrad_cnn.no_grad():
            return F.linear(x, x)

    return [lambda: torch.mm(a, a, out=out), ours]


def timer(call: Callable[[], Any]) -> Callable[[], float]:
    """A call that gives the seconds that another one takes."""
    repeats = harness.repeats_of(call)
    return lambda: harness.time_of(call, repeats)
