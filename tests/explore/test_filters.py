"""Filters, feature maps and the images that filters look for."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DimError, DTypeError, ShapeError
from tinygrad_cnn.explore import (
    activation_maximization,
    plan,
    plot_activation_maximization,
    plot_feature_maps,
    plot_filters,
)
from tinygrad_cnn.explore.values import Values

from .networks import lecture_cnn, lenet5, resnet20

F = nn.functional


def drawn(figure):
    """The arrays of the images in the Figure, in order."""
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def test_filters_of_one_channel():
    net = lenet5(nn)
    arrays = drawn(plot_filters(net, "conv1"))
    assert np.array_equal(arrays, net.conv1.weight._array[:, 0])
    (image,) = plot_filters(net, "conv1", most=1).axes[0].images
    assert image.get_clim() == (-np.abs(image.get_array()).max(), np.abs(image.get_array()).max())


def test_filters_of_several_channels():
    net = lenet5(nn)
    arrays = drawn(plot_filters(net, "conv2", most=3))
    assert np.array_equal(arrays, net.conv2.weight._array[:3].reshape(18, 5, 5))


def test_filters_in_colour():
    net = resnet20(nn)
    weight = net.conv.weight._array
    arrays = drawn(plot_filters(net, "conv"))
    assert np.allclose(arrays, (0.5 + 0.5 * weight / np.abs(weight).max()).transpose(0, 2, 3, 1))


# ---------------------------------------------------------------- feature maps


def test_values_of_functions_between_layers():
    net, x = lenet5(nn), tg.rand(1, 1, 28, 28)
    found = dict(enumerate(Values(net, x).steps()))
    expected = [("conv1 Conv2d", net.conv1(x))]
    expected += [("F.relu", F.relu(expected[-1][1]))]
    expected += [("F.max_pool2d", F.max_pool2d(expected[-1][1], 2))]
    expected += [("conv2 Conv2d", net.conv2(expected[-1][1]))]
    expected += [("F.relu", F.relu(expected[-1][1]))]
    expected += [("F.max_pool2d", F.max_pool2d(expected[-1][1], 2))]
    expected += [("flatten", expected[-1][1].flatten(1))]
    assert len(found) == 12
    for i, (name, value) in enumerate(expected):
        assert found[i][0] == name
        assert np.array_equal(found[i][1], value._array), name


class Blocks(nn.Module):
    """Writes in place, adds, pads, joins, halves; and does what no value is known of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(tg.full((1,), 2.0))
        self.frozen = nn.Parameter(tg.full((1,), 2.0), requires_grad=False)

    def forward(self, x):
        y = self.relu(self.conv(x))
        z = F.avg_pool2d(tg.cat([y * self.scale, F.pad(x[:, :1], (0, 0, 0, 0))], dim=1), 2)
        return (z + self.frozen).exp()


def test_values_of_other_operations():
    net, x = Blocks(), tg.rand(1, 3, 6, 8)
    found = Values(net, x).steps()
    y = F.conv2d(x, net.conv.weight, net.conv.bias, padding=1)
    scaled = F.relu(y) * 2
    joined = tg.cat([scaled, x[:, :1]], dim=1)
    assert found[0][0] == "conv Conv2d"
    assert np.array_equal(found[0][1], y._array)  # not what the ReLU has written there
    assert np.array_equal(found[1][1], F.relu(y)._array)
    values = dict(found[2:])
    assert np.array_equal(values["*"], scaled._array)
    assert np.array_equal(values["cat"], joined._array)
    assert np.array_equal(values["F.avg_pool2d"], F.avg_pool2d(joined, 2)._array)
    assert "+" not in values  # what is added is a constant that nobody has kept
    assert np.array_equal(values["exp"], net(x)._array)


def test_values_of_a_residual_network_end_in_its_output():
    net = resnet20(nn).eval()
    x = tg.rand(1, 3, 32, 32)
    found = Values(net, x).steps()
    assert len(found) == len(plan(net, (3, 32, 32)).rows)
    assert np.allclose(found[-1][1], net(x)._array, atol=1e-6)
    assert {name for name, _ in found} >= {"+", "F.pad", "mean", "stages.8.relu ReLU"}


def test_feature_maps():
    net, image = lecture_cnn(nn), tg.rand(1, 28, 28)
    figure = plot_feature_maps(net, image, most=2)
    arrays = drawn(figure)[: 1 + 5 * 2]
    first = net[0](image[None])
    assert np.array_equal(arrays[0], image._array[0])
    assert np.array_equal(arrays[1:3], first._array[0, :2])
    assert np.array_equal(arrays[3:5], F.relu(first)._array[0, :2])
    assert [axes.get_ylabel() for axes in figure.axes if "@" in axes.get_ylabel()] == [
        "input\n1@28×28",
        *("0 Conv2d\n32@26×26", "1 ReLU\n32@26×26", "2 Conv2d\n64@24×24", "3 ReLU\n64@24×24"),
        "4 MaxPool2d\n64@12×12",
    ]
    assert len(drawn(plot_feature_maps(resnet20(nn), tg.rand(1, 3, 32, 32), most=1))) > 40


# ---------------------------------------------------------------- images that filters look for


def test_a_filter_looks_for_itself():
    """Of a linear layer, the best image is white where the weight is positive and black where it is negative."""
    net = nn.Sequential(nn.Conv2d(2, 3, 5), nn.ReLU())
    weight = net[0].weight._array
    weight += np.where(weight > 0, np.float32(0.1), np.float32(-0.1))  # none so small that its pixel hardly moves
    image = activation_maximization(net, "0", 1, (2, 5, 5), decay=0.0, steps=200)
    assert image.shape == (2, 5, 5)
    assert np.array_equal(image._array, (weight[1] > 0).astype(np.float32))
    assert net.training


def test_the_answer_grows_and_only_the_receptive_field_changes():
    tg.manual_seed(0)  # with bad luck, no pixel of a border row wins its pooling window
    net = lenet5(nn)
    images = [activation_maximization(net, "conv2", 3, (1, 28, 28), steps=n, decay=0.0) for n in (1, 10, 60)]
    answers = []
    for image in images:
        x = net.conv2(F.max_pool2d(F.relu(net.conv1(image[None])), 2))
        answers.append(float(x[0, 3, 5, 5]))  # the middle of 10×10
    assert answers == sorted(answers)
    moved = np.argwhere(images[0]._array[0] != images[2]._array[0])
    # The field of place 5 begins at 2·5 − 2 and is 14 wide: 5, + 1 for pooling, + 4·2.
    assert (moved.min(0).tolist(), moved.max(0).tolist()) == ([8, 8], [21, 21])
    assert net.conv2.weight.grad is None
    again = activation_maximization(net, "conv2", 3, (1, 28, 28), steps=10, decay=0.0)
    assert np.array_equal(again._array, images[1]._array)


def test_plot_of_activation_maximization():
    net = lenet5(nn)
    figure = plot_activation_maximization(net, None, (1, 28, 28), filters=[2, 5], steps=3)
    image = activation_maximization(net, "conv2", 5, (1, 28, 28), steps=3)
    assert np.allclose(drawn(figure)[1], image._array[0, 8:22, 8:22])
    assert [axes.get_title() for axes in figure.axes] == ["2", "5"]
    figure = plot_activation_maximization(net, "fc3", (1, 28, 28), steps=1, value_range=(-1, 1))
    assert [array.shape for array in drawn(figure)] == [(28, 28)] * 10


ERRORS = [
    (lambda n: plot_filters(n, "conv3"), KeyError, "plot_filters: there is no layer 'conv3'; did you mean 'conv"),
    (lambda n: plot_filters(n, "fc1"), ShapeError, "plot_filters: 'fc1' must be a Conv2d, it is a Linear"),
    (lambda n: plot_filters(n, "conv1", 0), ShapeError, "most must be at least 1"),
    (lambda n: plot_feature_maps(n, tg.rand(28, 28)), ShapeError, r"must be one image, \(C, H, W\).*image\[None\]"),
    (lambda n: plot_feature_maps(n, tg.rand(2, 1, 28, 28)), ShapeError, r"got shape \(2, .*images\[0\]"),
    (
        lambda n: plot_feature_maps(n, tg.ones(1, 28, 28).to(tg.uint8)),
        DTypeError,
        "floating-point, got .*uint8",
    ),
    (lambda n: plot_feature_maps(n, np.ones((1, 28, 28))), DTypeError, "image must be a Tensor, got ndarray"),
    (lambda n: plot_feature_maps(n, tg.rand(3, 28, 28)), ShapeError, "set in_channels=3"),
    (lambda n: plot_feature_maps(nn.Linear(3, 2), tg.rand(3)), ShapeError, "makes no feature maps of an image"),
    (lambda n: activation_maximization(n, "conv2", 16, (1, 28, 28)), DimError, "one of the layer's 16 from 0, got 16"),
    (lambda n: activation_maximization(n, "cnv2", 1, (1, 28, 28)), KeyError, "did you mean 'conv2'"),
    (lambda n: activation_maximization(n, "conv2", 1, (1, 28, 28), steps=0), ShapeError, "steps must be at least 1"),
    (
        lambda n: activation_maximization(n, "conv2", 1, (1, 28, 28), value_range=(1, 0)),
        ValueError,
        r"value_range must be \(smallest, largest\), got \(1, 0\)",
    ),
    (lambda n: activation_maximization(n, "conv2", 1, (28, 28)), ShapeError, "input_shape must be .* got"),
    (lambda n: activation_maximization(n, "conv2", 1, 28), DTypeError, "input_shape must be a tuple of positive ints"),
    (lambda n: activation_maximization(n, "conv2", 1, (3, 28, 28)), ShapeError, "set in_channels=3"),
    (lambda n: plot_activation_maximization(n, "conv1", (1, 28, 28), []), ShapeError, "at least one of the layer's 6"),
    (lambda n: plot_activation_maximization(n, "conv1", (1, 28, 28), [6]), DimError, "one of the layer's 6 from 0"),
    (lambda n: plot_activation_maximization(nn.Linear(2, 2), None, (2,)), ValueError, "has no Conv2d layer"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(lenet5(nn))
