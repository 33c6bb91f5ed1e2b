"""The point of diminishing returns, held against its definition; and what the curves show."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cnn.errors import DTypeError
from tinygrad_cnn.explore import diminishing_returns, plot_curves


def definition(losses):
    smooth = [sum(losses[i - 1 : i + 2]) / 3 if 0 < i < len(losses) - 1 else losses[i] for i in range(len(losses))]
    fall = smooth[0] - min(smooth)
    for i in range(len(losses) - 3):
        if fall > 0 and smooth[i] - smooth[i + 3] < 0.01 * fall:
            return i + 1
    return None


@given(st.lists(st.integers(0, 300), min_size=1, max_size=25))
def test_the_definition(losses):
    losses = [loss / 3 for loss in sorted(losses[:8], reverse=True) + losses[8:]]
    assert diminishing_returns(losses) == definition(losses)


def test_by_hand():
    # smoothed 4 2 1 1 1 1: epochs 1 and 2 are followed by gains of 3 and 1, epoch 3 by none
    assert diminishing_returns([4, 1, 1, 1, 1, 1]) == 3
    assert diminishing_returns(np.array([4, 1, 1, 1, 1, 1], np.float32)) == 3
    assert diminishing_returns([8, 4, 2, 1, 0.5]) is None
    # The fall is 300, and three epochs always gain 3 at the end: not under 1 %.
    assert diminishing_returns([314, 20, 19, 18, 17, 16, 15, 14]) is None
    assert diminishing_returns([1, 1, 1, 1, 1]) is None
    assert diminishing_returns([1, 2, 3, 4, 5]) is None
    assert diminishing_returns([4, 1, 1]) is None
    assert diminishing_returns([]) is None


def caption(figure):
    return figure.get_supxlabel()


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_curves_and_their_point():
    history = {
        "batch_losses": [5, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2],
        "train_loss": [5, 4, 3, 2, 1, 0],
        "val_loss": [4, 1, 1, 1, 1, 1],
        "val_accuracy": [0.5, 0.6, 0.7, 0.8, 0.8, 0.8],
        "seconds": [1, 1],
    }
    left, right = plot_curves(history).axes
    drawn = lines(left)
    assert list(drawn) == ["batch losses", "train loss", "val loss", "diminishing returns: epoch 3"]
    assert drawn["val loss"] == ([1, 2, 3, 4, 5, 6], [4, 1, 1, 1, 1, 1])
    assert drawn["batch losses"][0] == [i / 2 for i in range(1, 13)]  # two batches per epoch
    assert drawn["diminishing returns: epoch 3"][0] == [3, 3]
    assert lines(right) == {"val accuracy": ([1, 2, 3, 4, 5, 6], [0.5, 0.6, 0.7, 0.8, 0.8, 0.8])}
    text = caption(plot_curves(history))
    assert "“val loss”: epoch 3." in text
    assert "the first epoch after which the next 3 together gain under 1% of the whole fall" in text.replace("\n", " ")


def test_other_forms_of_history():
    @dataclasses.dataclass
    class History:
        losses: list
        accuracies: list

    left, right = plot_curves(History([3, 2, 1], [10, 20, 30])).axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "accuracy")
    figure = plot_curves([3, 2, 1])
    assert len(figure.axes) == 1
    assert "not reached" in caption(figure)
    (axes,) = plot_curves({"acc": [1, 2]}).axes
    assert axes.get_ylabel() == "accuracy"
    figure = plot_curves([3, 2, math.nan, 1, 1, 1, 1])  # a training that failed can be looked at
    assert caption(figure) == ""
    figure.canvas.draw()


ERRORS = [
    (lambda: diminishing_returns([3, math.nan, 1]), ValueError, "the loss of epoch 2 is nan"),
    (lambda: diminishing_returns("abc"), DTypeError, "losses must be a sequence of numbers, got 'abc'"),
    (lambda: diminishing_returns(3), DTypeError, "losses must be a sequence of numbers, got 3"),
    (lambda: plot_curves({"loss": [1, None]}), DTypeError, "plot_curves: loss must be a sequence of numbers"),
    (lambda: plot_curves(3), DTypeError, "plot_curves: history must map names"),
    (lambda: plot_curves({"seconds": [1]}), ValueError, "history needs losses or accuracies, it has nothing"),
    (lambda: plot_curves({"loss": []}), ValueError, "history needs losses or accuracies, it has loss"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
