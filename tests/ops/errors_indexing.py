"""Error rows for indexing, gathering, scattering and in-place writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError

x = tg.zeros(2, 3)
scalar = tg.tensor(1.0)
index = tg.zeros(2, 3, dtype=tg.int64)
row = tg.tensor([0, 1])
mask = tg.zeros(2, 3, dtype=tg.bool)


def assign(target: Any, key: Any, value: Any) -> None:
    target[key] = value


ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("int range", lambda: x[2], DimError, r"index 2 is out of range for dim 0 of size 2, shape \(2, 3\)"),
    ("int range later", lambda: x[0, -4], DimError, "index -4 is out of range for dim 1 of size 3"),
    ("tensor range", lambda: x[:, tg.tensor([0, 3])], DimError, "index 3 is out of range for dim 1 of size 3"),
    ("too many", lambda: x[0, 0, 0], DimError, "3 indices for a tensor of 2 dimensions"),
    ("scalar", lambda: scalar[0], DimError, "1 indices for a tensor of 0 dimensions"),
    ("two ellipses", lambda: x[..., ...], DimError, "only one Ellipsis"),
    ("mask shape", lambda: x[tg.tensor([True])], DimError, r"mask of shape \(1,\) does not match shape \(2,\)"),
    ("no broadcast", lambda: x[[0, 1], [0, 1, 2]], ShapeError, r"\(2,\), \(3,\) cannot be broadcast"),
    ("negative step", lambda: x[::-1], ShapeError, "must be positive, got -1; use flip"),
    ("float index", lambda: x[1.5], DTypeError, "got float"),
    ("float tensor", lambda: x[tg.tensor([1.0])], DTypeError, "got float32"),
    ("str index", lambda: x["a"], DTypeError, "got str"),
    ("slice bounds", lambda: x[0.5:], DTypeError, "bounds of a slice must be ints"),
    ("assign shape", lambda: assign(x, 0, tg.ones(2)), ShapeError, r"shape \(2,\) does not broadcast"),
    ("assign list shape", lambda: assign(x, [0, 1], tg.ones(2)), ShapeError, r"does not broadcast to \(2, 3\)"),
    ("assign str", lambda: assign(x, 0, "a"), DTypeError, "value must be a Tensor or a number, got str"),
    (
        "assign nan to int",
        lambda: assign(tg.arange(3), 0, float("nan")),
        DTypeError,
        "nan does not fit into dtype int64",
    ),
    ("assign too large", lambda: assign(mask.byte(), 0, 300), DTypeError, "300 does not fit into dtype uint8"),
    ("fill_ much too large", lambda: row.fill_(10**400), DTypeError, "does not fit into dtype int64"),
    ("fill_ infinite", lambda: row.fill_(float("inf")), DTypeError, "fill_: inf does not fit into dtype int64"),
    (
        "fill_ too large",
        lambda: row.int().fill_(2**40),
        DTypeError,
        "fill_: 1099511627776 does not fit into dtype int32",
    ),
    # gather and scatter
    ("gather dims", lambda: x.gather(0, row), ShapeError, r"index.shape=\(2,\), input.shape=\(2, 3\)"),
    ("gather range", lambda: x.gather(0, index + 2), DimError, "gather: index 2 is out of range for dim 0 of size 2"),
    ("gather negative", lambda: x.gather(0, index - 1), DimError, "index -1 is out of range"),
    ("gather dtype", lambda: x.gather(0, x), DTypeError, "int64 or int32 tensor, got tinygrad_cnn.float32"),
    ("gather larger", lambda: x.gather(0, tg.zeros(1, 4, dtype=tg.int64)), ShapeError, "larger than input in dim 1"),
    ("gather dim", lambda: x.gather(2, index), DimError, "got 2"),
    ("scatter src", lambda: x.scatter(0, index, x[:1]), ShapeError, "larger than src in dim 0"),
    ("scatter dtype", lambda: x.scatter(0, index, x.double()), DTypeError, "src has dtype .*float64 but input has"),
    ("scatter nothing", lambda: x.scatter(0, index), TypeError, "one of src and value"),
    ("scatter reduce", lambda: x.scatter(0, index, x, reduce="mean"), ValueError, "None or 'add', got 'mean'"),
    ("scatter_add number", lambda: x.scatter_add(0, index, 1.0), DTypeError, "src must be a Tensor, got float"),
    ("take_along_dim", lambda: x.take_along_dim(row, 0), ShapeError, "as many dimensions as input"),
    ("index_select range", lambda: x.index_select(1, row + 2), DimError, "index 3 is out of range for dim 1 of size 3"),
    ("index_select dims", lambda: x.index_select(1, index), ShapeError, r"at most 1 dimension, got shape \(2, 3\)"),
    ("index_add source", lambda: x.index_add(1, row, x), ShapeError, r"source must have shape \(2, 2\), got \(2, 3\)"),
    ("index_fill value", lambda: x.index_fill(1, row, x), ShapeError, "value must be 0-dimensional"),
    ("masked_fill mask", lambda: x.masked_fill(index, 1.0), DTypeError, "mask must be a bool tensor, got .*int64"),
    ("masked_fill value", lambda: x.masked_fill(mask, x), ShapeError, "value must be 0-dimensional"),
    ("masked_select shape", lambda: x.masked_select(mask[:, :2]), ShapeError, r"\(2, 3\) and \(2, 2\)"),
    ("take range", lambda: x.take(tg.tensor([6])), DimError, r"index must be in \[-6, 6\), got 6 to 6"),
    # in place
    ("fill_ shape", lambda: x.fill_(tg.ones(2)), ShapeError, "number or 0-dimensional"),
    ("copy_ number", lambda: x.copy_(1.0), DTypeError, "src must be a Tensor, got float"),
    ("masked_fill_ shape", lambda: x[0].masked_fill_(mask, 1.0), ShapeError, r"does not fit the tensor's shape \(3,\)"),
    ("write to a leaf", lambda: tg.ones(2, requires_grad=True).mul_(2), GraphError, "mul_: a leaf that requires grad"),
    ("write to expanded", lambda: tg.ones(1).expand(3).add_(1), GraphError, "add_: .* share one place"),
    ("write quotient", lambda: row.div_(2), DTypeError, "div_: result of dtype float32 cannot be written"),
    ("write bool", lambda: mask.add_(1), DTypeError, "result of dtype int64 cannot be written"),
]
