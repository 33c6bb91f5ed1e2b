"""default_collate gives PyTorch's structures, dtypes and values, and says what does not fit together."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import default_collate
from tinygrad_cnn.errors import DTypeError, ShapeError

Point = namedtuple("Point", "x y")

BATCHES = {
    "bools": [True, False],
    "ints": [1, -2, 2**62],
    "floats": [1.5, 2.5],
    "float first": [1.5, 2],
    "int first": [1, 2.5],
    "bool first": [True, 2],
    "float32 scalars": [np.float32(1.5), np.float32(2)],
    "float64 scalars": [np.float64(1.5)],
    "int64 scalars": [np.int64(3), np.int64(4)],
    "uint8 arrays": [np.full((2, 3), 7, np.uint8)] * 3,
    "0-dimensional arrays": [np.array(3), np.array(4)],
    "promoted arrays": [np.ones(2, np.float32), np.ones(2)],
    "empty arrays": [np.ones((0, 3))] * 2,
    "strings": ["a", "b"],
    "bytes": [b"a"],
    "tuples": [(1, 2.0), (3, 4.0)],
    "lists": [[1, [2.0, True]], [3, [4.0, False]]],
    "empty tuples": [(), ()],
    "dicts": [{"image": np.ones((1, 2)), "label": 1}, {"image": np.zeros((1, 2)), "label": 2}],
    "dicts with more": [{"a": 1}, {"a": 2, "b": 3}],
    "nested": [{"pair": (1, {"x": np.float32(2)})}],
    "named tuples": [Point(1, 2.0), Point(3, 4.0)],
}


def plain(value):
    """Tensors of either library as (dtype's name, shape, values)."""
    if hasattr(value, "tolist"):
        return str(value.dtype).split(".")[-1], tuple(value.shape), value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value).__name__, [plain(item) for item in value]
    return value


@pytest.mark.parametrize("name", BATCHES)
def test_equals_pytorchs(name):
    torch_data = pytest.importorskip("torch.utils.data")
    assert plain(default_collate(BATCHES[name])) == plain(torch_data.default_collate(BATCHES[name]))


def test_structures():
    collated = default_collate([{"x": (np.ones(2, np.float32), 1), "name": "a"}] * 3)
    assert list(collated) == ["x", "name"]
    assert collated["name"] == ["a", "a", "a"]
    image, label = collated["x"]
    assert (image.dtype, tuple(image.shape)) == (tg.float32, (3, 2))
    assert (label.dtype, label.tolist()) == (tg.int64, [1, 1, 1])
    assert default_collate([("a", 1), ("b", 2)])[0] == ["a", "b"]
    point = default_collate(BATCHES["named tuples"])
    assert type(point) is Point
    assert point.x.tolist() == [1, 3]


def test_tensors_are_stacked_into_new_memory():
    first, second = tg.ones(2), tg.zeros(2)
    stacked = default_collate([first, second])
    first.fill_(7)
    assert stacked.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([], ShapeError, "the batch is empty"),
        ([None], DTypeError, "got NoneType; pass a collate_fn"),
        ([1j], DTypeError, "got complex"),
        ([{1}], DTypeError, "got set"),
        ([np.array(["a"])], DTypeError, "dtype <U1"),
        ([np.ones(2, np.float16)], DTypeError, "dtype float16"),
        ([np.ones(2), np.ones(2, complex)], DTypeError, "dtype complex128"),
        ([2**63], DTypeError, "dtype uint64"),
        ([2**70], DTypeError, "dtype object"),
        ([1, "a"], DTypeError, "0 is a int, 1 a str"),
        ([1.5, None], DTypeError, "0 is a float, 1 a NoneType"),
        ([(1, 2), 3], DTypeError, "0 is a tuple, 1 a int"),
        ([{"a": 1}, 3], DTypeError, "0 is a dict, 1 a int"),
        ([np.ones(2), np.ones(3)], ShapeError, r"\(2,\), \(3,\)"),
        ([np.ones((2, 1)), np.ones(2)], ShapeError, r"\(2,\), \(2, 1\)"),
        ([(1, 2), (1,)], ShapeError, r"different lengths: \[1, 2\]"),
        ([{"a": 1}, {"b": 1}], ShapeError, r"different keys: \['a'\] and \['b'\]"),
    ],
)
def test_what_is_refused(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)
