"""The digits that come with the package: their number, their split, their values."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader
from tinygrad_cnn.vision.datasets import Digits
from tinygrad_cnn.vision.datasets.digits import every_fifth_of_each_class
from tinygrad_cnn.vision.transforms import ToTensor


def test_sizes_and_dtypes():
    train, test = Digits(), Digits(train=False)
    assert (train.train, test.train) == (True, False)
    assert tuple(train.data.shape) == (1442, 8, 8)
    assert tuple(test.data.shape) == (355, 8, 8)
    assert (train.data.dtype, train.targets.dtype) == (tg.uint8, tg.int64)
    assert (train.data.min().item(), train.data.max().item(), Digits.max_value) == (0, 16, 16)
    assert train.classes == list("0123456789")


def test_classes_are_balanced():
    train, test = (np.bincount(Digits(train).targets.numpy(), minlength=10) for train in (True, False))
    assert test.tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (test == (train + test) // 5).all()


def test_the_images_are_scikit_learns():
    published = pytest.importorskip("sklearn.datasets").load_digits()
    ours = [
        (label, image.tobytes())
        for part in (Digits(), Digits(train=False))
        for image, label in zip(part.data.numpy(), part.targets.tolist(), strict=True)
    ]
    theirs = [
        (int(label), image.astype(np.uint8).tobytes()) for image, label in zip(published.images, published.target)
    ]
    assert sorted(ours) == sorted(theirs)


def test_every_fifth_of_each_class():
    labels = np.array([3, 3, 7, 3, 3, 3, 7, 7, 7, 3, 7, 3, 3, 3, 3])
    assert np.flatnonzero(every_fifth_of_each_class(labels)).tolist() == [5, 10, 14]
    assert every_fifth_of_each_class(np.array([], np.uint8)).tolist() == []


def test_in_batches():
    loader = DataLoader(Digits(transform=ToTensor(Digits.max_value)), batch_size=500)
    batches = [(tuple(images.shape), images.dtype, images.max().item()) for images, _ in loader]
    assert batches == [((500, 1, 8, 8), tg.float32, 1.0)] * 2 + [((442, 1, 8, 8), tg.float32, 1.0)]
