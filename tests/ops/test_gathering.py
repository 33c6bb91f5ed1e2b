"""What the rows leave out: empty and 0-dimensional cases, larger sources, int32 indices, every dtype."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg


def test_a_source_larger_than_the_index_gets_zeros_where_it_is_not_read():
    src = tg.ones(3, 4, requires_grad=True)
    index = tg.tensor([[0, 1], [1, 0]])
    for function in (tg.scatter, tg.scatter_add):
        src.grad = None
        function(tg.zeros(2, 2), 0, index, src).backward(tg.ones(2, 2))
        expected = np.zeros((3, 4))
        expected[:2, :2] = 1
        np.testing.assert_array_equal(src.grad.numpy(), expected)


def test_empty_and_scalar_cases_as_pytorch():
    torch = pytest.importorskip("torch")
    for library in (tg, torch):
        x, none = library.arange(6).reshape(2, 3), library.tensor([], dtype=library.int64)
        assert x[none].shape == (0, 3)
        assert x.index_select(1, none).shape == (2, 0)
        assert x.gather(0, none.reshape(0, 0)).shape == (0, 0)
        assert x.take(none).shape == (0,)
        assert x[x > 9].shape == (0,)
        assert x[True].shape == (1, 2, 3)
        assert x[False].shape == (0, 2, 3)
        scalar = library.tensor(5.0)
        assert scalar.gather(0, library.tensor(0)).item() == 5
        assert scalar.index_select(0, library.tensor([0])).item() == 5
        assert scalar.masked_fill(library.tensor(True), 2.0).item() == 2
        assert scalar[None].shape == (1,)
        assert scalar[scalar > 0].shape == (1,)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_every_dtype_and_int32_indices(dtype):
    x = tg.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(tg, dtype))
    index = tg.tensor([2, 0], dtype=tg.int32)
    for out in (x[:, index], x.index_select(1, index), x.gather(1, index[None].expand(2, 2))):
        assert out.dtype is x.dtype
        np.testing.assert_array_equal(out.numpy(), x.numpy()[:, [2, 0]])


def test_ints_beside_index_tensors_are_taken_first_as_in_pytorch():
    torch = pytest.importorskip("torch")
    for library in (tg, torch):
        x = library.arange(24).reshape(2, 3, 4)
        assert x[0, :, [0, 1]].shape == (3, 2)  # NumPy gives (2, 3)
        assert x[[0, 1], :, [0, 1]].shape == (2, 3)
        assert x[:, [0, 1], 0].shape == (2, 2)


def test_gradients_add_up_where_an_index_repeats():
    x = tg.zeros(3, requires_grad=True)
    x[[0, 0, 2]].backward(tg.tensor([1.0, 2.0, 4.0]))
    assert x.grad.tolist() == [3, 0, 4]
