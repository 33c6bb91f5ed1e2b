"""NumPy, DLPack and Python protocols."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError


def test_asarray_shares_memory():
    x = tg.zeros(2, 3)
    array = np.asarray(x)
    array[0, 0] = 4
    assert x[0, 0].item() == 4
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), array)
    with pytest.raises(GraphError, match="detach"):
        np.asarray(tg.ones(2, requires_grad=True))
    assert tg.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]
    with pytest.raises(ValueError, match="without a copy"):
        x.__array__(np.float64, copy=False)


def test_numpy_functions_give_tensors():
    x = tg.tensor([1.0, 4.0])
    for result, expected in [
        (np.sqrt(x), [1, 2]),
        (np.add(np.array([1.0, 2.0], np.float32), x), [2, 6]),
        (np.greater(x, 2), [False, True]),
        (np.exp(tg.tensor([0.0, 0.0])), [1, 1]),
    ]:
        assert isinstance(result, tg.Tensor)
        assert result.tolist() == expected
    assert np.isnan(x).dtype is tg.bool


def test_an_array_on_the_left_gives_a_recorded_tensor():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x
    assert isinstance(y, tg.Tensor)
    y.backward(tg.ones(2))
    assert x.grad.tolist() == [3, 4]


def test_dlpack_both_ways_shares_memory():
    x = tg.zeros(2, 3)
    array = np.from_dlpack(x)
    x[0, 1] = 5
    assert array[0, 1] == 5
    source = np.arange(6, dtype=np.int64).reshape(2, 3)
    y = tg.from_dlpack(source)
    source[1, 2] = 9
    assert y[1, 2].item() == 9
    with pytest.raises(GraphError, match="detach"):
        np.from_dlpack(tg.ones(2, requires_grad=True))
    with pytest.raises(DTypeError, match="__dlpack__"):
        tg.from_dlpack([1])


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    x = tg.zeros(3)
    other = torch.from_dlpack(x)
    other[1] = 2
    assert x.tolist() == [0, 2, 0]
    back = tg.from_dlpack(other)
    back[0] = 1
    assert other.tolist() == [1, 2, 0]


def test_python_protocols():
    x = tg.tensor([[1, 2], [3, 4]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3 in x
    assert 5 not in x
    assert bool(tg.tensor([1.0]))
    assert not tg.tensor(0)
    assert int(tg.tensor(3.9)) == 3
    assert float(tg.tensor(2)) == 2.0
    assert operator.index(tg.tensor(2)) == 2
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert list(range(tg.tensor(3))) == [0, 1, 2]
    a, b = tg.tensor([1.0, 2.0])
    assert (a.item(), b.item()) == (1, 2)


def test_python_protocols_refuse():
    with pytest.raises(ShapeError, match="ambiguous"):
        bool(tg.ones(2))
    with pytest.raises(DTypeError, match="integer tensor of one element"):
        operator.index(tg.tensor(1.0))
    with pytest.raises(TypeError, match="no length"):
        len(tg.tensor(1.0))
    with pytest.raises(TypeError, match="iterated"):
        iter(tg.tensor(1.0))
    with pytest.raises(ShapeError, match=r"one element is needed, got shape \(2,\)"):
        tg.ones(2).item()


def test_dtype_questions():
    assert tg.result_type(tg.ones(2, dtype=tg.int64), 1.5) is tg.float32
    assert tg.promote_types(tg.uint8, tg.int32) is tg.int32
    assert tg.can_cast(tg.float64, tg.float32)
    assert tg.can_cast(tg.int64, tg.uint8)
    assert not tg.can_cast(tg.float32, tg.int64)
    assert tg.numel(tg.ones(2, 3)) == 6
    assert tg.is_floating_point(tg.ones(1))
