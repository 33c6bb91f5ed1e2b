"""Learning curves, and the point from which on more epochs bring little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DTypeError
from .showing import BLUE, GREEN, GREY, ORANGE, VERMILION, picture

if TYPE_CHECKING:
    from .picture import Picture

SHARE, AHEAD = 0.01, 3
"""Returns are diminishing when this many epochs together gain less than this share of the whole fall."""

_COLORS, _MARKS = (BLUE, VERMILION, GREEN, ORANGE), "os^D"


def smoothed(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """The mean of every value and its two neighbours, (epochs,) float64; the first and the last stay as they are."""
    values = np.array(losses, np.float64)
    if len(values) > 2:
        values[1:-1] = (values[:-2] + values[1:-1] + values[2:]) / 3
    return values


def diminishing_returns(losses: Sequence[float] | np.ndarray) -> int | None:
    """The point of diminishing returns: from where on further epochs hardly pay.

    It is the first epoch after which the next three together lower the smoothed loss (``smoothed``) by less than 1 %
    of its whole fall, from the first epoch to the lowest.

    Args:
        losses: the loss of every epoch, from the first on.

    Returns:
        The number of the epoch, from 1; None if there is no such epoch yet, or the loss has not fallen at all.

    Raises:
        DTypeError: losses is no sequence of numbers.
        ValueError: a loss that is infinite or NaN.
    """
    values = _numbers("diminishing_returns", "losses", losses)
    if not np.isfinite(values).all():
        epoch = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"diminishing_returns: the loss of epoch {epoch + 1} is {values[epoch]}")
    if len(values) <= AHEAD:
        return None
    curve = smoothed(values)
    fall = curve[0] - curve.min()
    gains = curve[:-AHEAD] - curve[AHEAD:]
    small = np.flatnonzero(gains < SHARE * fall)
    return int(small[0]) + 1 if len(small) and fall > 0 else None


def plot_curves(history: Any) -> Picture:
    """Loss and accuracy of every epoch, with the point of diminishing returns.

    Args:
        history: a mapping from names to lists with a number per epoch, or an object with such attributes.  Names with
            ``loss`` are drawn on the left, names with ``acc`` on the right, as percentages or shares; names with
            ``batch`` have a number per batch and stand in the background.  A bare list is taken as losses.

    Returns:
        The Figure.  The point is that of the losses on other data (names with ``val`` or ``test``) if there are any.

    Raises:
        DTypeError: history is none of these, or an entry is no sequence of numbers.
        ValueError: there is no entry with ``loss`` or ``acc`` in its name, or all are empty.
        ImportError: matplotlib is not installed.
    """
    series = series_of("plot_curves", history)
    groups = [{n: v for n, v in series.items() if key in n.lower() and len(v)} for key in ("loss", "acc")]
    shown = [group for group in groups if group]
    if not shown:
        raise ValueError(f"plot_curves: history needs losses or accuracies, it has {', '.join(series) or 'nothing'}")
    figure = picture(4.6 * len(shown), 4.0)
    for i, group in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), i + 1)
        _draw(axes, group)
        axes.set(xlabel="epoch", ylabel="loss" if group is groups[0] else "accuracy")
        if group is groups[0]:
            _mark_diminishing_returns(figure, axes, group)
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(axis="x", integer=True)
    return figure


def _draw(axes: Any, group: dict[str, np.ndarray]) -> None:
    epochs = {name: values for name, values in group.items() if "batch" not in name.lower()}
    count = max([len(values) for values in epochs.values()] or [1])
    for name, values in group.items():
        if name not in epochs:
            axes.plot(
                (np.arange(len(values)) + 1) * count / len(values), values, color="0.8", lw=0.8, label=_said(name)
            )
    for i, (name, values) in enumerate(epochs.items()):
        style = {"color": _COLORS[i % 4], "marker": _MARKS[i % 4], "markersize": 4}
        axes.plot(np.arange(len(values)) + 1, values, label=_said(name), **style)
    flat = np.concatenate([*group.values()])
    flat = flat[np.isfinite(flat)]
    if len(flat) and flat.min() > 0 and flat.max() > 20 * flat.min():
        axes.set_yscale("log")


def _mark_diminishing_returns(figure: Picture, axes: Any, group: dict[str, np.ndarray]) -> None:
    epochs = [name for name in group if "batch" not in name.lower()]
    other = [name for name in epochs if "val" in name.lower() or "test" in name.lower()]
    if not epochs or not np.isfinite(group[(other or epochs)[0]]).all():
        return
    name = (other or epochs)[0]
    values = group[name]
    epoch = diminishing_returns(values)
    if epoch is None:
        found = f"Point of diminishing returns of “{_said(name)}”: not reached."
    else:
        axes.axvline(epoch, color=GREY, linestyle="--", linewidth=1, label=f"diminishing returns: epoch {epoch}")
        found = f"Point of diminishing returns of “{_said(name)}”: epoch {epoch}."
    rule = f"It is the first epoch after which the next {AHEAD} together gain under {SHARE:.0%} of the whole fall"
    figure.supxlabel(f"{found}\n{rule}\nof the loss, smoothed over 3 epochs.", fontsize=9, color="0.3")


def _said(name: str) -> str:
    return name.replace("_", " ")


def series_of(who: str, history: Any) -> dict[str, np.ndarray]:
    """The losses and accuracies of a history, which is what ``plot_curves`` takes, by name.

    Raises:
        DTypeError: it is none, or an entry is no sequence of numbers.
    """
    if isinstance(history, Sequence | np.ndarray) and not isinstance(history, str):
        history = {"loss": history}
    elif not isinstance(history, Mapping) and hasattr(history, "__dict__"):
        history = vars(history)
    if not isinstance(history, Mapping):
        raise DTypeError(f"{who}: history must map names to lists of numbers, got {type(history).__name__}")
    wanted = {n: v for n, v in history.items() if isinstance(n, str) and ("loss" in n.lower() or "acc" in n.lower())}
    return {name: _numbers(who, name, values) for name, values in wanted.items()}


def _numbers(who: str, name: str, values: Any) -> np.ndarray:
    try:
        array = np.array([float(value) for value in values], np.float64)
    except (TypeError, ValueError):
        raise DTypeError(f"{who}: {name} must be a sequence of numbers, got {values!r}") from None
    return array
