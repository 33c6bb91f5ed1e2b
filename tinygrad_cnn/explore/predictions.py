"""What a network says: the probabilities for an image, and which classes it takes for which others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Tensor, no_grad, wrap
from ..errors import DataError, DimError, ShapeError
from ..nn import Module
from ..nn.arguments import count
from .inputs import labelled, one_image, scores, target_class
from .plan import check_model
from .showing import BLUE, ORANGE, picture, pixels, show

if TYPE_CHECKING:
    from .picture import Picture


def probabilities(output: np.ndarray) -> np.ndarray:
    """Scores (N, classes) through softmax, in float64; those that are probabilities already stay as they are."""
    numbers = output.astype(np.float64)
    if (numbers >= 0).all() and np.allclose(numbers.sum(1), 1, atol=1e-4):
        return numbers
    powers = np.exp(numbers - numbers.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def plot_probabilities(
    model: Module, image: Tensor, classes: Sequence[str] | None = None, target: int | None = None
) -> Picture:
    """An image and the probability that the network gives to each class.

    Args:
        model: the network, which gives (N, classes): scores, of which the softmax is shown, or probabilities.
        image: (C, H, W) or (1, C, H, W).
        classes: their names; numbers by default.  Of more than 20, the 20 most probable are shown.
        target: the number of the true class, which gets another colour.

    Raises:
        TypeError, DTypeError, ShapeError: model is no Module; image is no image; or a layer cannot take it; not as
            many names as classes.
        DimError: target is no class.
        ImportError: matplotlib is not installed.
    """
    check_model("plot_probabilities", model)
    batch = one_image("plot_probabilities", model, image)
    with no_grad():
        output = scores("plot_probabilities", model, batch)
    shares = probabilities(output._array)[0]
    truth = None if target is None else target_class("plot_probabilities", output, target)
    names = _names("plot_probabilities", classes, len(shares))
    order = np.arange(len(shares)) if len(shares) <= 20 else np.argsort(-shares)[:20]
    figure = picture(7.6, max(3.0, 0.24 * len(order) + 0.8))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    if batch.ndim == 4:
        show(left, pixels(batch._array[0]))
    else:
        left.axis("off")
    colors = [ORANGE if i == truth else BLUE for i in order]
    places = np.arange(len(order))
    right.barh(places, shares[order], color=colors)
    right.set_yticks(places, [names[i] for i in order])
    right.invert_yaxis()
    right.set(xlim=(0, 1.17), xlabel="probability", xticks=np.linspace(0, 1, 6))
    for place, i in zip(places, order):
        right.text(shares[i] + 0.015, place, _percent(shares[i]), va="center", fontsize=8)
    right.spines[["top", "right"]].set_visible(False)
    known = "" if truth is None else f", true class {names[truth]}"
    figure.suptitle(f"predicted class {names[int(shares.argmax())]}{known}", fontsize=11)
    return figure


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "<0.05%"


def _names(who: str, classes: Sequence[str] | None, number: int) -> list[str]:
    names = [str(i) for i in range(number)] if classes is None else [str(name) for name in classes]
    if len(names) != number:
        raise ShapeError(f"{who}: classes must be {number} names, one per output of the network, got {len(names)}")
    return names


def confusion_matrix(model: Module, data: Any) -> Tensor:
    """How often images of each class are taken for each class.

    Args:
        model: the network, which gives (N, classes); it runs in evaluation mode, and nothing of it is changed.
        data: a DataLoader, a dataset, or a pair of Tensors: images (N, ...) and labels (N,).

    Returns:
        int64 (classes, classes): the row is the true class, the column the predicted one.

    Raises:
        TypeError: model is no Module, data none of these.
        DTypeError: labels that are no integers.
        ShapeError: not as many labels as images, or a layer cannot take the images.
        DimError: a label that is no class.
        DataError: data is empty.
    """
    return _confusion("confusion_matrix", model, data, 0)[0]


Examples = dict[tuple[int, int], list[np.ndarray]]
"""Images (C, H, W) by true and predicted class."""


def _confusion(who: str, model: Module, data: Any, examples: int) -> tuple[Tensor, Examples]:
    check_model(who, model)
    matrix: np.ndarray | None = None
    kept: Examples = {}
    for images, labels in labelled(who, data):
        with no_grad():
            output = scores(who, model, images)._array
        if matrix is None:
            matrix = np.zeros((output.shape[1], output.shape[1]), np.int64)
        wrong = labels[(labels < 0) | (labels >= len(matrix))]
        if len(wrong):
            raise DimError(f"{who}: label {wrong[0]} is none of the network's {len(matrix)} classes from 0")
        predicted = output.argmax(1)
        np.add.at(matrix, (labels, predicted), 1)
        for i in np.flatnonzero(labels != predicted):
            pair = kept.setdefault((int(labels[i]), int(predicted[i])), [])
            if len(pair) < examples:
                pair.append(images._array[i])
    if matrix is None:
        raise DataError(f"{who}: data is empty")
    return wrap(matrix), kept


def plot_confusion(
    model: Module, data: Any, classes: Sequence[str] | None = None, errors: int = 5, examples: int = 5
) -> Picture:
    """The confusion matrix, and beside it examples of the most frequent errors.

    Args:
        model, data: as ``confusion_matrix``.
        classes: names of the classes; numbers by default.
        errors: how many errors (pairs of classes) are shown.
        examples: how many images of each.

    Raises:
        As ``confusion_matrix``; ShapeError: not as many names as classes; errors or examples is below 1.
        ImportError: matplotlib is not installed.
    """
    who = "plot_confusion"
    errors, examples = count(who, "errors", errors, 1), count(who, "examples", examples, 1)
    counted, kept = _confusion(who, model, data, examples)
    matrix = counted._array
    names = _names(who, classes, len(matrix))
    frequent = sorted(kept, key=lambda pair: (-matrix[pair], pair))[:errors]
    side = max(4.2, 0.42 * len(matrix) + 1.2)
    columns = max([3, *(len(kept[pair]) for pair in frequent)])
    beside = 0.95 * columns + 1.6
    figure = picture(side + (beside if frequent else 0), max(side, 0.95 * len(frequent) + 0.8))
    left: Any = figure
    if frequent:
        left, right = figure.subfigures(1, 2, width_ratios=(side, beside), squeeze=False)[0]
        _draw_examples(right, [(names[t], names[p], matrix[t, p], kept[t, p]) for t, p in frequent], columns)
    _draw_matrix(left, matrix, names)
    return figure


def _draw_matrix(figure: Any, matrix: np.ndarray, names: list[str]) -> None:
    """Right answers are not coloured, so that the errors can be told apart."""
    axes = figure.subplots()
    errors = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    high = max(1, int(errors.max()))
    axes.imshow(errors, cmap="Blues", vmin=0, vmax=max(1.25 * high, 5))
    places = np.arange(len(matrix))
    tilt = 0 if max(map(len, names)) <= 3 else 60
    axes.set_xticks(places, names, rotation=tilt, ha="center" if not tilt else "right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set(xlabel="predicted class", ylabel="true class")
    for row, column in np.argwhere(matrix > 0) if len(matrix) <= 30 else ():
        right = row == column
        color = "white" if not right and errors[row, column] > 0.6 * max(1.25 * high, 5) else "black"
        weight = "bold" if right else "normal"
        axes.text(column, row, matrix[row, column], ha="center", va="center", fontsize=8, color=color, weight=weight)
    total, hits = int(matrix.sum()), int(np.trace(matrix))
    axes.set_title(f"{hits:,} of {total:,} right ({hits / max(total, 1):.1%})", fontsize=10)


def _draw_examples(figure: Any, rows: list[tuple[str, str, int, list[np.ndarray]]], columns: int) -> None:
    grid = figure.subplots(len(rows), columns, squeeze=False)
    figure.suptitle("the most frequent errors", fontsize=10)
    for (true, predicted, number, images), line in zip(rows, grid):
        for place, axes in enumerate(line):
            axes.axis("off")
            if place < len(images) and images[place].ndim == 3:
                show(axes, pixels(images[place])).axes.axis("on")
        line[0].axis("on")
        line[0].set(xticks=[], yticks=[])
        label = f"{true} taken\nfor {predicted}\n({number}×)"
        line[0].set_ylabel(label, rotation=0, fontsize=8, ha="right", va="center", labelpad=6)
