"""Formulas against what really happens, for drawn stacks of layers: sizes, counts and receptive fields."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.explore import plan

F = nn.functional


def fits(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """The output's size, for choosing layers that the image is large enough for."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@st.composite
def layers(draw, padded: bool = True, pools: tuple[str, ...] = ("MaxPool2d", "AvgPool2d")) -> list[Any]:
    """An image's (channels, height, width), then layers that fit it as (class, arguments, keywords)."""
    channels, sizes = draw(st.integers(1, 4)), [draw(st.integers(20, 30)) for _ in range(2)]
    stack: list[Any] = [(channels, *sizes)]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["Conv2d", "BatchNorm2d", "ReLU", "Dropout", *pools]))
        keywords: dict[str, Any] = {}
        arguments: tuple = ()
        if kind == "Conv2d":
            groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
            outputs = groups * draw(st.integers(1, 4))
            arguments = (channels, outputs, tuple(draw(st.integers(1, 3)) for _ in range(2)))
            keywords = {"stride": draw(st.integers(1, 3)), "dilation": draw(st.integers(1, 2)), "groups": groups}
            keywords |= {"padding": draw(st.integers(0, 2)) if padded else 0, "bias": draw(st.booleans())}
            channels = outputs
        elif kind in pools:
            arguments = (draw(st.integers(2, 3)), draw(st.integers(1, 3)))
            keywords = {
                "padding": draw(st.integers(0, 1)) if padded else 0,
                "ceil_mode": padded and draw(st.booleans()),
            }
        elif kind == "BatchNorm2d":
            arguments = (channels,)
        if arguments and kind != "BatchNorm2d":
            kernel = arguments[2] if kind == "Conv2d" else (arguments[0],) * 2
            stride = keywords.get("stride") or arguments[1]
            after = [
                fits(s, k, stride, keywords["padding"], keywords.get("dilation", 1)) for s, k in zip(sizes, kernel)
            ]
            if min(after) < 3:
                break
            sizes = after
        stack.append((kind, arguments, keywords))
    return stack


def build(library_nn: Any, stack: list[Any]) -> Any:
    return library_nn.Sequential(*(getattr(library_nn, kind)(*args, **keywords) for kind, args, keywords in stack[1:]))


@given(layers(), st.integers(1, 2))
def test_a_stack_has_pytorchs_shapes_and_counts_and_its_formulas_hold(stack, batch):
    torch = pytest.importorskip("torch")
    theirs = build(torch.nn, stack).eval()
    result = plan(build(nn, stack), (batch, *stack[0]))
    x = torch.zeros(batch, *stack[0])
    assert len(result.rows) == len(theirs)
    for row, layer in zip(result.rows, theirs):
        before, x = x, layer(x)
        assert row.output_shape == tuple(x.shape)
        assert row.input_shapes == (tuple(before.shape),)
        assert row.parameters == sum(p.numel() for p in layer.parameters())
        for formula in (row.parameter_formula, row.work_formula):
            check_product(formula)
        check_sizes(row.size, tuple(before.shape), tuple(x.shape))
    assert result.parameters == sum(p.numel() for p in theirs.parameters())


def check_product(formula: str) -> None:
    """``(3·3·1 + 1)·32 = 320``: the right side is the left one, computed."""
    if formula:
        left, right = formula.split(" = ")
        inner = re.fullmatch(r"(?:([\d·]+)·)?\(([\d·]+)(?: \+ (\d+))?\)(?:·(\d+))?", left)
        if inner:
            outside, factors, bias, last = inner.groups()
            value = (times(factors) + int(bias or 0)) * times(outside or "1") * int(last or 1)
        else:
            value = times(left)
        assert f"{value:,}" == right


def times(factors: str) -> int:
    return math.prod(int(n) for n in factors.split("·"))


WINDOW = r"([⌊⌈])\((\d+) \+ 2·(\d+) − (?:(\d+)·\((\d+) − 1\) − 1|(\d+))\) / (\d+)[⌋⌉] \+ 1 = (\d+)"


def check_sizes(formula: str, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """One part per axis, or one for both; each begins with the input's size and computes the output's."""
    parts = re.sub("[HW]: ", "", formula).split("; ") if formula else []
    for axis, part in zip((2, 3), parts * 2 if len(parts) == 1 else parts):
        window = re.fullmatch(
            r"([⌊⌈])\((\d+) \+ 2·(\d+) − (?:(\d+)·\((\d+) − 1\) − 1|(\d+))\) / (\d+)[⌋⌉] \+ 1 = (\d+)", part
        )
        if window is None:  # an average over windows that are cut at the border
            assert re.fullmatch(rf"{after[axis]} windows of \d+( to \d+)? over {before[axis]}", part)
            continue
        bracket, size, padding, dilation, kernel, plain, stride, result = window.groups()
        span = int(dilation) * (int(kernel) - 1) + 1 if dilation else int(plain)
        steps = (int(size) + 2 * int(padding) - span) / int(stride)
        assert (int(size), int(result)) == (before[axis], after[axis])
        assert (math.floor(steps) if bracket == "⌊" else math.ceil(steps)) + 1 == after[axis]
    if not parts:
        assert before == after


@given(layers(padded=False, pools=("AvgPool2d",)))
def test_the_receptive_field_is_what_the_gradient_reaches(stack):
    """With positive weights and pixels, an output's gradient is positive exactly at the pixels it depends on."""
    net = build(nn, stack).eval()
    for p in net.parameters():
        p._array[...] = 1
    row = plan(net, stack[0]).rows[-1]
    image = tg.ones(1, *stack[0], requires_grad=True)
    out = net(image)
    for axis in (0, 1):
        corners = []
        for place in (0, 1):
            at = (0, 0, place, 0) if axis == 0 else (0, 0, 0, place)
            (grad,) = tg.autograd.grad(out[at], image, retain_graph=True)
            reached = np.flatnonzero(grad._array.sum(axis=(0, 1, 3 - axis)))
            corners.append((reached[0], reached[-1]))
        assert row.receptive_field[axis] == corners[0][1] - corners[0][0] + 1
        assert row.jump[axis] == corners[1][0] - corners[0][0]


def rows_of(function: Any, shape: tuple[int, ...]) -> list[Any]:
    """The rows of a network that is one expression."""

    class Net(nn.Module):
        def forward(self, x):
            return function(x)

    return list(plan(Net(), shape).rows)


SAME = (1, 1), (1, 1)
FUNCTIONS = [
    # function, input, kind, size, receptive field and jump
    (lambda x: F.conv2d(x, tg.ones(1, 2, 4, 4), padding="same"), (2, 6, 6), "F.conv2d", None, ((4, 4), (1, 1))),
    (lambda x: F.adaptive_avg_pool2d(x, 1), (2, 6, 7), "F.avg_pool2d", None, ((6, 7), (6, 7))),
    (lambda x: F.adaptive_avg_pool2d(x, 3), (2, 7, 7), "F.avg_pool2d", "⌊(7 + 2·0 − 3) / 2⌋ + 1 = 3", ((3, 3), (2, 2))),
    (lambda x: F.adaptive_avg_pool2d(x, 4), (2, 6, 6), "F.avg_pool2d", "4 windows of 2 over 6", ((2, 2), (1, 1))),
    (lambda x: F.adaptive_avg_pool2d(x, 0), (2, 6, 6), "F.avg_pool2d", "", (None, None)),
    (lambda x: F.avg_pool2d(x, 3, 2, 1), (2, 7, 7), "F.avg_pool2d", "4 windows of 2 to 3 over 7", ((3, 3), (2, 2))),
    (lambda x: x.sum((2, 3)), (2, 6, 7), "sum", "", ((6, 7), None)),
    (lambda x: x.mean((2, 3)), (2, 6, 7), "mean", "", ((6, 7), None)),
    (lambda x: x.mean(3, keepdim=True), (2, 6, 8), "mean", "", ((1, 8), (1, 1))),
    (lambda x: x.sum((2, 3)) / 41, (2, 6, 7), "/", "", ((6, 7), None)),
    (lambda x: x.sum(1, keepdim=True), (2, 6, 7), "sum", "", SAME),
    (lambda x: x.flatten(1), (2, 6, 7), "flatten", "2·6·7 = 84", ((1, 1), None)),
    (lambda x: x.reshape(1, 3, 4, 7), (2, 6, 7), "reshape", "", (None, None)),
    (lambda x: x.reshape(1, 1, 2, 6, 7), (2, 6, 7), "reshape", "", SAME),
    (lambda x: x.permute(0, 2, 3, 1), (2, 6, 7), "permute", "", (None, None)),
    (lambda x: x.reshape(1, 1, 2, 6, 7).permute(0, 2, 1, 3, 4), (2, 6, 7), "permute", "", SAME),
    (lambda x: x[..., ::2, ::3], (2, 6, 7), "[...]", "H: ⌈6 / 2⌉ = 3; W: ⌈7 / 3⌉ = 3", ((1, 1), (2, 3))),
    (lambda x: x[:, :, 1::2], (2, 6, 7), "[...]", "H: 3 of 6", ((1, 1), (2, 1))),
    (lambda x: x[..., 1:-1, 1:-1], (2, 6, 6), "[...]", "4 of 6", SAME),
    (lambda x: x[:, 0], (2, 6, 7), "[...]", "", (None, None)),
    (lambda x: tg.cat([x, x], 1), (2, 6, 7), "cat", "", SAME),
    (lambda x: tg.cat([x, x], 2), (2, 6, 7), "cat", "", (None, None)),
    (lambda x: F.pad(x, (1, 2)), (2, 6, 7), "F.pad", "7 + 1 + 2 = 10", SAME),
    (lambda x: x.flip(2), (2, 6, 7), "flip", "", (None, None)),
    (lambda x: tg.maximum(x, x.exp()), (2, 6, 7), "maximum", "", SAME),
    (lambda x: tg.minimum(tg.zeros(1), x), (2, 6, 7), "minimum", "", SAME),
    (lambda x: x * 2, (2, 6, 7), "*", "", SAME),
    (lambda x: F.softmax(x, 1), (2, 6, 7), "F.softmax", "", SAME),
    (lambda x: x.exp(), (2, 6, 7), "exp", "", SAME),
    (lambda x: F.linear(x, tg.ones(3, 7)), (2, 6, 7), "F.linear", "", (None, None)),
    (lambda x: x.reshape(1, 6, 7), (6, 7), "reshape", "", (None, None)),
    (lambda x: x @ tg.ones(7, 2), (2, 6, 7), "matmul", "", (None, None)),
    (lambda x: F.max_pool2d(x, 2) + F.max_pool2d(x, (3, 2), 2, (1, 0)), (2, 6, 6), "+", "", ((3, 2), (2, 2))),
    (lambda x: x + F.avg_pool2d(x, 6), (2, 6, 6), "+", "", ((6, 6), None)),
]


@pytest.mark.parametrize(("function", "shape", "kind", "size", "field"), FUNCTIONS)
def test_functions(function, shape, kind, size, field):
    row = rows_of(function, shape)[-1]
    assert row.is_function
    assert row.kind == kind
    assert size is None or row.size == size
    assert (row.receptive_field, row.jump) == field


def test_functions_of_other_libraries_are_shown_by_their_name():
    class Square(tg.autograd.function.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad * ctx.saved_tensors[0]

    (row,) = rows_of(Square.apply, (2, 3, 3))
    assert (row.kind, row.receptive_field) == ("Square", None)


def test_padding_that_is_not_the_same_on_both_sides():
    row = plan(nn.Conv2d(1, 1, (4, 3), padding="same"), (1, 8, 8)).rows[0]
    assert row.size == (
        "H: 8 + 0 + 1 = 9; W: 8 + 0 + 0 = 8; H: ⌊(9 + 2·1 − 4) / 1⌋ + 1 = 8; W: ⌊(8 + 2·1 − 3) / 1⌋ + 1 = 8"
    )
    assert row.output_shape == (1, 1, 8, 8)


def test_matrix_products_count_what_they_multiply():
    assert rows_of(lambda x: x @ tg.ones(7, 2), (6, 7))[0].multiply_adds == 6 * 7 * 2
    assert rows_of(lambda x: tg.ones(5, 6) @ x, (6, 7))[0].multiply_adds == 5 * 6 * 7
    assert rows_of(lambda x: x @ x.transpose(1, 2), (6, 7))[-1].work_formula == "1·6·6·7 = 252"
