"""The bits of every kernel's result are the same for every number of threads, and on one without ``prange``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests.kernels.test_conv_kernels import python
from tinygrad_cnn import kernels, nn, optim
from tinygrad_cnn.nn import functional as F


def results(dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of what all kernels but the convolutions' compute, on sizes that no number of threads divides."""
    rng = np.random.default_rng(0)
    tg.manual_seed(0)

    def drawn(*shape: int) -> tg.Tensor:
        return tg.from_numpy(rng.standard_normal(shape).astype(dtype)).requires_grad_()

    image, rows = drawn(5, 7, 41, 37), drawn(67, 83)
    norm = nn.BatchNorm2d(7, dtype=getattr(tg, dtype))
    weight, bias = drawn(59, 83), drawn(59)
    labels = tg.from_numpy(rng.integers(0, 83, 67))
    functions = {
        "relu": lambda: F.relu(image),
        "dropout": lambda: F.dropout(image, 0.3),
        "max_pool2d": lambda: F.max_pool2d(image, 3, 2, 1),
        "max_pool2d of relu": lambda: F.max_pool2d(F.relu(image), 2),
        "avg_pool2d": lambda: F.avg_pool2d(image, 2),
        "batch_norm": lambda: norm(image),
        "flatten": lambda: (F.relu(image) + image).flatten(1),
        "linear": lambda: F.linear(rows, weight, bias, activation="relu"),
        "linear, one row": lambda: F.linear(rows[:1], weight, bias),
        "cross_entropy": lambda: F.cross_entropy(rows, labels),
    }
    for name, function in functions.items():
        out = function()
        out.backward(tg.from_numpy(rng.standard_normal(tuple(out.shape)).astype(dtype)))
        yield name, out.detach().numpy()
        for leaf in (image, rows, weight, bias, *norm.parameters()):
            if leaf.grad is not None:
                yield f"gradient of {name}, {tuple(leaf.shape)}", leaf.grad.numpy()
                leaf.grad = None
    yield "running variance", norm.running_var.numpy()
    for rule, options in (
        (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (optim.Adam, {"weight_decay": 0.01}),
        (optim.AdamW, {"weight_decay": 0.3, "amsgrad": True}),
    ):
        parameter = drawn(101, 103)
        optimizer = rule([parameter], **options)
        for _ in range(8):
            parameter.grad = tg.from_numpy(rng.standard_normal((101, 103)).astype(dtype))
            optimizer.step()
        yield rule.__name__, parameter.detach().numpy()


def print_digests(dtype: str) -> None:
    """A line per number of threads with a digest per result; the last line is without parallel loops."""
    import hashlib

    for threads, serial_below in ((1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (1, float("inf"))):
        kernels._jit.set_num_threads(threads)
        with kernels._jit.serial_below(serial_below):
            digests = [f"{name}={hashlib.sha256(array.tobytes()).hexdigest()}" for name, array in results(dtype)]
        print("|".join(digests))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_number_of_threads(dtype: str) -> None:
    script = f"from tests.kernels.test_threads import print_digests; print_digests({dtype!r})"
    one, *others = python(script, NUMBA_NUM_THREADS="4").strip().split("\n")
    assert len(others) == 4
    assert len(one.split("|")) > 20
    for other in others:
        different = [a.split("=")[0] for a, b in zip(one.split("|"), other.split("|")) if a != b]
        assert not different


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [1, 3, 7])
def test_an_optimizers_bits_do_not_depend_on_the_place_in_memory(dtype: type, shift: int) -> None:
    """A parameter in channels-last memory and its copy in C order get the same steps."""

    def steps(roll: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        parameter = tg.from_numpy(np.roll(rng.standard_normal(101).astype(dtype), roll)).requires_grad_()
        optimizer = optim.AdamW([parameter], weight_decay=0.3)
        for _ in range(8):
            parameter.grad = tg.from_numpy(np.roll(rng.standard_normal(101).astype(dtype), roll))
            optimizer.step()
        return np.roll(parameter.detach().numpy(), -roll)

    np.testing.assert_array_equal(steps(shift), steps(0))
