"""What is said of convolutional networks, measured: fewer parameters, tolerance of moved and resized images, pooling.

Every function takes models, data and a budget of epochs, and by default measures on the embedded digits in seconds.
Models are copied, so those given stay as they are; so does the state of the default generator.

References:
    I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning", MIT Press, 2016, section 9.2: sparse interactions,
    parameter sharing, equivariance.
    R. Zhang, "Making convolutional networks shift-invariant again", ICML 2019: what strides do to it.
    A. Kanazawa, A. Sharma, D. Jacobs, "Locally scale-invariant convolutional neural networks", arXiv:1412.5104, 2014:
    that the usual ones are not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from .. import nn
from ..autograd import Tensor, no_grad, wrap
from ..errors import DTypeError, ShapeError
from ..nn.arguments import count
from .explain import window_of
from .inputs import run_to
from .measurement import Curve, Measurement
from .plan import check_model, plan
from .trace import evaluation, unchanged
from .training import Data, accuracy, checked_data, checked_models, cnn, digits, fit, global_cnn, mlp, seeded

MODELS = {"CNN": cnn, "CNN, global average": global_cnn, "MLP": mlp}

# ---------------------------------------------------------------- fewer parameters and connections


def parameter_sharing(model: nn.Module | None = None, input_shape: tuple[int, ...] = (1, 28, 28)) -> Measurement:
    """The parameters of every convolution against those of the dense layer that could compute the same.

    A convolution from (C, H, W) to (O, OH, OW) has ``(KH·KW·C/groups + 1)·O`` parameters, the dense layer between the
    same numbers ``(C·H·W + 1)·O·OH·OW``.  An output is connected to the inputs under its window, padding aside; the
    dense layer connects every output with every input.

    Args:
        model: the network whose Conv2d layers are counted.  Default: the convolutions 1→32→64, 3×3, of the lecture.
        input_shape: shape of one input.  Default (1, 28, 28).

    Returns:
        A Measurement: per layer both numbers of parameters, their quotient, the connections and the share of the dense
        layer's connections that are absent.  All of it is exact.

    Raises:
        TypeError: model is no Module, or has no Conv2d that is called.
        DTypeError, ShapeError: as ``plan``.
    """
    if model is None:
        with seeded(0):
            model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3))
    check_model("parameter_sharing", model)
    rows = []
    for row in plan(model, input_shape).rows:
        if row.is_function or row.output_shape is None:
            continue
        module = model.get_submodule(row.path)
        if isinstance(module, nn.Conv2d):
            rows.append((row.path, *_against_dense(module, row.input_shapes[0], row.output_shape)))
    if not rows:
        raise TypeError(f"parameter_sharing: {type(model).__name__} calls no Conv2d")
    own, dense = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return Measurement(
        "parameters of convolutions and of the dense layers that could do the same",
        ("layer", "parameters", "dense", "times fewer", "connections", "of possible", "absent"),
        ("", ",d", ",d", ",.0f", ",d", ",d", ".4%"),
        tuple(rows),
        (
            f"In all {own:,} parameters do what would take {dense:,}: {dense / own:,.0f} times fewer.",
            "Every weight is used at every place of the image, and an output sees only its window.",
        ),
    )


def _against_dense(conv: nn.Conv2d, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[Any, ...]:
    """Parameters, the dense layer's, their quotient, connections, the dense layer's, the share that is absent."""
    size, out = inputs[-3:], outputs[-3:]
    parameters = sum(p.numel() for p in conv.parameters())
    possible = math.prod(size) * math.prod(out)
    dense = possible + (math.prod(out) if conv.bias is not None else 0)
    window = window_of(conv)
    taps = 1
    for axis in (0, 1):
        places = np.arange(out[1 + axis])[:, None] * window.stride[axis] - window.padding[axis]
        read = places + np.arange(window.size[axis]) * window.dilation[axis]
        taps *= int(((read >= 0) & (read < size[1 + axis])).sum())
    connections = taps * (size[0] // conv.groups) * out[0]
    return parameters, dense, dense / parameters, connections, possible, 1 - connections / possible


# ---------------------------------------------------------------- moved images


def shift_equivariance(
    layers: nn.Module | None = None,
    images: Tensor | None = None,
    shifts: Sequence[int] = (0, 1, 2, 3, 4),
    layer: str | None = None,
) -> Measurement:
    """How far the features of a moved image are from the moved features of the image: f(shift x) against shift f(x).

    Images are moved to the right.  With a distance s between neighbouring outputs, a shift by d moves the features by
    d / s, rounded down; it can only be exact where s divides d.

    Args:
        layers: from images to a feature map (N, C, H, W).  Default: two 3×3 convolutions with padding and ReLU, and max
            pooling of 2×2.
        images: (N, C, H, W).  Default: 64 digits on a canvas of 24×24.
        shifts: by how many pixels, each at least 0 and smaller than the image.
        layer: the path of the one of the layers whose output is compared.  Default: what comes out at the end.

    Returns:
        A Measurement: per shift the difference relative to the size of the features, where the image's border has no
        influence and on the whole map (root mean squares).

    Raises:
        TypeError: layers is no Module.
        DTypeError: images is no Tensor; a shift is no int.
        KeyError: there is no such layer.
        ShapeError: images or features that are not (N, C, H, W); layers whose outputs are not at regular distances; a
            shift that is negative or leaves nothing to compare.
    """
    with seeded(0):
        if layers is None:
            stack = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
            layers = nn.Sequential(*stack, nn.MaxPool2d(2))
        check_model("shift_equivariance", layers)
        images = wrap(digits(8).test_images._array[:64]) if images is None else images
        if not isinstance(images, Tensor):
            raise DTypeError(f"shift_equivariance: images must be a Tensor, got {type(images).__name__}")
        if images.ndim != 4 or not images.numel():
            raise ShapeError(f"shift_equivariance: images must be (N, C, H, W), got {tuple(images.shape)}")
        numbers = _checked_shifts("shift_equivariance", shifts, images.shape[3])
        found = plan(layers, tuple(images.shape[1:]))
        last = found.rows[-1] if layer is None else found[layer]
        if (
            last.jump is None
            or last.receptive_field is None
            or last.output_shape is None
            or len(last.output_shape) != 4
        ):
            raise ShapeError("shift_equivariance: layers must give a feature map (N, C, H, W) at regular distances")
        with evaluation(layers), unchanged(layers), no_grad():
            features, *moved = (
                (layers(x) if layer is None else run_to("shift_equivariance", layers, layer, x))._array
                for x in (images, *(wrap(shifted(images._array, 0, d)) for d in numbers))
            )
    step, margin = last.jump[1], [math.ceil(last.receptive_field[a] / 2 / last.jump[a]) for a in (0, 1)]
    rows = [(d, *_differences(moved[i], features, d // step, margin), d % step == 0) for i, d in enumerate(numbers)]
    worst = max((row[1] for row in rows if row[3]), default=None)
    conclusions = [f"Neighbouring outputs are {step} pixel{'s' if step > 1 else ''} apart."]
    if worst is not None:
        conclusions.append(
            f"Shifts by a multiple of that move the features along, up to {worst:.0e} away from the border."
        )
    between = [row[1] for row in rows if not row[3]]
    if between:
        conclusions.append(f"Shifts in between do not: they change the features by up to {max(between):.0%}.")
    x = tuple(float(row[0]) for row in rows)
    return Measurement(
        "features of the shifted image against shifted features of the image",
        ("shift", "difference inside", "with border"),
        ("d", ".2e", ".2e"),
        tuple(row[:3] for row in rows),
        tuple(conclusions),
        {"inside": (x, tuple(row[1] for row in rows)), "with border": (x, tuple(row[2] for row in rows))},
        ("shift in pixels", "relative difference"),
    )


def _differences(moved: np.ndarray, features: np.ndarray, places: int, margin: list[int]) -> tuple[float, float]:
    """The relative difference of features (N, C, H, W) from those shifted by some places: inside, and everywhere."""
    expected = shifted(features, 0, places)
    H, W = features.shape[2:]
    inside = (..., slice(margin[0], H - margin[0]), slice(margin[1] + places, W - margin[1]))
    if not features[inside].size:
        raise ShapeError(
            f"shift_equivariance: a shift by {places} places leaves nothing of the {H}×{W} features whose window of "
            f"±{margin[0]}×±{margin[1]} places lies inside the image"
        )
    parts = []
    for region in (inside, (..., slice(places, None))):
        a, b = moved[region].astype(np.float64), expected[region].astype(np.float64)
        size = math.sqrt(float(np.mean(b**2)))
        parts.append(math.sqrt(float(np.mean((a - b) ** 2))) / size if size else 0.0)
    return parts[0], parts[1]


def shift_accuracy(
    models: Mapping[str, nn.Module] | None = None,
    data: Data | None = None,
    shifts: Sequence[int] = (0, 1, 2, 3),
    epochs: int = 8,
) -> Measurement:
    """How the accuracy falls as test images move away from where training has seen them.

    Args:
        models: by name.  Default: a CNN, a CNN that averages over all places before its last layer, and an MLP.
        data: (images, labels, test_images, test_labels).  Default: the digits on a canvas of 14×14.
        shifts: by how many pixels test images move; accuracies up, down, left and right are averaged.
        epochs: how long every model is trained; 0 for models that are trained already.

    Returns:
        A Measurement: per shift the accuracy of every model.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    data = checked_data("shift_accuracy", data)
    numbers = _checked_shifts("shift_accuracy", shifts, min(data.images.shape[2:]))

    def moved(images: np.ndarray, d: int) -> list[np.ndarray]:
        return [shifted(images, *by) for by in ([(0, 0)] if d == 0 else [(d, 0), (-d, 0), (0, d), (0, -d)])]

    measured = _accuracies("shift_accuracy", models, data, numbers, moved, epochs)
    return _table_of_accuracies("accuracy on shifted images", "shift", "d", numbers, measured, 0)


def scale_accuracy(
    models: Mapping[str, nn.Module] | None = None,
    data: Data | None = None,
    factors: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75),
    epochs: int = 8,
) -> Measurement:
    """How the accuracy falls as test images shrink and grow.

    CNNs are often called scale invariant, which would be the same accuracy at every size.  Nothing in a convolution is:
    a filter fits one size.  What tolerance there is comes from pooling and from the sizes in the training set; the
    conclusions say how far it goes.

    Args:
        models, data, epochs: as in ``shift_accuracy``.
        factors: of the size, each above 0; images are resized around their middle by bilinear interpolation.

    Returns:
        A Measurement: per factor the accuracy of every model; in the conclusions, per model, over which factors it
        keeps nine tenths of its accuracy.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    data = checked_data("scale_accuracy", data)
    if not isinstance(factors, Sequence) or not factors or not all(isinstance(f, int | float) for f in factors):
        raise DTypeError(f"scale_accuracy: factors must be numbers, got {factors!r}")
    if not all(0 < f < math.inf for f in factors):
        raise ShapeError(f"scale_accuracy: factors must be above 0, got {factors!r}")
    measured = _accuracies("scale_accuracy", models, data, factors, lambda images, f: [resized(images, f)], epochs)
    return _table_of_accuracies("accuracy on resized images", "factor", ".2f", factors, measured, 1)


def _accuracies(
    who: str, models: Mapping[str, nn.Module] | None, data: Data, changes: Sequence[Any], change: Any, epochs: int
) -> dict[str, list[float]]:
    """Per model, trained on images as they are, the accuracy after every change to the test images."""
    epochs = count(who, "epochs", epochs, 0)
    with seeded(0):
        trained = {
            name: fit(model, data, epochs).model if epochs else copy.deepcopy(model)
            for name, model in checked_models(who, models, data, MODELS).items()
        }
    results: dict[str, list[float]] = {name: [] for name in trained}
    for c in changes:
        variants = [wrap(images) for images in change(data.test_images._array, c)]
        for name, model in trained.items():
            found = [accuracy(model, images, data.test_labels) for images in variants]
            results[name].append(sum(found) / len(found))
    return results


def _table_of_accuracies(
    title: str, what: str, form: str, changes: Sequence[Any], measured: dict[str, list[float]], untouched: float
) -> Measurement:
    x = tuple(float(c) for c in changes)
    curves: dict[str, Curve] = {name: (x, tuple(values)) for name, values in measured.items()}
    return Measurement(
        title,
        (what, *measured),
        (form, *[".1%"] * len(measured)),
        tuple(zip(changes, *measured.values())),
        tuple(_tolerance(name, what, *curve, untouched) for name, curve in curves.items()),
        curves,
        ({"shift": "shift in pixels", "factor": "size, as a multiple"}[what], "accuracy"),
    )


def _tolerance(name: str, what: str, changes: tuple[float, ...], values: tuple[float, ...], untouched: float) -> str:
    """Between which changes a model keeps nine tenths of its accuracy, as a sentence."""
    start, low, high = tolerated(changes, values, untouched)
    return (
        f"{name} keeps nine tenths of its {start:.1%} from {what} {low:g} to {high:g}; over all "
        f"it ranges from {min(values):.1%} to {max(values):.1%}."
    )


def tolerated(changes: tuple[float, ...], values: tuple[float, ...], untouched: float) -> tuple[float, float, float]:
    """The accuracy at the change nearest to none, and between which changes around it nine tenths of that are kept."""
    measured = dict(zip(changes, values))
    start = min(changes, key=lambda c: abs(c - untouched))
    kept = [start]
    for outwards in (sorted(c for c in changes if c > start), sorted((c for c in changes if c < start), reverse=True)):
        for c in outwards:
            if measured[c] < 0.9 * measured[start]:
                break
            kept.append(c)
    return measured[start], min(kept), max(kept)


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images (..., H, W) moved by whole pixels, with zeros where nothing comes from."""
    out = np.zeros_like(images)
    H, W = images.shape[-2:]

    def overlap(by: int, size: int) -> tuple[slice, slice]:
        return slice(max(by, 0), max(min(size + by, size), 0)), slice(max(-by, 0), max(min(size - by, size), 0))

    (rows_to, rows_from), (columns_to, columns_from) = overlap(down, H), overlap(right, W)
    out[..., rows_to, columns_to] = images[..., rows_from, columns_from]
    return out


def resized(images: np.ndarray, factor: float) -> np.ndarray:
    """Images (N, C, H, W) grown or shrunk around their middle, on a canvas of the same size; zeros come in."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))

    def places(size: int) -> tuple[np.ndarray, np.ndarray]:
        middle = (size - 1) / 2
        at = np.clip((np.arange(size) - middle) / factor + middle + 1, 0, size + 1)  # + 1: the border of zeros
        low = np.minimum(np.floor(at).astype(int), size)
        return low, (at - low).astype(images.dtype)

    (rows, row_part), (columns, column_part) = places(images.shape[2]), places(images.shape[3])
    row_part = row_part[:, None]
    tall = padded[:, :, rows] * (1 - row_part) + padded[:, :, rows + 1] * row_part
    return tall[..., columns] * (1 - column_part) + tall[..., columns + 1] * column_part


def _checked_shifts(who: str, shifts: Any, size: int) -> list[int]:
    if not isinstance(shifts, Sequence) or not len(shifts):
        raise DTypeError(f"{who}: shifts must be ints, got {shifts!r}")
    numbers = [count(who, "shifts", d) for d in shifts]
    if max(numbers) >= size:
        raise ShapeError(f"{who}: shifts must be smaller than the image's {size} pixels, got {max(numbers)}")
    return numbers


# ---------------------------------------------------------------- pooling


def pooling_savings(
    models: Mapping[str, nn.Module] | None = None, data: Data | None = None, epochs: int = 6
) -> Measurement:
    """What pooling saves: parameters, multiply-adds and time; and what it does to the accuracy.

    Args:
        models: by name.  Default: the same CNN with and without max pooling.
        data: (images, labels, test_images, test_labels).  Default: the digits on a canvas of 14×14.
        epochs: how long every model is trained.

    Returns:
        A Measurement: per model its parameters, multiply-adds per image, seconds per epoch (the median) and accuracy.

    Raises:
        TypeError, DTypeError, ShapeError: arguments other than described.
    """
    data = checked_data("pooling_savings", data)
    rows = []
    with seeded(0):
        defaults = {"with pooling": cnn, "without": lambda data: cnn(data, pooling=False)}
        for name, model in checked_models("pooling_savings", models, data, defaults).items():
            found, costs = fit(model, data, epochs), plan(model, tuple(data.images.shape[1:]))
            rows.append((name, costs.parameters, costs.multiply_adds, median(found.seconds), found.accuracies[-1]))
    first, last = rows[0], rows[-1]
    return Measurement(
        "what pooling saves",
        ("model", "parameters", "multiply-adds", "seconds per epoch", "accuracy"),
        ("", ",d", ",d", ".3f", ".1%"),
        tuple(rows),
        (
            f"{first[0]}: {last[1] / first[1]:.1f} times fewer parameters, {last[2] / first[2]:.1f} times fewer "
            f"multiply-adds and {last[3] / first[3]:.1f} times faster than {last[0]}, at an accuracy of {first[4]:.1%} "
            f"instead of {last[4]:.1%}.",
        ),
    )
