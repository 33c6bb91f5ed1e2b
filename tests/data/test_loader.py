"""The DataLoader visits samples in PyTorch's order; a batch is the same whether the dataset gives it at once or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.data import BatchSampler, DataLoader, Dataset, SequentialSampler, Subset, TensorDataset


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


class OneByOne(Dataset):
    """A dataset's samples without its ``get_batch``."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int):
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


def pairs(count: int) -> TensorDataset:
    images = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    return TensorDataset(tg.from_numpy(images), tg.from_numpy(np.arange(count) % 10))


def visited(loader) -> list[list[int]]:
    return [batch.tolist() for batch in loader]


# ---------------------------------------------------------------- the order

# PyTorch 2.13: manual_seed(0), two epochs of DataLoader(range(10), batch_size=4, shuffle=True)
ORDER_OF_SEED_0 = [[6, 7, 1, 4], [2, 0, 9, 8], [3, 5], [2, 4, 7, 0], [8, 9, 5, 3], [6, 1]]


def test_order_of_a_seed():
    tg.manual_seed(0)
    loader = DataLoader(range(10), batch_size=4, shuffle=True)
    assert visited(loader) == ORDER_OF_SEED_0[:3]
    assert visited(loader) == ORDER_OF_SEED_0[3:]


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", [1, 7, 12, 100])
def test_order_equals_pytorchs(torch, count, drop_last, own_generator):
    orders = []
    for library, loader_class in ((tg, DataLoader), (torch, torch.utils.data.DataLoader)):
        library.manual_seed(count)
        generator = library.Generator().manual_seed(5) if own_generator else None
        loader = loader_class(range(count), batch_size=4, shuffle=True, drop_last=drop_last, generator=generator)
        epochs = [visited(loader) for _ in range(3)]
        orders.append((len(loader), epochs, library.rand(1).item(), library.randperm(9, generator=generator).tolist()))
    assert orders[0] == orders[1]


def test_sequential_epochs_move_the_generator_as_pytorch_does(torch):
    numbers = []
    for library, loader_class in ((tg, DataLoader), (torch, torch.utils.data.DataLoader)):
        library.manual_seed(3)
        loader = loader_class(range(5), batch_size=2)
        assert visited(loader) == [[0, 1], [2, 3], [4]]
        numbers.append(library.rand(2).tolist())
    assert numbers[0] == numbers[1]


def test_two_iterators_at_once_and_one_given_up(torch):
    orders = []
    for library, loader_class in ((tg, DataLoader), (torch, torch.utils.data.DataLoader)):
        library.manual_seed(1)
        loader = loader_class(range(9), batch_size=2, shuffle=True)
        first, second = iter(loader), iter(loader)
        mixed = [next(first).tolist(), next(second).tolist(), next(first).tolist()]
        mixed += [*visited(second), *visited(first)]
        next(iter(loader))
        orders.append(mixed + visited(loader))
    assert orders[0] == orders[1]
    assert sorted(index for batch in orders[0][-5:] for index in batch) == list(range(9))


def test_without_shuffling_iterators_are_independent():
    loader = DataLoader(range(4), batch_size=2)
    assert [(a.tolist(), b.tolist()) for a, b in zip(loader, loader)] == [([0, 1], [0, 1]), ([2, 3], [2, 3])]
    assert [(a.tolist(), b.tolist()) for a in loader for b in loader] == [
        ([0, 1], [0, 1]),
        ([0, 1], [2, 3]),
        ([2, 3], [0, 1]),
        ([2, 3], [2, 3]),
    ]


@given(st.integers(0, 30), st.integers(1, 12), st.booleans())
def test_batches_are_cuts_of_the_order(count, batch_size, drop_last):
    loader = DataLoader(range(count), batch_size=batch_size, drop_last=drop_last)
    batches = visited(loader)
    assert len(loader) == len(batches)
    kept = count - count % batch_size if drop_last else count
    assert [index for batch in batches for index in batch] == list(range(kept))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_size for batch in batches)


# ---------------------------------------------------------------- the batches


@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 1000), st.booleans())
def test_a_batch_at_once_equals_samples_collated(count, batch_size, seed, subset):
    dataset = pairs(count)
    if subset:
        dataset = Subset(dataset, [(3 * i) % count for i in range(count + 2)])
    epochs = []
    for form in (dataset, OneByOne(dataset)):
        epochs.append(list(DataLoader(form, batch_size, shuffle=True, generator=tg.Generator().manual_seed(seed))))
    assert len(epochs[0]) == len(epochs[1])
    for fast, slow in zip(*epochs):
        assert type(fast) is type(slow) is list
        for one, other in zip(fast, slow, strict=True):
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist()


def test_a_dataset_is_asked_for_whole_batches():
    class Counting(TensorDataset):
        asked: list = []  # noqa: RUF012

        def get_batch(self, indices):
            self.asked.append(indices)
            return super().get_batch(indices)

        def __getitem__(self, index):
            raise AssertionError("one sample at a time")

    dataset = Counting(tg.arange(5))
    list(DataLoader(dataset, batch_size=2))
    list(DataLoader(Subset(dataset, [4, 0, 1]), batch_size=2))
    assert [indices.tolist() for indices in dataset.asked] == [[0, 1], [2, 3], [4], [4, 0], [1]]
    assert all(indices.dtype == np.int64 for indices in dataset.asked)


def test_a_subclass_that_redefines_samples_is_obeyed():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[0] * 2

    dataset = Doubled(tg.arange(5))
    assert visited(DataLoader(dataset, batch_size=3)) == [[0, 2, 4], [6, 8]]
    assert visited(DataLoader(Subset(dataset, [4, 1]), batch_size=2)) == [[8, 2]]


def test_a_sampler_subclass_that_redefines_the_order_is_obeyed():
    class Backwards(SequentialSampler):
        def __iter__(self):
            return iter(reversed(range(len(self.data_source))))

    class Overlapping(BatchSampler):
        def __iter__(self):
            yield [0, 1]
            yield [1, 2]

    dataset = TensorDataset(tg.arange(3))
    assert [b.tolist() for (b,) in DataLoader(dataset, 2, sampler=Backwards(dataset))] == [[2, 1], [0]]
    batch_sampler = Overlapping(SequentialSampler(dataset), 2, False)
    assert [b.tolist() for (b,) in DataLoader(dataset, batch_sampler=batch_sampler)] == [[0, 1], [1, 2]]


@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_batch_sampler_of_any_sequences(form):
    dataset = pairs(5)
    loader = DataLoader(dataset, batch_sampler=[form([0, 4]), form([2])])
    assert len(loader) == 2
    assert loader.batch_size is None
    assert [labels.tolist() for _, labels in loader] == [[0, 4], [2]]
    assert [labels.tolist() for _, labels in DataLoader(OneByOne(dataset), batch_sampler=[form([0, 4])])] == [[0, 4]]


def test_a_sampler_is_read_no_further_than_needed():
    def endless():
        index = 0
        while True:
            yield index % 3
            index += 1

    batches = iter(DataLoader(range(3), batch_size=2, sampler=endless()))
    assert [next(batches).tolist() for _ in range(3)] == [[0, 1], [2, 0], [1, 2]]


def test_keys_need_not_be_numbers():
    assert visited(DataLoader({"a": 1, "b": 2, "c": 3}, batch_size=2, sampler=["c", "a", "b"])) == [[3, 1], [2]]


def test_collate_fn_gets_the_samples():
    dataset = pairs(3)
    batches = list(DataLoader(dataset, batch_size=2, collate_fn=lambda samples: [int(y.item()) for _, y in samples]))
    assert batches == [[0, 1], [2]]


def test_single_samples():
    dataset = pairs(3)
    loader = DataLoader(dataset, batch_size=None)
    assert len(loader) == 3
    assert [(tuple(x.shape), y.item()) for x, y in loader] == [((2, 3), 0), ((2, 3), 1), ((2, 3), 2)]
    assert list(DataLoader(dataset, batch_size=None, collate_fn=lambda sample: sample[1].item())) == [0, 1, 2]
    assert [y.item() for _, y in DataLoader(dataset, batch_size=None, sampler=[2, 0])] == [2, 0]


def test_attributes():
    generator = tg.Generator()
    loader = DataLoader(range(7), 3, shuffle=True, drop_last=True, pin_memory=True, generator=generator)
    assert (len(loader), loader.batch_size, loader.drop_last, loader.num_workers) == (2, 3, True, 0)
    assert loader.generator is loader.sampler.generator is generator
    assert len(loader.batch_sampler) == 2


def test_empty_dataset():
    assert list(DataLoader([], batch_size=2)) == []
    assert len(DataLoader([], batch_size=2)) == 0


# ---------------------------------------------------------------- bad input


REFUSED = [
    ({"batch_size": 0}, "batch_size must be a positive int, got 0"),
    ({"batch_size": -1}, "batch_size must be a positive int, got -1"),
    ({"batch_size": 1.5}, "batch_size must be a positive int, got 1.5"),
    ({"batch_size": True}, "batch_size must be a positive int, got True"),
    ({"batch_size": "3"}, "batch_size must be a positive int, got '3'"),
    ({"sampler": [0], "shuffle": True}, "sampler and shuffle=True exclude each other"),
    ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler excludes batch_size"),
    ({"batch_sampler": [[0]], "shuffle": True}, "batch_sampler excludes batch_size, shuffle"),
    ({"batch_sampler": [[0]], "sampler": [0]}, "batch_sampler excludes batch_size, shuffle, sampler"),
    ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler excludes .* drop_last"),
    ({"batch_size": None, "drop_last": True}, "drop_last needs a batch_size"),
    ({"drop_last": "no"}, "drop_last must be a bool, got 'no'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader([1, 2], **arguments)


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in REFUSED])
def test_pytorch_refuses_them_too(torch, arguments):
    with pytest.raises(ValueError):
        torch.utils.data.DataLoader([1, 2], **arguments)


def test_there_are_no_workers():
    with pytest.raises(ValueError, match="num_workers must be 0, got 2"):
        DataLoader([1, 2], num_workers=2)


def test_nothing_to_shuffle():
    with pytest.raises(ValueError, match="the data source is empty"):
        DataLoader([], shuffle=True)


def test_samples_of_different_shapes():
    samples = [np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 9), np.float32)]
    with pytest.raises(tg.errors.ShapeError, match=r"\(1, 8, 8\), \(1, 8, 9\).*collate_fn"):
        next(iter(DataLoader(samples, batch_size=2)))


@pytest.mark.parametrize("form", [pairs, lambda count: OneByOne(pairs(count))])
def test_indices_that_are_not_there(form):
    with pytest.raises(IndexError):
        list(DataLoader(form(3), batch_size=2, sampler=[0, 3]))
    with pytest.raises(IndexError):
        list(DataLoader(Subset(form(3), [0, 3]), batch_size=2))
    with pytest.raises((TypeError, IndexError)):
        list(DataLoader(form(3), batch_size=2, sampler=[0, 1.5]))
