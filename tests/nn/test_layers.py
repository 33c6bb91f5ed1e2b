"""Layers: what they print, what they compute, what they learn and what they refuse, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.errors import ShapeError

IMAGE, ROW, CUBE = (3, 4, 9, 8), (3, 4), (3, 4, 5)

# name, arguments, keywords, input shape
LAYERS = [
    ("Conv2d", (4, 6, 3), {}, IMAGE),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "bias": False}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": "same", "dilation": 2, "groups": 2}, IMAGE),
    ("Conv2d", (4, 2, 2), {"padding": "valid"}, IMAGE[1:]),
    ("Linear", (8, 5), {}, IMAGE),
    ("Linear", (4, 5), {"bias": False}, ROW),
    ("Identity", (), {}, IMAGE),
    ("MaxPool2d", (2,), {}, IMAGE),
    ("MaxPool2d", (3,), {"stride": (2, 1), "padding": 1, "ceil_mode": True}, IMAGE),
    ("AvgPool2d", (2,), {}, IMAGE),
    ("AvgPool2d", ((3, 2),), {"stride": 2, "padding": 1, "count_include_pad": False}, IMAGE),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGE),
    ("AdaptiveAvgPool2d", ((2, None),), {}, IMAGE),
    ("ReLU", (), {}, IMAGE),
    ("ReLU", (), {"inplace": True}, IMAGE),
    ("LeakyReLU", (0.2,), {}, IMAGE),
    ("LeakyReLU", (), {"inplace": True}, IMAGE),
    ("Sigmoid", (), {}, IMAGE),
    ("Tanh", (), {}, IMAGE),
    ("Softmax", (), {"dim": 1}, ROW),
    ("LogSoftmax", (), {"dim": -1}, IMAGE),
    ("Flatten", (), {}, IMAGE),
    ("Flatten", (2, 3), {}, IMAGE),
    ("Unflatten", (1, (2, 2)), {}, IMAGE),
    ("BatchNorm2d", (4,), {}, IMAGE),
    ("BatchNorm2d", (4,), {"affine": False, "momentum": None}, IMAGE),
    ("BatchNorm2d", (4,), {"bias": False}, IMAGE),
    ("BatchNorm2d", (4,), {"track_running_stats": False, "eps": 0.1}, IMAGE),
    ("BatchNorm1d", (4,), {"momentum": 0.3}, ROW),
    ("BatchNorm1d", (4,), {}, CUBE),
    ("Dropout", (0.0,), {}, IMAGE),
]
IDS = [f"{name}{args}{kwargs or ''}" for name, args, kwargs, _ in LAYERS]


def both(name, args, kwargs):
    """The layer and PyTorch's, in float64, with the same parameters."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict({key: wrap(value.numpy().copy()) for key, value in theirs.state_dict().items()})
    return torch, ours, theirs


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_prints_as_pytorchs(name, args, kwargs, shape):
    torch = pytest.importorskip("torch")
    assert repr(getattr(nn, name)(*args, **kwargs)) == repr(getattr(torch.nn, name)(*args, **kwargs))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_values_gradients_and_state_equal_pytorchs(name, args, kwargs, shape, training):
    torch, ours, theirs = both(name, args, kwargs)
    ours.train(training)
    theirs.train(training)
    rng = np.random.default_rng(1)
    for _ in range(3):  # running statistics need more than one batch
        x = rng.normal(size=shape)
        a, b = wrap(x.copy()).requires_grad_(), torch.tensor(x, requires_grad=True)
        out, expected = ours(a * 1), theirs(b * 1)  # a leaf cannot be changed in place
        upstream = rng.normal(size=tuple(expected.shape))
        out.backward(wrap(upstream))
        expected.backward(torch.tensor(upstream))
        np.testing.assert_allclose(out._array, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(a.grad._array, b.grad.numpy(), rtol=1e-10, atol=1e-12)
    for (key, mine), their in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(mine.grad._array, their.grad.numpy(), rtol=1e-10, atol=1e-11, err_msg=key)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key]._array, value.numpy(), rtol=1e-12, err_msg=key)


LOSSES = [
    ("CrossEntropyLoss", {}),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "reduction": "sum", "ignore_index": 2}),
    ("CrossEntropyLoss", {"weight": [0.5, 1, 2, 3], "reduction": "none"}),
    ("NLLLoss", {}),
    ("NLLLoss", {"weight": [0.5, 1, 2, 3], "ignore_index": 1}),
    ("MSELoss", {}),
    ("MSELoss", {"reduction": "none"}),
]


@pytest.mark.parametrize(("name", "kwargs"), LOSSES)
def test_losses_equal_pytorchs(name, kwargs):
    torch = pytest.importorskip("torch")
    weight = np.array(kwargs.pop("weight")) if "weight" in kwargs else None
    given = {} if weight is None else {"weight": wrap(weight)}
    theirs_given = {} if weight is None else {"weight": torch.tensor(weight)}
    ours, theirs = getattr(nn, name)(**given, **kwargs), getattr(torch.nn, name)(**theirs_given, **kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 4))
    target = rng.normal(size=(6, 4)) if name == "MSELoss" else np.array([0, 1, 2, 3, 0, 2])
    a, b = wrap(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    out, expected = ours(a, wrap(target)), theirs(b, torch.tensor(target))
    upstream = rng.normal(size=tuple(expected.shape))
    out.backward(wrap(upstream))
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(out._array, expected.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(a.grad._array, b.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_dropout_drops_in_training_only():
    tinygrad_cnn.manual_seed(0)
    layer, x = nn.Dropout(0.25), wrap(np.ones((200, 200), np.float32))
    dropped = layer(x)._array
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / x._array.size)
    assert np.array_equal(layer.eval()(x)._array, x._array)


def test_max_pool_gives_indices():
    torch, ours, theirs = both("MaxPool2d", (2,), {"return_indices": True})
    x = np.random.default_rng(0).normal(size=IMAGE)
    for mine, their in zip(ours(wrap(x)), theirs(torch.tensor(x))):
        assert np.array_equal(mine._array, their.numpy())


def test_the_lectures_network_prints_as_in_pytorch():
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(5408, 10)
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (1): ReLU()\n"
        "  (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)\n"
        "  (3): Dropout(p=0.25, inplace=False)\n"
        "  (4): Flatten(start_dim=1, end_dim=-1)\n"
        "  (5): Linear(in_features=5408, out_features=10, bias=True)\n"
        ")"
    )


def test_convolution_weights_lie_channels_last_in_memory_and_their_gradients_too():
    conv = nn.Conv2d(3, 8, 5)
    conv(wrap(np.ones((2, 3, 9, 9), np.float32))).backward(wrap(np.ones((2, 8, 5, 5), np.float32)))
    for array in (conv.weight._array, conv.weight.grad._array):
        assert array.shape == (8, 3, 5, 5)
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous


ERRORS = [
    (lambda: nn.Conv2d(0, 1, 3), ShapeError, "Conv2d: in_channels must be at least 1, got 0"),
    (lambda: nn.Conv2d(1, 2.5, 3), TypeError, "Conv2d: out_channels must be an int, got 2.5"),
    (lambda: nn.Conv2d(1, 1, (3, 0)), ShapeError, r"kernel_size must be at least 1, got \(3, 0\)"),
    (lambda: nn.Conv2d(1, 1, (1, 2, 3)), ShapeError, r"kernel_size must be an int or a pair of ints, got 3 values"),
    (lambda: nn.Conv2d(1, 1, 3, stride=0), ShapeError, "stride must be at least 1, got 0"),
    (lambda: nn.Conv2d(1, 1, 3, padding=-1), ShapeError, "padding must be at least 0, got -1"),
    (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "'valid' or 'same', got 'full'"),
    (lambda: nn.Conv2d(1, 1, 3, 2, "same"), ValueError, r"padding='same' needs stride 1, got stride=\(2, 2\)"),
    (
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        ShapeError,
        "in_channels must be a multiple of groups, got in_channels=3, gr",
    ),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), ShapeError, "out_channels must be a multiple of groups, got out_channels=3"),
    (lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"), ValueError, "padding_mode must be 'zeros'.* got 'reflect'"),
    (lambda: nn.Conv2d(1, 1, 3, device="cuda"), ValueError, "device must be None or 'cpu'.* got 'cuda'"),
    (lambda: nn.Conv2d(1, 1, 3, dtype="float16"), TypeError, "float16"),
    (lambda: nn.Linear(-1, 2), ShapeError, "Linear: in_features must be at least 0, got -1"),
    (lambda: nn.Linear(1, "2"), TypeError, "Linear: out_features must be an int, got '2'"),
    (lambda: nn.MaxPool2d(0), ShapeError, "MaxPool2d: kernel_size must be at least 1, got 0"),
    (lambda: nn.MaxPool2d(2, padding="same"), TypeError, "MaxPool2d: padding must be an int or a pair"),
    (lambda: nn.AvgPool2d(2, stride=0), ShapeError, "AvgPool2d: stride must be at least 1, got 0"),
    (lambda: nn.Dropout(1.5), ValueError, "Dropout: p must be between 0 and 1, got 1.5"),
    (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "CrossEntropyLoss: reduction must be .* got 'avg'"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing must be between 0 and 1, got 2"),
    (lambda: nn.BatchNorm2d(-1), ShapeError, "BatchNorm2d: num_features must be at least 0, got -1"),
    (lambda: nn.BatchNorm2d(2)(wrap(np.ones((1, 2)))), ShapeError, r"an input of 4 dimensions, got shape \(1, 2\)"),
    (lambda: nn.BatchNorm1d(2)(wrap(np.ones(2))), ShapeError, r"an input of 2 or 3 dimensions, got shape \(2,\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
