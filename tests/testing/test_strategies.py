"""What the strategies draw is valid and reaches the corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.testing import strategies
from tinygrad_cnn.testing.cases import tensors_of


@given(strategies.conv_geometries(), strategies.seeds)
def test_every_conv_geometry_can_be_run(geometry, seed):
    case = geometry.case(seed)
    out = F.conv2d(*tensors_of(case), **case.kwargs)
    sizes = zip(
        geometry.input_shape[2:], geometry.weight_shape[2:], geometry.stride, geometry.padding, geometry.dilation
    )
    expected = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    assert out.shape == (geometry.input_shape[0], geometry.weight_shape[0], *expected)
    assert 0 not in out.shape
    assert len(case.arrays) == 2 + geometry.bias


@pytest.mark.parametrize(
    "corner",
    [
        lambda g: g.groups == 2 and g.bias,
        lambda g: g.stride[0] != g.stride[1] and g.dilation[0] != g.dilation[1],
        lambda g: g.padding == (2, 0),
        lambda g: (g.input_shape[2] + 2 * g.padding[0] - g.dilation[0] * (g.weight_shape[2] - 1) - 1) % g.stride[0],
    ],
    ids=["groups and bias", "uneven stride and dilation", "one-sided padding", "rows left over"],
)
def test_conv_geometries_reach(corner):
    assert find(strategies.conv_geometries(), corner)


@given(strategies.pool_geometries(), strategies.seeds)
def test_every_pool_geometry_can_be_run(geometry, seed):
    case = geometry.case(seed)
    values = np.sort(case.arrays[0], axis=None)
    assert values.size < 2 or np.diff(values).min() > 0.05, "values must be apart, so that no maximum is tied"
    for pool in (F.max_pool2d, F.avg_pool2d):
        out = pool(*tensors_of(case), **case.kwargs)
        assert np.isfinite(out.detach().numpy()).all()
        assert out.shape[:2] == geometry.input_shape[:2]


def test_pool_geometries_reach_overlaps_gaps_and_incomplete_windows():
    assert find(strategies.pool_geometries(), lambda g: g.stride[0] < g.kernel_size[0])
    assert find(strategies.pool_geometries(), lambda g: g.stride[1] > g.kernel_size[1])
    assert find(strategies.pool_geometries(), lambda g: g.ceil_mode and g.padding[0])


@given(strategies.modules(), strategies.seeds)
def test_modules_can_be_trained(drawn, seed):
    module, shape = drawn
    out = module(tg.from_numpy(strategies.normal(seed, shape)))
    assert out.shape[0] == shape[0]
    out.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.dtype == tg.float64, name
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape


@given(st.data())
def test_broadcastable_shapes(data):
    count = data.draw(st.integers(1, 3))
    shapes = data.draw(strategies.broadcastable(count))
    full = np.broadcast_shapes(*shapes)
    assert len(shapes) == count
    assert full in shapes


@given(strategies.tensors(values="distinct"))
def test_distinct_values_keep_a_distance(x):
    values = np.sort(np.append(x.detach().numpy().ravel(), 0.0))
    assert values.size < 2 or np.diff(values).min() > 0.04


@pytest.mark.parametrize(("values", "low", "high"), [("positive", 0.1, 2), ("probabilities", 0.01, 0.99)])
def test_ranges(values, low, high):
    @given(strategies.tensors(values=values))
    def check(x):
        array = x.detach().numpy()
        assert ((array >= low) & (array <= high)).all()

    check()


@given(strategies.tensors(shape=(2, 3), values="integers", dtype="float32", requires_grad=False))
def test_tensor_options(x):
    assert x.shape == (2, 3)
    assert x.dtype == tg.float32
    assert not x.requires_grad
    assert (x.numpy() == np.round(x.numpy())).all()


def test_unknown_values():
    @given(strategies.tensors(values="even"))
    def draw(x):
        raise AssertionError("nothing can be drawn")

    with pytest.raises(ValueError, match=r"values must be one of normal, .*, got 'even'"):
        draw()
