"""Samplers: the order in which a DataLoader visits a dataset."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized

import numpy as np

from ..autograd import Generator, default_generator


class Sampler:
    """Base class: an iterable of indices with a length, as ``torch.utils.data.Sampler``."""

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")


class SequentialSampler(Sampler):
    """0, 1, 2 ... in order."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A random permutation for every epoch, or draws with replacement; the same order as PyTorch's for one seed.

    Args:
        data_source: its length is what is drawn from.
        replacement: draw every index independently.
        num_samples: how many indices an epoch has.  Default: ``len(data_source)``.
        generator: where the permutation is drawn from.  Default: a generator seeded for every epoch by a draw from
            the default one.

    Raises:
        TypeError: ``replacement`` is not a bool.
        ValueError: ``num_samples`` is not a positive int, or the data source is empty.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0):
            raise ValueError(f"RandomSampler: num_samples must be a positive int, got {num_samples!r}")
        if len(data_source) == 0:
            raise ValueError("RandomSampler: the data source is empty, there is nothing to draw from")
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, count = len(self.data_source), self.num_samples
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(random_seed(default_generator))
        if self.replacement:
            yield from generator.integers(0, n, (count,)).tolist()
            return
        # PyTorch draws one permutation more than the whole ones, for the rest, even if there is none.  That shows only
        # in the state of a generator that lives on.
        permutations = count // n + 1 if self.generator is not None else -(-count // n)
        for start in range(0, permutations * n, n):
            yield from generator.randperm(n)[: max(0, count - start)].tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Groups the indices of a sampler into batches, as ``torch.utils.data.BatchSampler``.

    Args:
        sampler: an iterable of indices.
        batch_size: indices per batch.
        drop_last: leave out a last batch that is smaller.

    Raises:
        ValueError: ``batch_size`` is not a positive int, or ``drop_last`` not a bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size must be a positive int, got {batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:  # type: ignore[override]
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def random_seed(generator: Generator) -> int:
    """A seed drawn as PyTorch draws it: the low 63 bits of a 64-bit word."""
    return int(generator.long_words(1)[0] & np.uint64(2**63 - 1))
