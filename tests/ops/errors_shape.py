"""Error rows for shapes, joining, rearranging, padding, creation, copies and random numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn.errors import DimError, DTypeError, GraphError, ShapeError
from tinygrad_cnn.ops.padding import pad

x = tg.zeros(2, 3)
cube = tg.zeros(2, 3, 4)
scalar = tg.tensor(1.0)

ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("reshape count", lambda: x.reshape(4, 2), ShapeError, r"reshape: shape \(4, 2\) is invalid .* \(2, 3\)"),
    ("reshape two -1", lambda: x.reshape(-1, -1), ShapeError, "at most one -1"),
    ("reshape -1 count", lambda: x.reshape(-1, 4), ShapeError, r"shape \(-1, 4\) is invalid"),
    ("reshape no ints", lambda: x.reshape(2.0, 3), DTypeError, "shape must be ints"),
    ("view memory", lambda: x.t().view(-1), ShapeError, r"stride \(1, 3\); use reshape"),
    ("view dtype", lambda: x.view(tg.float64), DTypeError, "another size in bytes"),
    ("flatten order", lambda: cube.flatten(2, 1), ShapeError, "start_dim=2 comes after end_dim=1"),
    ("flatten dim", lambda: x.flatten(3), DimError, r"must be in \[-2, 1\] for 2 dimensions, got 3"),
    ("unflatten product", lambda: x.unflatten(1, (2, 2)), ShapeError, r"\(2, 2\) do not multiply to size 3 of dim 1"),
    ("unflatten sizes", lambda: x.unflatten(1, (-1, -1)), ShapeError, "at most one -1"),
    ("squeeze dim", lambda: x.squeeze(5), DimError, "got 5"),
    ("unsqueeze dim", lambda: x.unsqueeze(4), DimError, r"\[-3, 2\]"),
    ("permute count", lambda: x.permute(0), ShapeError, "1 entries for 2 dimensions"),
    ("permute twice", lambda: x.permute(0, 0), ShapeError, "appears twice"),
    ("dim no int", lambda: x.transpose(0, 1.5), DTypeError, "dim1 must be an int, got float"),
    ("t of a cube", lambda: cube.t(), ShapeError, "at most 2 dimensions"),
    ("mT of a vector", lambda: x[0].mT, ShapeError, "at least 2 dimensions"),
    ("movedim counts", lambda: x.movedim((0, 1), 0), ShapeError, "same length"),
    ("expand size", lambda: x.expand(2, 4), ShapeError, r"\(2, 4\) is invalid for a tensor of shape \(2, 3\)"),
    ("expand fewer", lambda: x.expand(3), ShapeError, "fewer dimensions"),
    ("repeat fewer", lambda: x.repeat(2), ShapeError, "1 repeats for 2 dimensions"),
    ("repeat negative", lambda: x.repeat(2, -1), ShapeError, "must not be negative"),
    ("repeat_interleave count", lambda: x.repeat_interleave(tg.tensor([1, 2]), 1), ShapeError, "expected 3 repeats"),
    ("repeat_interleave dtype", lambda: x.repeat_interleave(tg.tensor([1.0])), DTypeError, "int64 or int32"),
    (
        "repeat_interleave size",
        lambda: x.repeat_interleave(2, 1, output_size=5),
        ShapeError,
        "output_size=5 but the repeats add up to 6",
    ),
    ("broadcast_tensors", lambda: tg.broadcast_tensors(x, tg.zeros(4)), ShapeError, r"\(2, 3\) and \(4,\)"),
    ("meshgrid dims", lambda: tg.meshgrid(x), ShapeError, "at most 1 dimension"),
    ("meshgrid dtype", lambda: tg.meshgrid(x[0], tg.arange(2)), DTypeError, "one dtype"),
    ("meshgrid indexing", lambda: tg.meshgrid(x[0], indexing="ab"), ValueError, "'ij' or 'xy', got 'ab'"),
    ("roll counts", lambda: x.roll((1, 2), 0), ShapeError, "2 shifts for 1 dims"),
    ("roll flat", lambda: x.roll((1, 2)), ShapeError, "2 shifts without dims"),
    ("tril of a vector", lambda: x[0].tril(), ShapeError, "tril: expected at least 2 dimensions"),
    ("diagonal dims", lambda: x.diagonal(0, 1, 1), ShapeError, "appears twice"),
    ("unfold size", lambda: x.unfold(1, 4, 1), ShapeError, "size=4, step=1 does not fit dimension 1 of size 3"),
    ("unfold scalar", lambda: scalar.unfold(0, 1, 1), DimError, "no dimensions"),
    ("cat nothing", lambda: tg.cat([]), ShapeError, "tensors is empty"),
    ("cat scalar", lambda: tg.cat([scalar]), ShapeError, r"tensors\[0\] has no dimensions"),
    ("cat shapes", lambda: tg.cat([x, cube[0]]), ShapeError, r"except in dim 0, got \(2, 3\) and \(3, 4\)"),
    ("cat no tensor", lambda: tg.cat([x, 1]), DTypeError, r"tensors\[1\] must be a Tensor, got int"),
    ("stack shapes", lambda: tg.stack([x, x[0]]), ShapeError, "shapes must be equal"),
    ("split sections", lambda: x.split([1, 1], 1), ShapeError, r"\[1, 1\] must add up to size 3 of dim 1"),
    ("split size", lambda: x.split(0), ShapeError, "split_size must be positive, got 0"),
    ("chunk", lambda: x.chunk(0), ShapeError, "at least 1, got 0"),
    ("unbind scalar", lambda: scalar.unbind(), DimError, "unbind: the tensor has no dimensions"),
    ("select range", lambda: x.select(1, 3), DimError, "index 3 is out of range for dim 1 of size 3"),
    ("narrow range", lambda: x.narrow(1, 2, 2), DimError, "start=2, length=2 is out of range for dim 1 of size 3"),
    ("pad odd", lambda: pad(x, (1,)), ShapeError, r"\(before, after\) for at most 2 dimensions, got \(1,\)"),
    ("pad no ints", lambda: pad(x, (1.0, 2)), DTypeError, "pad must be ints"),
    ("pad cut", lambda: pad(x, (-2, -2)), ShapeError, "cannot pad dim 1 of size 3 by"),
    ("pad mode", lambda: pad(x, (1, 1), "mirror"), ValueError, "got 'mirror'"),
    ("pad value", lambda: pad(x, (1, 1), "reflect", 2.0), ValueError, "takes no value, got 2.0"),
    ("pad dims", lambda: pad(x, (1, 1, 1, 1), "reflect"), ShapeError, "1 or 2 more dimensions, got 2 dims"),
    ("pad reflect", lambda: pad(x, (3, 0), "reflect"), ShapeError, "less than the size 3 of dim 1"),
    ("pad circular", lambda: pad(x, (4, 0), "circular"), ShapeError, "at most the size 3 of dim 1"),
    ("pad replicate", lambda: pad(tg.zeros(2, 0), (1, 0), "replicate"), ShapeError, "of dim 1 of size 0"),
    # creation
    ("tensor of str", lambda: tg.tensor("a"), DTypeError, "cannot make a Tensor from str"),
    ("tensor ragged", lambda: tg.tensor([[1], [1, 2]]), ShapeError, "different lengths"),
    ("tensor overflow", lambda: tg.tensor(2**70), DTypeError, "does not fit into int64"),
    ("tensor of complex", lambda: tg.tensor(np.zeros(2, complex)), DTypeError, "complex128 is not one of"),
    ("from_numpy float16", lambda: tg.from_numpy(np.zeros(2, np.float16)), DTypeError, "float32 or float64 first"),
    ("from_numpy list", lambda: tg.from_numpy([1]), DTypeError, "expected a NumPy array, got list"),
    ("zeros negative", lambda: tg.zeros(2, -1), ShapeError, r"must not be negative, got \(2, -1\)"),
    ("zeros device", lambda: tg.zeros(2, device="cuda"), RuntimeError, "device must be 'cpu', got 'cuda'"),
    ("zeros int grad", lambda: tg.zeros(2, dtype=tg.int64, requires_grad=True), DTypeError, "only floating-point"),
    ("full value", lambda: tg.full((2,), "a"), DTypeError, "fill_value must be a number, got str"),
    ("full overflow", lambda: tg.full((2,), 300, dtype=tg.uint8), DTypeError, "fill_value=300 does not fit into uint8"),
    ("empty_like", lambda: tg.empty_like([1]), DTypeError, "input must be a Tensor, got list"),
    ("arange step", lambda: tg.arange(0, 5, -1), ShapeError, "step=-1 does not lead from start=0 to end=5"),
    ("linspace steps", lambda: tg.linspace(0, 1, -1), ShapeError, "must not be negative"),
    ("channels_last dims", lambda: tg.empty(2, 3, memory_format=tg.channels_last), ShapeError, "needs 4 dimensions"),
    ("contiguous preserve", lambda: x.contiguous(tg.preserve_format), ValueError, "got preserve_format"),
    ("to arguments", lambda: x.to(tg.float32, False, True, 1), TypeError, "too many"),
    ("to unknown", lambda: x.to(tg.float32, dtyp=1), TypeError, "unexpected argument dtyp=1"),
    ("size of scalar", lambda: scalar.size(0), DimError, "no dimensions"),
    ("stride dim", lambda: x.stride(2), DimError, "got 2"),
    ("numpy requires grad", lambda: tg.ones(2, requires_grad=True).numpy(), GraphError, r"detach\(\).numpy"),
    ("deepcopy", lambda: copy.deepcopy(tg.ones(2, requires_grad=True) * 2), GraphError, "only a leaf"),
    # random numbers
    ("rand dtype", lambda: tg.rand(2, dtype=tg.int64), DTypeError, "rand: dtype must be float32 or float64, got int64"),
    ("randint range", lambda: tg.randint(3, 3, (2,)), ShapeError, "low=3 must be below high=3"),
    ("randint arguments", lambda: tg.randint(3), TypeError, r"randint\(high, size\)"),
    ("randperm", lambda: tg.randperm(-1), ShapeError, "must not be negative"),
    ("normal std", lambda: tg.normal(0.0, -1.0, (2,)), ShapeError, "std must not be negative, got -1.0"),
    ("normal size", lambda: tg.normal(0.0, 1.0), TypeError, "expected size"),
    ("normal shapes", lambda: tg.normal(x, tg.ones(4)), ShapeError, "cannot be broadcast"),
    ("bernoulli range", lambda: tg.bernoulli(x + 2), ShapeError, r"in \[0, 1\], got values from 2.0 to 2.0"),
    ("bernoulli dtype", lambda: tg.bernoulli(tg.ones(2, dtype=tg.int64)), DTypeError, "floating-point"),
    ("uniform_ bounds", lambda: tg.zeros(2).uniform_(1, 0), ShapeError, "from=1 is above to=0"),
    ("uniform_ name", lambda: tg.zeros(2).uniform_(start=1), TypeError, "expected from and to"),
    ("uniform_ dtype", lambda: tg.arange(2).uniform_(), DTypeError, "expected a floating-point tensor"),
    ("normal_ std", lambda: tg.zeros(2).normal_(0, -1), ShapeError, "std must not be negative, got -1"),
    ("bernoulli_ p", lambda: tg.zeros(2).bernoulli_(1.5), ShapeError, r"p must be in \[0, 1\], got 1.5"),
    ("random_ bounds", lambda: tg.zeros(2).random_(5, 5), ShapeError, "from=5 must be below to=5"),
]
