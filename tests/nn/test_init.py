"""Initial values: PyTorch's numbers for the same seed, and the variances that the papers ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cnn import manual_seed, nn
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.nn import init

DTYPES = ["float32", "float64"]

LAYERS = st.one_of(
    st.tuples(st.just("Linear"), st.integers(1, 40), st.integers(1, 40), st.booleans()).map(
        lambda t: (t[0], (t[1], t[2]), {"bias": t[3]})
    ),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)).map(
        lambda t: ("Conv2d", (t[0] * t[1], t[0] * t[2], (t[3], t[4])), {"groups": t[0]})
    ),
)


@given(layer=LAYERS, seed=st.integers(0, 2**40), dtype=st.sampled_from(DTYPES))
def test_default_values_are_pytorchs_bit_for_bit(layer, seed, dtype):
    torch = pytest.importorskip("torch")
    name, args, kwargs = layer
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=getattr(torch, dtype))
    manual_seed(seed)
    ours = getattr(nn, name)(*args, **kwargs, dtype=dtype)
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for key, value in ours.state_dict().items():
        assert value._array.tobytes() == expected[key].numpy().tobytes(), key


def test_a_whole_network_draws_in_pytorchs_order():
    torch = pytest.importorskip("torch")

    def build(library):
        library.manual_seed(42)
        layers = library.nn
        return layers.Sequential(layers.Conv2d(1, 32, 3), layers.Conv2d(32, 64, 3), layers.Linear(9216, 128))

    import tinygrad_cnn

    ours, theirs = build(tinygrad_cnn).state_dict(), build(torch).state_dict()
    for key, value in theirs.items():
        assert np.array_equal(ours[key]._array, value.numpy()), key


INITIALISERS = [
    ("uniform_", {"a": -0.3, "b": 1.7}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", {"a": 0.2}),
    ("normal_", {"mean": 1.0, "std": 0.5}),
    ("xavier_normal_", {}),
    ("kaiming_normal_", {"nonlinearity": "tanh"}),
    ("ones_", {}),
    ("zeros_", {}),
    ("constant_", {"val": 2.5}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kwargs"), INITIALISERS)
def test_initialisers_equal_pytorchs(name, kwargs, dtype):
    torch = pytest.importorskip("torch")
    for shape in [(4, 3), (20, 5, 3, 3), (3, 1, 2, 2)]:
        torch.manual_seed(3)
        theirs = getattr(torch.nn.init, name)(torch.empty(shape, dtype=getattr(torch, dtype)), **kwargs)
        manual_seed(3)
        ours = getattr(init, name)(wrap(np.empty(shape, dtype)), **kwargs)
        if "normal" in name:
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(ours._array, theirs.numpy(), rtol=tolerance, atol=tolerance)
        else:
            assert ours._array.tobytes() == theirs.numpy().tobytes()


def test_the_order_in_memory_does_not_change_the_values():
    manual_seed(5)
    plain = init.uniform_(wrap(np.empty((4, 3, 2, 5), np.float32)))
    manual_seed(5)
    channels_last = init.uniform_(wrap(np.empty((4, 2, 5, 3), np.float32).transpose(0, 3, 1, 2)))
    assert np.array_equal(plain._array, channels_last._array)


VARIANCES = [
    ("xavier_uniform_", {}, 2 / (400 + 200)),
    ("xavier_normal_", {"gain": 2}, 4 * 2 / (400 + 200)),
    ("kaiming_uniform_", {"nonlinearity": "relu"}, 2 / 400),
    ("kaiming_normal_", {"nonlinearity": "relu", "mode": "fan_out"}, 2 / 200),
    ("kaiming_normal_", {"a": 1}, 1 / 400),
]


@pytest.mark.parametrize(("name", "kwargs", "variance"), VARIANCES)
def test_variances_are_those_of_the_papers(name, kwargs, variance):
    manual_seed(0)
    values = getattr(init, name)(wrap(np.empty((50, 100, 2, 2))), **kwargs)._array  # fan_in 400, fan_out 200
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    assert abs(values.var() / variance - 1) < 4 * math.sqrt(2 / values.size)


def test_gains():
    gains = {name: init.calculate_gain(name) for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu")}
    assert gains == {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 1) == 1


def test_a_generator_of_ones_own():
    from tinygrad_cnn import Generator

    first = init.uniform_(wrap(np.empty(5)), generator=Generator().manual_seed(1))
    second = init.uniform_(wrap(np.empty(5)), generator=Generator().manual_seed(1))
    assert np.array_equal(first._array, second._array)


def empty(*shape, dtype=np.float32):
    return wrap(np.empty(shape, dtype))


ERRORS = [
    (lambda: init.uniform_(empty(2), 3, 1), ValueError, "3 is above to=1"),
    (lambda: init.normal_(empty(2), std=-1), ValueError, "std must not be negative, got -1"),
    (lambda: init.uniform_(empty(2, dtype=np.int64)), DTypeError, "floating-point tensor, got tinygrad_cnn.int64"),
    (lambda: init.xavier_uniform_(empty(2)), ShapeError, r"at least 2 dimensions, got shape \(2,\)"),
    (lambda: init.kaiming_normal_(empty(2)), ShapeError, r"at least 2 dimensions, got shape \(2,\)"),
    (lambda: init.kaiming_uniform_(empty(2, 2), mode="in"), ValueError, "'fan_in' or 'fan_out', got 'in'"),
    (lambda: init.calculate_gain("gelu"), ValueError, "got 'gelu'"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
