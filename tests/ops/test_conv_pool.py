"""Convolution, ReLU and max pooling in chunks of a batch: as one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError
from tinygrad_cnn.ops import conv_pool


@pytest.fixture(autouse=True)
def few_pixels_are_enough(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(conv_pool, "CHUNK", conv_pool.CHUNK)  # `cut` changes it
    monkeypatch.setattr(conv_pool, "LEAST_PIXELS", 1)
    conv_pool._bounds.cache_clear()
    yield
    conv_pool._bounds.cache_clear()


def cut(convolution: nn.Conv2d, x: Tensor, chunks: int) -> None:
    """From now on, the convolution of this batch goes in so many chunks."""
    conv_pool.CHUNK = -(-(x.nbytes + convolution(x).nbytes) // chunks)
    conv_pool._bounds.cache_clear()


CASES: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "plain": (lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2)], (7, 3, 12, 11)),
    "strides": (lambda: [nn.Conv2d(3, 9, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2)], (9, 3, 14, 15)),
    "groups": (lambda: [nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.ReLU(), nn.MaxPool2d((1, 2))], (9, 4, 10, 9)),
    "depthwise": (lambda: [nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(inplace=True), nn.MaxPool2d(2)], (12, 6, 9, 9)),
    "dilation": (lambda: [nn.Conv2d(2, 5, (3, 1), dilation=2), nn.ReLU(), nn.MaxPool2d(2, dilation=3)], (9, 2, 12, 12)),
    "rounded": (lambda: [nn.Conv2d(2, 8, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)], (8, 2, 9, 9)),
    "Winograd": (lambda: [nn.Conv2d(32, 40, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)], (3, 32, 24, 24)),
}  # fmt: skip


def network(case: str, dtype: object = tg.float32) -> tuple[nn.Sequential, Tensor]:
    layers, shape = CASES[case]
    tg.manual_seed(0)
    model, x = nn.Sequential(*layers()).to(dtype), tg.randn(*shape, dtype=dtype, requires_grad=True)
    cut(model[0], x, 3)
    return model, x


def operation(out: Tensor) -> str:
    return type(out.grad_fn).__name__


def apart(model: nn.Sequential, x: Tensor) -> Tensor:
    """The layers one by one."""
    for layer in model:
        x = layer(x)
    return x


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("case", CASES)
def test_as_one_after_the_other(case: str, dtype: object) -> None:
    model, x = network(case, dtype)
    before = tg.get_num_threads()
    found = []
    try:
        for threads in range(1, tg.get_num_threads() + 1):
            tg.set_num_threads(threads)
            outs = model(x), apart(model, x)
            assert [operation(out) for out in outs] == ["Conv2dMaxPool2dReLU", "MaxPool2d"]
            weights = tg.randn(*outs[0].shape, dtype=dtype, generator=tg.Generator().manual_seed(1))
            wanted = [x, *model.parameters()]
            (of_x, *of_parameters), (x_apart, *parameters_apart) = (
                tg.autograd.grad((out * weights).sum(), wanted) for out in outs
            )
            assert outs[0].equal(outs[1])
            assert of_x.equal(x_apart)
            for together, plain in zip(of_parameters, parameters_apart, strict=True):
                scale = plain.abs().max().item()
                tolerance = 1e-5 if dtype is tg.float32 else 1e-13
                np.testing.assert_allclose(together.numpy(), plain.numpy(), rtol=0, atol=tolerance * scale)
            found.append(b"".join(g.numpy().tobytes() for g in of_parameters))
    finally:
        tg.set_num_threads(before)
    assert len(set(found)) == 1  # whatever the number of threads


WANTED = {"image": "x", "filters": "w", "bias": "b", "image and bias": "xb", "filters and bias": "wb"}


@pytest.mark.parametrize("wanted", WANTED)
def test_some_gradients(wanted: str) -> None:
    model, x = network("plain", tg.float64)
    for name, tensor in (("x", x), ("w", model[0].weight), ("b", model[0].bias)):
        tensor.requires_grad_(name in WANTED[wanted])
    found = []
    for out in (model(x), apart(model, x)):
        out.square().sum().backward()
        found.append([x.grad, model[0].weight.grad, model[0].bias.grad])
        x.grad = None
        model.zero_grad()
    for together, plain in zip(*found, strict=True):
        assert (together is None) == (plain is None)
        if together is not None:
            np.testing.assert_allclose(together.numpy(), plain.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["strides", "groups"])
def test_gradients_of_first_and_second_order(case: str) -> None:
    model, _ = network(case, tg.float64)
    convolution, _, pool = model
    settings = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
    x = tg.randn(2, convolution.in_channels, 7, 7, dtype=tg.float64, requires_grad=True)
    cut(convolution, x, 2)
    weight = convolution.weight.detach().requires_grad_()
    bias = tg.randn(convolution.out_channels, dtype=tg.float64, requires_grad=True)

    def function(*inputs: Tensor) -> Tensor:
        pooling = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
        out = conv_pool.conv2d_relu_max_pool2d(*inputs, settings, pooling)
        assert out is not None
        return out

    assert tg.autograd.gradcheck(function, (x, weight, bias))
    assert tg.autograd.gradgradcheck(function, (x, weight, bias))


def test_what_runs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network("plain")
    with tg.no_grad():
        assert model(x).equal(apart(model, x))
    assert operation(model(x[:1])) == "MaxPool2dReLU"  # one image
    assert operation(nn.Sequential(model[0], model[2])(x)) == "MaxPool2d"  # no ReLU
    handle = model[0].register_forward_hook(lambda *_: None)
    assert operation(model(x)) == "MaxPool2dReLU"
    handle.remove()
    assert operation(model(x)) == "Conv2dMaxPool2dReLU"
    monkeypatch.setattr(conv_pool, "LEAST_PIXELS", 1 << 10)
    conv_pool._bounds.cache_clear()
    assert operation(model(x)) == "MaxPool2dReLU"
    monkeypatch.setattr(conv_pool, "LEAST_PIXELS", 1)
    # 64 tiles of 4x4 in the whole batch are enough for Winograd's F(4x4), the 12 of a part are not.
    winograd, x = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), tg.randn(16, 64, 8, 8)
    cut(winograd[0], x, 6)
    assert operation(winograd(x)) == "MaxPool2dReLU"


def test_errors_are_those_of_the_layers() -> None:
    model, x = network("plain")
    with pytest.raises(ShapeError, match="input has 2 channels but weight expects 3"):
        model(x[:, :2])
    with pytest.raises(ShapeError, match="no window of kernel_size"):
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(20))(x)
    out = model(x)
    with tg.no_grad():
        model[0].weight.mul_(2)
    with pytest.raises(GraphError, match="modified by an in-place operation"):
        out.sum().backward()
    model[0].weight = None
    with pytest.raises(DTypeError, match="weight must be a Tensor"):
        model(x)


def test_not_a_number_passes() -> None:
    model, x = network("plain")
    with tg.no_grad():
        x[3, 1, 4, 4] = float("nan")
    out, expected = model(x), apart(model, x)
    assert operation(out) == "Conv2dMaxPool2dReLU"
    np.testing.assert_array_equal(out.detach().numpy(), expected.detach().numpy())
    assert np.isnan(out.detach().numpy()).any()
