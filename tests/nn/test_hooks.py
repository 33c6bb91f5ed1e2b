"""Forward hooks: what they see and replace, in which order, after exceptions; and PyTorch does the same."""

from __future__ import annotations

import warnings

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ShapeError


def program(library_nn, log):
    """A module with hooks of all kinds that write to the log; numbers go through it, so it is the same for PyTorch."""

    class Scale(library_nn.Module):
        def forward(self, x, factor=1):
            if factor == 0:
                raise ValueError("forward")
            return x * factor

    def before(name, result=None):
        def hook(module, args, *kwargs):
            log.append((name, args, *kwargs))
            return result(args, *kwargs) if result else None

        return hook

    def after(name, result=None):
        def hook(module, args, *rest):
            log.append((name, args, *rest))
            return result(rest[-1]) if result else None

        return hook

    net = Scale()
    net.register_forward_pre_hook(before("plain", lambda args: args[0] + 1))
    net.register_forward_pre_hook(
        before("keywords", lambda args, kwargs: ((args[0] * 2,), {"factor": kwargs["factor"]})), with_kwargs=True
    )
    net.register_forward_pre_hook(before("first"), prepend=True)
    net.register_forward_hook(after("out", lambda out: -out))
    net.register_forward_hook(after("out, keywords"), with_kwargs=True)
    net.register_forward_hook(after("out first", lambda out: out + 5), prepend=True)
    net.register_forward_hook(after("always"), always_call=True)
    net.register_forward_hook(after("always, keywords"), always_call=True, with_kwargs=True, prepend=True)
    return net


def run(library_nn, factor):
    log = []
    net = program(library_nn, log)
    try:
        log.append(net(3, factor=factor))
    except ValueError as error:
        log.append(str(error))
    return log


def test_order_arguments_and_replacements():
    log = run(nn, 10)
    assert log[:3] == [("first", (3,)), ("plain", (3,)), ("keywords", (4,), {"factor": 10})]
    assert log[3] == ("always, keywords", (8,), {"factor": 10}, 80)
    assert log[4:6] == [("out first", (8,), 80), ("out", (8,), 85)]
    assert log[6:] == [("out, keywords", (8,), {"factor": 10}, -85), ("always", (8,), -85), -85]


def test_only_the_hooks_that_are_always_called_run_after_an_exception():
    log = run(nn, 0)
    assert log[3:] == [("always, keywords", (8,), {"factor": 0}, None), ("always", (8,), None), "forward"]


@pytest.mark.parametrize("factor", [10, 0])
def test_pytorch_does_the_same(factor):
    torch = pytest.importorskip("torch")
    assert run(nn, factor) == run(torch.nn, factor)


def test_an_always_called_hook_runs_once_and_its_own_exception_becomes_a_warning():
    net, calls = nn.Identity(), []

    def failing(module, args, output):
        calls.append(output)
        raise KeyError("hook")

    net.register_forward_hook(failing, always_call=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError, match="hook"):
            net(1)
    assert calls == [1]

    net.register_forward_pre_hook(lambda module, args: 1 / 0)
    with pytest.warns(UserWarning, match="always_call=True raised KeyError"), pytest.raises(ZeroDivisionError):
        net(1)
    assert calls == [1, None]


def test_a_handle_is_a_context_and_removes_only_its_own_hook():
    net, calls = nn.Identity(), []
    net.register_forward_hook(lambda *_: calls.append("stays"))
    with net.register_forward_hook(lambda *_: calls.append("goes")):
        net(1)
    net(1)
    assert calls == ["stays", "goes", "stays"]


def test_a_pre_hook_with_keywords_must_return_both():
    net = nn.Identity()
    net.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="a pair of args and kwargs, got"):
        net(1)


class Branches(nn.Module):
    """A list of stages that are called from outside the list."""

    def __init__(self, *stages):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


MISMATCHES = [
    (nn.Linear(320, 50), (64, 9216), "Linear(320, 50) got (64, 9216): set in_features=9216"),
    (
        nn.Linear(256, 10),
        (2, 16, 4, 4),
        "Linear(256, 10) got (2, 16, 4, 4): flatten the input first, nn.Flatten() or x.flatten(1), "
        "which gives (2, 256)",
    ),
    (
        nn.Linear(8, 10),
        (2, 16, 4, 4),
        "Linear(8, 10) got (2, 16, 4, 4): flatten the input first (x.flatten(1) gives (2, 256)) and set "
        "in_features=256",
    ),
    (
        nn.Conv2d(3, 8, 5),
        (2, 1, 9, 9),
        "Conv2d(3, 8, kernel_size=(5, 5)) got (2, 1, 9, 9): set in_channels=1",
    ),
    (
        nn.Conv2d(3, 8, 5),
        (2, 9, 9, 3),
        "Conv2d(3, 8, kernel_size=(5, 5)) got (2, 9, 9, 3): put the channels before the pixels, "
        "x.permute(0, 3, 1, 2), or set in_channels=9",
    ),
    (
        nn.Conv2d(3, 8, 5),
        (2, 3, 4, 4),
        "Conv2d(3, 8, kernel_size=(5, 5)) got (2, 3, 4, 4): only 4×4 pixels are left here: use a smaller window, "
        "padding, or one layer less",
    ),
    (
        nn.Conv2d(3, 8, 5),
        (2, 3),
        "Conv2d(3, 8, kernel_size=(5, 5)) got (2, 3): it needs images, (N, C, H, W)",
    ),
    (
        nn.MaxPool2d(2),
        (2, 3, 1, 1),
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False) got (2, 3, 1, 1): only 1×1 pixels "
        "are left here: use a smaller window, padding, or one layer less",
    ),
]


@pytest.mark.parametrize(("layer", "shape", "note"), MISMATCHES)
def test_a_shape_that_does_not_fit_gets_the_layer_and_the_way_out(layer, shape, note):
    net = nn.Sequential(nn.Identity(), Branches(nn.Identity(), layer))
    with pytest.raises(ShapeError) as caught:
        net(tg.zeros(*shape))
    assert caught.value.__notes__ == [f"1.stages.1 = {note}"]
    with pytest.raises(ShapeError) as caught:
        layer(tg.zeros(*shape))
    assert caught.value.__notes__ == [note]


def test_the_way_out_leads_out():
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm1d(4)(tg.zeros(2, 3))
    assert caught.value.__notes__[0].endswith("got (2, 3): set num_features=3")
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm2d(4)(tg.zeros(2, 3, 5, 5))
    assert caught.value.__notes__[0].endswith("got (2, 3, 5, 5): set num_features=3")
    assert nn.BatchNorm2d(3)(tg.zeros(2, 3, 5, 5)).shape == (2, 3, 5, 5)
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm2d(3)(tg.zeros(2, 3))
    assert caught.value.__notes__[0].endswith("got (2, 3)")


def test_a_mismatch_between_layers_names_the_module_that_combined_them():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Linear(3, 2)

        def forward(self, x):
            return x + self.part(x)

    with pytest.raises(ShapeError) as caught:
        nn.Sequential(Sum())(tg.zeros(4, 3))
    assert caught.value.__notes__ == ["0 = Sum got (4, 3)"]


def test_a_module_that_is_kept_outside_the_tree_is_named_by_its_class():
    hidden = [nn.Linear(3, 2)]

    class Net(nn.Module):
        def forward(self, x):
            return hidden[0](x)

    with pytest.raises(ShapeError) as caught:
        Net()(tg.zeros(1, 4))
    assert caught.value.__notes__ == ["Linear = Linear(3, 2) got (1, 4): set in_features=4"]
