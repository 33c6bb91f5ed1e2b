"""Saliency, Grad-CAM and exciting patches, held against gradients, formulas and the patches' own activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError
from tinygrad_cnn.explore import (
    activation_maximization,
    exciting_patches,
    grad_cam,
    plot_exciting_patches,
    plot_grad_cam,
    plot_saliency,
    saliency,
)
from tinygrad_cnn.explore.fields import field_of

from .networks import lenet5, resnet20

F = nn.functional


# ---------------------------------------------------------------- saliency


def test_saliency_of_a_linear_network_is_its_weight():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5))
    weight = net[1].weight._array.reshape(5, 2, 3, 4)
    found = saliency(net, tg.rand(2, 3, 4), target=3)
    assert np.array_equal(found._array, np.abs(weight[3]).max(0))
    assert not found.requires_grad


def test_saliency_is_the_gradient_of_the_highest_score():
    tg.manual_seed(0)  # with bad luck, a kink lies within the difference
    net, x = lenet5(nn).double(), tg.rand(1, 28, 28).double()
    found = saliency(net, x)._array
    with tg.no_grad():
        best = int(net(x[None]).argmax())
        for row, column in ((0, 0), (9, 14), (20, 3)):
            step = np.zeros((1, 28, 28))
            step[0, row, column] = 1e-6
            scores = [float(net((x + sign * tg.tensor(step))[None])[0, best]) for sign in (1, -1)]
            assert found[row, column] == pytest.approx(abs(scores[0] - scores[1]) / 2e-6, rel=1e-5, abs=1e-8)
        assert np.array_equal(saliency(net, x[None], best)._array, found)  # also under no_grad, also a batch of one


# ---------------------------------------------------------------- Grad-CAM


class PooledMaps(nn.Module):
    """Its scores are linear in the mean of every map, so that Grad-CAM has a closed form."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("target", [0, 2, None])
def test_grad_cam_is_the_formula(target):
    net, x = PooledMaps(), tg.rand(2, 6, 7)
    maps = np.maximum(net.conv(x[None])._array[0], 0)
    which = int(net(x[None]).argmax()) if target is None else target
    weights = net.fc.weight._array[which] / (4 * 5)
    expected = np.maximum(np.einsum("k,khw->hw", weights, maps), 0)
    assert np.allclose(grad_cam(net, x, "relu", target)._array, expected, atol=1e-6)
    assert np.allclose(grad_cam(net, x, target=target)._array, expected, atol=1e-6)
    # Before the ReLU, places that it cuts off have no gradient, and negative values count.
    before = net.conv(x[None])._array[0]
    weights = weights * (before > 0).mean((1, 2))
    expected = np.maximum(np.einsum("k,khw->hw", weights, before), 0)
    assert np.allclose(grad_cam(net, x, "conv", target)._array, expected, atol=1e-6)


def test_the_relu_behind_the_last_convolution_may_follow_a_normalisation_and_an_addition():
    net, x = resnet20(nn), tg.rand(3, 32, 32)
    assert np.allclose(grad_cam(net, x, target=1)._array, grad_cam(net, x, "stages.8", 1)._array)
    tanh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(900, 2))
    assert np.array_equal(grad_cam(tanh, x, target=1)._array, grad_cam(tanh, x, "0", 1)._array)


def test_nothing_is_left_behind():
    net = resnet20(nn)
    before = {name: t._array.copy() for name, t in net.state_dict().items()}
    state = tg.get_rng_state()["pos"]
    x = np.random.default_rng(0).random((3, 32, 32), np.float32)
    image = tg.tensor(x)
    with tg.no_grad():
        saliency(net, image)
        plot_grad_cam(net, image, "stages.4")
        exciting_patches(net, "stages.1.conv1", image[None], top=1)
        activation_maximization(net, "stages.1.conv1", 0, (3, 32, 32), steps=2)
    assert all(np.array_equal(t._array, before[name]) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(m.training for m in net.modules())
    assert tg.get_rng_state()["pos"] == state
    assert np.array_equal(image._array, x)
    assert not image.requires_grad


def test_pictures_of_attributions():
    net, x = lenet5(nn), tg.rand(1, 28, 28)
    for figure, expected, title in (
        (plot_saliency(net, x, 4), saliency(net, x, 4), "saliency for class 4"),
        (plot_grad_cam(net, x[None], "conv2", 4), grad_cam(net, x, "conv2", 4), "Grad-CAM, layer conv2, class 4"),
        (plot_grad_cam(net, x[None], target=4), grad_cam(net, x, target=4), "Grad-CAM, layer conv2 + ReLU, class 4"),
    ):
        left, middle, right = figure.axes[:3]
        assert np.array_equal(left.images[0].get_array(), x._array[0])
        assert np.array_equal(middle.images[0].get_array(), expected._array)
        # conv2's places see 14 pixels, the first of them from −2 on, and are 2 apart: their middles are 4.5, 6.5 ...
        place = [-0.5, 27.5, 27.5, -0.5] if title.startswith("saliency") else [3.5, 23.5, 23.5, 3.5]
        assert middle.images[0].get_extent() == right.images[1].get_extent() == place
        assert middle.get_xlim() == right.get_xlim() == (-0.5, 27.5)
        assert middle.get_ylim() == right.get_ylim() == (27.5, -0.5)
        assert middle.get_title() == title
    colour = plot_saliency(resnet20(nn), tg.rand(3, 32, 32) - 2)
    assert colour.axes[0].images[0].get_array().shape == (32, 32, 3)


# ---------------------------------------------------------------- patches


def deep():
    """Without padding, the receptive field of an output is a valid input of the network, with one output."""
    return nn.Sequential(nn.Conv2d(2, 3, (3, 2), stride=(1, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2))


def test_every_patch_alone_gives_its_activation():
    net, images = deep(), tg.rand(300, 2, 12, 14)  # more than one batch
    found = exciting_patches(net, "3", images, top=5)
    assert found.patches.shape == (4, 5, 2, 6, 8)
    everything = net(images)._array
    for which in range(4):
        alone = net(tg.tensor(found.patches[which]))._array
        assert alone.shape == (5, 4, 1, 1)
        assert np.allclose(alone[:, which, 0, 0], found.values[which], atol=1e-5)
        best = everything[:, which].reshape(300, -1).max(1)
        assert np.allclose(found.values[which], np.sort(best)[::-1][:5], atol=1e-5)
        assert len(set(found.images[which])) == 5
        for patch, image, (row, column) in zip(found.patches[which], found.images[which], found.corners[which]):
            assert np.array_equal(patch, images._array[image, :, row : row + 6, column : column + 8])


def test_patches_reach_over_the_border():
    net = nn.Conv2d(1, 2, 3, padding=1)
    net = nn.Sequential(net)
    images = tg.zeros(1, 1, 4, 5)
    images[0, 0, 0, 4] = 1.0
    net[0].weight.data = tg.zeros(2, 1, 3, 3)
    net[0].weight.data[0, 0, 1, 1] = 1.0  # looks at the middle
    net[0].weight.data[1, 0, 0, 2] = 1.0  # looks at the upper right
    found = exciting_patches(net, "0", images)
    assert found.corners[:, 0].tolist() == [[-1, 3], [0, 2]]
    assert found.patches[0, 0, 0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert found.patches[1, 0, 0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_patches_of_a_layer_that_sees_everything():
    net, images = lenet5(nn), tg.rand(4, 1, 28, 28)
    found = exciting_patches(net, "fc3", images, top=9)
    scores = net(images)._array
    assert found.patches.shape == (10, 4, 1, 28, 28)
    assert np.array_equal(found.images, np.argsort(-scores, axis=0).T)
    assert np.array_equal(found.patches, images._array[found.images])


LAYERS = st.tuples(
    st.sampled_from(["conv", "max", "average", "pad", "slice"]), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1)
)


class Windows(nn.Module):
    """Steps with positive weights: an output's gradient is positive exactly where it looks."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.last = nn.Identity()

    def forward(self, x):
        for kind, size, stride, padding in self.steps:
            if kind == "conv":
                x = F.conv2d(x, tg.ones(1, 1, size, size), stride=stride, padding=padding)
            elif kind == "max":  # the maximum only for the sizes, the sum for the gradient
                padding = min(padding, size // 2)
                x = F.avg_pool2d(x, size, stride, padding) + 0 * F.max_pool2d(x, size, stride, padding)
            elif kind == "average":
                x = F.avg_pool2d(x, size, stride, min(padding, size // 2))
            elif kind == "pad":
                x = F.pad(x, (padding, 1, size, 0))
            else:
                x = x[:, :, padding::stride, -31:]
        return self.last(x)


@given(st.lists(LAYERS, min_size=1, max_size=3))
def test_the_place_of_a_receptive_field(steps):
    image = tg.rand(1, 1, 40, 41) + 1
    net = Windows(steps)
    field = field_of("test", net, "last", image)
    x = image.clone().requires_grad_()
    output = net(x)
    place = [side // 2 for side in output.shape[2:]]
    (slope,) = tg.autograd.grad(output[0, 0, place[0], place[1]], x)
    seen = np.argwhere(slope._array[0, 0] > 0)
    first = [start + at * jump for start, at, jump in zip(field.start, place, field.jump)]
    assert seen.min(0).tolist() == first
    assert (seen.max(0) + 1).tolist() == [a + size for a, size in zip(first, field.size)]


def test_picture_of_patches():
    net, images = deep(), tg.rand(3, 2, 12, 14)
    found = exciting_patches(net, "3", images, top=2)
    figure = plot_exciting_patches(net, "3", images, top=2, filters=[3, 1])
    drawn = [axes.images[0].get_array() for axes in figure.axes]
    assert np.allclose(drawn, found.patches[[3, 1]].mean(2).reshape(4, 6, 8))
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == [f"{value:.2f}" for value in found.values[3]]
    assert len(plot_exciting_patches(net, "0", images).axes) == 3 * 3


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.unused = nn.Conv2d(1, 2, 3), nn.Linear(2, 2), nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.fc(self.conv(x).detach().mean((2, 3)))


IMAGE = tg.ones(1, 28, 28)
ERRORS = [
    (lambda n: saliency(n, IMAGE, 10), DimError, "saliency: target must be one of the 10 classes from 0, got 10"),
    (lambda n: saliency(n, IMAGE, "3"), DTypeError, "saliency: target must be the number of a class, got '3'"),
    (lambda n: saliency(n, tg.ones(28, 28)), ShapeError, r"saliency: image must be one image, \(C, H, W\)"),
    (lambda n: saliency(n, tg.ones(3, 28, 28)), ShapeError, "set in_channels=3"),
    (lambda n: saliency(n, tg.ones(1, 20, 20)), ShapeError, "set in_features=144"),
    (lambda n: saliency(nn.Conv2d(1, 2, 3), IMAGE), ShapeError, r"saliency: the network must give \(N, classes\) for"),
    (lambda n: saliency(Detached(), IMAGE), GraphError, "saliency: the score does not depend on the image"),
    (lambda n: grad_cam(Detached(), IMAGE, "conv"), GraphError, "grad_cam: the score does not depend on the layer"),
    (lambda n: grad_cam(Detached(), IMAGE), GraphError, "grad_cam: the network's forward does not call the layer"),
    (lambda n: grad_cam(n, IMAGE, "conv3"), KeyError, "grad_cam: there is no layer 'conv3'; did you mean 'conv"),
    (
        lambda n: grad_cam(n, IMAGE, "fc1"),
        ShapeError,
        r"'fc1' must give feature maps \(N, K, h, w\), it gives \(1",
    ),
    (lambda n: grad_cam(nn.Linear(2, 2), tg.ones(2)), ValueError, "grad_cam: the network has no Conv2d layer"),
    (lambda n: plot_saliency(nn.Linear(2, 2), tg.ones(2)), ShapeError, r"a picture needs an image \(C, H, W\)"),
    (lambda n: exciting_patches(n, "fc", IMAGE[None]), KeyError, "exciting_patches: there is no layer 'fc'"),
    (lambda n: exciting_patches(n, "conv1", IMAGE), ShapeError, r"images must be \(N, C, H, W\), got shape \(1, 28"),
    (lambda n: exciting_patches(n, "conv1", [IMAGE]), DTypeError, "images must be a floating-point Tensor, got list"),
    (lambda n: exciting_patches(n, "conv1", IMAGE[None], 0), ShapeError, "top must be at least 1, got 0"),
    (lambda n: plot_exciting_patches(n, "conv1", IMAGE[None], 1, [-1]), DimError, "layer's 6 from 0, got -1"),
    (lambda n: exciting_patches(Detached(), "unused", IMAGE[None]), ShapeError, "does not call the layer 'unused'"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(lenet5(nn))
