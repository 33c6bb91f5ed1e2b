"""Datasets of Tensors, subsets and random splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.data import Dataset, Subset, TensorDataset, random_split
from tinygrad_cnn.errors import DTypeError, ShapeError


@pytest.fixture
def dataset() -> TensorDataset:
    return TensorDataset(tg.arange(6.0).reshape(3, 2), tg.tensor([7, 8, 9]))


def test_tensor_dataset(dataset):
    image, label = dataset[1]
    assert image.tolist() == [2, 3]
    assert (label.dtype, tuple(label.shape), label.item()) == (tg.int64, (), 8)
    assert dataset[-1][1].item() == 9
    assert dataset[1:][1].tolist() == dataset[tg.tensor([1, 2])][1].tolist() == [8, 9]
    assert len(dataset) == 3
    assert [label.item() for _, label in dataset] == [7, 8, 9]
    images, labels = dataset.get_batch(np.array([2, 0, 2]))
    assert images.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert labels.tolist() == [9, 7, 9]
    for outside in (3, -4):
        with pytest.raises(IndexError):
            dataset[outside]


def test_a_batch_is_a_copy(dataset):
    dataset.get_batch(np.array([0, 1]))[1].fill_(0)
    assert dataset.tensors[1].tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        (lambda: (), ShapeError, "at least one tensor"),
        (lambda: (tg.ones(2), tg.ones(3)), ShapeError, r"argument 0 has shape \(2,\), argument 1 \(3,\)"),
        (lambda: (tg.tensor(1.0),), ShapeError, r"argument 0 \(\)"),
        (lambda: (np.ones(2),), DTypeError, "argument 0 must be a Tensor, got ndarray"),
    ],
)
def test_tensor_dataset_refuses(tensors, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*tensors())


def test_dataset_says_what_is_not_defined():
    with pytest.raises(NotImplementedError, match=r"Dataset does not define __getitem__\(\)"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match=r"Dataset does not define __len__\(\)"):
        len(Dataset())


@pytest.mark.parametrize("indices", [[2, 0], (2, 0), np.array([2, 0]), range(2, -1, -2)])
def test_subset(dataset, indices):
    subset = Subset(dataset, indices)
    assert len(subset) == 2
    assert [label.item() for _, label in subset] == [9, 7]
    assert subset[-1][1].item() == 7
    assert subset.get_batch(np.array([1, 0]))[1].tolist() == [7, 9]
    assert Subset(subset, [1]).get_batch(np.array([0]))[1].tolist() == [7]


def test_subset_by_a_tensor(dataset):
    subset = Subset(dataset, tg.tensor([2, 0]))
    assert [label.item() for _, label in subset] == subset.get_batch(np.array([0, 1]))[1].tolist() == [9, 7]


def test_subset_does_not_round_indices(dataset):
    subset = Subset(dataset, [0.5])
    with pytest.raises(TypeError):
        subset[0]
    with pytest.raises(TypeError):
        subset.get_batch(np.array([0]))


@given(st.integers(1, 60), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_random_split_covers_everything_once(total, weights):
    fractions = [weight / sum(weights) for weight in weights]
    parts = random_split(range(total), fractions)
    assert sorted(index for part in parts for index in part) == list(range(total))
    for part, fraction in zip(parts, fractions, strict=True):
        assert int(total * fraction) <= len(part) <= int(total * fraction) + 1


@pytest.mark.filterwarnings("ignore:Length of split")  # PyTorch's
@pytest.mark.parametrize(
    "lengths", [[6, 4], [10], [0, 10], [0.5, 0.5], [0.3, 0.3, 0.4], [0.01, 0.99], [1.0], [1, 0], [0.25, 0.75]]
)
def test_random_split_equals_pytorchs(lengths):
    torch = pytest.importorskip("torch")
    splits = []
    for library, split in ((tg, random_split), (torch, torch.utils.data.random_split)):
        library.manual_seed(4)
        split(range(10), [10])
        default = split(range(10), lengths)
        given = split(range(10), lengths, generator=library.Generator().manual_seed(2))
        splits.append([[int(i) for i in part.indices] for part in (*default, *given)])
    assert splits[0] == splits[1]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([5, 6], r"lengths \[5, 6\] do not add up to the dataset's 10 samples"),
        ([0.3, 0.3], "do not add up"),
        ([5.5, 5.5], "do not add up"),
        ([5.5, 4.5], "do not add up"),
        ([], "do not add up"),
        ([-1, 11], r"must not be negative, got \[-1, 11\]"),
        ([1.5, -0.5], "must not be negative"),
    ],
)
def test_random_split_refuses(lengths, message):
    with pytest.raises(ShapeError, match=message):
        random_split(range(10), lengths)
