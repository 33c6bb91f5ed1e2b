"""The DataLoader: a dataset in batches, shuffled anew every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..autograd import Generator, default_generator
from .dataset import Dataset, batch_of
from .sampler import BatchSampler, RandomSampler, SequentialSampler, random_seed


class DataLoader:
    """Iterates over a dataset in batches, as ``torch.utils.data.DataLoader``, in the same order for the same seed.

    A dataset that has ``get_batch(indices)`` (those of this library do) gives every batch in one go; any other is read
    sample by sample and collated.  Loading happens in the calling thread: for data that is an array already, worker
    processes would only add copies, so ``num_workers`` must be 0.

    Args:
        dataset: an object with ``__len__`` and ``__getitem__``.
        batch_size: samples per batch; None gives single samples, uncollated.
        shuffle: a new random order every epoch.
        sampler: an iterable of indices that decides the order; excludes ``shuffle``.
        batch_sampler: an iterable of lists of indices; excludes the four arguments that would make one.
        num_workers: 0.
        collate_fn: makes a batch of a list of samples.  Default: ``default_collate``.
        pin_memory: accepted and ignored; there is no device to copy to.
        drop_last: leave out a last batch that is smaller than ``batch_size``.
        generator: the source of the shuffling.  Default: the default generator.

    Raises:
        ValueError: arguments that exclude each other or are out of range, or nothing to shuffle.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        if num_workers != 0:
            raise ValueError(f"DataLoader: num_workers must be 0, got {num_workers}: batches are made in this thread")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle=True exclude each other")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator
        self.collate_fn = collate_fn

    def __iter__(self) -> Iterator[Any]:
        # PyTorch draws a seed for its workers at the start of every epoch; drawing it keeps the two in step.
        random_seed(self.generator or default_generator)
        return self._single_samples() if self.batch_sampler is None else self._batches()

    def _single_samples(self) -> Iterator[Any]:
        for index in self.sampler:
            sample = self.dataset[index]
            yield sample if self.collate_fn is None else self.collate_fn(sample)

    def _batches(self) -> Iterator[Any]:
        assert self.batch_sampler is not None
        for indices in self.batch_sampler:
            if self.collate_fn is None:
                yield batch_of(self.dataset, indices)
            else:
                yield self.collate_fn([self.dataset[index] for index in indices])

    def __len__(self) -> int:
        """Batches per epoch: the iterations that one epoch takes."""
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
