"""Bad uses of the graph: every row raises the error it names, and every ``raise`` of the core has a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import autograd
from tinygrad_cnn.autograd import Op
from tinygrad_cnn.autograd.inplace import write
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError
from tinygrad_cnn.nn import functional as F

from ..raises import raised_by, raises_in


def leaf(*shape, dtype=tg.float32):
    return tg.ones(*shape, dtype=dtype, requires_grad=True)


def give(*results):
    """An operation of one input whose backward returns these: a tuple, or what should have been one."""

    class Wrong(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x * 1

        def backward(self, grad: Any) -> Any:
            return results if len(results) != 1 or not isinstance(results[0], list) else results[0]

    return Wrong.apply(leaf(3))


def broadcasting(x: np.ndarray, result: Any) -> Any:
    """The same of an operation that broadcasts its input to (2, 3)."""

    class Widened(Op):
        broadcasts = True

        @staticmethod
        def forward(x: np.ndarray) -> np.ndarray:
            return np.broadcast_to(x, (2, 3)).copy()

        def backward(self, grad: Any) -> Any:
            return (result,)

    return Widened.apply(x)


def hooked(result):
    x = leaf(3)
    x.register_hook(lambda grad: result)
    (x * 2).sum().backward()


def twice():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    y.backward()


def written_after_saving():
    x = leaf(3)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def data_replaced():
    x = leaf(3)
    y = (x * x).sum()
    x.data = tg.zeros(3)
    y.backward(create_graph=True)


def shape_at_a_place_reached_twice():
    """The second gradient to arrive at a tensor has another shape than the first."""
    x = leaf(3)
    y = x * 1

    class Wrong(Op):
        def forward(self, a: np.ndarray) -> np.ndarray:
            return a * 1

        def backward(self, grad: Any) -> Any:
            return (tg.ones(2),)

    (Wrong.apply(y) + y * 1).sum().backward()


def dtype_at_a_leaf():
    class Wrong(Op):
        def forward(self, a: np.ndarray) -> np.ndarray:
            return a * 1

        def backward(self, grad: Any) -> Any:
            return (grad.double(),)

    Wrong.apply(leaf(3)).sum().backward()


def view_under_no_grad(use):
    x = leaf(3) * 1
    with tg.no_grad():
        view = x.view(3)
    use(x, view)


def base_written(x, view):
    x.mul_(leaf(3))
    view * 2


def inference_tensor():
    with tg.inference_mode():
        return tg.ones(3) * 1


def write_where_a_view_was_copied():
    x = tg.ones(1, 2, 2, 2, requires_grad=False).contiguous(memory_format=tg.channels_last)
    copied = x.view(-1)
    copied.zero_()


def in_place_of_another_shape():
    x = tg.ones(3)
    x.add_(tg.ones(2, 3))


def in_place_of_another_dtype():
    x = tg.ones(3, dtype=tg.int64)
    x.add_(tg.ones(3))


ROWS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # ---- the roots of backward and grad
    ("not a scalar", lambda: leaf(3).mul(2).backward(), GraphError, r"left out only for one element; got shape \(3,\)"),
    ("needs no gradient", lambda: tg.ones(()).backward(), GraphError, r"shape \(\) does not require grad"),
    ("constant result", lambda: (tg.ones(3) * 2).sum().backward(), GraphError, "has no grad_fn"),
    ("integers", lambda: leaf(3).argmax().backward(), GraphError, "does not require grad"),
    ("under no_grad", lambda: tg.no_grad()(lambda: leaf(3).sum())().backward(), GraphError, "does not require grad"),
    ("no Tensor", lambda: autograd.backward(3.0), DTypeError, r"tensors\[0\]: expected a Tensor, got float"),
    ("no Tensors", lambda: autograd.backward([leaf(()), 3]), DTypeError, r"tensors\[1\]: expected a Tensor, got int"),
    ("gradient shape", lambda: leaf(3).mul(2).backward(tg.ones(2)), ShapeError, r"gradient of shape \(2,\) .*\(3,\)"),
    ("gradient not broadcast", lambda: leaf(3).backward(tg.ones(1)), ShapeError, r"gradient of shape \(1,\)"),
    ("gradient dtype", lambda: leaf(3).backward(tg.ones(3).double()), DTypeError, "float64 for a tensor of .*float32"),
    ("gradient type", lambda: leaf(()).backward(1.0), DTypeError, "expected a Tensor .* got float"),
    ("gradient types", lambda: autograd.backward([leaf(())], [1.0]), DTypeError, "expected a Tensor or None"),
    ("gradient count", lambda: autograd.backward([leaf(()), leaf(())], [None]), GraphError, "1 gradients for 2"),
    ("grad of a constant", lambda: autograd.grad(tg.ones(()), leaf(3)), GraphError, "grad: the tensor of shape"),
    ("grad input", lambda: autograd.grad(leaf(3).sum(), tg.ones(3)), GraphError, r"inputs\[0\] .* require grad"),
    ("grad unused", lambda: autograd.grad(leaf(3).sum(), leaf(3)), GraphError, r"inputs\[0\] .* was not used"),
    (
        "grad contradiction",
        lambda: autograd.grad(leaf(3).sum(), leaf(3), allow_unused=False, materialize_grads=True),
        ValueError,
        "contradict each other",
    ),
    ("no inputs", lambda: leaf(()).backward(inputs=[]), GraphError, "inputs is empty"),
    ("inputs", lambda: leaf(()).backward(inputs=[tg.ones(3)]), GraphError, r"backward: inputs\[0\] of shape"),
    ("inputs type", lambda: leaf(()).backward(inputs=[3]), DTypeError, r"inputs\[0\]: expected a Tensor, got int"),
    # ---- the walk
    ("freed graph", twice, GraphError, "MulBackward: backward through a graph a second time .* retain_graph=True"),
    ("written to", written_after_saving, GraphError, r"ExpBackward: .* in-place .* version 1, expected version 0"),
    ("data replaced", data_replaced, GraphError, r"MulBackward: \.data of a leaf was replaced"),
    ("too few gradients", lambda: give().sum().backward(), GraphError, "a tuple of 1 gradients.* got 0"),
    ("too many gradients", lambda: give(None, None).sum().backward(), GraphError, "a tuple of 1 gradients.* got 2"),
    ("a list of gradients", lambda: give([None]).sum().backward(), GraphError, "must return a tuple .* got list"),
    ("gradient too small", lambda: give(tg.ones(2)).sum().backward(), ShapeError, r"Wrong.*\(2,\), expected \(3"),
    (
        "gradient that was not broadcast",
        lambda: broadcasting(leaf(1, 3), tg.ones(2, 2)).sum().backward(),
        ShapeError,
        r"Widened.*\(2, 2\), expected \(1, 3\)",
    ),
    (
        "gradient with too few dimensions",
        lambda: broadcasting(leaf(1, 3), tg.ones(3)).sum().backward(),
        ShapeError,
        r"Widened.*\(3,\), expected \(1, 3\)",
    ),
    ("shapes at one place", shape_at_a_place_reached_twice, ShapeError, r"WrongBackward: .*\(2,\), expected \(3,\)"),
    ("dtype at a leaf", dtype_at_a_leaf, DTypeError, "gradient of dtype .*float64 for a leaf of dtype .*float32"),
    ("hook shape", lambda: hooked(tg.ones(2)), ShapeError, r"hook: returned shape \(2,\) for a gradient of \(3,\)"),
    ("hook type", lambda: hooked(3.0), DTypeError, "hook: must return a Tensor or None, got float"),
    ("no forward", lambda: Op.apply(leaf(3)), NotImplementedError, r"Op\.forward"),
    (
        "no backward",
        lambda: type("Half", (Op,), {"forward": lambda self, x: x * 1})().apply(leaf(3)).sum().backward(),
        NotImplementedError,
        r"Half\.backward",
    ),
    # ---- Tensors
    ("data type", lambda: setattr(leaf(3), "data", 3), DTypeError, "data: expected a Tensor, got int"),
    ("stop a non-leaf", lambda: setattr(leaf(3) * 2, "requires_grad", False), GraphError, r"only a leaf .* detach\(\)"),
    ("integers cannot", lambda: tg.arange(3).requires_grad_(), DTypeError, "only floating-point .* got .*int64"),
    ("bool cannot", lambda: tg.tensor([True], requires_grad=True), DTypeError, "only floating-point"),
    ("grad type", lambda: setattr(leaf(3), "grad", 3), DTypeError, "grad: expected a Tensor or None, got int"),
    ("grad shape", lambda: setattr(leaf(3), "grad", tg.ones(2)), ShapeError, r"expected shape \(3,\), got \(2,\)"),
    ("grad dtype", lambda: setattr(leaf(3), "grad", tg.ones(3).double()), DTypeError, "expected dtype .*32, got .*64"),
    ("detach_ of a view", lambda: (leaf(3) * 1).view(3).detach_(), GraphError, r"detach_: .* view .* use detach\(\)"),
    ("hook without need", lambda: tg.ones(3).register_hook(print), GraphError, "its hook would never run"),
    ("retain without need", lambda: tg.ones(3).retain_grad(), GraphError, "retain_grad: .* does not require grad"),
    (
        "hook after accumulation",
        lambda: (leaf(3) * 2).register_post_accumulate_grad_hook(print),
        GraphError,
        "only for a leaf that requires grad",
    ),
    ("numpy", lambda: leaf(3).numpy(), GraphError, r"use tensor\.detach\(\)\.numpy\(\)"),
    ("deepcopy", lambda: (leaf(3) * 2).__deepcopy__({}), GraphError, "only a leaf can be deep-copied"),
    # ---- in-place writes
    ("leaf in place", lambda: leaf(3).add_(1), GraphError, r"add_: a leaf that requires grad .* in-place"),
    ("view of a leaf", lambda: leaf(3)[:2].mul_(2), GraphError, "mul_: a view of a leaf that requires grad"),
    ("item of a leaf", lambda: leaf(3).__setitem__(0, 5.0), GraphError, "leaf that requires grad"),
    ("expanded", lambda: tg.ones(1).expand(3).add_(1), GraphError, r"read-only, or several .* clone\(\)"),
    ("copied view", write_where_a_view_was_copied, GraphError, r"view\(\) had to copy here"),
    ("inference write", lambda: inference_tensor().add_(1), GraphError, "in-place write to an inference tensor"),
    ("inference saved", lambda: leaf(3) * inference_tensor(), GraphError, "an inference tensor cannot be saved"),
    ("in-place shape", in_place_of_another_shape, ShapeError, r"add_: .*\(2, 3\) does not broadcast .*\(3,\)"),
    ("in-place dtype", in_place_of_another_dtype, DTypeError, "add_: result of dtype .*float32 cannot be .*int64"),
    ("write shape", lambda: write(tg.ones(3), tg.ones(2), "w"), ShapeError, r"w: result of shape \(2,\) .*\(3,\)"),
    ("write dtype", lambda: write(tg.arange(3), tg.ones(3), "w"), DTypeError, "w: result of dtype .*32 .* .*int64"),
    (
        "view under no_grad, written",
        lambda: view_under_no_grad(lambda x, view: view.mul_(leaf(3))),
        GraphError,
        "the view was taken under no_grad",
    ),
    ("view under no_grad, base", lambda: view_under_no_grad(base_written), GraphError, "a view taken under no_"),
    # ---- float32 with float64, where PyTorch refuses
    ("matmul dtypes", lambda: leaf(2, 2) @ leaf(2, 2, dtype=tg.float64), DTypeError, "float32.*float64"),
    ("mm dtypes", lambda: tg.mm(leaf(2, 2), leaf(2, 2, dtype=tg.float64)), DTypeError, "float32.*float64"),
    ("dot dtypes", lambda: leaf(2).dot(leaf(2, dtype=tg.float64)), DTypeError, "float32.*float64"),
    ("linear dtypes", lambda: F.linear(leaf(2, 2), leaf(2, 2, dtype=tg.float64)), DTypeError, "float"),
    ("conv dtypes", lambda: F.conv2d(leaf(1, 1, 3, 3), leaf(1, 1, 3, 3, dtype=tg.float64)), DTypeError, "float"),
    # ---- dtypes and random states
    ("no dtype", lambda: tg.ones(3, dtype="colour"), DTypeError, "'colour' is not a dtype; expected one of float32"),
    ("half precision", lambda: tg.from_numpy(np.ones(3, np.float16)), DTypeError, "float16 .* convert it to float32"),
    ("byte order", lambda: tg.from_numpy(np.ones(3, ">f4")), DTypeError, "native byte order"),
    ("default dtype", lambda: tg.set_default_dtype(tg.int64), DTypeError, "must be float32 or float64, got .*int64"),
    (
        "random state",
        lambda: tg.set_rng_state({**tg.get_rng_state(), "key": [1, 2]}),
        ShapeError,
        r"expected 624 words and pos 0\.\.624, got \(2,\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_error_leaves_recording_on_and_the_next_step_works():
    for _, call, error, _ in ROWS:
        with pytest.raises(error):
            call()
        assert tg.is_grad_enabled()
    x = leaf(3)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


# ------------------------------------------------------------------------------------------------ every raise has a row

CORE = [f"autograd/{name}" for name in ("dtype", "engine", "inplace", "op", "random", "tensor")]


@pytest.mark.parametrize("module", CORE)
def test_every_raise_has_a_row(module):
    seen = set().union(*(raised_by(call) for _, call, _, _ in ROWS))
    missing = raises_in(module) - seen
    assert not missing


def test_the_finder_of_raises_sees_them():
    assert all(raises_in(module) for module in CORE)
    assert not raised_by(lambda: autograd.backward(3.0)) & raises_in("autograd/tensor")


# ------------------------------------------------------------------------------------------------ PyTorch


def pytorch_rows(torch):
    def leaf(*shape, dtype=torch.float32):
        return torch.ones(*shape, dtype=dtype, requires_grad=True)

    def twice():
        x = leaf(3)
        y = (x * x).sum()
        y.backward()
        y.backward()

    def written():
        x = leaf(3)
        y = x.exp()
        y.add_(1)
        y.sum().backward()

    return {
        "not a scalar": lambda: leaf(3).mul(2).backward(),
        "needs no gradient": lambda: torch.ones(()).backward(),
        "integers": lambda: leaf(3).argmax().backward(),
        "gradient shape": lambda: leaf(3).mul(2).backward(torch.ones(2)),
        "gradient count": lambda: torch.autograd.backward([leaf(()), leaf(())], [None]),
        "grad input": lambda: torch.autograd.grad(leaf(3).sum(), torch.ones(3)),
        "grad unused": lambda: torch.autograd.grad(leaf(3).sum(), leaf(3)),
        "no inputs": lambda: leaf(()).backward(inputs=[]),
        "freed graph": twice,
        "written to": written,
        "stop a non-leaf": lambda: setattr(leaf(3) * 2, "requires_grad", False),
        "integers cannot": lambda: torch.arange(3).requires_grad_(),
        "grad type": lambda: setattr(leaf(3), "grad", 3),
        "grad shape": lambda: setattr(leaf(3), "grad", torch.ones(2)),
        "hook without need": lambda: torch.ones(3).register_hook(print),
        "retain without need": lambda: torch.ones(3).retain_grad(),
        "numpy": lambda: leaf(3).numpy(),
        "leaf in place": lambda: leaf(3).add_(1),
        "view of a leaf": lambda: leaf(3)[:2].mul_(2),
        "in-place shape": lambda: torch.ones(3).add_(torch.ones(2, 3)),
        "in-place dtype": lambda: torch.ones(3, dtype=torch.int64).add_(torch.ones(3)),
        "matmul dtypes": lambda: leaf(2, 2) @ leaf(2, 2, dtype=torch.float64),
        "dot dtypes": lambda: leaf(2).dot(leaf(2, dtype=torch.float64)),
        "linear dtypes": lambda: torch.nn.functional.linear(leaf(2, 2), leaf(2, 2, dtype=torch.float64)),
        "default dtype": lambda: torch.set_default_dtype(torch.int64),
    }


def test_an_exception_that_a_pytorch_script_catches_catches_ours():
    torch = pytest.importorskip("torch")
    ours = {row[0]: row[1] for row in ROWS}
    for name, theirs in pytorch_rows(torch).items():
        try:
            theirs()
        except Exception as error:
            expected = type(error)
        else:
            raise AssertionError(f"{name}: PyTorch raises nothing")
        with pytest.raises(expected):
            ours[name]()
