"""Views: which operations share memory, and that channels-last memory reads as (N, C, H, W)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.errors import ShapeError
from tinygrad_cnn.ops.views import is_channels_last_order, viewable

from . import draw


@pytest.mark.parametrize(
    "take",
    [
        lambda x: x.view(6, 4),
        lambda x: x.reshape(-1),
        lambda x: x.flatten(1),
        lambda x: x.unflatten(2, (2, 2)),
        lambda x: x.unsqueeze(0),
        lambda x: x.unsqueeze(1).squeeze(),
        lambda x: x.permute(2, 0, 1),
        lambda x: x.transpose(0, 1),
        lambda x: x.movedim(0, 2),
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x.expand(2, 2, 3, 4),
        lambda x: x[0],
        lambda x: x[..., 1:3, None],
        lambda x: x[tg.tensor(1)],
        lambda x: x.select(1, 2),
        lambda x: x.narrow(2, 1, 2),
        lambda x: x.split(2)[0],
        lambda x: x.chunk(2, 1)[1],
        lambda x: x.unbind(1)[1],
        lambda x: x.diagonal(),
        lambda x: x.unfold(2, 2, 1),
        lambda x: x.detach(),
        lambda x: x.data,
        lambda x: x.view_as(tg.ones(4, 6)),
        lambda x: x.view(tg.int32),
    ],
)
def test_shares_memory(take):
    x = tg.zeros(2, 3, 4)
    view = take(x)
    assert np.shares_memory(view.numpy(), x.numpy())


@pytest.mark.parametrize(
    "take",
    [
        lambda x: x.clone(),
        lambda x: x.transpose(0, 1).reshape(-1),
        lambda x: x.transpose(0, 1).contiguous(),
        lambda x: x[[0, 1]],
        lambda x: x[x == 0],
        lambda x: x.flip(0),
        lambda x: x.roll(1),
        lambda x: x.repeat(1, 1, 1),
        lambda x: x.tril(),
        lambda x: tg.cat([x]),
        lambda x: x.gather(0, tg.zeros(2, 3, 4, dtype=tg.int64)),
        lambda x: x.to(tg.float32, copy=True),
    ],
)
def test_copies(take):
    x = tg.zeros(2, 3, 4)
    assert not np.shares_memory(take(x).numpy(), x.numpy())


def test_a_view_of_one_element_is_a_view():
    x = tg.zeros(3)
    x[1].fill_(5)
    x[tg.tensor(2)] += 1
    assert x.tolist() == [0, 5, 1]


@given(draw.shapes(1, 4), st.data())
def test_view_exactly_where_pytorch_has_one(shape, data):
    torch = pytest.importorskip("torch")
    order = data.draw(st.permutations(range(len(shape))))
    step = data.draw(st.sampled_from([1, 1, 2]))
    merged = data.draw(st.integers(0, len(shape) - 1))
    array = np.arange(int(np.prod(shape))).reshape(shape)
    ours, theirs = (library.tensor(array).permute(tuple(order))[::step] for library in (tg, torch))
    sides = list(theirs.shape)
    new = (*sides[:merged], int(np.prod(sides[merged : merged + 2])), *sides[merged + 2 :])
    try:
        expected = theirs.view(new)
    except RuntimeError:
        with pytest.raises(ShapeError, match="use reshape"):
            ours.view(new)
        copied = ours.reshape(new)
        copied.add_(1)  # PyTorch copies too, so the copy may be written to
        assert not np.shares_memory(copied.numpy(), ours.numpy())
    else:
        view = ours.view(new)
        assert view.tolist() == expected.tolist()
        assert np.shares_memory(view.numpy(), ours.numpy())


@given(draw.shapes(0, 4), draw.shapes(0, 4))
def test_viewable_agrees_with_numpy(shape, new_shape):
    if np.prod(shape) == np.prod(new_shape):
        array = np.zeros(tuple(2 * side for side in shape))[(*(slice(0, side) for side in shape), ...)].T
        shares = np.may_share_memory(array.reshape(new_shape), array)
        assert viewable(array.shape, array.strides, new_shape) == shares


def channels_last(*shape):
    array = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    return tg.tensor(array).contiguous(memory_format=tg.channels_last), array


def test_channels_last_memory_reads_in_logical_order():
    x, array = channels_last(2, 3, 4, 5)
    assert x.stride() == (60, 1, 15, 3)
    assert not x.is_contiguous()
    assert x.is_contiguous(memory_format=tg.channels_last)
    for flat in (x.view(2, -1), x.flatten(1), x.reshape(2, -1), x.view(2, 3, 20), x[0].view(-1), x.contiguous()):
        np.testing.assert_array_equal(
            flat.numpy(), array.reshape(flat.shape) if flat.ndim > 1 else array[0].reshape(-1)
        )
    assert tg.cat([x, x], 1).is_contiguous(memory_format=tg.channels_last)
    assert x[tg.tensor([1, 0, 1])].is_contiguous(memory_format=tg.channels_last)
    assert x.to(tg.float32).is_contiguous(memory_format=tg.channels_last)


def test_gradients_reach_channels_last_inputs():
    x, array = channels_last(2, 3, 4, 5)
    x.requires_grad_()
    weights = np.random.default_rng(0).standard_normal((2, 60))
    x.view(2, -1).backward(tg.tensor(weights))
    np.testing.assert_array_equal(x.grad.numpy(), weights.reshape(array.shape))


def test_images_permuted_by_the_user_are_not_taken_for_channels_last():
    image = tg.rand(4, 5, 3).permute(2, 0, 1)  # (H, W, C) -> (C, H, W)
    with pytest.raises(ShapeError, match="use reshape"):
        image.view(-1)
    image.reshape(-1).add_(1)


def test_order_of_memory():
    assert is_channels_last_order((2, 3, 4, 5), (60, 1, 15, 3))
    assert is_channels_last_order((3, 4, 5), (1, 15, 3))
    assert not is_channels_last_order((2, 3, 4, 5), (60, 20, 5, 1))
    assert not is_channels_last_order((2, 3, 4, 5), (1, 2, 6, 24))
