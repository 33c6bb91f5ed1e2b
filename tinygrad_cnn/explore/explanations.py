"""The answers of ``explain`` and ``explain_grad``: numbers, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .tables import grid

Index = tuple[int, ...]


@dataclass(frozen=True)
class Explanation:
    """How one output number of a layer comes about; printed, it is the calculation.

    Attributes:
        path: the layer's dotted path.
        layer: the layer as one writes it in code.
        position: which output: (channel, row, column) of a convolution or pooling layer, (feature,) of a linear one.
        corner: row and column of the patch's first place in the layer's input (negative inside the padding); None for
            a linear layer.
        patch: what the layer reads, padding filled in: (C, KH, KW) of a convolution, with the channels of its group;
            (KH, KW) of max pooling; (K,) of a linear layer.
        filter: the weights that it is multiplied with, of the patch's shape; None for max pooling.
        bias: what is added, 0 without bias.
        value: the sum of patch · filter, plus bias, in float64, at least 0 where the call also applies a ReLU; of max
            pooling the largest place of the patch.
        recorded: the number that the layer itself gave.
        channels: the number of the first of the patch's channels in the layer's input.
    """

    path: str
    layer: str
    position: Index
    corner: tuple[int, int] | None
    patch: np.ndarray
    filter: np.ndarray | None
    bias: float
    value: float
    recorded: float
    channels: int = 0

    @property
    def products(self) -> np.ndarray:
        """Patch · filter, place by place, float64; of max pooling the patch."""
        patch = self.patch.astype(np.float64)
        return patch if self.filter is None else patch * self.filter

    def __str__(self) -> str:
        head = f"{self.path} = {self.layer}, output {_tuple(self.position)}"
        if self.filter is None:
            place = np.unravel_index(int(np.argmax(nan_first(self.patch))), self.patch.shape)
            where = _tuple(tuple(map(int, place)))
            lines = [f"{head}: the largest of the window at {self.corner}", _matrix(self.patch)]
            return "\n".join([*lines, f"is {self.recorded:.6g}, at {where} of it"])
        if self.patch.ndim == 1:
            return f"{head}\n{_largest_terms(self.patch, self.filter, self.products)}\n{self._sum()}"
        sums = self.products.sum((1, 2))
        shown = sorted(np.argsort(-np.abs(sums), kind="stable")[:_CHANNELS].tolist())
        blocks = []
        for c in shown:
            blocks.append(
                f"channel {c + self.channels}: patch at {self.corner}, filter, products; they add up to {sums[c]:.6g}\n"
                + _side_by_side(self.patch[c], self.filter[c], self.products[c])
            )
        rest = len(sums) - len(shown)
        if rest:
            blocks.append(f"the other {rest} channels add up to {sums.sum() - sums[shown].sum():.6g}")
        return "\n".join([head, *blocks, self._sum()])

    __repr__ = __str__

    def _sum(self) -> str:
        text = f"{self.value - self.bias:.6g} + bias {self.bias:.6g} = {self.value:.6g}"
        # The layer adds up in another order and precision: only what is visible is said.
        same = np.isclose(self.value, self.recorded, rtol=1e-4, atol=1e-5)
        return text if same else f"{text}; the layer gave {self.recorded:.6g}"


class Contribution(NamedTuple):
    """One place's part in the gradient of a weight.

    Attributes:
        image: number of the image in the batch.
        place: row and column of the output; () for a linear layer of (N, K) inputs.
        call: which of the layer's calls, from 0.
        input: the number that was multiplied with the weight there.
        gradient: derivative of the loss by the output there.
        product: their product.
    """

    image: int
    place: Index
    call: int
    input: float
    gradient: float
    product: float


@dataclass(frozen=True)
class GradientExplanation:
    """The places at which one weight was used, and what each of them adds to its gradient.

    Attributes:
        path, layer: the layer's dotted path and how it is written in code.
        index: which weight, ``weight[index]``.
        weight: its value.
        inputs, gradients: per call of the layer, what the weight was multiplied with at every place, and the derivative
            of the loss by the output there: (N, OH, OW) of a convolution, (N, ...) of a linear layer.
        recorded: the weight's gradient as the backward walk computed it.
    """

    path: str
    layer: str
    index: Index
    weight: float
    inputs: tuple[np.ndarray, ...]
    gradients: tuple[np.ndarray, ...]
    recorded: float

    @property
    def products(self) -> tuple[np.ndarray, ...]:
        """What every place adds, per call, float64."""
        return tuple(x.astype(np.float64) * g for x, g in zip(self.inputs, self.gradients))

    @property
    def total(self) -> float:
        """All places together: the gradient, up to rounding, unless the weight is also used outside this layer."""
        return float(sum(p.sum() for p in self.products))

    @property
    def places(self) -> int:
        """At how many places the weight was used."""
        return sum(x.size for x in self.inputs)

    def largest(self, count: int = 10) -> list[Contribution]:
        """The places that add most, in size, largest first."""
        found = []
        for call, products in enumerate(self.products):
            for flat in np.argsort(-np.abs(products), axis=None, kind="stable")[:count].tolist():
                at = tuple(map(int, np.unravel_index(flat, products.shape)))
                numbers = (a[at].item() for a in (self.inputs[call], self.gradients[call], products))
                found.append(Contribution(at[0], at[1:], call, *numbers))
        return sorted(found, key=lambda c: -abs(c.product))[:count]

    def __str__(self) -> str:
        top, products = self.largest(), np.concatenate([p.reshape(-1) for p in self.products])
        calls = len(self.inputs) > 1
        headings = [*(["call"] if calls else []), "image", "place", "input", "gradient of the output", "product"]
        lines = [
            [*([str(c.call)] if calls else []), str(c.image), _tuple(c.place) if c.place else "",
             f"{c.input:.6g}", f"{c.gradient:.6g}", f"{c.product:.6g}"]
            for c in top
        ]  # fmt: skip
        parts = [
            f"{self.path} = {self.layer}, gradient of weight[{', '.join(map(str, self.index))}], "
            f"which is {self.weight:.6g}",
            f"one weight, used at {self.places:,} places; {np.count_nonzero(products):,} add something other than 0",
            grid(headings, lines),
        ]
        if self.places > len(top):
            parts.append(f"these {len(top)} add up to {sum(c.product for c in top):.6g}")
        text = f"all {self.places:,} add up to {self.total:.6g}; the recorded gradient is {self.recorded:.6g}"
        parts.append(text if self._explains_all() else f"{text}: the weight is also used outside this layer")
        return "\n".join(parts)

    __repr__ = __str__

    def _explains_all(self) -> bool:
        size = sum(np.abs(p).sum() for p in self.products)
        return bool(abs(self.total - self.recorded) <= 1e-4 * size + 1e-12)


# ---------------------------------------------------------------- text

_CHANNELS = 4
"""So many channels are shown: those that add most."""
_TERMS = 10
"""So many terms of a linear layer are shown."""


def _tuple(numbers: Index) -> str:
    return f"({', '.join(map(str, numbers))})"


def _cells(matrix: np.ndarray) -> list[str]:
    """The rows of a matrix as text of one width; adding 0 makes 0 of −0."""
    texts = [[f"{v:.4g}" for v in row] for row in (matrix + 0.0).tolist()]
    width = max(len(t) for row in texts for t in row)
    return [" ".join(t.rjust(width) for t in row) for row in texts]


def _matrix(matrix: np.ndarray) -> str:
    return "\n".join(f"  {row}" for row in _cells(matrix))


def _side_by_side(patch: np.ndarray, weights: np.ndarray, products: np.ndarray) -> str:
    columns = [_cells(m) for m in (patch, weights, products)]
    middle = len(columns[0]) // 2
    signs = [("·", "=") if i == middle else (" ", " ") for i in range(len(columns[0]))]
    return "\n".join(f"  {a}  {s[0]}  {b}  {s[1]}  {c}" for a, b, c, s in zip(*columns, signs))


def _largest_terms(x: np.ndarray, weights: np.ndarray, products: np.ndarray) -> str:
    order = np.argsort(-np.abs(products), kind="stable")[:_TERMS].tolist()
    lines = [[str(k), f"{x[k]:.6g}", f"{weights[k]:.6g}", f"{products[k]:.6g}"] for k in order]
    rest = products.sum() - products[order].sum()
    text = grid(["feature", "input", "weight", "product"], lines)
    return text if len(x) <= _TERMS else f"{text}\nthe other {len(x) - _TERMS} features add up to {rest:.6g}"


def nan_first(patch: np.ndarray) -> np.ndarray:
    """With NaN as the largest, as pooling sees it."""
    return np.where(np.isnan(patch), np.inf, patch)
