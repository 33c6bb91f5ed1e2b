"""What training costs and brings: batch sizes, learning rates, optimizers and epochs, measured.

As in ``advantages``, models are copied, and by default everything runs on the embedded digits in seconds.

References:
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, "Efficient BackProp", in: Neural Networks: Tricks of the Trade, Springer,
    1998, for learning rates and for training on single examples against batches.
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from .. import nn
from ..autograd import no_grad, wrap
from ..errors import DTypeError, ShapeError
from ..nn import functional as F
from ..nn.arguments import count
from ..optim import SGD, Adam
from .measurement import Curve, Measurement
from .plan import check_model
from .training import Data, MakeOptimizer, checked_data, cnn, fit, seeded


def _checked_model(who: str, model: nn.Module | None, data: Data) -> nn.Module:
    if model is None:
        return cnn(data)
    check_model(who, model)
    return model


def batch_throughput(
    model: nn.Module | None = None,
    data: Data | None = None,
    sizes: Sequence[int] | None = None,
    images: int = 256,
    repeats: int = 3,
) -> Measurement:
    """How many images per second go through a model one at a time and in batches, in training and in prediction.

    Args:
        model: the network.  Default: a small CNN.
        data: (images, labels, test_images, test_labels).  Default: the digits on a canvas of 14×14.
        sizes: the batch sizes.  Default: 1, 8, 16, 32, 64, 128 and 256, as far as there are images.
        images: so many images are used for every measurement, or one batch where that is more.
        repeats: so often everything is measured; the fastest counts.

    Returns:
        A Measurement: per batch size images per second of training steps (forward, backward, SGD) and of predictions,
        and how many times that of the first size.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described; a batch larger than the data.
    """
    data = checked_data("batch_throughput", data)
    if sizes is None:
        sizes = [size for size in (1, 8, 16, 32, 64, 128, 256) if size <= len(data.images)]
    if not isinstance(sizes, Sequence) or not len(sizes):
        raise DTypeError(f"batch_throughput: sizes must be ints, got {sizes!r}")
    sizes = [count("batch_throughput", "sizes", size, 1) for size in sizes]
    if max(sizes) > len(data.images):
        raise ShapeError(f"batch_throughput: sizes must be at most the {len(data.images)} images, got {max(sizes)}")
    images = min(count("batch_throughput", "images", images, 1), len(data.images))
    repeats = count("batch_throughput", "repeats", repeats, 1)
    rows: list[tuple[Any, ...]] = []
    with seeded(0):
        network = copy.deepcopy(_checked_model("batch_throughput", model, data))
        optimizer = SGD(network.parameters(), lr=1e-6)  # so small that the work stays the same
        for size in sizes:
            speeds = []
            for training in (True, False):
                network.train(training and size > 1)  # batch normalisation cannot be trained on one image
                run = _step(network, optimizer) if training else _predict(network)
                speeds.append(_speed(run, data, size, images, repeats))
            base = rows[0][1:3] if rows else speeds
            rows.append((size, *speeds, speeds[0] / base[0], speeds[1] / base[1]))
    x = tuple(float(row[0]) for row in rows)
    best = max(rows, key=lambda row: row[1])
    return Measurement(
        "images per second, by batch size",
        ("batch", "training", "prediction", "gain in training", "gain in prediction"),
        ("d", ",.0f", ",.0f", ".1f", ".1f"),
        tuple(rows),
        (f"Training is fastest with batches of {best[0]}: {best[3]:.1f} times as fast as with {rows[0][0]}.",),
        {"training": (x, tuple(row[1] for row in rows)), "prediction": (x, tuple(row[2] for row in rows))},
        ("batch size", "images per second"),
    )


def _step(network: nn.Module, optimizer: SGD) -> Callable[[Any, Any], None]:
    return lambda x, y: optimizer.minimize(F.cross_entropy(network(x), y))


def _predict(network: nn.Module) -> Callable[[Any, Any], None]:
    def predict(x: Any, y: Any) -> None:
        with no_grad():
            network(x)

    return predict


def _speed(run: Callable[[Any, Any], None], data: Data, size: int, images: int, repeats: int) -> float:
    """Images per second; the batches are cut before the clock starts."""
    starts = range(0, max(images - size + 1, 1), size)
    batches = [
        (wrap(data.images._array[s : s + size].copy()), wrap(data.labels._array[s : s + size].copy())) for s in starts
    ]
    run(*batches[0])
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        for x, y in batches:
            run(x, y)
        times.append(time.perf_counter() - began)
    return len(batches) * size / min(times)


# ---------------------------------------------------------------- learning rates and optimizers


def learning_rates(
    model: nn.Module | None = None,
    data: Data | None = None,
    rates: Sequence[float] = (0.001, 0.3, 10.0),
    epochs: int = 3,
) -> Measurement:
    """The loss of the same model from the same start under several learning rates of SGD: too small, good, too large.

    Args:
        model: the network.  Default: a small CNN.
        data: (images, labels, test_images, test_labels).  Default: the digits on a canvas of 14×14.
        rates: the learning rates, each above 0.
        epochs: how long.

    Returns:
        A Measurement: per rate the first and last loss (the mean of the last tenth of the steps) and the accuracy;
        ``curves`` has the loss of every step.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    if not isinstance(rates, Sequence) or not len(rates) or not all(isinstance(r, int | float) for r in rates):
        raise DTypeError(f"learning_rates: rates must be numbers, got {rates!r}")
    if not all(0 < r < math.inf for r in rates):
        raise ShapeError(f"learning_rates: rates must be above 0, got {rates!r}")
    makers: dict[str, MakeOptimizer] = {f"lr {rate:g}": _sgd(rate) for rate in rates}
    return _curves("learning_rates", "the loss under several learning rates of SGD", model, data, makers, epochs)


def optimizers(
    model: nn.Module | None = None,
    data: Data | None = None,
    makers: Mapping[str, MakeOptimizer] | None = None,
    epochs: int = 3,
) -> Measurement:
    """The loss of the same model from the same start under several optimizers.

    Args:
        model, data, epochs: as in ``learning_rates``.
        makers: by name, functions that make an optimizer from parameters.  Default: SGD (0.3), SGD with momentum 0.9
            (0.05) and Adam (0.003).

    Returns:
        A Measurement, as ``learning_rates``.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    if makers is None:
        makers = {
            "SGD": _sgd(0.3),
            "SGD, momentum 0.9": _sgd(0.05, 0.9),
            "Adam": lambda parameters: Adam(parameters, lr=3e-3),
        }
    if not isinstance(makers, Mapping) or not makers or not all(callable(make) for make in makers.values()):
        raise TypeError("optimizers: makers must be a dictionary of functions that make an optimizer from parameters")
    return _curves("optimizers", "the loss under several optimizers", model, data, makers, epochs)


def _sgd(rate: float, momentum: float = 0.0) -> MakeOptimizer:
    return lambda parameters: SGD(parameters, lr=rate, momentum=momentum)


def _curves(
    who: str,
    title: str,
    model: nn.Module | None,
    data: Data | None,
    makers: Mapping[str, MakeOptimizer],
    epochs: int,
) -> Measurement:
    data = checked_data(who, data)
    rows, curves = [], {}
    with seeded(0):
        network = _checked_model(who, model, data)
        for name, make in makers.items():
            with np.errstate(over="ignore", invalid="ignore"):  # a rate that is too large may end in infinities
                found = fit(network, data, epochs, make)
            last = found.losses[-max(len(found.losses) // 10, 1) :]
            rows.append((name, found.losses[0], sum(last) / len(last), found.accuracies[-1]))
            curves[name] = (tuple(float(i) for i in range(len(found.losses))), tuple(found.losses))
    best = min(rows, key=lambda row: row[2] if math.isfinite(row[2]) else math.inf)
    return Measurement(
        title,
        ("training", "first loss", "last loss", "accuracy"),
        ("", ".3f", ".3g", ".1%"),
        tuple(rows),
        (f"{best[0]} ends with the smallest loss; chance is {math.log(_classes(data)):.2f}.",),
        curves,
        ("step", "loss"),
    )


def _classes(data: Data) -> int:
    return len(np.unique(data.labels._array))


# ---------------------------------------------------------------- epochs


def epoch_gains(
    model: nn.Module | None = None,
    data: Data | None = None,
    epochs: int = 8,
    make_optimizer: MakeOptimizer | None = None,
) -> Measurement:
    """What every epoch costs in seconds and what it brings in accuracy.

    Args:
        model: the network.  Default: a small CNN.
        data: (images, labels, test_images, test_labels).  Default: the digits on a canvas of 14×14.
        epochs: how many.
        make_optimizer: makes the optimizer from the parameters.  Default: Adam with a learning rate of 0.003.

    Returns:
        A Measurement: per epoch seconds, mean loss, accuracy, and how much the accuracy grew.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    data = checked_data("epoch_gains", data)
    with seeded(0):
        found = fit(_checked_model("epoch_gains", model, data), data, epochs, make_optimizer)
    losses = np.array_split(np.array(found.losses), len(found.seconds))
    rows, before = [], 1 / _classes(data)
    for i, reached in enumerate(found.accuracies):
        rows.append((i + 1, found.seconds[i], float(losses[i].mean()), reached, reached - before))
        before = reached
    x = tuple(float(row[0]) for row in rows)
    enough = next(row[0] for row in rows if row[3] >= 0.99 * max(found.accuracies))
    spent = f"{enough} of {len(rows)} epochs" if len(rows) > 1 else "the one epoch"
    curves: dict[str, Curve] = {"accuracy": (x, tuple(found.accuracies)), "loss": (x, tuple(row[2] for row in rows))}
    return Measurement(
        "cost and gain per epoch",
        ("epoch", "seconds", "loss", "accuracy", "gain"),
        ("d", ".3f", ".3f", ".1%", "+.1%"),
        tuple(rows),
        (
            f"An epoch takes {median(found.seconds):.2f} s; after {spent}, 99 % of the best accuracy is reached.",
            "The first gain is over chance.",
        ),
        curves,
        ("epoch", "accuracy, loss"),
    )
