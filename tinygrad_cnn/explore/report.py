"""The lecture on convolutional networks, told on one's own model: one HTML file, or Markdown with pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import wrap
from ..errors import DimError, DTypeError, ShapeError
from ..nn import Module
from ..nn.arguments import count
from .curves import series_of
from .document import Document, check_target
from .inputs import scores
from .lecture import answers, convolution, descent, features, gradients, network, reasons, steps, training
from .lecture.subject import Subject
from .plan import check_model, floating_dtype, plan
from .showing import picture
from .trace import evaluation, unchanged
from .training import Data, checked_data, seeded

Progress = Callable[[int, int, str], None]

CHAPTERS: tuple[tuple[str, Callable[[Document, Subject], None]], ...] = (
    ("What a CNN is for", convolution.purpose),
    ("Convolution", convolution.convolution),
    ("Stride, padding and sizes", convolution.sizes),
    ("ReLU", steps.relu),
    ("Max pooling", steps.pooling),
    ("Flatten and fully connected layers", steps.dense),
    ("Softmax", steps.softmax),
    ("The whole network", network.whole),
    ("Parameters", network.parameters),
    ("Cross-entropy", gradients.cross_entropy),
    ("Back-propagation", gradients.back_propagation),
    ("Gradient descent, mini-batches and Adam", descent.descent),
    ("The learning rate", training.learning_rate),
    ("Batches, iterations and epochs", training.epochs),
    ("Shared parameters and sparse connections", reasons.sharing),
    ("Moved images", reasons.moved),
    ("Resized images", reasons.scaled),
    ("From small features to whole shapes", features.features),
    ("Right and wrong answers", answers.mistakes),
    ("Where the network looks", answers.looking),
    ("Questions and answers", answers.questions),
)
"""Title and writer of every chapter, in the lecture's order."""


def report(
    model: Module,
    data: Any,
    path: str | os.PathLike[str] | None = None,
    history: Any = None,
    *,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Document:
    """Explain a trained network to somebody who has never seen one: the lecture's chapters with its own numbers.

    Each number of the text is computed from the network and the data, some by small trainings on a sample of 1,000
    images; that takes a minute or a few.  The network, and the state of the default generator, stay as they are.

    Args:
        model: the network, trained; it gives (N, classes), one score per class.
        data: (images, labels, test_images, test_labels) as Tensors, images (N, C, H, W), labels (N,) from 0.
        path: the file to write: ``.html`` becomes one file without scripts or outside resources, ``.md`` a text with
            its pictures in a folder of the same name.  It is written at the end, in one piece or not at all.  None:
            nothing is written.
        history: of the training, as ``plot_curves`` takes it.  Default: unknown, and the report says less about it.
        classes: names of the classes.  Default: numbers.
        batch_size: of the training.
        progress: called before each chapter with its number from 0, the number of chapters and its title.

    Returns:
        The Document; its ``save`` writes further files.

    Raises:
        TypeError: model is no Module; data are no four entries; progress cannot be called.
        DTypeError: data are no Tensors, images no floating-point numbers or labels no integers.
        ShapeError: images that the network cannot take, no images, or not a label for each; not as many names as
            classes.
        DimError: a label that is no class of the network.
        ValueError: path has another suffix; a number of the network or of the images is not finite.
        OSError: the file cannot be written; all that can be known before is checked before.
        ImportError: matplotlib, or for HTML markdown-it-py, is not installed.
    """
    if path is not None:
        check_target("report", path)
    if progress is not None and not callable(progress):
        raise TypeError(f"report: progress must be a function, got {progress!r}")
    picture(1, 1)  # raises if matplotlib is missing
    subject = _subject(model, data, history, classes, batch_size)
    document = Document("Inside a CNN" if subject.convolutions else "Inside a neural network")
    document.say(
        "This text explains step by step how a neural network reads pictures. All numbers and pictures in it were "
        "computed from one trained network and its data. Read it in order: every chapter needs only those before "
        "it. The last chapter asks what you have learned, and answers."
    )
    with seeded(0), evaluation(model), unchanged(model):
        for i, (title, write) in enumerate(CHAPTERS):
            if progress is not None:
                progress(i, len(CHAPTERS), title)
            document.begin(title)
            write(document, subject)
    if path is not None:
        document.save(path)
    return document


def _subject(model: Module, data: Any, history: Any, classes: Sequence[str] | None, batch_size: int) -> Subject:
    """The network and its data, checked."""
    check_model("report", model)
    if data is None:
        raise TypeError("report: data must be (images, labels, test_images, test_labels), got None")
    checked = checked_data("report", data)
    for name, images in (("images", checked.images), ("test_images", checked.test_images)):
        if images._array.dtype.kind != "f":
            raise DTypeError(
                f"report: data's {name} must be floating-point, got {images.dtype}; ToTensor() makes it so"
            )
    if checked.images.shape[1:] != checked.test_images.shape[1:]:
        raise ShapeError(
            f"report: test_images must have the shape of images, {tuple(checked.images.shape[1:])}, got "
            f"{tuple(checked.test_images.shape[1:])}"
        )
    _check_finite(model, checked)
    shape = tuple(checked.images.shape[1:])
    plan(model, shape)  # raises a message with the way that an image took
    dtype = floating_dtype(model)
    images, test_images = (wrap(x._array.astype(dtype, copy=False)) for x in (checked.images, checked.test_images))
    number = scores("report", model, test_images[:1]).shape[1]
    for name, array in (("labels", checked.labels._array), ("test_labels", checked.test_labels._array)):
        if array.dtype.kind not in "iu":
            raise DTypeError(f"report: data's {name} must be integers, got {array.dtype}")
        if array.min() < 0 or array.max() >= number:
            raise DimError(
                f"report: {name} must be classes of the network, 0 to {number - 1}, got {array.min()} to {array.max()}"
            )
    names = [str(i) for i in range(number)] if classes is None else [str(name) for name in classes]
    if len(names) != number:
        raise ShapeError(f"report: classes must be {number} names, one per output of the network, got {len(names)}")
    labels, test_labels = (wrap(x._array.astype(np.int64, copy=False)) for x in (checked.labels, checked.test_labels))
    series = {} if history is None else {n: v for n, v in series_of("report", history).items() if len(v)}
    return Subject(
        model,
        Data(images, labels, test_images, test_labels),
        series,
        names,
        count("report", "batch_size", batch_size, 1),
    )


def _check_finite(model: Module, data: Data) -> None:
    """Raise a ValueError if a number of the network or of the images is infinite or not a number."""
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if not np.isfinite(value._array).all():
            raise ValueError(
                f"report: model's {name} must be finite, it has {_strange(value._array)}; has the training exploded? A "
                "smaller learning rate may help"
            )
    for name, images in (("images", data.images), ("test_images", data.test_images)):
        if not np.isfinite(images._array).all():
            raise ValueError(f"report: data's {name} must be finite, they have {_strange(images._array)}")


def _strange(array: np.ndarray) -> str:
    """How many numbers are not finite, of how many."""
    return f"{array.size - int(np.isfinite(array).sum()):,} of {array.size:,} numbers that are nan or inf"
