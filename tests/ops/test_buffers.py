"""The buffer pool: a block is used again only when nothing can see it, and the pool stays small."""

from __future__ import annotations

import gc
import threading
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.ops import buffers

LARGE = (64, 1024)  # 256 KiB of float32


def float32(shape):
    return buffers.empty(shape, np.dtype("float32"))


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def _empty_pool():
    buffers.release()
    yield
    buffers.release()


def test_a_block_is_used_again_when_its_array_is_gone():
    first = float32(LARGE)
    place = address(first)
    del first
    assert address(float32(LARGE)) == place


@pytest.mark.parametrize(
    "look",
    [
        lambda a: a[3:5],
        lambda a: a.reshape(64, 32, 32)[1].T[::2][3:],
        lambda a: memoryview(a),
        lambda a: np.frombuffer(a, np.uint8),
        lambda a: a.view(np.int32)[0],
        lambda a: np.asarray(memoryview(a))[1:],
        lambda a: np.lib.stride_tricks.as_strided(a, (2, 2)),
        lambda a: a.flat,
    ],
    ids=[
        "slice",
        "chain of views",
        "memoryview",
        "frombuffer",
        "other dtype",
        "array of memoryview",
        "strided",
        "flat",
    ],
)
def test_whatever_looks_at_the_memory_keeps_it(look):
    array = float32(LARGE)
    array.fill(7)
    kept = look(array)
    before = bytes(np.asarray(kept).tobytes())
    place = address(array)
    del array
    gc.collect()
    others = [float32(LARGE) for _ in range(4)]
    for other in others:
        assert address(other) != place
        other.fill(1)
    assert np.asarray(kept).tobytes() == before


def test_views_held_over_100_steps_keep_their_bytes():
    held = []
    for step in range(100):
        arrays = [float32((40 + step % 3, 1024)) for _ in range(5)]
        for array in arrays:
            array.fill(step)
        held.append((step, arrays[step % 5][step % 40 :, ::7]))
    for step, view in held:
        assert (view == step).all()


def test_what_a_training_step_hands_out_keeps_its_bytes_over_100_steps():
    """Views of activations, gradients and arrays given to NumPy, while every step reuses what the last one gave back"""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 13 * 13, 10))
    optimizer = tg.optim.Adam(model.parameters())
    images, labels = tg.randn(8, 1, 28, 28), tg.randint(0, 10, (8,))
    held = []
    for step in range(100):
        features = model[1](model[0](images))
        loss = F.cross_entropy(model[4](model[3](model[2](features))), labels)
        optimizer.zero_grad()
        loss.backward()
        looks = [
            features.detach()[step % 8].numpy()[::5],
            model[0].weight.grad.numpy().T,
            model[4].weight.grad[3:].numpy(),
        ]
        kept = looks[step % 3]
        held.append((kept, kept.tobytes()))
        optimizer.step()
    for view, before in held:
        assert view.tobytes() == before


@pytest.mark.parametrize("batch", [64, 256])
def test_a_repeated_step_makes_no_blocks(batch, monkeypatch):
    """LeNet-5's arrays have so many sizes that a pool that is too small for them would make some in every step."""
    buffers.release()
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    images, labels = tg.randn(batch, 1, 28, 28), tg.randint(0, 10, (batch,))
    made = []
    make = buffers._Block.__init__
    monkeypatch.setattr(buffers._Block, "__init__", lambda block, size: (made.append(size), make(block, size))[1])
    for _ in range(5):
        made.clear()
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
    assert made == []


@mock.patch.object(buffers, "SPARE", 0)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 600)), max_size=60))
def test_living_arrays_never_overlap_and_the_pool_stays_small(steps):
    buffers.release()
    living: list[tuple[int, np.ndarray]] = []
    for number, (allocate, size) in enumerate(steps):
        if allocate or not living:
            array = float32((size, 300))
            assert array.flags.carray
            array.fill(number)
            living.append((number, array))
        else:
            living.pop(size % len(living))
            array = None
        for value, array in living:
            assert (array == value).all()
        array = None
        found = buffers.statistics()
        assert found["in_use"] + found["idle"] <= buffers.SLACK * found["most_in_use"] + 1
    living.clear()
    assert buffers.statistics()["in_use"] == 0


def test_large_blocks_are_aligned_and_small_ones_are_numpys():
    for rows in (17, 100, 333):
        assert address(float32((rows, 1000))) % buffers.ALIGNMENT == 0
    assert float32((4,)).flags.owndata


def test_zero_sized_and_channels_last():
    assert float32((0, 5)).shape == (0, 5)
    model = np.empty((8, 20, 20, 32), "float32").transpose(0, 3, 1, 2)
    like = buffers.empty_like(model)
    assert like.shape == model.shape
    assert like.strides == model.strides


def test_threads_get_different_blocks():
    errors = []

    def work(value):
        for _ in range(200):
            array = float32(LARGE)
            array.fill(value)
            if not (array == value).all():
                errors.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_request_that_cannot_be_met_leaves_the_pool_usable():
    with pytest.raises(MemoryError):
        float32((1 << 50,))
    assert buffers.statistics()["in_use"] == 0
    float32(LARGE).fill(0)


def test_what_is_taken_of_a_lease_gives_no_block_back():
    array = float32(LARGE)
    place, before = address(array), buffers.statistics()["in_use"]
    part = array.base[8:16]
    del part
    assert buffers.statistics()["in_use"] == before
    part = array.base[8:16]
    del array
    assert buffers.statistics()["in_use"] == before  # it is seen through part
    assert not np.may_share_memory(float32(LARGE), part)
    del part
    assert place in (address(first) for first in (float32(LARGE), float32(LARGE)))


def test_scratch_memory_is_the_same_for_all_dtypes():
    small = buffers.scratch(1000, np.dtype("float32"))
    assert small.size >= 1000
    assert small.dtype == np.float32
    large = buffers.scratch(small.size + 1, np.dtype("float64"))
    assert large.size > small.size
    assert large.dtype == np.float64
    assert address(buffers.scratch(1000, np.dtype("float32"))) == address(large)
    assert buffers.scratch(0, np.dtype("float32")).size == 0
