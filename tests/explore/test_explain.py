"""explain and explain_grad: the calculation gives the layer's number, and the places add up to the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError
from tinygrad_cnn.explore.explain import explain, explain_grad

from .networks import lenet5

F = nn.functional


@st.composite
def convolutions(draw):
    """A convolution in a network, an input that fits, and the shape of its output."""
    groups = draw(st.sampled_from([1, 2]))
    kernel, dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 4))), draw(st.integers(1, 2))
    padding = draw(st.sampled_from([0, 1, (2, 1), "same", "valid"]))
    stride = 1 if padding == "same" else draw(st.sampled_from([1, 2, (1, 2)]))
    bias = draw(st.booleans())
    with_relu = draw(st.booleans())
    conv = nn.Conv2d(2 * groups, 2 * groups, kernel, stride, padding, dilation, groups, bias)
    net = nn.Sequential(conv, nn.ReLU(inplace=with_relu), nn.Flatten())
    x = tg.randn(2, 2 * groups, 8, 7)
    return net, x, conv(x).shape


@given(convolutions(), st.data())
def test_the_calculation_gives_the_layers_number(case, data):
    net, x, shape = case
    image, *position = (data.draw(st.integers(0, size - 1)) for size in shape)
    result = explain(net, x, "0", tuple(position), image=image)
    assert result.recorded == net[0](x)[image, *position].item()
    assert result.value == pytest.approx(result.recorded, abs=1e-5)
    assert result.value == pytest.approx(result.products.sum() + result.bias)
    assert result.patch.shape == result.filter.shape == tuple(net[0].weight.shape[1:])
    assert "the layer gave" not in str(result)


@given(convolutions(), st.data())
def test_the_places_add_up_to_the_gradient(case, data):
    net, x, shape = case
    target = tg.randn(2, shape[1] * shape[2] * shape[3])
    index = tuple(data.draw(st.integers(0, size - 1)) for size in net[0].weight.shape)
    result = explain_grad(net, F.mse_loss, (x, target), "0", index)
    F.mse_loss(net(x), target).backward()
    assert result.recorded == pytest.approx(net[0].weight.grad[index].item(), abs=1e-6)
    assert result.total == pytest.approx(result.recorded, abs=1e-5)
    assert result.places == shape[0] * shape[2] * shape[3]
    assert [c.product for c in result.largest(3)] == sorted((c.product for c in result.largest(3)), key=abs)[::-1]
    assert "outside this layer" not in str(result)


def test_a_convolution_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 1, 2))
    net[0].weight.data = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    net[0].bias.data = tg.tensor([0.5])
    x = tg.arange(9.0).reshape(1, 1, 3, 3)
    # 1·1 + 2·2 + 3·4 + 4·5
    assert explain(net, x, "0", (0, 0, 1)).value == 37.5
    assert str(explain(net, x, "0", (0, 0, 1))) == "\n".join(
        [
            "0 = Conv2d(1, 1, kernel_size=(2, 2)), output (0, 0, 1)",
            "channel 0: patch at (0, 1), filter, products; they add up to 37",
            "  1 2     1 2      1  4",
            "  4 5  ·  3 4  =  12 20",
            "37 + bias 0.5 = 37.5",
        ]
    )
    # The loss is the sum, so its derivative by every output is 1, and the gradient is the sum of the inputs.
    result = explain_grad(net, lambda out, _: out.sum(), (x, x), "0", (0, 0, 0, 1))
    assert result.total == result.recorded == 1 + 2 + 4 + 5
    assert result.largest(1) == [(0, (1, 1), 0, 5.0, 1.0, 5.0)]
    assert str(result).split("\n")[-1] == "all 4 add up to 12; the recorded gradient is 12"


def test_channels_that_add_little_are_summed_up():
    net = nn.Sequential(nn.Conv2d(6, 1, 2))
    net[0].weight.data = tg.ones(1, 6, 2, 2) * tg.tensor([1.0, 5.0, -4.0, 2.0, 3.0, 0.5]).reshape(1, 6, 1, 1)
    lines = str(explain(net, tg.ones(1, 6, 3, 3), "0", (0, 1, 1))).split("\n")
    assert [line.split(":")[0] for line in lines if line.startswith("channel")] == [
        f"channel {c}" for c in (1, 2, 3, 4)
    ]
    assert lines[-2] == "the other 2 channels add up to 6"


def test_linear_and_pooling():
    net, x = lenet5(nn), tg.rand(3, 1, 28, 28)
    result = explain(net, x, "fc3", 7, image=2)
    assert result.value == pytest.approx(net(x)[2, 7].item(), abs=1e-5)
    assert "the other 74 features add up to" in str(result)
    pooled = nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True))
    out = pooled(x)
    for position in [(0, 0, 0), (0, 4, 9), (0, 14, 14)]:
        result = explain(pooled, x, "0", position, image=1)
        assert result.value == result.recorded == out[1, *position].item()
        assert result.patch.shape == (3, 3)
    image = tg.arange(4.0).reshape(1, 1, 2, 2)
    assert str(explain(nn.Sequential(nn.MaxPool2d(2)), image, "0", (0, 0, 0))).split("\n")[1:] == [
        *("  0 1", "  2 3", "is 3, at (1, 1) of it")
    ]
    image[0, 0, 0, 1] = float("nan")
    assert np.isnan(explain(nn.Sequential(nn.MaxPool2d(2)), image, "0", (0, 0, 0)).value)


def test_linear_layers_with_more_dimensions_and_one_example():
    net = nn.Sequential(nn.Linear(4, 3))
    x = tg.rand(2, 5, 4)
    assert explain(net, x, "0", (3, 1), image=1).value == pytest.approx(net(x)[1, 3, 1].item(), abs=1e-5)
    result = explain_grad(net, F.mse_loss, (x, tg.zeros(2, 5, 3)), "0", (2, 1))
    assert result.total == pytest.approx(result.recorded, abs=1e-5)
    assert len(result.largest(100)) == 10
    assert explain(net, x[0, 0], "0", -1).value == pytest.approx(net(x)[0, 0, 2].item(), abs=1e-5)
    image = tg.rand(1, 6, 6)
    conv = nn.Sequential(nn.Conv2d(1, 2, 3))
    assert explain(conv, image, "0", (1, 2, 3)).value == pytest.approx(conv(image)[1, 2, 3].item(), abs=1e-5)
    result = explain_grad(conv, F.mse_loss, (image, tg.zeros(2, 4, 4)), "0", (1, 0, 2, 2))
    assert result.total == pytest.approx(result.recorded, abs=1e-5)


class Twice(nn.Module):
    """A layer that is called twice, once with its ReLU in the same pass, and whose weight is also used outside."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.used_outside = False

    def forward(self, x):
        x = self.conv(x)
        x = self.conv(self.conv(x, activation="relu"))
        return x + self.conv.weight.sum() if self.used_outside else x


def test_a_layer_that_is_called_several_times():
    net, x = Twice(), tg.rand(2, 2, 5, 5)
    result = explain_grad(net, F.mse_loss, (x, tg.zeros(2, 2, 5, 5)), "conv", (1, 0, 2, 1))
    assert len(result.products) == 3
    assert result.total == pytest.approx(result.recorded, abs=1e-5)
    assert "call" in str(result).split("\n")[2]
    net.used_outside = True
    text = str(explain_grad(net, F.mse_loss, (x, tg.zeros(2, 2, 5, 5)), "conv", (1, 0, 2, 1)))
    assert text.endswith("the weight is also used outside this layer")


def test_a_relu_in_the_same_pass():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            return self.conv(x, activation="relu")

    net, x = Fused(), tg.randn(1, 1, 5, 5)
    for channel in range(4):
        result = explain(net, x, "conv", (channel, 1, 1))
        assert result.value == pytest.approx(result.recorded, abs=1e-6)
        gradient = explain_grad(net, F.mse_loss, (x, tg.ones(1, 4, 3, 3)), "conv", (channel, 0, 1, 1))
        assert gradient.total == pytest.approx(gradient.recorded, abs=1e-5)


def test_nothing_is_left_behind():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(18, 3))
    net[2].eval()
    net[0].weight.grad = tg.ones(2, 1, 3, 3)
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    modes, state = [m.training for m in net.modules()], tg.get_rng_state()
    x, target = tg.rand(4, 1, 5, 5), tg.tensor([0, 1, 2, 0])
    state = tg.get_rng_state()
    with tg.no_grad():
        explain(net, x, "4", 0)
        explain_grad(net, F.cross_entropy, (x, target), "0", (0, 0, 0, 0))
    assert all(tg.equal(buffers[name], b) for name, b in net.named_buffers())
    assert [m.training for m in net.modules()] == modes
    assert np.array_equal(tg.get_rng_state()["key"], state["key"])
    assert tg.get_rng_state()["pos"] == state["pos"]
    assert [p.grad is None for p in net.parameters()] == [False] + [True] * 5
    assert net[0].weight.grad.sum().item() == 18
    assert not any(m.has_hooks() for m in net.modules())


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 2)
        self.unused = nn.Linear(3, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x):
        return self.frozen(self.used(x))


NET = lenet5(nn)
X, LABELS = tg.rand(2, 1, 28, 28), tg.tensor([3, 4])
ROW = tg.rand(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: explain(NET, X, "conv11", (0, 0, 0)), KeyError, "no layer 'conv11'; did you mean 'conv1'"),
        (lambda: explain(NET, X, "zzz", 0), KeyError, "there are 'conv1', 'conv2', 'fc1', 'fc2', 'fc3'"),
        (lambda: explain(NET, X, "", 0), TypeError, "layer '' must be one of Conv2d, Linear, MaxPool2d, got LeNet5"),
        (lambda: explain(lenet5, X, "conv1", 0), TypeError, "model must be a Module, got function"),
        (lambda: explain(NET, X.numpy(), "conv1", (0, 0, 0)), DTypeError, "x must be a Tensor, got ndarray"),
        (lambda: explain(NET, X, "conv1", (0, 0)), ShapeError, r"must have 3 places, for shape \(6, 28, 28\)"),
        (lambda: explain(NET, X, "conv1", (6, 0, 0)), DimError, r"\(6, 0, 0\) lies outside shape \(6, 28, 28\)"),
        (lambda: explain(NET, X, "conv1", (0, -29, 0)), DimError, "lies outside"),
        (lambda: explain(NET, X, "conv1", (0, 0.5, 0)), DTypeError, "position must be ints"),
        (lambda: explain(NET, X, "conv1", (0, 0, 0), image=2), DimError, r"image 2 lies outside shape \(2,\)"),
        (lambda: explain(Unused(), ROW, "unused", 0), GraphError, "did not call 'unused'"),
        (lambda: explain_grad(NET, F.cross_entropy, (X, LABELS), "fc9", (0, 0)), KeyError, "did you mean 'fc"),
        (lambda: explain_grad(NET, F.cross_entropy, (X, LABELS), "fc3", (10, 0)), DimError, "index .10, 0. lies"),
        (lambda: explain_grad(NET, F.cross_entropy, (X, LABELS), "fc3", 0), ShapeError, "index must have 2 places"),
        (lambda: explain_grad(NET, F.cross_entropy, X, "fc3", (0, 0)), TypeError, "batch must be a pair .* got Tensor"),
        (lambda: explain_grad(NET, F.cross_entropy, (X, [3, 4]), "fc3", (0, 0)), DTypeError, "batch's target .* list"),
        (lambda: explain_grad(Unused(), F.mse_loss, (ROW, ROW), "frozen", (0, 0)), GraphError, "does not require grad"),
        (lambda: explain_grad(Unused(), F.mse_loss, (ROW, ROW[:, 1:]), "unused", (0, 0)), GraphError, "did not call"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
