"""Datasets: anything with a length and items, and the ones made of Tensors.

A dataset may also define ``get_batch(indices)`` and give a whole batch at once.  Those of this library do: a batch is
one fancy index per array, never a Python loop over samples.  A subclass that redefines ``__getitem__`` alone is read
sample by sample.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Generator, Tensor, default_generator, wrap
from ..errors import DTypeError, ShapeError
from .collate import default_collate


class Dataset:
    """Base class of datasets with random access: subclasses define ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: int) -> Any:
        """Sample ``index``."""
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__()")

    def __len__(self) -> int:
        """The number of samples."""
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]


class TensorDataset(Dataset):
    """Samples are slices of Tensors along their first dimension, as ``torch.utils.data.TensorDataset``.

    Args:
        *tensors: each of shape (N, ...), with one N.

    Raises:
        DTypeError: an argument is not a Tensor.
        ShapeError: no tensors, a 0-dimensional one, or first dimensions that differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ShapeError("TensorDataset: at least one tensor is needed")
        for number, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise DTypeError(f"TensorDataset: argument {number} must be a Tensor, got {type(tensor).__name__}")
            if tensor.ndim == 0 or tensor.shape[0] != tensors[0].shape[0]:
                raise ShapeError(
                    f"TensorDataset: sizes differ: argument 0 has shape {tuple(tensors[0].shape)}, argument {number} "
                    f"{tuple(tensor.shape)}"
                )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(wrap(tensor._array[index]) for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def get_batch(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        """The samples of these indices, (B,) int64, stacked: one Tensor (B, ...) per tensor."""
        return tuple(wrap(tensor._array[indices]) for tensor in self.tensors)


class Subset(Dataset):
    """Some samples of a dataset, as ``torch.utils.data.Subset``.

    Args:
        dataset: where they come from.
        indices: which ones, in order.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[operator.index(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)

    def get_batch(self, indices: np.ndarray) -> Any:
        """The samples of these indices of the subset, (B,) int64, as the dataset's batch."""
        return batch_of(self.dataset, [operator.index(self.indices[index]) for index in indices])


def batch_of(dataset: Dataset, indices: Iterable[int]) -> Any:
    """The samples of these indices as one batch: given by the dataset at once, or collated sample by sample."""
    get_batch = _own_get_batch(dataset)
    if get_batch is None:
        return default_collate([dataset[index] for index in indices])
    batch = get_batch(np.fromiter(map(operator.index, indices), np.int64))
    return list(batch) if isinstance(batch, tuple) else batch


def _own_get_batch(dataset: Dataset) -> Callable[[np.ndarray], Any] | None:
    """The dataset's ``get_batch``, unless a subclass has redefined what a sample is and left it behind."""
    for cls in type(dataset).__mro__:
        if "get_batch" in vars(cls):
            return dataset.get_batch  # type: ignore[attr-defined]
        if "__getitem__" in vars(cls):
            return None
    return None


def random_split(
    dataset: Dataset, lengths: Sequence[int | float], generator: Generator = default_generator
) -> list[Subset]:
    """Split a dataset into random, disjoint parts, as ``torch.utils.data.random_split``.

    Args:
        dataset: what is split.
        lengths: sizes that add up to ``len(dataset)``, or fractions that add up to 1 (what rounding leaves over goes
            to the first parts, one each).
        generator: where the permutation is drawn from.

    Raises:
        ShapeError: the lengths do not add up, or one is negative or not whole.
    """
    total = len(dataset)
    if any(length < 0 for length in lengths):
        raise ShapeError(f"random_split: lengths must not be negative, got {list(lengths)}")
    sizes = [int(length) for length in lengths]
    fractions = math.isclose(sum(lengths), 1)
    if fractions:
        sizes = [math.floor(total * length) for length in lengths]
        for part in range(total - sum(sizes)):
            sizes[part % len(sizes)] += 1
    if sum(sizes) != total or not (fractions or sizes == list(lengths)):
        raise ShapeError(f"random_split: lengths {list(lengths)} do not add up to the dataset's {total} samples")
    order = generator.randperm(total)
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]
