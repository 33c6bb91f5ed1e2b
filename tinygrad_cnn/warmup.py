"""Compile every kernel in advance: ``python -m tinygrad_cnn warmup``.

Each job below is a small piece of training that reaches some kernels.  All jobs run for float32 and float64, once so
that kernels use all threads and once so that they use one: then each kernel exists in every version it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import kernels, nn, optim
from .autograd import Tensor, backward, no_grad, wrap
from .nn import functional as F


def warmup(progress: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> None:
    """Compile all kernels, or load them from the cache.

    Args:
        progress: wraps the list of jobs, as ``tqdm.tqdm`` does; default none.
    """
    jobs = [
        (job, np.dtype(dtype), serial_below)
        for job in JOBS
        for dtype in (np.float32, np.float64)
        for serial_below in (1, float("inf"))
    ]
    for job, dtype, serial_below in progress(jobs):
        with kernels._jit.serial_below(serial_below):
            job(dtype)


def _random(dtype: np.dtype[Any], *shape: int) -> Tensor:
    return wrap(np.random.default_rng(0).standard_normal(shape).astype(dtype)).requires_grad_()


def _differentiate(out: Tensor) -> None:
    """Run backward with a gradient that has memory of its own, as in a network."""
    backward([out], [wrap(np.ones_like(out._array))])


def _convolutions(dtype: np.dtype[Any]) -> None:
    """Every algorithm of `kernels.conv`: its kernels are compiled when a program is prepared, not when it runs."""
    cases = (
        (4, 1, 5, kernels.conv.Geometry(padding=(2, 2))),  # direct, sliding, wide, fold
        (32, 32, 3, kernels.conv.Geometry(padding=(1, 1))),  # Winograd
        (4, 4, 3, kernels.conv.Geometry(padding=(1, 1), groups=4)),  # depthwise, in rows or not
    )
    for channels, filters, size, geometry in cases:
        shapes = ((2, 20, 20, channels), (filters, size, size, channels // geometry.groups))
        for kind in ("forward", "input_grad", "weight_grad"):
            for name in kernels.conv.possible(kind, *shapes, geometry, dtype):
                kernels.conv.prepare(kind, *shapes, geometry, dtype, with_bias=True, algorithm=name)
    _differentiate(F.conv2d(_random(dtype, 1, 2, 9, 9), _random(dtype, 4, 2, 3, 3), _random(dtype, 4)))


def _linear(dtype: np.dtype[Any]) -> None:
    for rows in (1, 8):  # one row is a kernel of its own
        _differentiate(F.linear(_random(dtype, rows, 5), _random(dtype, 4, 5), _random(dtype, 4)))


def _max_pooling(dtype: np.dtype[Any]) -> None:
    for window, stride in ((2, 2), (2, 1), (17, 17), (17, 1)):  # places in one byte and in four, apart and overlapping
        _differentiate(F.max_pool2d(_random(dtype, 2, 3, 20, 20), window, stride))


def _average_pooling(dtype: np.dtype[Any]) -> None:
    _differentiate(F.avg_pool2d(_random(dtype, 2, 3, 8, 8), 2))


def _elementwise(dtype: np.dtype[Any]) -> None:
    x = _random(dtype, 4, 4, 32, 32)  # small arrays are left to NumPy
    _differentiate(F.dropout(F.relu(x), 0.5))
    _differentiate((F.relu(x) + x).flatten(1))
    F.relu(x.detach())
    _differentiate(F.linear(x, _random(dtype, 32, 32), activation="relu"))


def _batch_norm(dtype: np.dtype[Any]) -> None:
    layer = nn.BatchNorm2d(3, dtype=dtype)
    for mode in (True, False):
        _differentiate(layer.train(mode)(_random(dtype, 4, 3, 5, 5)))
    with no_grad():  # scale and shift by a kernel of their own
        layer(_random(dtype, 4, 3, 5, 5))


def _losses(dtype: np.dtype[Any]) -> None:
    target = wrap(np.arange(6))
    for weight in (None, _random(dtype, 10).detach()):
        _differentiate(F.cross_entropy(_random(dtype, 6, 10), target, weight))


def _optimizers(dtype: np.dtype[Any]) -> None:
    for make in (
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p),
        lambda p: optim.Adam(p, amsgrad=True),
    ):
        parameter = _random(dtype, 12)
        optimizer = make([parameter])
        for _ in range(2):
            optimizer.minimize(parameter.square().sum())


JOBS = (_convolutions, _linear, _max_pooling, _average_pooling, _elementwise, _batch_norm, _losses, _optimizers)
