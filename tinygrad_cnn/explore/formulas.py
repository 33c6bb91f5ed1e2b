"""The arithmetic of layers, written out: sizes, parameters, multiply-adds and receptive fields with numbers put in.

Reference: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, 2016, for
sizes; A. Araujo, W. Norris, J. Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .. import nn
from ..autograd import Tensor

Pair = tuple[int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """What one operation does to the image that passes through it.

    Attributes:
        name: as it is written in code: ``F.relu``, ``+``, ``flatten``.
        size: how the output's height and width come about; empty where they stay.
        multiply_adds: products that are added to something.
        work: their formula.
        reach: how far, in places of its input, the first and the last place that one output reads lie apart,
            vertically and horizontally; ``"all"`` if every output reads everything, ``"unknown"`` if it mixes places.
        stride: distance of neighbouring outputs in places of the input.
        start: the first place of the input that the first output reads; negative in the padding.
        on_grid: False where the output has no height and width any more.
        unread: rows at the bottom and columns at the right of the image that no window reaches.
        rows: number of rows before and after, where a matrix is made that has not one row per example.
        is_view: whether the output is the input's memory, layout conversions aside.
        hidden: whether it is no step of the computation but of our memory management.
    """

    name: str
    size: str = ""
    multiply_adds: int = 0
    work: str = ""
    reach: Pair | Literal["all", "unknown"] = (0, 0)
    stride: Pair = (1, 1)
    start: Pair = (0, 0)
    on_grid: bool = True
    unread: Pair = (0, 0)
    rows: Pair | None = None
    is_view: bool = False
    hidden: bool = False


class Field(NamedTuple):
    """Which part of the input image one place of a feature map depends on.

    Attributes:
        size: height and width of that part in pixels, padding included.
        jump: how many pixels the parts of two neighbours are apart; None where there are no neighbours.
        start: the upper left pixel of the first place's part; negative in the padding.
    """

    size: Pair
    jump: Pair | None
    start: Pair = (0, 0)


def after(step: Step, inputs: list[Field | None], image: Pair) -> Field | None:
    """The receptive field after a step.

    Args:
        step: the step.
        inputs: the field of every input that depends on the image; None if that is unknown.
        image: height and width of the network's input.

    Returns:
        The field; of several inputs, the largest counts.  None if it is unknown.
    """
    known = [field for field in inputs if field is not None]
    if step.reach == "all":
        sizes = [image, *[field.size for field in known]]  # with padding, a field can be larger than the image
        return Field((max(size[0] for size in sizes), max(size[1] for size in sizes)), None)
    if step.reach == "unknown" or not known or len(known) < len(inputs):
        return None
    size = (max(f.size[0] for f in known), max(f.size[1] for f in known))
    start = (min(f.start[0] for f in known), min(f.start[1] for f in known))
    jump = known[0].jump if all(f.jump == known[0].jump for f in known) else None
    if jump is None:
        return Field(size, None, start) if step.reach == (0, 0) and step.stride == (1, 1) else None
    size = (size[0] + step.reach[0] * jump[0], size[1] + step.reach[1] * jump[1])
    start = (start[0] + step.start[0] * jump[0], start[1] + step.start[1] * jump[1])
    return Field(size, (jump[0] * step.stride[0], jump[1] * step.stride[1]) if step.on_grid else None, start)


# ---------------------------------------------------------------- sizes


class Axis(NamedTuple):
    """A window that slides along one dimension."""

    size: int
    before: int
    after: int
    kernel: int
    stride: int
    dilation: int
    places: int

    @property
    def room(self) -> int:
        """By how many places the window can be moved."""
        return self.size + self.before + self.after - self.dilation * (self.kernel - 1) - 1

    @property
    def unread(self) -> int:
        """Places of the image, without padding, behind the last window."""
        return max(0, self.room - (self.places - 1) * self.stride - self.after)

    def formula(self) -> str:
        """``⌊(28 + 2·1 − 3) / 1⌋ + 1 = 28``; with ⌈⌉ where a window that reaches over the border counts."""
        padding = f"2·{self.before}" if self.before == self.after else f"{self.before} + {self.after}"
        span = f"{self.kernel}" if self.dilation == 1 else f"{self.dilation}·({self.kernel} − 1) − 1"
        left, right = "⌊⌋" if self.places == self.room // self.stride + 1 else "⌈⌉"
        return f"{left}({self.size} + {padding} − {span}) / {self.stride}{right} + 1 = {self.places}"


def windows(vertical: Axis, horizontal: Axis, **rest: Any) -> dict[str, Any]:
    """The fields of a Step that slides a window."""
    axes = (vertical, horizontal)
    return {
        "size": per_axis(vertical.formula(), horizontal.formula()),
        "reach": tuple(a.dilation * (a.kernel - 1) for a in axes),
        "stride": tuple(a.stride for a in axes),
        "start": tuple(-a.before for a in axes),
        "unread": tuple(a.unread for a in axes),
        **rest,
    }


def per_axis(vertical: str, horizontal: str) -> str:
    """One text if both axes agree, else both."""
    if vertical == horizontal:
        return vertical
    return "; ".join(f"{axis}: {text}" for axis, text in (("H", vertical), ("W", horizontal)) if text)


def product(*factors: int | str) -> str:
    """``3·3·1``."""
    return "·".join(map(str, factors))


def batch(shape: Shape) -> tuple[int, ...]:
    """The batch as a factor, where there is more than one image."""
    return shape[:1] if shape[0] != 1 else ()


# ---------------------------------------------------------------- parameters


def parameter_count(module: nn.Module, own: Mapping[str, Tensor]) -> str:
    """How the number of a layer's own parameters comes about: ``(3·3·1 + 1)·32 = 320``.

    Args:
        module: the layer.
        own: the parameters that are counted, by name.
    """
    total = sum(p.numel() for p in own.values())
    sizes = {name: tuple(p.shape) for name, p in own.items()}
    weight = sizes.get("weight", ())
    if isinstance(module, nn.Conv2d) and len(weight) == 4 and set(sizes) <= {"weight", "bias"}:
        filters, C, KH, KW = weight
        return f"{_with_bias(product(KH, KW, C), filters, 'bias' in sizes)} = {total:,}"
    if isinstance(module, nn.Linear) and len(weight) == 2 and set(sizes) <= {"weight", "bias"}:
        return f"{_with_bias(str(weight[1]), weight[0], 'bias' in sizes)} = {total:,}"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and len(sizes) == 2:
        return f"2·{weight[0]} = {total:,}"
    terms = " + ".join(f"{name} {product(*shape) or 1}" for name, shape in sizes.items())
    return f"{terms} = {total:,}" if sizes else ""


def _with_bias(inputs: str, outputs: int, bias: bool) -> str:
    return f"({inputs} + 1)·{outputs}" if bias else f"{inputs}·{outputs}"


def warnings(steps: Iterable[Step]) -> tuple[str, ...]:
    """Sentences about what is allowed but rarely meant: pixels that no window reads, a batch that is cut up."""
    sentences = []
    for step in steps:
        if step.unread != (0, 0):
            rows, columns = _count(step.unread[0], "row"), _count(step.unread[1], "column")
            sentences.append(f"{rows} at the bottom, {columns} at the right are never read")
        if step.rows is not None:
            before, behind = _count(step.rows[0], "example"), _count(step.rows[1], "row")
            sentences.append(f"{before} became {behind}; flatten(1) keeps a row per example")
    return tuple(sentences)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
