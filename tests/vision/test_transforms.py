"""Each transform is its formula, on one image and on a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.vision.transforms import Compose, Normalize, ToTensor

PIXELS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4))
BATCHES = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(0, 3), st.just(3), st.integers(1, 4), st.integers(1, 4)),
    elements=st.floats(-8, 8, width=32),
)


@given(PIXELS, st.sampled_from([255, 16, 1]))
def test_to_tensor_of_a_tensor(pixels, max_value):
    result = ToTensor(max_value)(tg.from_numpy(pixels))
    assert result.dtype == tg.float32
    assert np.array_equal(result.numpy(), pixels.astype(np.float32) / np.float32(max_value))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=4)))
def test_to_tensor_of_an_array(pixels):
    result = ToTensor()(pixels).numpy()
    channels_first = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    assert np.array_equal(result, channels_first.astype(np.float32) / np.float32(255))


def test_to_tensor_rounds_as_pytorch_does():
    torch = pytest.importorskip("torch")
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert ToTensor()(pixels)[0].tolist() == torch.from_numpy(pixels).to(torch.float32).div(255).tolist()


def test_to_tensor_leaves_its_input_alone():
    pixels = np.full((1, 2, 2), 7, np.uint8)
    ToTensor()(tg.from_numpy(pixels)).fill_(0)
    assert (pixels == 7).all()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros(3, np.uint8), ShapeError, r"\(H, W\) or \(H, W, C\), got shape \(3,\)"),
        (np.zeros((1, 1, 2, 2), np.uint8), ShapeError, r"got shape \(1, 1, 2, 2\)"),
        (tg.zeros(3, dtype=tg.uint8), ShapeError, r"\(..., H, W\), got shape \(3,\)"),
        (np.zeros((2, 2)), DTypeError, "must be uint8, got float64"),
        (tg.zeros(1, 2, 2), DTypeError, "must be uint8, got float32"),
        ([[1]], DTypeError, "must be a Tensor or a NumPy array, got list"),
    ],
)
def test_to_tensor_refuses(image, error, message):
    with pytest.raises(error, match=message):
        ToTensor()(image)


@pytest.mark.parametrize("max_value", [0, -1, float("nan")])
def test_max_value_must_be_positive(max_value):
    with pytest.raises(ValueError, match=f"max_value must be positive, got {max_value}"):
        ToTensor(max_value)


@given(BATCHES)
def test_normalize(batch):
    mean, std = (0.5, -1.0, 2.0), (0.25, 2.0, -4.0)
    result = Normalize(mean, std)(tg.from_numpy(batch))
    assert result.dtype == batch.dtype
    expected = [(batch[:, c] - batch.dtype.type(mean[c])) / batch.dtype.type(std[c]) for c in range(3)]
    assert np.array_equal(result.numpy(), np.stack(expected, axis=1))
    for image, normalized in zip(batch, result.numpy()):
        assert np.array_equal(Normalize(mean, std)(tg.from_numpy(image)).numpy(), normalized)


@pytest.mark.parametrize("one", [0.5, (0.5,), np.array([0.5])])
def test_normalize_with_one_number_for_all_channels(one):
    batch = tg.rand(2, 3, 4, 4)
    assert Normalize(one, one)(batch).tolist() == Normalize([0.5] * 3, [0.5] * 3)(batch).tolist()


def test_normalize_undoes_a_mean_and_a_deviation():
    pixels = tg.rand(5, 1, 9, 9)
    result = Normalize(pixels.mean().item(), pixels.numpy().std())(pixels).numpy()
    assert result.mean() == pytest.approx(0, abs=1e-6)
    assert result.std() == pytest.approx(1, abs=1e-6)


def test_normalize_leaves_its_input_alone():
    pixels = tg.ones(1, 2, 2)
    Normalize(1, 2)(pixels)
    assert pixels.tolist() == [[[1, 1], [1, 1]]]


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (tg.zeros(2, 4, 4), ShapeError, r"3 channels expected, the image has shape \(2, 4, 4\)"),
        (tg.zeros(1, 4, 4), ShapeError, r"3 channels expected, the image has shape \(1, 4, 4\)"),
        (tg.zeros(4, 2, 2), ShapeError, r"3 channels expected, the image has shape \(4, 2, 2\)"),
        (tg.zeros(4, 4), ShapeError, r"shape \(4, 4\)"),
        (tg.zeros(3, 4, 4, dtype=tg.uint8), DTypeError, r"floating-point, got .*uint8; use ToTensor\(\) before"),
        (np.zeros((3, 4, 4), np.float32), DTypeError, "must be a Tensor, got ndarray"),
    ],
)
def test_normalize_refuses(image, error, message):
    with pytest.raises(error, match=message):
        Normalize((0, 0, 0), (1, 1, 1))(image)


def test_normalize_refuses_arguments():
    with pytest.raises(ShapeError, match="2 means but 1 standard deviations"):
        Normalize((0, 0), (1,))
    with pytest.raises(ValueError, match=r"std must not contain 0, got \(1\.0, 0\.0\)"):
        Normalize((0, 0), (1, 0))


def test_compose():
    steps = Compose([lambda x: x + 1, lambda x: x * 10])
    assert steps(1) == 20
    assert Compose([])(5) == 5
    assert not steps.works_on_batches
    assert Compose([ToTensor(), Compose([Normalize(0, 1)])]).works_on_batches
    assert not Compose([ToTensor(), abs]).works_on_batches


def test_repr():
    steps = Compose([ToTensor(), ToTensor(16), Normalize((0.5,), (0.25,))])
    assert repr(steps) == (
        "Compose(\n    ToTensor()\n    ToTensor(max_value=16)\n    Normalize(mean=(0.5,), std=(0.25,))\n)"
    )
