"""Small trainings to measure with: the embedded digits on a canvas, small networks, and a loop that keeps numbers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..autograd import Generator, Tensor, default_generator, enable_grad, inference_mode, no_grad, wrap
from ..errors import DTypeError, ShapeError
from ..nn import functional as F
from ..nn.arguments import count
from ..optim import Adam, Optimizer
from ..vision.datasets import Digits
from .plan import check_model

MakeOptimizer = Callable[[Any], Optimizer]


class Data(NamedTuple):
    """Images (N, C, H, W), float32, and labels (N,), int64, for training and for testing."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def digits(margin: int = 3) -> Data:
    """The embedded digits, 8×8 with values 0 to 1, in the middle of a blank canvas.

    Args:
        margin: blank rows and columns on every side, room for moving and growing.  Default 3, which gives 14×14.
    """
    parts: list[Tensor] = []
    for train in (True, False):
        data = Digits(train)
        images = data.data._array[:, None].astype(np.float32) / data.max_value
        parts += [wrap(np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))), data.targets]
    return Data(*parts)


def checked_data(who: str, data: Any) -> Data:
    """The data of a measurement; the digits for None.

    Raises:
        TypeError: not four entries.
        DTypeError: not Tensors.
        ShapeError: images that are not (N, C, H, W), another number of labels, or none.
    """
    if data is None:
        return digits()
    if not isinstance(data, tuple | list) or len(data) != 4:
        raise TypeError(f"{who}: data must be (images, labels, test_images, test_labels)")
    for name, value in zip(Data._fields, data):
        if not isinstance(value, Tensor):
            raise DTypeError(f"{who}: data's {name} must be a Tensor, got {type(value).__name__}")
    for images, labels in (data[:2], data[2:]):
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
            raise ShapeError(
                f"{who}: data needs images (N, C, H, W) with labels (N,), got {tuple(images.shape)} with "
                f"{tuple(labels.shape)}"
            )
    return Data(*data)


def cnn(data: Data, pooling: bool = True) -> nn.Sequential:
    """Two convolutions and a linear layer for the data's images, with or without max pooling after each."""
    channels, height, width = data.images.shape[1:]
    pool = [nn.MaxPool2d(2)] if pooling else []
    # 3×3 with a border of 1 keeps the size; pooling halves it twice
    places = (height // 4) * (width // 4) if pooling else height * width
    return nn.Sequential(
        *(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), *pool),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), *pool),
        *(nn.Flatten(), nn.Linear(16 * places, classes(data))),
    )


def global_cnn(data: Data) -> nn.Sequential:
    """Three normalised convolutions, and the average over all places before the linear layer."""
    layers: list[nn.Module] = []
    channels = int(data.images.shape[1])
    for width in (16, 32, 32):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    layers.insert(3, nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes(data)))


def mlp(data: Data, hidden: int = 32) -> nn.Sequential:
    """One hidden layer."""
    pixels = int(np.prod(data.images.shape[1:]))
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, classes(data)))


def classes(data: Data) -> int:
    """The number of classes: the largest label plus 1."""
    return int(max(data.labels._array.max(), data.test_labels._array.max())) + 1


def checked_models(
    who: str, models: Mapping[str, nn.Module] | None, data: Data, defaults: Mapping[str, Callable[[Data], nn.Module]]
) -> dict[str, nn.Module]:
    """The models, or those that the defaults make; errors as ``check_model``."""
    if models is None:
        return {name: make(data) for name, make in defaults.items()}
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"{who}: models must be a dictionary of Modules by name, got {type(models).__name__}")
    for model in models.values():
        check_model(who, model)
    return dict(models)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the default generator, record gradients, and put both back afterwards."""
    state = default_generator.get_state()
    default_generator.manual_seed(seed)
    try:
        with inference_mode(False), enable_grad():
            yield
    finally:
        default_generator.set_state(state)


@dataclass(eq=False)
class Fit:
    """A training.

    Attributes:
        model: the trained copy.
        losses: the loss of every step.
        seconds: of every epoch, tests not included.
        accuracies: the share of test images that are classified rightly, after every epoch.
    """

    model: nn.Module
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def fit(
    model: nn.Module, data: Data, epochs: int, make_optimizer: MakeOptimizer | None = None, batch_size: int = 32
) -> Fit:
    """Train a copy of a model with cross-entropy, in an order of images that is always the same.

    Args:
        model: the network; it stays as it is.
        data: what to train and test with.
        epochs: how often every image is seen.
        make_optimizer: makes the optimizer from the parameters.  Default: Adam with a learning rate of 0.003.
        batch_size: images per step.

    Raises:
        DTypeError, ShapeError: epochs or batch_size is no positive int.
    """
    epochs, batch_size = count("fit", "epochs", epochs, 1), count("fit", "batch_size", batch_size, 1)
    result = Fit(copy.deepcopy(model).train())
    parameters = list(result.model.parameters())
    optimizer = Adam(parameters, lr=3e-3) if make_optimizer is None else make_optimizer(parameters)
    order = Generator().manual_seed(0)
    images, labels = data.images._array, data.labels._array
    F.cross_entropy(copy.deepcopy(result.model)(wrap(images[:2])), wrap(labels[:2])).backward()  # compiles kernels
    for _ in range(epochs):
        result.model.train()
        permutation = order.randperm(len(images))
        began = time.perf_counter()
        for start in range(0, len(images), batch_size):
            chosen = permutation[start : start + batch_size]
            loss = F.cross_entropy(result.model(wrap(images[chosen])), wrap(labels[chosen]))
            optimizer.minimize(loss)
            result.losses.append(loss.item())
        result.seconds.append(time.perf_counter() - began)
        result.accuracies.append(accuracy(result.model, data.test_images, data.test_labels))
    return result


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images (N, C, H, W) that a model gives the highest score for their label (N,), from 0 to 1.

    The model is left in evaluation mode.
    """
    model.eval()
    right = 0
    with no_grad():
        for start in range(0, len(images), 256):
            scores = model(wrap(images._array[start : start + 256]))._array
            right += int((scores.argmax(1) == labels._array[start : start + 256]).sum())
    return right / len(images)
