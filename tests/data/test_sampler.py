"""Samplers give PyTorch's orders and leave the generator where PyTorch leaves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.data import BatchSampler, RandomSampler, Sampler, SequentialSampler


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_sequential():
    sampler = SequentialSampler("abcd")
    assert list(sampler) == list(sampler) == [0, 1, 2, 3]
    assert len(sampler) == 4


@given(st.integers(1, 40))
def test_random_visits_everything_once(count):
    sampler = RandomSampler(range(count))
    assert len(sampler) == count
    assert sorted(sampler) == list(range(count))


@given(st.integers(1, 9), st.integers(1, 30))
def test_random_repeats_no_more_than_it_must(count, num_samples):
    order = list(RandomSampler(range(count), num_samples=num_samples))
    assert len(order) == num_samples
    assert all(
        len(set(order[start : start + count])) == len(order[start : start + count])
        for start in range(0, num_samples, count)
    )


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("num_samples", [None, 1, 6, 7, 8, 14, 40, 100])
def test_random_equals_pytorchs(torch, num_samples, replacement, own_generator):
    results = []
    for library, sampler_class in ((tg, RandomSampler), (torch, torch.utils.data.RandomSampler)):
        library.manual_seed(11)
        generator = library.Generator().manual_seed(5) if own_generator else None
        sampler = sampler_class(range(7), replacement, num_samples, generator)
        epochs = [list(sampler), list(sampler)]
        results.append((len(sampler), epochs, library.randperm(20, generator=generator).tolist()))
    assert results[0] == results[1]


def test_random_draws_when_it_is_read():
    generator = tg.Generator().manual_seed(0)
    order = iter(RandomSampler(range(20), generator=generator))
    generator.manual_seed(1)
    assert list(order) == tg.Generator().manual_seed(1).randperm(20).tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "the data source is empty"),
        (([], True, 3), ValueError, "the data source is empty"),
        (([1], False, 0), ValueError, "num_samples must be a positive int, got 0"),
        (([1], False, -2), ValueError, "num_samples must be a positive int, got -2"),
        (([1], False, 1.5), ValueError, "num_samples must be a positive int, got 1.5"),
        (([1], 1), TypeError, "replacement must be a bool, got 1"),
    ],
)
def test_random_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        RandomSampler(*arguments)


@given(st.integers(0, 25), st.integers(1, 9), st.booleans())
def test_batches(count, batch_size, drop_last):
    sampler = BatchSampler(SequentialSampler(range(count)), batch_size, drop_last)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    expected = [list(range(count))[start : start + batch_size] for start in range(0, count, batch_size)]
    if drop_last and count % batch_size:
        del expected[-1]
    assert batches == expected


def test_batches_of_any_iterable():
    assert list(BatchSampler("abcde", 2, False)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(BatchSampler(iter([3, 1, 2]), 2, True)) == [[3, 1]]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_batch_size_must_be_a_positive_int(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be a positive int, got {batch_size}"):
        BatchSampler(SequentialSampler([1]), batch_size, False)


def test_drop_last_must_be_a_bool():
    with pytest.raises(ValueError, match="drop_last must be a bool, got 1"):
        BatchSampler(SequentialSampler([1]), 2, 1)


def test_sampler_says_what_is_not_defined():
    with pytest.raises(NotImplementedError, match="Sampler does not define"):
        iter(Sampler())
    with pytest.raises(NotImplementedError, match="Sampler does not define"):
        len(Sampler())
