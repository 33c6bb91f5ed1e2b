"""Module: registration, walking, modes, hooks, copies, dtypes and printing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinygrad_cnn import nn
from tinygrad_cnn.autograd import Tensor, wrap
from tinygrad_cnn.errors import DTypeError


def tensor(*shape: int) -> Tensor:
    return wrap(np.ones(shape, np.float32))


class Block(nn.Module):
    """One dense layer, one parameter and one buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)
        self.scale = nn.Parameter(tensor(2))
        self.register_buffer("seen", tensor(1))
        self.register_buffer("scratch", tensor(1), persistent=False)

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        return self.dense(x) * self.scale * factor


class Pair(nn.Module):
    """The same block twice, under two names, and another one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.again = self.first
        self.second = Block()


def names(pairs) -> list[str]:
    return [name for name, _ in pairs]


def test_members_are_found_by_path_and_shared_ones_once():
    net = Pair()
    assert names(net.named_parameters()) == [
        *("first.scale", "first.dense.weight", "first.dense.bias"),
        *("second.scale", "second.dense.weight", "second.dense.bias"),
    ]
    assert len(list(net.parameters())) == 6
    assert names(net.named_parameters(remove_duplicate=False))[3] == "again.scale"
    assert names(net.named_buffers("net")) == [
        *("net.first.seen", "net.first.scratch", "net.second.seen", "net.second.scratch"),
    ]
    assert list(net.parameters(recurse=False)) == []
    assert names(net.named_children()) == ["first", "second"]
    assert names(net.named_modules()) == ["", "first", "first.dense", "second", "second.dense"]
    assert names(net.named_modules(remove_duplicate=False))[3:5] == ["again", "again.dense"]
    assert [type(m).__name__ for m in net.modules()] == ["Pair", "Block", "Linear", "Block", "Linear"]
    assert len(list(net.children())) == 2
    assert len(list(net.buffers())) == 4


def test_attributes_go_where_they_belong_and_can_change_their_kind():
    block = Block()
    block.scale = None
    assert names(block.named_parameters()) == ["dense.weight", "dense.bias"]
    block.scale = nn.Parameter(tensor(2))
    block.seen = tensor(4)
    assert block.seen.shape == (4,)
    assert "seen" in names(block.named_buffers())
    block.plain = 3
    block.plain = nn.Identity()
    assert "plain" in names(block.named_children())
    assert "plain" not in block.__dict__
    del block.plain
    assert not hasattr(block, "plain")
    del block.scratch
    assert names(block.named_buffers()) == ["seen"]
    with pytest.raises(AttributeError, match="missing"):
        del block.missing
    assert {"dense", "scale", "seen", "forward", "training"} <= set(dir(block))


def test_a_buffer_registered_again_as_persistent_is_saved():
    block = Block()
    assert list(block.state_dict()) == ["scale", "seen", "dense.weight", "dense.bias"]
    del block.scratch
    block.register_buffer("scratch", tensor(1))
    assert "scratch" in block.state_dict()


def test_get_by_path():
    net = Pair()
    assert net.get_submodule("first.dense") is net.first.dense
    assert net.get_submodule("") is net
    assert net.get_parameter("second.dense.weight") is net.second.dense.weight
    assert net.get_buffer("second.seen") is net.second.seen


def test_modes_and_requires_grad():
    net = Pair()
    assert net.eval() is net
    assert not net.second.dense.training
    assert net.train().second.dense.training
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_apply_goes_children_first():
    order = []
    Pair().apply(lambda m: order.append(type(m).__name__))
    assert order == ["Linear", "Block", "Linear", "Block", "Pair"]


def test_zero_grad():
    net = Block()
    net.scale.grad = tensor(2)
    net.zero_grad(set_to_none=False)
    assert net.scale.grad._array.tolist() == [0, 0]
    net.zero_grad()
    assert net.scale.grad is None


def test_forward_hooks_see_and_replace_and_can_be_removed():
    net, log = nn.Identity(), []
    net.register_forward_pre_hook(lambda m, args: log.append(("pre", args)))
    replace = net.register_forward_pre_hook(lambda m, args: args[0] + 1)
    first = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,), prepend=True)
    net.register_forward_hook(lambda m, args, output: log.append(("post", args, output)))
    after = net.register_forward_hook(lambda m, args, output: output * 10)
    assert net(3) == 70
    assert log == [("pre", (6,)), ("post", (7,), 7)]
    for handle in (replace, first, after):
        handle.remove()
    assert net(3) == 3


def test_hooks_with_keyword_arguments():
    class Scale(nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    net, seen = Scale(), []
    net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": 5}), with_kwargs=True)
    net.register_forward_hook(lambda m, args, kwargs, out: seen.append((args, kwargs, out)), with_kwargs=True)
    assert net(2, factor=3) == 10
    assert seen == [((2,), {"factor": 5}, 10)]


def test_a_hook_that_removes_itself_runs_once():
    net, calls = nn.Identity(), []

    def once(module, args, output):
        calls.append(output)
        handle.remove()

    handle = net.register_forward_hook(once)
    net(1)
    net(1)
    assert calls == [1]


def test_deepcopy_copies_values_keeps_sharing_and_memory_order():
    net = Pair()
    net.conv = nn.Conv2d(3, 4, 2)
    twin = copy.deepcopy(net)
    assert twin.again is twin.first
    for (name, ours), (_, theirs) in zip(net.named_parameters(), twin.named_parameters()):
        assert ours is not theirs, name
        assert not np.shares_memory(ours._array, theirs._array)
        assert theirs._array.strides == ours._array.strides
        assert theirs._array.tobytes() == ours._array.tobytes()
        assert type(theirs) is nn.Parameter
        assert theirs.requires_grad
    twin.first.scale._array[...] = 7
    assert net.first.scale._array[0] == 1


def test_dtype_conversion_keeps_the_parameters_their_gradients_and_the_memory_order():
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4))
    weight, before = net[0].weight, net[0].weight._array.copy()
    weight.grad = wrap(np.ones_like(weight._array))
    assert net.double() is net
    assert net[0].weight is weight
    assert {p._array.dtype.name for p in net.parameters()} == {"float64"}
    assert weight.grad._array.dtype == np.float64
    assert net[1].running_mean._array.dtype == np.float64
    assert net[1].num_batches_tracked._array.dtype == np.int64
    assert weight._array.transpose(0, 2, 3, 1).flags.c_contiguous
    net.to("cpu", np.float32).to(device="cpu", dtype=None).cpu().float()
    assert np.array_equal(weight._array, before)
    assert weight.requires_grad
    assert nn.Linear(2, 2).to(wrap(np.zeros(1)))._parameters["weight"]._array.dtype == np.float64


def test_extra_repr_over_several_lines_and_nesting():
    class Noted(Block):
        def extra_repr(self) -> str:
            return "one\ntwo"

    assert repr(Noted()) == ("Noted(\n  one\n  two\n  (dense): Linear(in_features=3, out_features=2, bias=True)\n)")
    assert repr(nn.Identity()) == "Identity()"
    assert repr(nn.Sequential(nn.Sequential(nn.ReLU()))) == ("Sequential(\n  (0): Sequential(\n    (0): ReLU()\n  )\n)")


def test_parameter_prints_as_one():
    assert repr(nn.Parameter(tensor(2))).startswith("Parameter containing:\n")


def assigned(name, value):
    return lambda: setattr(Block(), name, value)


class Unfinished(nn.Module):
    def __init__(self) -> None:
        self.dense = nn.Linear(1, 1)


ERRORS = [
    (lambda: nn.Module()(1), NotImplementedError, r"Module does not define forward\(\)"),
    (lambda: Block().missing, AttributeError, "'Block' object has no attribute 'missing'"),
    (lambda: Unfinished(), AttributeError, r"call super\(\).__init__\(\) before assigning 'dense'"),
    (assigned("scale", tensor(2)), TypeError, "Tensor to 'scale': expected a Parameter or None"),
    (assigned("dense", 1), TypeError, "int to 'dense': expected a Module or None"),
    (assigned("seen", 1.0), TypeError, "float to 'seen': expected a Tensor or None"),
    (lambda: Block().register_parameter("a.b", None), KeyError, "contain a dot, got 'a.b'"),
    (lambda: Block().register_parameter("", None), KeyError, "must not be empty"),
    (lambda: Block().register_parameter(3, None), TypeError, "name must be a str, got int"),
    (lambda: Block().register_buffer("forward", None), KeyError, "already has an attribute 'forward'"),
    (lambda: Block().register_parameter("new", tensor(1)), TypeError, "'new' must be a Parameter or None, got Tensor"),
    (lambda: Block().register_buffer("new", 1), TypeError, "'new' must be a Tensor or None, got int"),
    (lambda: Block().register_module("new", 1), TypeError, "'new' must be a Module or None, got int"),
    (lambda: Block().get_submodule("dense.x"), AttributeError, "'x' of 'dense.x' does not exist in Linear"),
    (lambda: Block().get_submodule("scale"), AttributeError, "'scale' of 'scale' is not a Module in Block"),
    (lambda: Block().get_parameter("seen"), AttributeError, "'seen' is a Tensor, not a Parameter"),
    (lambda: Block().get_parameter("dense.nope"), AttributeError, "Linear has no attribute 'nope'"),
    (lambda: Block().get_buffer("scale"), AttributeError, "no buffer 'scale'"),
    (lambda: Block().train(1), ValueError, "mode must be a bool, got 1"),
    (lambda: Block().to(np.int64), DTypeError, "must be float32 or float64, got tinygrad_cnn.int64"),
    (lambda: Block().to("cuda"), ValueError, "device must be 'cpu', the only one there is, got 'cuda'"),
    (lambda: Block().to(speed=1), TypeError, "unknown arguments speed"),
    (lambda: nn.Parameter(3), DTypeError, "data must be a Tensor, got int"),
    (lambda: nn.Parameter(wrap(np.zeros(2, np.int64))), DTypeError, "only floating-point"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
