"""The plan of known networks: hand-computed numbers, PyTorch's shapes and counts, and nothing left behind."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.explore import plan

from .networks import SHAPES, lecture_cnn, lenet5, resnet20, vgg11

F = nn.functional


def column(rows, name):
    return [getattr(row, name) for row in rows]


def test_the_lectures_network():
    result = plan(lecture_cnn(nn), (1, 28, 28))
    # A 3×3 window fits 28 − 2 times, then 26 − 2 times; pooling halves 24.
    assert column(result.rows, "output_shape") == [
        *((1, 32, 26, 26), (1, 32, 26, 26), (1, 64, 24, 24), (1, 64, 24, 24), (1, 64, 12, 12)),
        *((1, 9216), (1, 128), (1, 128), (1, 10)),
    ]
    # (weights of a filter + its bias) · filters; (inputs + bias) · outputs
    assert column(result.rows, "parameters") == [320, 0, 18_496, 0, 0, 0, 1_179_776, 0, 1_290]
    assert result.parameters == result.trainable == 1_199_882
    assert result.parameter_bytes == 4 * 1_199_882
    # 26·26·32 outputs of 9 products; 24·24·64 of 9·32; 9216·128; 128·10
    assert column(result.rows, "multiply_adds") == [194_688, 0, 10_616_832, 0, 0, 0, 1_179_648, 0, 1_280]
    assert result.multiply_adds == 11_992_448
    # 3; + 2 for the second 3×3; + 1 for the 2×2 window, after which pixels are 2 apart; then everything
    sizes = [3, 3, 5, 5, 6, 6, 28, 28, 28]
    assert column(result.rows, "receptive_field") == [(n, n) for n in sizes]
    assert column(result.rows, "jump") == [(1, 1)] * 4 + [(2, 2)] + [None] * 4
    # four bytes each: 32·26·26 twice, 64·24·24 twice, 64·12·12, a view, 128 twice, 10
    counts = [32 * 26 * 26] * 2 + [64 * 24 * 24] * 2 + [64 * 12 * 12, 0, 128, 128, 10]
    assert column(result.rows, "activation_bytes") == [4 * n for n in counts]
    assert result.warnings == ()
    assert sum(column(result.rows, "share")) == pytest.approx(1)


def test_the_formulas_of_the_lectures_network():
    rows = plan(lecture_cnn(nn), (1, 28, 28)).rows
    assert column(rows, "kind") == [
        *("Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "ReLU", "Linear")
    ]
    assert [row.size for row in rows if row.size] == [
        "⌊(28 + 2·0 − 3) / 1⌋ + 1 = 26",
        "⌊(26 + 2·0 − 3) / 1⌋ + 1 = 24",
        "⌊(24 + 2·0 − 2) / 2⌋ + 1 = 12",
        "64·12·12 = 9216",
    ]
    assert [row.parameter_formula for row in rows if row.parameters] == [
        "(3·3·1 + 1)·32 = 320",
        "(3·3·32 + 1)·64 = 18,496",
        "(9216 + 1)·128 = 1,179,776",
        "(128 + 1)·10 = 1,290",
    ]
    assert [row.work_formula for row in rows if row.multiply_adds] == [
        "26·26·32·(3·3·1) = 194,688",
        "24·24·64·(3·3·32) = 10,616,832",
        "9216·128 = 1,179,648",
        "128·10 = 1,280",
    ]


def test_lenet5_with_functions_between_the_layers():
    result = plan(lenet5(nn), (1, 28, 28))
    assert list(zip(column(result.rows, "path"), column(result.rows, "kind"))) == [
        *(("conv1", "Conv2d"), ("", "F.relu"), ("", "F.max_pool2d")),
        *(("conv2", "Conv2d"), ("", "F.relu"), ("", "F.max_pool2d"), ("", "flatten")),
        *(("fc1", "Linear"), ("", "F.relu"), ("fc2", "Linear"), ("", "F.relu"), ("fc3", "Linear")),
    ]
    assert column(result.rows, "output_shape") == [
        *((1, 6, 28, 28), (1, 6, 28, 28), (1, 6, 14, 14)),
        *((1, 16, 10, 10), (1, 16, 10, 10), (1, 16, 5, 5), (1, 400)),
        *((1, 120), (1, 120), (1, 84), (1, 84), (1, 10)),
    ]
    # (25 + 1)·6, (25·6 + 1)·16, (400 + 1)·120, (120 + 1)·84, (84 + 1)·10
    assert [n for n in column(result.rows, "parameters") if n] == [156, 2_416, 48_120, 10_164, 850]
    # 28·28·6·25, 10·10·16·150, 400·120, 120·84, 84·10
    assert [n for n in column(result.rows, "multiply_adds") if n] == [117_600, 240_000, 48_000, 10_080, 840]
    # 5; + 1 for pooling; + 4·2 for 5×5 on pixels 2 apart; + 1·2 for pooling
    assert column(result.rows, "receptive_field") == [(n, n) for n in (5, 5, 6, 14, 14, 16, 16, 28, 28, 28, 28, 28)]
    assert column(result.rows, "jump")[:7] == [(1, 1), (1, 1), (2, 2), (2, 2), (2, 2), (4, 4), None]
    assert column(result.rows, "size")[2] == "⌊(28 + 2·0 − 2) / 2⌋ + 1 = 14"
    assert result.rows[0].size == "⌊(28 + 2·2 − 5) / 1⌋ + 1 = 28"


def test_vgg11():
    result = plan(vgg11(nn), (3, 32, 32))
    # pixels · filters · (9 · channels): 1024·64·27, 256·128·576, 64·256·1152, 64·256·2304, 16·512·2304, 16·512·4608,
    # 4·512·4608 twice; 512·10
    assert [row.multiply_adds for row in result.rows if row.multiply_adds] == [
        *(1_769_472, 18_874_368, 18_874_368, 37_748_736, 18_874_368, 37_748_736, 9_437_184, 9_437_184, 5_120)
    ]
    # (9 · channels + 1) · filters; (512 + 1)·10
    assert [row.parameters for row in result.rows if row.parameters] == [
        *(1_792, 73_856, 295_168, 590_080, 1_180_160, 2_359_808, 2_359_808, 2_359_808, 5_130)
    ]
    # a 3×3 window adds 2 times the distance of pixels, a 2×2 window once, and doubles the distance
    fields = [row.receptive_field[0] for row in result.rows if row.kind in ("Conv2d", "MaxPool2d")]
    assert fields == [3, 4, 8, 10, 18, 26, 30, 46, 62, 70, 102, 134, 150]
    assert [row.jump[0] for row in result.rows if row.kind == "MaxPool2d"] == [2, 4, 8, 16, 32]


def test_resnet20_with_branches_and_layers_used_twice():
    result = plan(resnet20(nn), (3, 32, 32))
    first = [(row.path, row.kind) for row in result.rows[:10]]
    assert first == [
        *(("conv", "Conv2d"), ("bn", "BatchNorm2d"), ("", "F.relu")),
        *(("stages.0.conv1", "Conv2d"), ("stages.0.bn1", "BatchNorm2d"), ("stages.0.relu", "ReLU")),
        *(("stages.0.conv2", "Conv2d"), ("stages.0.bn2", "BatchNorm2d")),
        *(("stages.0", "+"), ("stages.0.relu", "ReLU")),
    ]
    # 19 convolutions without bias: 27·16, 6 of 144·16, 144·32 + 5 of 288·32, 288·64 + 5 of 576·64; 2 per channel for
    # normalisation: 7·16, 6·32, 6·64 channels; 64·10 + 10
    assert result.parameters == (
        (432 + 6 * 2304 + 4608 + 5 * 9216 + 18_432 + 5 * 36_864) + 2 * (7 * 16 + 6 * 32 + 6 * 64) + 650
    )
    # per normalisation mean, variance (one per channel) and the number of batches
    assert result.buffers == 2 * (7 * 16 + 6 * 32 + 6 * 64) + 19
    # 19 convolutions; each 3×3 reaches 2 further: 7 at distance 1, 6 at 2 (the first still reads pixels 1 apart),
    # 6 at 4 (the first reads pixels 2 apart)
    last = [row for row in result.rows if row.kind == "+"][-1]
    assert last.receptive_field == (1 + 2 * (7 + 1 + 5 * 2 + 2 + 5 * 4),) * 2
    assert last.jump == (4, 4)
    # the mean over 8×8 places that are 4 apart
    assert [(row.kind, row.receptive_field) for row in result.rows[-2:]] == [
        ("mean", (109, 109)),
        ("Linear", (109, 109)),
    ]
    narrow = [row for row in result.rows if row.path == "stages.3" and row.is_function]
    assert [(row.kind, row.size) for row in narrow] == [
        ("[...]", "⌈32 / 2⌉ = 16"),
        ("F.pad", "16 + 8 + 8 = 32"),
        ("+", ""),
    ]


@pytest.mark.parametrize("network", SHAPES)
def test_shapes_and_counts_are_pytorchs(network):
    torch = pytest.importorskip("torch")
    theirs, calls = network(torch.nn), []
    for path, module in theirs.named_modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda module, args, output, path=path: calls.append((path, type(module).__name__, tuple(output.shape)))
            )
    theirs.eval()(torch.zeros(2, *SHAPES[network]))
    result = plan(network(nn), (2, *SHAPES[network]))
    layers = [row for row in result.rows if not row.is_function]
    assert [(row.path, row.kind, row.output_shape) for row in layers] == calls
    counts = {path: sum(p.numel() for p in m.parameters(recurse=False)) for path, m in theirs.named_modules()}
    assert {path: n for path, n in counts.items() if n} == {
        row.path: row.parameters for row in layers if row.parameters
    }
    assert result.parameters == sum(p.numel() for p in theirs.parameters())


class Everything(nn.Module):
    """A network that would change its state, its input and its mode if nobody took care."""

    def __init__(self, fails: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.frozen = nn.Linear(4, 4)
        self.register_buffer("calls", tg.zeros(1))
        self.register_buffer("last", tg.zeros(1))
        self.fails = fails

    def forward(self, x):
        x.mul_(2)
        self.calls += 1
        self.last = x.mean().detach()
        x = self.drop(self.bn(self.conv(x)))
        x = F.batch_norm(x, self.bn.running_mean, self.bn.running_var, training=True)
        x = F.dropout(x, 0.5, training=True)
        if self.fails:
            raise ValueError("on purpose")
        return self.frozen(x.amax((2, 3)))


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails):
    net = Everything(fails)
    net.bn.eval()
    net.conv.weight.grad = tg.ones(4, 1, 3, 3)
    before_hook = net.conv.register_forward_hook(lambda *_: None)
    tg.rand(3)
    buffers = {name: (b, b._array.copy()) for name, b in net.named_buffers()}
    modes = [m.training for m in net.modules()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in net.modules()]
    state = tg.get_rng_state()

    def run():
        with tg.no_grad():
            plan(net, (1, 8, 8))
            assert not tg.is_grad_enabled()

    if fails:
        with pytest.raises(ValueError, match="on purpose"):
            run()
    else:
        run()
    for name, (buffer, value) in buffers.items():
        assert dict(net.named_buffers())[name] is buffer
        assert np.array_equal(buffer._array, value)
    assert [m.training for m in net.modules()] == modes
    assert [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in net.modules()] == hooks
    after = tg.get_rng_state()
    assert after["pos"] == state["pos"]
    assert np.array_equal(after["key"], state["key"])
    assert [p.grad is None for p in net.parameters()] == [False] + [True] * 5
    before_hook.remove()


def test_frozen_shared_own_and_unused_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tg.ones(3, 2))
            self.first = nn.Linear(2, 3)
            self.second = nn.Linear(2, 3, bias=False)
            self.second.weight = self.first.weight
            self.unused = nn.Linear(5, 1)
            self.first.bias.requires_grad_(False)

        def forward(self, x):
            return (self.first(x) + self.second(x)) @ self.scale + self.first(x).sum()

    result = plan(Net(), (2,))
    layers = [row for row in result.rows if not row.is_function]
    assert [(row.path, row.parameters, row.trainable, row.non_trainable) for row in layers] == [
        *(("", 6, 6, 0), ("first", 9, 6, 3), ("second", 0, 0, 0), ("first", 0, 0, 0), ("unused", 6, 6, 0))
    ]
    assert column(layers, "parameter_formula") == [
        "scale 3·2 = 6",
        "(2 + 1)·3 = 9",
        "weight as in first",
        "weight as in first; bias as in first",
        "(5 + 1)·1 = 6",
    ]
    assert result.parameters == sum(p.numel() for p in Net().parameters())
    assert (result.trainable, result.non_trainable) == (18, 3)
    assert result.warnings == ("unused Linear: its forward was not called",)
    assert [row.kind for row in result.rows if row.is_function] == ["+", "matmul", "sum", "+"]
    assert next(row for row in result.rows if row.kind == "matmul").multiply_adds == 3 * 2
    assert result["second"].path == "second"
    assert result[""].parameters == 6


def test_pixels_at_the_border_that_no_window_reads():
    layers = nn.Conv2d(1, 2, 3, stride=3), nn.MaxPool2d((1, 2)), nn.AvgPool2d(1, stride=2)
    # 12 = 4·3, 11 = 3·3 + 2; then 3 = 2 + 1; then every other of 4 rows is read, the last one not
    assert plan(nn.Sequential(*layers), (1, 12, 11)).warnings == (
        "0 Conv2d: 0 rows at the bottom, 2 columns at the right are never read",
        "1 MaxPool2d: 0 rows at the bottom, 1 column at the right are never read",
        "2 AvgPool2d: 1 row at the bottom, 0 columns at the right are never read",
    )
    # 32 + 2 = 15·2 + 3 + 1: what is left over is the padding's
    assert plan(nn.Conv2d(1, 1, 3, stride=2, padding=1), (1, 32, 32)).warnings == ()
    assert plan(nn.MaxPool2d(2, ceil_mode=True), (1, 5, 5)).warnings == ()
    assert plan(nn.MaxPool2d(2, ceil_mode=True), (1, 5, 5)).rows[0].size == "⌈(5 + 2·0 − 2) / 2⌉ + 1 = 3"


@pytest.mark.parametrize("mode", [tg.no_grad, tg.inference_mode])
def test_functions_are_seen_where_nothing_is_recorded(mode):
    net = lenet5(nn)
    with mode():
        inside = plan(net, (1, 28, 28))
    assert inside == plan(net, (1, 28, 28))
    assert "F.relu" in column(inside.rows, "kind")


def test_what_is_written_in_place_takes_no_memory():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.ReLU(), nn.Dropout())
    assert column(plan(net, (1, 5, 5)).rows, "activation_bytes") == [0, 4 * 18, 0, 4 * 18, 0]


def test_a_view_that_cuts_up_the_batch():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(10, 3)

        def forward(self, x):
            return self.fc(self.conv(x).view(-1, 10))

    # 2 examples of 2·5·5 numbers are 10 rows of 10
    assert plan(Net(), (2, 1, 7, 7)).warnings == (
        "Net reshape: 2 examples became 10 rows; flatten(1) keeps a row per example",
    )


def test_a_network_of_one_layer_and_one_that_is_not_made_of_layers():
    assert column(plan(nn.Linear(3, 2), (3,)).rows, "kind") == ["Linear"]

    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(tg.ones(4, 2, 3, 3))

        def forward(self, x):
            return F.conv2d(x, self.w, padding=1).relu()

    result = plan(Functions(), (2, 5, 6))
    assert column(result.rows, "kind") == ["Functions", "F.conv2d", "F.relu"]
    assert result.rows[0].parameter_formula == "w 4·2·3·3 = 72"
    assert result.rows[1].size == "H: ⌊(5 + 2·1 − 3) / 1⌋ + 1 = 5; W: ⌊(6 + 2·1 − 3) / 1⌋ + 1 = 6"
    assert result.multiply_adds == 5 * 6 * 4 * 18


def test_what_the_network_does_with_its_layers_at_run_time():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            with contextlib.suppress(ShapeError):
                nn.Sequential(self.layer)(x[:, :1])
            with tg.no_grad():
                x = self.layer(x)
            return {"out": [x]}

    assert [(row.path, row.output_shape) for row in plan(Net(), (2,)).rows if not row.is_function] == [
        ("layer", None),
        ("layer", (1, 2)),
    ]


def test_a_shape_that_does_not_fit_is_explained():
    net = lenet5(nn)
    net.fc1 = nn.Linear(320, 120)
    with pytest.raises(ShapeError) as caught:
        plan(net, (64, 1, 28, 28))
    lines = str(caught.value).split("\n")
    assert lines[0] == "fc1 = Linear(320, 120) got (64, 400): set in_features=400"
    assert lines[1].startswith("(linear: input has 400 features but weight expects 320;")
    assert lines[3:5] == ["how the shape came about:", "input 64 times 1×28×28"]
    assert [" ".join(line.split()) for line in lines[7:]] == [
        "conv1 Conv2d 6×28×28 ⌊(28 + 2·2 − 5) / 1⌋ + 1 = 28",
        "F.relu 6×28×28",
        "F.max_pool2d 6×14×14 ⌊(28 + 2·0 − 2) / 2⌋ + 1 = 14",
        "conv2 Conv2d 16×10×10 ⌊(14 + 2·0 − 5) / 1⌋ + 1 = 10",
        "F.relu 16×10×10",
        "F.max_pool2d 16×5×5 ⌊(10 + 2·0 − 2) / 2⌋ + 1 = 5",
        "flatten 400 16·5·5 = 400",
        "fc1 Linear ✗ does not fit",
    ]
    net.fc1 = nn.Linear(400, 120)
    plan(net, (64, 1, 28, 28))


ERRORS = [
    (lambda: plan(lenet5, (1, 28, 28)), TypeError, "plan: model must be a Module, got function"),
    (lambda: plan(nn.ReLU, (1, 28, 28)), TypeError, r"got the class ReLU; did you mean ReLU\(\)\?"),
    (lambda: plan(nn.ReLU(), 28), DTypeError, r"tuple of positive ints, such as \(1, 28, 28\), got 28"),
    (lambda: plan(nn.ReLU(), (1, 2.0)), DTypeError, r"got \(1, 2.0\)"),
    (lambda: plan(nn.ReLU(), (1, True)), DTypeError, r"got \(1, True\)"),
    (lambda: plan(nn.ReLU(), "28"), DTypeError, "got '28'"),
    (lambda: plan(nn.ReLU(), ()), ShapeError, r"1 to 4 positive ints, such as \(1, 28, 28\), got \(\)"),
    (lambda: plan(nn.ReLU(), (1, 0, 3)), ShapeError, r"got \(1, 0, 3\)"),
    (lambda: plan(nn.ReLU(), (1, -2)), ShapeError, r"got \(1, -2\)"),
    (lambda: plan(nn.ReLU(), (1, 2, 3, 4, 5)), ShapeError, r"got \(1, 2, 3, 4, 5\)"),
    (lambda: plan(lenet5(nn), (28, 29)), ShapeError, r"for convolutions, such as \(1, 28, 29\), got \(28, 29\)"),
    (lambda: plan(vgg11(nn), (784,)), ShapeError, r"such as \(3, 28, 28\), got \(784,\)"),
    (lambda: plan(lenet5(nn), (1, 28, 28))["conv3"], KeyError, "no layer 'conv3'; did you mean 'conv2' or 'conv1'"),
    (lambda: plan(lenet5(nn), (1, 28, 28))[None], KeyError, "no layer None; there are 'conv1', 'conv2', 'fc1'"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
