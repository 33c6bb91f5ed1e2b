"""What every operation does to the size of an image, to its receptive field, and how many multiply-adds it takes.

It is read from the recorded operations, so a layer and the function it calls are described by the same code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..autograd import Op
from ..autograd.function import FunctionNode
from ..autograd.inplace import Overwrite
from ..ops import (
    activation,
    arithmetic,
    conv,
    conv_pool,
    cross_entropy,
    dropout,
    gathering,
    indexing,
    joining,
    layout,
    linalg,
    linear,
    norm,
    padding,
    pooling,
    power,
    rearrange,
    reduction,
    selection,
    views,
)
from .formulas import Axis, Pair, Shape, Step, batch, per_axis, product, windows


def describe(node: Op) -> Step:
    """What the operation of a recorded node does."""
    describer = _of_class(_DESCRIBERS, node)
    if describer is not None:
        return describer(node)
    if isinstance(node, FunctionNode):
        return Step(name_of(node), reach="unknown")
    keeps = any(_input_shape(node, i) == node.output_shapes[0] for i in range(len(node.edges)))
    mixes = not keeps or type(node) in _MIXING
    return Step(name_of(node), reach="unknown" if mixes else (0, 0), is_view=node.is_view, hidden=type(node) in _HIDDEN)


def name_of(node: Op) -> str:
    """An operation as it is written in code, also where what it has saved is gone: ``F.relu``, ``+``, ``reshape``."""
    if isinstance(node, FunctionNode):
        return node.function.__name__
    return _of_class(_NAMES, node) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(node).__name__).lower()


def _of_class(table: Mapping[type[Op], Any], node: Op) -> Any:
    """What a table has for the node's class or, since a layer and its ReLU may be one operation, for its base."""
    return next((table[cls] for cls in type(node).__mro__ if cls in table), None)


def _input_shape(node: Op, index: int) -> Shape | None:
    return node.input_shape(index) if node.needs(index) else None


def _saved_shape(node: Op, entry: int) -> Shape:
    """The shape of an input that the node keeps for its gradient."""
    return _saved(node)[entry].shape


def _saved(node: Op) -> list[Any]:
    """The arrays that the node keeps for its gradient, None for those that no gradient needs."""
    return [None if saved is None else saved[0] for saved in node.saved or ()]


def _axis(shape: Shape, out: Shape, axis: int, kernel: Pair, window: Any) -> Axis:
    """The vertical (0) or horizontal (1) axis of what has stride, padding and dilation."""
    margin = window.padding[axis]
    return Axis(
        shape[2 + axis], margin, margin, kernel[axis], window.stride[axis], window.dilation[axis], out[2 + axis]
    )


def _conv(node: Any) -> Step:
    shape, (filters, C, KH, KW) = node.input_shape(0), _saved_shape(node, 1)
    out, geometry = node.output_shapes[0], node.geometry
    axes = [_axis(shape, out, a, (KH, KW), geometry) for a in (0, 1)]
    count = math.prod(out) * C * KH * KW
    work = f"{product(*batch(out), *out[2:], filters)}·({product(KH, KW, C)}) = {count:,}"
    return Step("F.conv2d", **windows(*axes, multiply_adds=count, work=work))


def _zero_pad(node: Any) -> Step:
    top, bottom, left, right = node.border
    H, W = node.input_shape(0)[2:]
    vertical, horizontal = (
        f"{H} + {top} + {bottom} = {H + top + bottom}",
        f"{W} + {left} + {right} = {W + left + right}",
    )
    return Step("F.pad", per_axis(vertical, horizontal), start=(-top, -left))


def _pad(node: Any) -> Step:
    texts = [
        f"{size} + {before} + {after} = {size + before + after}"
        for size, (before, after) in zip(node.input_shape(0), node.widths)
    ]
    changed = [text for text, widths in zip(texts, node.widths) if widths != (0, 0)]
    start = tuple(-before for before, _ in node.widths[-2:])
    return Step("F.pad", "; ".join(dict.fromkeys(changed)), start=start)


def _max_pool(node: Any) -> Step:
    shape, out, window = node.input_shape(0), node.output_shapes[0], node.window
    axes = [_axis(shape, out, a, window.size, window) for a in (0, 1)]
    return Step("F.max_pool2d", **windows(*axes))


def _average_pool(node: Any) -> Step:
    """From the tables of windows, (count, 3): start and end inside the image, and divisor."""
    shape, tables = node.input_shape(0), _saved(node)
    if 0 in node.output_shapes[0]:
        return Step("F.avg_pool2d", reach="unknown")
    vertical, horizontal = (_table_axis(shape[2 + a], tables[a]) for a in (0, 1))
    if vertical is not None and horizontal is not None:
        return Step("F.avg_pool2d", **windows(vertical, horizontal))
    sizes = [f"{len(t)} windows of {_range(t[:, 1] - t[:, 0])} over {shape[2 + a]}" for a, t in enumerate(tables)]
    reach = tuple(int((t[:, 1] - t[:, 0]).max()) - 1 for t in tables)
    stride = tuple(round((t[-1, 0] - t[0, 0]) / max(len(t) - 1, 1)) or 1 for t in tables)
    start = tuple(int(t[1, 0]) - step if len(t) > 1 else int(t[0, 0]) for t, step in zip(tables, stride))
    return Step("F.avg_pool2d", per_axis(*sizes), reach=reach, stride=stride, start=start)  # type: ignore[arg-type]


def _table_axis(size: int, table: Any) -> Axis | None:
    """The sliding window that a table without padding amounts to; None if its windows are not all alike."""
    starts, ends = table[:, 0].tolist(), table[:, 1].tolist()
    kernel = ends[0] - starts[0]
    stride = starts[1] - starts[0] if len(starts) > 1 else kernel
    regular = starts == [i * stride for i in range(len(starts))] and all(e - s == kernel for s, e in zip(starts, ends))
    fits = regular and stride > 0 and (size - kernel) // stride + 1 == len(starts)
    return Axis(size, 0, 0, kernel, stride, 1, len(starts)) if fits else None


def _range(numbers: Any) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _linear(node: Any) -> Step:
    shape, (outputs, K) = node.input_shape(0), _saved_shape(node, 1)
    count = math.prod(shape) * outputs
    rows = [s for s in shape[:-1] if s != 1]
    work = f"{product(*rows, K, outputs)} = {count:,}"
    return Step("F.linear", "", count, work, reach="all" if len(shape) == 2 else "unknown", on_grid=False)


def _matmul(node: Any) -> Step:
    first, second = _saved(node)  # one of them is not kept if the other needs no gradient
    inner = (first.shape if second is None else second.shape[:-1])[-1]
    count = math.prod(node.output_shapes[0]) * inner
    return Step("matmul", "", count, f"{product(*node.output_shapes[0], inner)} = {count:,}", reach="unknown")


def _normalisation(node: Any) -> Step:
    shape = node.input_shape(0)
    count = math.prod(shape)
    return Step("F.batch_norm", "", count, f"{product(*batch(shape), *shape[1:])} = {count:,}")


def _reshape(node: Any) -> Step:
    shape, out = node.input_shape(0), node.output_shapes[0]
    joined = len(out) < len(shape)
    sizes = [n for n in shape[len(out) - 1 :]] if joined and out[:-1] == shape[: len(out) - 1] else []
    text = f"{product(*sizes)} = {out[-1]}" if len(sizes) > 1 else ""
    name = "flatten" if text else "reshape"
    if len(out) > 2 and len(shape) > 2 and out[-2:] == shape[-2:]:
        return Step(name, text, is_view=True)
    rows = (shape[0], out[0]) if len(out) == 2 and out[0] != shape[0] else None
    return Step(name, text, reach=(0, 0) if joined else "unknown", on_grid=False, is_view=True, rows=rows)


def _permute(node: Any) -> Step:
    last = len(node.dims) - 2
    keeps = last >= 1 and tuple(node.dims[-2:]) == (last, last + 1)
    return Step("permute", reach=(0, 0) if keeps else "unknown", is_view=True)


def _slice(node: Any) -> Step:
    """Steps along height and width, ``x[:, :, ::2, ::2]``, are strides; other keys are not followed."""
    shape, out = node.input_shape(0), node.output_shapes[0]
    key = list(node.key)
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key[at : at + 1] = [slice(None)] * (len(shape) - len(key) + 1)
    key += [slice(None)] * (len(shape) - len(key))
    if len(shape) != len(out) or len(shape) < 3 or not all(isinstance(k, slice) for k in key):
        return Step("[...]", reach="unknown", is_view=True)
    stride = (key[-2].step or 1, key[-1].step or 1)
    start = (key[-2].indices(shape[-2])[0], key[-1].indices(shape[-1])[0])
    size = per_axis(*[_cut(key[a], shape[a], out[a]) for a in (-2, -1)])
    return Step("[...]", size, stride=stride, start=start, is_view=True)


def _cut(key: slice, size: int, count: int) -> str:
    """How a slice comes to have so many places; empty where it has all of them."""
    if count == size:
        return ""
    whole = key.start is None and key.stop is None
    return f"⌈{size} / {key.step}⌉ = {count}" if whole else f"{count} of {size}"


def _cat(node: Any) -> Step:
    joins_channels = node.dim < len(node.output_shapes[0]) - 2
    return Step("cat", reach=(0, 0) if joins_channels else "unknown")


def _extremum(node: Any) -> Step:
    keeps = node.output_shapes[0] in [_input_shape(node, index) for index in (0, 1)]
    return Step("maximum" if node.largest else "minimum", reach=(0, 0) if keeps else "unknown")


def _sum(node: Any) -> Step:
    shape = node.input_shape(0)
    dims = {d % len(shape) for d in node.dims}
    spatial = [len(shape) - 2, len(shape) - 1]
    reach = tuple(shape[a] - 1 if a in dims else 0 for a in spatial)
    return Step("sum", reach=reach, on_grid=node.keepdim or not dims & set(spatial))  # type: ignore[arg-type]


def is_mean(total: Op, node: Op) -> bool:
    """Whether an operation and the next one are the sum and the division that ``mean`` consists of."""
    if type(total) is not reduction.Sum or type(node) not in (arithmetic.Mul, arithmetic.Div):
        return False
    if node.edges[0] is None or node.edges[0][0] is not total:
        return False
    count = math.prod(total.input_shape(0)) / max(math.prod(total.output_shapes[0]), 1)
    factor = _saved(node)[1]
    return factor is not None and factor.size == 1 and float(factor) in (count, 1 / count)


_DESCRIBERS: Mapping[type[Op], Callable[[Any], Step]] = {
    conv.Conv2d: _conv,
    conv_pool.Conv2dMaxPool2dReLU: lambda node: Step(name_of(node), reach="unknown"),
    conv.ZeroPad: _zero_pad,
    padding.Pad: _pad,
    pooling.MaxPool2d: _max_pool,
    pooling.AveragePool2d: _average_pool,
    linear.Linear: _linear,
    linalg.MatMul: _matmul,
    norm.BatchNorm: _normalisation,
    norm.ScaleAndShift: _normalisation,
    views.Reshape: _reshape,
    views.Permute: _permute,
    views.Slice: _slice,
    reduction.Sum: _sum,
    joining.Cat: _cat,
    selection.Extremum: _extremum,
}

_NAMES: Mapping[type[Op], str] = {
    arithmetic.Add: "+",
    arithmetic.Sub: "−",
    arithmetic.Neg: "−",
    arithmetic.Mul: "*",
    arithmetic.Div: "/",
    power.Pow: "**",
    activation.ReLU: "F.relu",
    activation.Sigmoid: "F.sigmoid",
    activation.Softmax: "F.softmax",
    activation.LogSoftmax: "F.log_softmax",
    cross_entropy.CrossEntropy: "F.cross_entropy",
    cross_entropy.NLLLoss: "F.nll_loss",
    dropout.Dropout: "F.dropout",
    conv.Conv2d: "F.conv2d",
    conv.ZeroPad: "F.pad",
    padding.Pad: "F.pad",
    pooling.MaxPool2d: "F.max_pool2d",
    pooling.AveragePool2d: "F.avg_pool2d",
    conv.Conv2dReLU: "F.conv2d, relu",
    conv_pool.Conv2dMaxPool2dReLU: "F.conv2d, relu, F.max_pool2d",
    linear.Linear: "F.linear",
    linear.LinearReLU: "F.linear, relu",
    linalg.MatMul: "matmul",
    norm.BatchNorm: "F.batch_norm",
    norm.ScaleAndShift: "F.batch_norm",
    views.Slice: "[...]",
    layout.ToChannelsLast: "channels last",
}

_MIXING = frozenset(
    {
        linalg.Einsum,
        indexing.Take,
        gathering.Gather,
        rearrange.Flip,
        rearrange.Roll,
        reduction.CumSum,
        reduction.CumProd,
    }
)
"""Operations whose output may have the shape of an input though its places are others'."""

_HIDDEN = frozenset({layout.ToChannelsLast, Overwrite})
