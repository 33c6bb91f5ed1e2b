"""Memory layout: what is converted in a training step, and what comes out where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn
from tinygrad_cnn.ops.layout import ToChannelsLast


def is_channels_last(x: tg.Tensor) -> bool:
    return x.numpy(force=True).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.fixture
def conversions(monkeypatch):
    """The shapes that are converted to channels-last memory while the test runs."""
    shapes: list[tuple[int, ...]] = []
    forward = ToChannelsLast.forward

    def spy(self, x):
        shapes.append(x.shape)
        return forward(self, x)

    monkeypatch.setattr(ToChannelsLast, "forward", spy)
    return shapes


class Residual(nn.Module):
    """Two normalised convolutions and the way around them, by a strided 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.around = None if stride == 1 else nn.Conv2d(channels, filters, 1, stride)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (x if self.around is None else self.around(x)))


def lecture_network() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 36, 10))


def residual_network() -> nn.Module:
    blocks = [nn.Conv2d(3, 8, 3, 1, 1), Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 16, 1)]
    return nn.Sequential(*blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 10))


def train_one_step(network: nn.Module) -> None:
    x, labels = tg.rand(5, 3, 16, 16), tg.randint(0, 10, (5,))
    F.cross_entropy(network(x), labels).backward()


def test_the_lecture_network_converts_its_input_and_at_flatten(conversions):
    train_one_step(lecture_network())
    assert conversions == [(5, 3, 16, 16), (5, 16, 6, 6)], "the input; the gradient that comes back through flatten"


def test_a_residual_network_converts_its_input_only(conversions):
    train_one_step(residual_network())
    assert conversions == [(5, 3, 16, 16)], "(N, C, 1, 1) is in both layouts, so flatten converts nothing"


def test_one_channel_is_both_layouts(conversions):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    network(tg.rand(2, 1, 8, 8)).backward(tg.rand(2, 6, 6, 4).permute(0, 3, 1, 2))
    assert conversions == []


def test_parameters_their_gradients_and_activations_are_channels_last():
    network = residual_network()
    x = tg.rand(2, 3, 16, 16)
    for layer in network[:4]:
        x = layer(x)
        assert is_channels_last(x)
    x.backward(tg.rand(x.shape))
    for parameter in network[:4].parameters():
        if parameter.ndim == 4:
            assert is_channels_last(parameter)
            assert is_channels_last(parameter.grad)


layouts = st.sampled_from(["C", "F", "channels last", "strided", "reversed", "read-only"])


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    if layout == "channels last":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "strided":
        return np.repeat(x, 2, axis=3)[..., ::2]
    if layout == "reversed":
        return x[:, ::-1].copy()[:, ::-1]
    out = x.copy(order="F" if layout == "F" else "C")
    out.flags.writeable = layout != "read-only"
    return out


FUNCTIONS = {
    "conv2d": lambda x: F.conv2d(x, tg.from_numpy(np.linspace(-1, 1, 4 * 3 * 9).reshape(4, 3, 3, 3)), padding=1),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "relu": F.relu,
    "linear": lambda x: F.linear(x, tg.from_numpy(np.linspace(-1, 1, 2 * 70).reshape(2, 70))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(seed=st.integers(0, 2**32 - 1), layout=layouts, grad_layout=layouts)
def test_every_layout_gives_the_same_bits(name, seed, layout, grad_layout):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 3, 30, 70))  # large enough for every parallel path
    results = []
    for order, grad_order in (("C", "C"), (layout, grad_layout)):
        leaf = tg.from_numpy(laid_out(x, order)).requires_grad_()
        out = FUNCTIONS[name](leaf)
        grad = np.random.default_rng(seed + 1).standard_normal(tuple(out.shape))
        out.backward(tg.from_numpy(laid_out(grad, grad_order)))
        results.append((out.numpy(force=True), leaf.grad.numpy()))
    for expected, found in zip(*results):
        np.testing.assert_array_equal(found, expected)
