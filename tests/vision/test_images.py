"""A dataset of images gives the same batches at once and one by one, whatever its transforms do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader, default_collate
from tinygrad_cnn.errors import ShapeError
from tinygrad_cnn.vision.datasets import ImageDataset
from tinygrad_cnn.vision.transforms import Compose, Normalize, ToTensor

from .files import images, labels

TRANSFORMS = {
    "none": None,
    "ToTensor": ToTensor(),
    "Compose": Compose([ToTensor(), Normalize(0.5, 0.25)]),
    "one by one": lambda image: image.numpy()[0, ::-1].copy(),
    "a number": lambda image: int(image.sum().item()),
    "a float": lambda image: float(image.sum().item()) / 2,
    "a pair": lambda image: (ToTensor()(image), image),
    "mixed": Compose([ToTensor(), lambda image: image * 2]),
}
TARGET_TRANSFORMS = {
    "none": None,
    "a number": lambda label: label % 2,
    "a float": lambda label: label / 2,
    "a name": str,
    "one hot": lambda label: np.eye(10, dtype=np.float32)[label],
}


def make(count: int = 12, **transforms) -> ImageDataset:
    return ImageDataset(images(count), labels(count), **transforms)


def plain(value):
    return (str(value.dtype), value.tolist()) if isinstance(value, tg.Tensor) else value


@pytest.mark.parametrize("target_transform", TARGET_TRANSFORMS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_batch_at_once_equals_samples_collated(transform, target_transform):
    dataset = make(transform=TRANSFORMS[transform], target_transform=TARGET_TRANSFORMS[target_transform])
    at_once = list(DataLoader(dataset, batch_size=5))
    one_by_one = list(DataLoader(dataset, batch_size=5, collate_fn=default_collate))
    assert len(at_once) == len(one_by_one) == 3
    for fast, slow in zip(at_once, one_by_one):
        for mine, other in zip(fast, slow, strict=True):
            if isinstance(mine, list):
                assert [plain(item) for item in mine] == [plain(item) for item in other]
            else:
                assert plain(mine) == plain(other)


def test_samples():
    dataset = make()
    image, label = dataset[-1]
    assert (tuple(image.shape), image.dtype, type(label), label) == ((1, 4, 4), tg.uint8, int, 1)
    assert image.tolist() == [images(12)[-1].tolist()]
    assert len(list(dataset)) == len(dataset) == 12
    with pytest.raises(IndexError):
        dataset[12]
    assert repr(make(transform=ToTensor())) == "ImageDataset: 12 images of 4x4, transform=ToTensor()"


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_a_batch_is_a_copy_of_what_was_asked_for(indices):
    dataset = make()
    pixels, targets = dataset.get_batch(np.array(indices))
    assert pixels.tolist() == images(12)[indices][:, None].tolist()
    assert targets.tolist() == labels(12)[indices].tolist()
    pixels.fill_(0)
    targets.fill_(0)
    assert dataset.data.tolist() == images(12).tolist()
    assert dataset.targets.tolist() == labels(12).tolist()


def test_a_transform_that_takes_batches_gets_them():
    class Shapes:
        works_on_batches = True
        seen: list = []  # noqa: RUF012

        def __call__(self, pixels):
            self.seen.append(tuple(pixels.shape))
            return pixels

    list(DataLoader(make(transform=Shapes()), batch_size=8))
    assert Shapes.seen == [(8, 1, 4, 4), (4, 1, 4, 4)]


def test_transforms_that_give_different_shapes():
    dataset = make(transform=lambda image: image[:, : 1 + int(image[0, 0, 0].item()) // 16])
    with pytest.raises(ShapeError, match=r"different shapes: \[\(1, 1, 4\), \(1, 2, 4\)\]"):
        dataset.get_batch(np.array([0, 1]))
