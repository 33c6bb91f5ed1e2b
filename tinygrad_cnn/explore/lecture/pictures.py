"""Pictures that the chapters need beside those of ``explore``: numbers in their places, and a few curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..explanations import Explanation
from ..measurement import Measurement
from ..showing import BLUE, DIVERGING, GREEN, GREY, ORANGE, SEQUENTIAL, SKY, VERMILION, picture, pixels, show
from .subject import number, plain, probability

if TYPE_CHECKING:
    from ..picture import Picture

_COLORS, _MARKS = (BLUE, VERMILION, GREEN, ORANGE), "os^D"
_WRITTEN = 11
"""Numbers are written into the places of a matrix with at most so many rows and columns."""


def images_picture(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 10) -> Picture:
    """Images (C, H, W) side by side with a line of text over each."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max(title.count("\n") for title in titles)
    figure = picture(max(5.0, 9.2 * min(1.0, columns / 7)), (9.2 / max(columns, 7) + 0.2 * (lines + 1)) * rows + 0.1)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles):
        show(axes, pixels(image))
        axes.set_title(title, fontsize=10, pad=4)
    return figure


def numbers_picture(image: np.ndarray) -> Picture:
    """An image (C, H, W), and the numbers of the part in its middle."""
    grey = image.mean(0)
    H, W = grey.shape
    high, wide = min(H, _WRITTEN), min(W, _WRITTEN)
    top, left = (H - high) // 2, (W - wide) // 2
    figure = picture(8.4, 4.6)
    whole, part = figure.subplots(1, 2, width_ratios=(1, 1.55))
    show(whole, pixels(image)).axes.set_title(f"{H}×{W} pixels", fontsize=10)
    _frame(whole, (top, left), (high, wide))
    _matrix(part, grey[top : top + high, left : left + wide], "gray", "the pixels in the frame, as numbers", form=".1f")
    return figure


def convolution_picture(
    image: np.ndarray, maps: np.ndarray, found: Explanation, channel: int, before: float, number: str
) -> Picture:
    """Above, a channel (H, W) with the window, and the feature map (OH, OW); below, patch × filter = products."""
    assert found.filter is not None
    assert found.corner is not None
    figure = picture(8.2, 6.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.1, 1), squeeze=False)[:, 0]
    left, right = upper.subplots(1, 2)
    show(left, image).axes.set_title("1. the window on what goes in", fontsize=10)
    _frame(left, found.corner, found.patch.shape[1:])
    limit = float(np.abs(maps).max()) or 1.0
    show(right, maps, cmap=DIVERGING, vmin=-limit, vmax=limit)
    right.set_title(f"5. this number's place: {number}", fontsize=10)
    _frame(right, found.position[1:], (1, 1))
    matrices = (found.patch[channel], found.filter[channel], found.products[channel])
    titles = ("2. the numbers in the window", "3. times the filter's weights", f"4. add up to {before:.3f}")
    scale = max(float(np.abs(m).max()) for m in matrices) or 1.0
    for axes, matrix, title in zip(lower.subplots(1, 3), matrices, titles):
        _matrix(axes, matrix, DIVERGING, title, limit=scale)
    return figure


def pooling_picture(
    before: np.ndarray, after: np.ndarray, window: tuple[int, int], stride: tuple[int, int], corner: tuple[int, int]
) -> Picture:
    """A part of a feature map with its windows, and what pooling leaves of it.

    Args:
        before, after: the map (H, W) and what it becomes.
        window, stride: of the pooling.
        corner: row and column of ``after`` where the part begins, without padding.
    """
    places = tuple(min(3, n - c) for n, c in zip(after.shape, corner))
    top, left = (c * s for c, s in zip(corner, stride))
    sides = [(p - 1) * s + w for p, s, w in zip(places, stride, window)]
    part = before[top : top + sides[0], left : left + sides[1]]
    kept = after[corner[0] : corner[0] + places[0], corner[1] : corner[1] + places[1]]
    figure = picture(8.2, 3.9)
    first, second = figure.subplots(1, 2, width_ratios=(1.25, 1))
    limit = max(float(np.abs(part).max()), 1e-12)
    _matrix(first, part, SEQUENTIAL, "a part of a feature map", limit=limit, centred=False)
    _matrix(second, kept, SEQUENTIAL, "the largest of every window", limit=limit, centred=False)
    for row in range(places[0]):
        for column in range(places[1]):
            _frame(first, (row * stride[0], column * stride[1]), window, ORANGE)
            _frame(second, (row, column), (1, 1), ORANGE)
    return figure


def relu_picture(before: np.ndarray, after: np.ndarray, values: np.ndarray) -> Picture:
    """The function with how often its arguments occur, and a map (H, W) before and after it, if there is one."""
    maps = before.ndim == 2
    figure = picture(8.6 if maps else 4.6, 3.3)
    ratios = (1.5, 1, 1) if maps else (1,)
    first, *others = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    reach = float(np.abs(values).max()) or 1.0
    first.hist(values.reshape(-1), 40, range=(-reach, reach), color=SKY, label="how often x occurs")
    first.set(xlabel="x", yticks=[])
    line = first.twinx()
    x = np.array([-reach, 0, reach])
    line.plot(x, np.maximum(x, 0), color=VERMILION, linewidth=2, label="max(0, x)")
    line.set(ylim=(-0.05 * reach, 1.05 * reach), ylabel="max(0, x)")
    handles = [h for axes in (first, line) for h in axes.get_legend_handles_labels()[0]]
    first.legend(handles, [h.get_label() for h in handles], loc="upper left", frameon=False, fontsize=8)
    limit = float(np.abs(before).max()) or 1.0
    for axes, map_, title in zip(others, (before, after), ("a map before", "and after")):
        shown = show(axes, map_, cmap=DIVERGING, vmin=-limit, vmax=limit)
        axes.set_title(title, fontsize=10)
    if maps:
        figure.colorbar(shown, ax=others, shrink=0.6, aspect=15)
    return figure


def bars_picture(names: Sequence[str], values: Mapping[str, Sequence[float]]) -> Picture:
    """Shares of a whole as bars: a group of bars for every name, a colour for every series."""
    figure = picture(7.6, 0.5 * len(names) * max(1, len(values) * 0.7) + 1.3)
    axes = figure.subplots()
    height = 0.8 / len(values)
    for i, (label, shares) in enumerate(values.items()):
        places = np.arange(len(names)) + (i - (len(values) - 1) / 2) * height
        axes.barh(places, shares, 0.92 * height, color=_COLORS[i], label=label)
        for place, share in zip(places, shares):
            axes.text(share + 0.01, place, f"{share:.1%}", va="center", fontsize=8)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.1), xticks=np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    if len(values) > 1:
        figure.legend(loc="outside upper left", ncols=len(values), frameon=False)
    return figure


def loss_picture(points: Sequence[tuple[str, float]], chance: float) -> Picture:
    """−ln p from 0 to 1 with some points (name, p) on it, and the probability that guessing gives."""
    figure = picture(7.4, 3.9)
    axes = figure.subplots()
    low = min(0.01, *(p for _, p in points)) / 2
    x = np.geomspace(max(low, 1e-9), 1, 400)
    axes.plot(x, -np.log(x), color=GREY)
    marks = [(f"guessing: p = {chance:.3g}", chance, GREY)]
    marks += [(f"{name}: p = {probability(p)}", p, _COLORS[i % 4]) for i, (name, p) in enumerate(points)]
    for i, (label, p, color) in enumerate(marks):
        p = max(p, 1e-9)
        axes.plot([p], [-math.log(p)], "sosD^"[i % 5], color=color, label=f"{label}, loss {plain(-math.log(p))}", ms=8)
    axes.legend(frameon=False)
    axes.set(
        xlabel="p, the probability that the network gives to the true class", ylabel="loss = −ln p", xlim=(0, 1.03)
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def slope_picture(weights: np.ndarray, losses: np.ndarray, weight: float, loss: float, slope: float) -> Picture:
    """The loss over one weight with the tangent where the weight is."""
    figure = picture(7.4, 3.7)
    axes = figure.subplots()
    axes.plot(weights, losses, color=BLUE, label="the loss, computed anew for every value of the weight")
    reach = np.array([weights[0], weights[-1]])
    axes.plot(
        reach,
        loss + slope * (reach - weight),
        color=VERMILION,
        ls="--",
        label=f"slope {plain(slope, 4)}, from back-propagation",
    )
    axes.plot(
        [weight], [loss], "o", color=VERMILION, ms=8, label=f"now: weight {number(weight, '.4f')}, loss {loss:.4f}"
    )
    low, high = float(losses.min()), float(losses.max())
    high = max(high, low + 1e-6)  # a weight may change nothing
    axes.set(xlabel="the weight", ylabel="loss", ylim=(low - 0.15 * (high - low), high + 0.45 * (high - low)))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def spread_picture(slopes: Mapping[int, np.ndarray], whole: float) -> Picture:
    """The slope that every mini-batch gives for one weight, by the batch's size, and that of all images."""
    figure = picture(7.4, 3.4)
    axes = figure.subplots()
    for i, (_, values) in enumerate(slopes.items()):
        axes.plot(values, np.full(len(values), i), "|", color=BLUE, ms=18, mew=1.5)
    axes.axvline(whole, color=VERMILION, ls="--", label=f"all images together: {plain(whole)}")
    axes.set_yticks(range(len(slopes)), [f"batches of {n}" for n in slopes])
    axes.set(xlabel="slope of the loss by one weight", ylim=(len(slopes) - 0.4, -0.6))
    figure.legend(loc="outside upper right", frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def curves_picture(measured: Measurement, smooth: int = 1, log: tuple[bool, bool] = (False, False)) -> Picture:
    """The curves of a measurement; each point is the mean of ``smooth`` neighbours."""
    figure = picture(7.4, 3.9)
    axes = figure.subplots()
    highest = 0.0
    for i, (name, (x, y)) in enumerate(measured.curves.items()):
        values, places = np.array(y, np.float64), np.array(x, np.float64)
        if smooth > 1 and len(values) >= smooth:
            values = np.convolve(values, np.full(smooth, 1 / smooth), "valid")
            places = places[smooth - 1 :]
        mark = _MARKS[i % 4] if len(values) <= 20 else ""
        axes.plot(
            places,
            values,
            color=_COLORS[i % 4],
            marker=mark,
            markersize=5,
            label=name,
            ls=("-", "--", "-.", ":")[i % 4],
        )
        highest = max(highest, 1.4 * float(y[0]) if np.isfinite(y[0]) else 0.0)
    shares = "accuracy" in measured.axes[1]
    axes.set(xlabel=measured.axes[0], ylabel=measured.axes[1])
    if all(float(v).is_integer() for x, _ in measured.curves.values() for v in x):
        axes.locator_params(axis="x", integer=True)
    if shares:
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter("{x:.0%}")
    elif "loss" in measured.axes[1]:
        axes.set_ylim(0, highest or 1.0)  # what explodes leaves the picture
    if log[0]:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    if log[1]:
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _frame(axes: Any, corner: Sequence[int], sides: Sequence[int], color: str = VERMILION) -> None:
    """A frame around places of an image, from the upper left corner (row, column)."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((corner[1] - 0.5, corner[0] - 0.5), sides[1], sides[0], fill=False, edgecolor=color, linewidth=2.2)
    )


def _matrix(
    axes: Any,
    matrix: np.ndarray,
    colors: str,
    title: str,
    limit: float | None = None,
    centred: bool = True,
    form: str = ".2f",
) -> None:
    """A matrix in colours with its numbers written into it; from -limit, or from 0, to limit."""
    options = {} if limit is None else {"vmin": -limit if centred else min(0.0, float(matrix.min())), "vmax": limit}
    shown = show(axes, matrix, cmap=colors, **options)
    axes.set_title(title, fontsize=10)
    if max(matrix.shape) > _WRITTEN:
        return
    letters = min(11.0, 100 / max(matrix.shape))
    for (row, column), value in np.ndenumerate(matrix):
        red, green, blue, _ = shown.cmap(shown.norm(value))
        ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        text = format(value, form)
        text = text.replace("-", "−") if float(text) else format(0.0, form)
        axes.text(column, row, text, ha="center", va="center", fontsize=letters, color=ink)
