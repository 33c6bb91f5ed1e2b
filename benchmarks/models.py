"""The networks of the benchmarks, written once for both libraries: ``library`` is ``tinygrad_cnn`` or ``torch``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def lecture_cnn(library: Any) -> Any:
    """conv 3×3×32, ReLU, conv 3×3×64, ReLU, max pool 2, dense 128, ReLU, dense 10; for (N, 1, 28, 28)."""
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def lenet5(library: Any) -> Any:
    """LeNet-5 with ReLU and max pooling, for (N, 1, 28, 28).

    Reference: LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition.  Proc. IEEE 86
    (1998).
    """
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def resnet20(library: Any) -> Any:
    """The 20-layer residual network for (N, 3, 32, 32), with 1×1 convolutions where the shortcut changes size.

    Reference: He, Zhang, Ren, Sun: Deep residual learning for image recognition.  CVPR 2016, section 4.2.
    """
    nn, functional = library.nn, library.nn.functional

    class Block(nn.Module):
        def __init__(self, in_channels: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            if stride != 1 or in_channels != channels:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
                )
            else:
                self.shortcut = nn.Sequential()

        def forward(self, x: Any) -> Any:
            out = functional.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            return functional.relu(out + self.shortcut(x))

    blocks = []
    in_channels = 16
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        for index in range(3):
            blocks.append(Block(in_channels, channels, stride if index == 0 else 1))
            in_channels = channels
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def loss_of(library: Any, model: Any, captured: bool) -> Callable[[Any, Any], Any]:
    """The cross-entropy as a function of images and labels."""

    def loss(images: Any, labels: Any) -> Any:
        return library.nn.functional.cross_entropy(model(images), labels)

    return library.capture(loss, model) if captured else loss


INPUT_SHAPES = {lecture_cnn: (1, 28, 28), lenet5: (1, 28, 28), resnet20: (3, 32, 32)}
NAMES = {lecture_cnn: "lecture CNN", lenet5: "LeNet-5", resnet20: "ResNet-20"}
