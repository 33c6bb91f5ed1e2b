"""Networks for the tests, built from any library with PyTorch's names, so that PyTorch's own can be built as well."""

from __future__ import annotations

from typing import Any


def lecture_cnn(nn: Any) -> Any:
    """The lecture's network for 1×28×28."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def lenet5(nn: Any) -> Any:
    """LeNet-5 for 1×28×28, written with functions between the layers."""

    class LeNet5(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            F = nn.functional
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.flatten(1)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    return LeNet5()


def vgg11(nn: Any) -> Any:
    """VGG-11 (configuration A of Simonyan and Zisserman, 2015) with the small classifier for 3×32×32."""
    layers, channels = [], 3
    for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def resnet20(nn: Any) -> Any:
    """ResNet-20 for 3×32×32 (He et al. 2016, section 4.2) with shortcuts without parameters (option A).

    Every block uses its one ReLU layer twice, and calls functions between the layers.
    """
    F = nn.functional

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU()
            self.stride, self.widen = stride, (outputs - inputs) // 2

        def forward(self, x):
            out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            if self.stride != 1:
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.widen, self.widen))
            return self.relu(out + x)

    class ResNet20(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn = nn.BatchNorm2d(16)
            self.stages = nn.Sequential(
                *(Block(16, 16, 1) for _ in range(3)),
                *(Block(16 if i == 0 else 32, 32, 2 if i == 0 else 1) for i in range(3)),
                *(Block(32 if i == 0 else 64, 64, 2 if i == 0 else 1) for i in range(3)),
            )
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            x = self.stages(F.relu(self.bn(self.conv(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet20()


SHAPES = {lecture_cnn: (1, 28, 28), lenet5: (1, 28, 28), vgg11: (3, 32, 32), resnet20: (3, 32, 32)}
