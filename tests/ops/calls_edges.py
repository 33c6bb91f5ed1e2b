"""Calls at the edges of operations that have rows: nothing in them, no dimensions, integers, rare arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .calls import Call

X = np.random.default_rng(0).standard_normal((2, 3))
ROW = X[0]
SCALAR = np.array(1.5)
WHOLE = np.array([[3, 1, 2], [5, 4, 9]])
NOTHING = np.zeros((2, 0))
INDEX = np.array([[1, 0], [2, 2]])
IMAGE = np.random.default_rng(1).standard_normal((2, 3, 5, 5))
FILTERS = np.random.default_rng(2).standard_normal((4, 3, 3, 3))
LOGITS = np.random.default_rng(3).standard_normal((3, 4))


def functional(lib: Any) -> Any:
    return lib.nn.functional


def assigned(x: Any, key: Any, value: Any) -> Any:
    """A copy of x after ``x[key] = value``."""
    x = x.clone()
    x[key] = value
    return x


def written(lib: Any, *writes: Any) -> list[Any]:
    """Tensors of ones that are no part of a graph, each after one of the writes."""
    made = []
    for write in writes:
        x = lib.ones(2, 3)
        write(x)
        made.append(x)
    return made


def with_precision(lib: Any, precision: str, call: Any) -> Any:
    before = lib.get_float32_matmul_precision()
    lib.set_float32_matmul_precision(precision)
    try:
        return lib.get_float32_matmul_precision(), call()
    finally:
        lib.set_float32_matmul_precision(before)


def normalised(lib: Any, x: Any, mean: bool, var: bool) -> Any:
    """Batch normalisation in training, and the running statistics after it."""
    statistics = [lib.ones(3, dtype=lib.float64) if given else None for given in (mean, var)]
    y = functional(lib).batch_norm(x, *statistics, training=True, momentum=0.3)
    return [y, *[s for s in statistics if s is not None]]


CALLS = [
    # gathering
    Call("gather/a number", lambda lib, x: x.gather(0, lib.tensor(0)), (SCALAR,)),
    Call("gather/a number, several times", lambda lib, x: x.gather(0, lib.tensor([0, 0])), (SCALAR,)),
    Call("gather/one of a row", lambda lib, x: (x.gather(0, lib.tensor(1)), x.gather(-1, lib.tensor([2, 2]))), (ROW,)),
    Call("scatter/one of a row", lambda lib, x, y: x.scatter(0, lib.tensor(1), y), (ROW, SCALAR)),
    Call("scatter/a number, in a row", lambda lib, x, y: x.scatter(0, lib.tensor([0]), y), (SCALAR, ROW[:1])),
    Call("scatter_add/one of a row", lambda lib, x, y: x.scatter_add(0, lib.tensor(1), y), (ROW, SCALAR)),
    Call(
        "scatter_add/a number, twice",
        lambda lib, x, y: x.scatter_add(0, lib.tensor([0, 0]), y),
        (SCALAR, ROW[:2]),
        rounding=True,
    ),
    Call("gather/nothing", lambda lib, x: x.gather(0, lib.zeros(0, 3, dtype=lib.int64)), (X,)),
    Call("gather/nothing of another shape", lambda lib, x: x.gather(0, lib.tensor([], dtype=lib.int64)), (X,)),
    Call("take_along_dim/no dim", lambda lib, x: lib.take_along_dim(x, lib.tensor([5, 0, 5])), (X,)),
    Call("scatter/nothing", lambda lib, x: x.scatter(1, lib.zeros(2, 0, dtype=lib.int64), 2.0), (X,)),
    Call("scatter/a number", lambda lib, x, y: x.scatter(0, lib.tensor(0), y), (SCALAR, SCALAR * 2)),
    Call("scatter_add/nothing", lambda lib, x: x.scatter_add(1, lib.zeros(2, 0, dtype=lib.int64), x[:, :0]), (X,)),
    Call("scatter_add/a number", lambda lib, x, y: x.scatter_add(0, lib.tensor(0), y), (SCALAR, SCALAR * 2)),
    Call("index_select/a number", lambda lib, x: x.index_select(0, lib.tensor([0])), (SCALAR,)),
    Call("index_select/nothing", lambda lib, x: x.index_select(1, lib.tensor([], dtype=lib.int64)), (X,)),
    Call("take/nothing", lambda lib, x: x.take(lib.tensor([], dtype=lib.int64)), (X,)),
    Call("masked_fill/a number", lambda lib, x: x.masked_fill(lib.tensor(True), 2.0), (SCALAR,)),
    Call("masked_select/nothing", lambda lib, x: x.masked_select(x > 9), (X,)),
    # indices
    *(
        Call(f"Tensor.__getitem__/{name}", lambda lib, x, key=key: x[key], (X,))
        for name, key in {
            "True": True,
            "False": False,
            "NumPy int": np.int64(1),
            "list": [1, 0, 1],
            "empty list": [],
            "int and list": (0, [0, 2]),
            "Ellipsis alone": ...,
            "nothing": (),
            "new dimensions": (None, ..., None),
            "empty slice": slice(2, 1),
        }.items()
    ),
    Call("Tensor.__getitem__/0-dimensional index", lambda lib, x: x[lib.tensor(1)], (X,)),
    Call("Tensor.__getitem__/0-dimensional mask", lambda lib, x: (x[lib.tensor(True)], x[x.sum() > 99]), (X,)),
    Call("Tensor.__getitem__/uint8 mask", lambda lib, x: x[lib.tensor([1, 0], dtype=lib.uint8)], (X,)),
    Call("Tensor.__getitem__/int32 index", lambda lib, x: x[:, lib.tensor([2, 0], dtype=lib.int32)], (X,)),
    Call("Tensor.__getitem__/mask of a number", lambda lib, x: (x[x > 0], x[x < 0], x[None]), (SCALAR,)),
    Call("Tensor.__setitem__/leading ones", lambda lib, x, y: assigned(x, 0, y[None, None]), (X, ROW)),
    Call("Tensor.__setitem__/leading ones at positions", lambda lib, x, y: assigned(x, [1], y[None, None]), (X, ROW)),
    Call("Tensor.__setitem__/no graph", lambda lib: written(lib, *(_setting(key) for key in KEYS))),
    Call("Tensor.__setitem__/integers", lambda lib, x: [assigned(x, 0, 2.9), assigned(x, [1, 0], -1.5)], (WHOLE,)),
    # shapes
    Call("transpose/a number", lambda lib, x: x.transpose(0, -1), (SCALAR,)),
    Call("chunk/nothing", lambda lib, x: x.chunk(3, 1), (NOTHING,)),
    Call("expand/the same", lambda lib, x: (x.expand(2, 3), x.expand(-1, 3), x.broadcast_to((2, 3))), (X,)),
    Call("Tensor.view/nothing", lambda lib, x: x.t().view(0, 5), (NOTHING,)),
    Call("Tensor.view/dtype", lambda lib: lib.tensor([1.0, -2.5]).view(lib.int32)),
    Call("Tensor.view/the same dtype", lambda lib, x: x.detach().view(lib.float64), (X,)),
    Call("Tensor.view/of a view", lambda lib, x: (x * 1).t()[:2].unsqueeze(1).view(2, 2).view(2, 1, 2), (X,)),
    Call(
        "Tensor.view/of a convolution",  # channels-last memory here
        lambda lib, x, w: _viewed(functional(lib).conv2d(x, w)),
        (IMAGE, FILTERS),
        rounding=True,
    ),
    Call("pad/integers", lambda lib, x: functional(lib).pad(x, (1, 2), value=7), (WHOLE,)),
    Call("pad/bools", lambda lib, x: functional(lib).pad(x > 3, (1, 0), value=1), (WHOLE,)),
    # reductions
    Call("sum/dtype", lambda lib, x: (x.sum(dtype=lib.float32), lib.sum(x.detach() > 0, 0, dtype=lib.int32)), (X,)),
    Call("mean/dtype", lambda lib, x: x.mean(0, dtype=lib.float64), (WHOLE,)),
    Call("cumsum/dtype", lambda lib, x: x.cumsum(1, dtype=lib.float64), (WHOLE,)),
    Call("prod/dtype", lambda lib, x: (x.prod(dtype=lib.float64), x.prod(1, dtype=lib.int64)), (WHOLE,)),
    *(
        Call(f"{name}/{kind}", call, (X,), rounding=True)
        for name in ("var", "std")
        for kind, call in {
            "unbiased by position": lambda lib, x, name=name: (
                getattr(lib, name)(x, False),
                getattr(x, name)(1, False, True),
            ),
            "too few": lambda lib, x, name=name: getattr(lib, name)(x, 1, correction=3),
            "far too few": lambda lib, x, name=name: getattr(lib, name)(x, 1, correction=5),
            "of one": lambda lib, x, name=name: getattr(lib, name)(x[:1], 0),
        }.items()
    ),
    Call("var/of a number", lambda lib, x: lib.var(x), (SCALAR,)),
    Call("var/all, too few", lambda lib, x: lib.var(x, correction=6), (X,)),
    Call("var/all, far too few", lambda lib, x: lib.var(x, correction=8), (X,)),
    Call("var/nothing", lambda lib, x: (lib.var(x), lib.var(x, 1)), (NOTHING,)),
    Call("var/two dims, too few", lambda lib, x: lib.var(x, (0, 1), keepdim=True, correction=6), (X,), rounding=True),
    Call("var_mean/unbiased by position", lambda lib, x: lib.var_mean(x, False), (X,), rounding=True),
    Call("var_mean/too few", lambda lib, x: lib.var_mean(x, 1, correction=3), (X,), rounding=True),
    Call("logsumexp/nothing", lambda lib, x: lib.logsumexp(x, 1, keepdim=True), (NOTHING,)),
    Call("logsumexp/infinite", lambda lib, x: lib.logsumexp(x - float("inf"), 1), (X.round(2) * 0,)),
    *(
        Call(f"norm/zeros, {p}", lambda lib, x, p=p: lib.norm(x, p, 1), (np.array([[0.0, 0.0], [0.0, 2.0]]),))
        for p in (1, 2, 3, 0.5, -1, float("inf"))
    ),
    Call("max/two tensors", lambda lib, x, y: (lib.max(x, y), lib.min(x, y)), (X, X[:1] + 0.5)),
    Call("median/integers", lambda lib, x: [x.median(), *x.median(1), *x.median(0, True)], (WHOLE,)),
    Call("median/nothing", lambda lib, x: x.median(), (NOTHING,)),
    Call("sign/bools", lambda lib, x: lib.sign(x > 3), (WHOLE,)),
    Call("where/condition alone", lambda lib, x: lib.where(x > 3), (WHOLE,)),
    Call("where/uint8", lambda lib, x: lib.where((x > 3).byte(), x, -x), (WHOLE,)),
    Call("flip/a number", lambda lib, x: (lib.flip(x, (0,)), x.flip(-1)), (SCALAR,)),
    Call("pow/negative exponents", lambda lib, x: (lib.pow(x - 4, 2 - x), x ** lib.tensor(-1), 2**-x), (WHOLE,)),
    Call("Tensor.fill_/wrapping", lambda lib: lib.ones(2, dtype=lib.uint8).fill_(-1)),
    Call(
        "einsum/integers",
        lambda lib, x: (
            [lib.einsum(e, x.byte() * 20) for e in ("ij->i", "ij->", "ij->ji")]
            + [lib.einsum("ij,kj->ik", x, x), lib.einsum("ij->j", x > 3)]
        ),
        (WHOLE,),
    ),
    Call("add/wrapping", lambda lib, x: x.to(lib.uint8) + 254, (WHOLE,)),
    Call("div/integers", lambda lib, x: (lib.div(x, 2), lib.true_divide(x, x), 1 / x), (WHOLE,)),
    Call("add/large integer", lambda lib: lib.ones(2, dtype=lib.int32) + 2**40),
    # operators and methods that have no row of their own
    Call(
        "operators",
        lambda lib, x: (
            [+x, 7 // x, 7 % x, x // 2, x % 2, x == 2, x != 2, x <= 2, x >= 2, x == x.T.T],
            [x & 3, x | 8, x ^ 5, 3 & x, 8 | x, 5 ^ x, ~x, (x > 3) & True, (x > 3) | (x < 2), (x > 3) ^ (x > 4)],
        ),
        (WHOLE,),
    ),
    Call("operators/other things", lambda lib, x: (x == "a", x != None, x.dtype == lib.float64), (X,)),  # noqa: E711
    Call(
        "methods",
        lambda lib, x, y: [
            x.clamp_min(0.2),
            x.clamp_max(y),
            x.where(x > 0, y),
            x.view_as(x.t().contiguous()),
            x.reshape_as(x.t()),
            y.expand_as(x),
            x.index_copy(0, lib.tensor([1]), y[None]),
            x.allclose(x + 1e-10),
            x.equal(y),
            (x * 1).clip_(-0.5, 0.5),
            (x * 1).clamp_min_(0.1),
            (x * 1).clamp_max_(0.1),
        ],
        (X, ROW),
    ),
    # layers
    Call("softmax/nothing", lambda lib, x: (lib.softmax(x, 1), lib.log_softmax(x, 1)), (NOTHING,)),
    Call("softmax/a number", lambda lib, x: (lib.softmax(x, 0), lib.log_softmax(x, -1)), (SCALAR,)),
    Call("softmax/dtype", lambda lib, x: lib.softmax(x, 0, dtype=lib.float64), (WHOLE,), rounding=True),
    Call("log_softmax/dtype", lambda lib, x: x.log_softmax(1, dtype=lib.float64), (WHOLE,), rounding=True),
    Call("relu/in place", lambda lib, x: functional(lib).relu(x * 1, inplace=True), (X,)),
    Call("leaky_relu/in place", lambda lib, x: functional(lib).leaky_relu(x * 1, 0.2, inplace=True), (X,)),
    Call("dropout/in place", lambda lib, x: functional(lib).dropout(x * 1, 0.4, inplace=True), (X,)),
    Call("dropout/nothing", lambda lib, x: functional(lib).dropout(x, 0.4), (NOTHING,)),
    Call(
        "conv2d/NumPy integers",
        lambda lib, x, w: functional(lib).conv2d(x, w, stride=int_of(lib, 2), padding=(1, int_of(lib, 0))),
        (IMAGE, FILTERS),
        rounding=True,
    ),
    *(
        Call(
            f"conv2d/same, {size}",
            lambda lib, x, w, size=size, dilation=dilation: functional(lib).conv2d(
                x, w[:, :, : size[0], : size[1]], padding="same", dilation=dilation
            ),
            (IMAGE, FILTERS),
            rounding=True,
        )
        for size, dilation in {(1, 1): 1, (2, 3): 1, (2, 2): 2, (3, 2): (2, 1)}.items()
    ),
    *(
        Call(
            f"set_float32_matmul_precision/{precision}",
            lambda lib, x, w, precision=precision: with_precision(
                lib, precision, lambda: functional(lib).conv2d(x, w, padding=1)
            ),
            (IMAGE, FILTERS),
            rounding=True,
        )
        for precision in ("highest", "high", "medium")
    ),
    *(
        Call(
            f"batch_norm/{kind}",
            lambda lib, x, given=given: normalised(lib, x, *given),
            (IMAGE,),
            rounding=True,
        )
        for kind, given in {"running statistics": (True, True), "no running statistics": (False, False)}.items()
    ),
    Call("batch_norm/nothing", lambda lib, x: normalised(lib, x, False, False), (np.zeros((0, 3, 2, 2)),)),
    Call(
        "cross_entropy/uint8 labels",
        lambda lib, x: functional(lib).cross_entropy(x, lib.tensor([0, 3, 2], dtype=lib.uint8)),
        (LOGITS,),
        rounding=True,
    ),
    Call(
        "cross_entropy/one",
        lambda lib, x: functional(lib).cross_entropy(x[0], lib.tensor(2)),
        (LOGITS,),
        rounding=True,
    ),
    *(
        Call(
            f"{name}/broadcast",
            lambda lib, x, y, name=name: getattr(functional(lib), name)(x, y),
            (X, ROW),
            rounding=True,
        )
        for name in ("mse_loss", "l1_loss")
    ),
    # in place, and no graph
    Call(
        "Tensor.add_/no graph",
        lambda lib: written(
            lib,
            lambda x: x.add_(2),
            lambda x: x.add_(lib.ones(3, dtype=lib.int64), alpha=3),
            lambda x: x.sub_(lib.ones(2, 3, dtype=lib.float64)),
            lambda x: x.mul_(lib.tensor(2.0)).div_(3),
            lambda x: x.neg_().exp_().sqrt_(),
            lambda x: x.fill_(lib.tensor(4)).copy_(lib.arange(3)),
            lambda x: x.zero_(),
        ),
    ),
    Call(
        "Tensor.add_/integers",
        lambda lib, x: [
            x.clone().add_(2),
            x.clone().neg_(),
            x.clone().abs_(),
            x.clone().square_(),
            x.clone().fill_(2.9),
            x.clone().div_(2, rounding_mode="floor"),
            (x > 3).mul_(x > 2),
            (x > 3).fill_(2),
            x.clone().copy_(lib.tensor(1.9)),
        ],
        (WHOLE,),
        rounding=True,
    ),
    Call("Tensor.copy_/a gradient that ends", lambda lib, x, y: lib.zeros(2, 3, dtype=lib.int64).copy_(y), (X, ROW)),
    Call("Tensor.copy_/into another dtype", lambda lib, x: lib.zeros(2, 3, dtype=lib.float32).copy_(x), (X,)),
]

KEYS = [0, (0, 1), slice(1, None), [1, 0], ([0, 1], [2, 2]), (slice(None), [1]), np.array([True, False])]


def _viewed(h: Any) -> Any:
    moved = h.permute(0, 2, 3, 1).reshape(2, -1)
    return moved.view(-1), moved.view(4, -1), h[:0].permute(1, 0, 2, 3).view(4, 0), h[:, :, 0].view(8, -1)


def _setting(key: Any) -> Any:
    def write(x: Any) -> None:
        x[key] = 2.5

    return write


def int_of(lib: Any, value: int) -> Any:
    """A NumPy integer, which PyTorch takes in some places only."""
    return value if lib.__name__ == "torch" else np.int64(value)
