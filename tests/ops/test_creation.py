"""Creation and random numbers: values, dtypes and draws as PyTorch's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, GraphError

from . import draw


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (1.0, "float32"),
        (True, "bool"),
        ([True, 2], "int64"),
        ([1, 2.5, False], "float32"),
        ([], "float32"),
        ([[1], [2]], "int64"),
        (np.float64(1), "float64"),
        (np.arange(3, dtype=np.uint8), "uint8"),
        ([np.float64(1), 2], "float64"),
        (np.float32(3), "float32"),
    ],
)
def test_tensor_infers_the_dtype(data, dtype):
    assert tg.tensor(data).dtype == getattr(tg, dtype)
    np.testing.assert_array_equal(tg.tensor(data).numpy(), np.asarray(data))


def test_tensor_copies_and_takes_tensors_in_lists():
    array = np.ones(3, np.float32)
    x = tg.tensor(array)
    array[0] = 5
    assert x.tolist() == [1, 1, 1]
    assert tg.tensor([tg.tensor(1), tg.tensor(2.5)]).tolist() == [1, 2.5]
    assert tg.tensor([1.9, -1.9], dtype=tg.int64).tolist() == [1, -1]


def test_default_dtype_is_followed():
    tg.set_default_dtype(tg.float64)
    try:
        assert tg.tensor(1.0).dtype is tg.zeros(1).dtype is tg.rand(1).dtype is tg.float64
    finally:
        tg.set_default_dtype(tg.float32)


def test_from_numpy_shares_memory_and_as_tensor_too():
    array = np.zeros((2, 3))
    x, y = tg.from_numpy(array), tg.as_tensor(array)
    array[0, 0] = 7
    x[1, 1] = 8
    assert y[0, 0].item() == 7
    assert array[1, 1] == y[1, 1].item() == 8
    assert tg.as_tensor(x) is x
    assert tg.as_tensor(array, dtype=tg.float32).dtype is tg.float32
    array.flags.writeable = False
    with pytest.raises(GraphError, match="read-only"):
        tg.from_numpy(array).zero_()


@given(st.tuples(*[st.integers(-5, 5)] * 3), st.sampled_from([1, 0.5, 0.3]))
def test_arange_and_linspace(numbers, scale):
    torch = pytest.importorskip("torch")
    start, end, step = (number * scale for number in numbers)
    if step and (end - start) * step >= 0:
        ours, theirs = tg.arange(start, end, step), torch.arange(start, end, step)
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=3e-7, atol=1e-6)
    count = abs(numbers[2])
    np.testing.assert_allclose(
        tg.linspace(start, end, count).numpy(), torch.linspace(start, end, count).numpy(), rtol=3e-7, atol=1e-6
    )


def test_constants():
    assert tg.full((2,), 3).dtype is tg.int64
    assert tg.full((2,), True).dtype is tg.bool
    assert tg.full((), 2.5).item() == 2.5
    assert tg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    x = tg.ones(2, 3, 4, 5).contiguous(memory_format=tg.channels_last)
    for made in (tg.zeros_like(x), tg.full_like(x, 2), tg.rand_like(x), tg.empty_like(x), x.clone(), x * 2):
        assert made.is_contiguous(memory_format=tg.channels_last)
    assert tg.zeros_like(x, memory_format=tg.contiguous_format).is_contiguous()
    assert tg.empty(2, 3, 4, 5, memory_format=tg.channels_last).stride() == (60, 1, 15, 3)
    y = tg.ones(2, dtype=tg.float64)
    assert y.new_zeros(3).dtype is y.new_tensor([1]).dtype is y.new_full((1,), 2).dtype is tg.float64
    assert tg.zeros(2, requires_grad=True).requires_grad


DRAWS = [
    ("rand", ((3, 5),), {}),
    ("rand", (7,), {"dtype": "float64"}),
    ("randint", (10, (20,)), {}),
    ("randint", (-3, 2**40, (9,)), {}),
    ("randperm", (50,), {}),
    ("randn", (5,), {}),
    ("randn", (4, 9), {}),
    ("randn", (40,), {"dtype": "float64"}),
    ("normal", (2.0, 3.0, (33,)), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), DRAWS)
def test_draws_are_pytorchs(name, args, options):
    torch = pytest.importorskip("torch")
    results = []
    for library in (tg, torch):
        keywords = {key: getattr(library, value) for key, value in options.items()}
        generator = library.Generator().manual_seed(11)
        results.append([getattr(library, name)(*args, generator=generator, **keywords).numpy() for _ in range(3)])
    for ours, theirs in zip(*results):
        if "n" in name[4:] or name == "normal":
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@given(draw.seeds)
def test_draws_in_place_and_bernoulli_are_pytorchs(seed):
    torch = pytest.importorskip("torch")
    p = np.random.default_rng(seed).random((4, 5))
    results = []
    for library in (tg, torch):
        library.manual_seed(seed)
        x = library.empty(3, 7)
        results.append(
            [
                library.bernoulli(library.tensor(p)).numpy(),
                library.bernoulli(library.tensor(p).float()).numpy(),
                library.zeros(30).bernoulli_(0.3).numpy(),
                x.uniform_(-0.3, 0.8).numpy().copy(),
                x.random_(5, 50).numpy().copy(),
            ]
        )
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours, theirs)


def test_a_generator_of_its_own_leaves_the_default_one_alone():
    tg.manual_seed(0)
    expected = tg.rand(3).tolist()
    tg.manual_seed(0)
    tg.rand(5, generator=tg.Generator().manual_seed(9))
    assert tg.rand(3).tolist() == expected


# ---------------------------------------------------------------- copies


def test_to_gives_itself_unless_something_changes():
    x = tg.rand(2, 3, requires_grad=True)
    assert x.to("cpu") is x.to(tg.float32) is x.to(x) is x.float() is x.cpu() is x
    assert x.to("cpu", tg.float64).dtype is x.to(tg.float64, copy=True).dtype is x.double().dtype is tg.float64
    assert x.to(x, copy=True) is not x
    x.double().backward(tg.ones(2, 3, dtype=tg.float64))
    assert x.grad.dtype is tg.float32
    with pytest.raises(RuntimeError, match="device must be 'cpu', got 'cuda'"):
        x.to("cuda")
    assert x.type() == "tinygrad_cnn.FloatTensor"
    assert x.type("tinygrad_cnn.LongTensor").dtype is tg.int64


def test_deepcopy_of_a_leaf_and_of_nothing_else():
    x = tg.rand(2, requires_grad=True)
    (x * 2).backward(tg.ones(2))
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert a.requires_grad
    assert a.grad.tolist() == [2, 2]
    with tg.no_grad():
        a.zero_()
        a.grad.zero_()
    assert (x.detach().numpy() != 0).all()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(GraphError, match="only a leaf"):
        copy.deepcopy(x * 2)
    assert copy.copy(x).data_ptr() == x.data_ptr()


def test_pickling_is_refused():
    with pytest.raises(TypeError, match="safetensors"):
        pickle.dumps(tg.ones(2))


def test_properties():
    x = tg.zeros(2, 3, 4)
    assert (x.dim(), x.ndim, x.numel(), x.nelement(), x.element_size(), x.nbytes) == (3, 3, 24, 24, 4, 96)
    assert x.size() == (2, 3, 4)
    assert x.size(-1) == 4
    assert x.stride() == (12, 4, 1)
    assert x.transpose(0, 2).stride(0) == 1
    assert not x.transpose(0, 2).is_contiguous()
    assert x.transpose(0, 2).contiguous().is_contiguous()
    assert x.is_floating_point()
    assert not x.long().is_floating_point()
    assert tg.is_tensor(x)
    assert not tg.is_tensor([1])


def test_conversion_truncates_as_pytorch():
    assert tg.tensor([1.9, -1.9, 300.5]).int().tolist() == [1, -1, 300]
    assert tg.tensor([0.0, 0.1]).bool().tolist() == [False, True]
    with pytest.raises(DTypeError, match="complex"):
        tg.ones(2).to(np.complex64)
