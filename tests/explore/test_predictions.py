"""Probabilities and confusions, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.data import DataLoader, TensorDataset
from tinygrad_cnn.errors import DataError, DimError, DTypeError, ShapeError
from tinygrad_cnn.explore import confusion_matrix, plot_confusion, plot_probabilities


class Reading(nn.Module):
    """Its scores are the pixels of the first row."""

    def forward(self, x):
        return x[:, 0, 0]


def images_for(predicted, classes):
    images = np.zeros((len(predicted), 1, 2, classes), np.float32)
    images[np.arange(len(predicted)), 0, 0, predicted] = 3
    images[:, 0, 1, 0] = np.arange(len(predicted))  # so that every image is another
    return tg.tensor(images)


def test_softmax_of_the_scores():
    figure = plot_probabilities(Reading(), images_for([2], 4)[0], classes="abcd", target=1)
    left, right = figure.axes
    shares = np.exp([0, 0, 3, 0]) / np.exp([0, 0, 3, 0]).sum()
    assert np.allclose([bar.get_width() for bar in right.patches], shares)
    assert [label.get_text() for label in right.get_yticklabels()] == list("abcd")
    assert [text.get_text() for text in right.texts] == [f"{share:.1%}" for share in shares]
    assert left.images[0].get_array().shape == (2, 4)
    assert figure.get_suptitle() == "predicted class c, true class b"
    colours = [bar.get_facecolor() for bar in right.patches]
    assert colours[0] == colours[2] == colours[3] != colours[1]


def test_probabilities_stay_and_only_the_best_of_many_are_shown():
    given = tg.tensor(np.arange(30, dtype=np.float32)[None, None] / 435)
    (_, right) = plot_probabilities(Reading(), given).axes
    assert np.allclose([bar.get_width() for bar in right.patches], np.arange(29, 9, -1) / 435)
    vector = plot_probabilities(nn.Linear(3, 2), tg.rand(3))
    assert len(vector.axes[1].patches) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_counts(pairs):
    true, predicted = (np.array(column) for column in zip(*pairs))
    expected = [[pairs.count((t, p)) for p in range(4)] for t in range(4)]
    images, labels = images_for(predicted, 4), tg.tensor(true)
    data = TensorDataset(images, labels)
    for form in ((images, labels), data, DataLoader(data, batch_size=7), list(DataLoader(data, batch_size=3))):
        found = confusion_matrix(Reading(), form)
        assert found.dtype == tg.int64
        assert found.tolist() == expected


def test_large_data_goes_through_in_batches():
    seen = []

    class Counting(Reading):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    predicted = np.arange(600) % 4
    found = confusion_matrix(Counting(), (images_for(predicted, 4), tg.tensor(predicted)))
    assert found.tolist() == (150 * np.eye(4, dtype=int)).tolist()
    assert max(seen) <= 256


def test_the_most_frequent_errors():
    true = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    predicted = [0, 1, 1, 1, 0, 0, 0, 0, 2]
    images = images_for(predicted, 3)
    figure = plot_confusion(Reading(), (images, tg.tensor(true)), classes=["ox", "cat", "dog"], errors=2, examples=2)
    examples, matrix = figure.axes[:-1], figure.axes[-1]
    written = {text.get_position(): text.get_text() for text in matrix.texts}
    assert written == {(0, 0): "1", (1, 0): "2", (1, 1): "1", (0, 1): "1", (0, 2): "3", (2, 2): "1"}
    assert matrix.get_title() == "3 of 9 right (33.3%)"
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("predicted class", "true class")
    named = [axes.get_ylabel() for axes in examples if axes.get_ylabel()]
    assert named == ["dog taken\nfor ox\n(3×)", "ox taken\nfor cat\n(2×)"]
    shown = [int(axes.images[0].get_array()[1, 0]) for axes in examples if axes.images]
    assert shown == [5, 6, 1, 2]
    figure.canvas.draw()


def test_no_errors_and_vectors():
    images = images_for([0, 1], 2)
    figure = plot_confusion(Reading(), (images, tg.tensor([0, 1])))
    assert len(figure.axes) == 1
    assert figure.axes[0].get_title() == "2 of 2 right (100.0%)"
    net = nn.Linear(2, 2)
    net.weight.data, net.bias.data = tg.eye(2), tg.zeros(2)
    figure = plot_confusion(net, (tg.tensor([[1.0, 0.0]]), tg.tensor([1])))  # no image to show
    assert "1 taken\nfor 0\n(1×)" in [axes.get_ylabel() for axes in figure.axes]


TWO = images_for([0, 1], 2)
ERRORS = [
    (lambda: confusion_matrix(Reading(), (TWO, tg.tensor([0, 2]))), DimError, "label 2 is none of the network's 2"),
    (lambda: confusion_matrix(Reading(), (TWO, tg.tensor([0]))), ShapeError, r"labels must be one per image, got \(1"),
    (lambda: confusion_matrix(Reading(), (TWO, tg.ones(2))), DTypeError, "labels must be integers, got .*float32"),
    (lambda: confusion_matrix(Reading(), [TWO, TWO, TWO]), TypeError, "every batch of data must be a pair of Tensors"),
    (lambda: confusion_matrix(Reading(), TWO), TypeError, "data must be a DataLoader, a dataset or a pair"),
    (lambda: confusion_matrix(Reading(), 3), TypeError, "data must be .*, got int"),
    (lambda: confusion_matrix(Reading(), []), DataError, "confusion_matrix: data is empty"),
    (lambda: confusion_matrix(Reading, (TWO, tg.tensor([0, 1]))), TypeError, r"did you mean Reading\(\)\?"),
    (lambda: confusion_matrix(nn.Conv2d(3, 1, 1), (TWO, tg.tensor([0, 1]))), ShapeError, "set in_channels=1"),
    (lambda: plot_confusion(Reading(), (TWO, tg.tensor([0, 1])), "abc"), ShapeError, "classes must be 2 names"),
    (lambda: plot_confusion(Reading(), (TWO, tg.tensor([0, 1])), errors=0), ShapeError, "errors must be at least 1"),
    (lambda: plot_probabilities(Reading(), TWO), ShapeError, r"take one of them, images\[0\]"),
    (lambda: plot_probabilities(Reading(), TWO[0], "a"), ShapeError, "classes must be 2 names, .* got 1"),
    (lambda: plot_probabilities(Reading(), 3), DTypeError, "plot_probabilities: image must be a Tensor, got int"),
    (lambda: plot_probabilities(Reading(), TWO[0], target=2), DimError, "target must be one of the 2 classes"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
