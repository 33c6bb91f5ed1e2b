"""What a network has learned: its filters, the feature maps of an image, and the image that a filter looks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Tensor, grad, inference_mode, wrap
from ..errors import ShapeError
from ..nn import Module
from ..nn.arguments import count
from .fields import cut, field_of
from .inputs import check_filter, chosen_filters, last_convolution, layer_at, one_image, run_to
from .plan import check_model, checked_shape, floating_dtype
from .showing import DIVERGING, SEQUENTIAL, picture, pixels, show
from .values import Values

if TYPE_CHECKING:
    from .picture import Picture


def plot_filters(model: Module, layer: str, most: int = 64) -> Picture:
    """The filters of a convolution as images: orange weights are positive, violet ones negative, white ones 0.

    A layer on one-channel images gives one image per filter, one on three-channel images one in these colours (grey
    is 0).  Else there is a row per filter and a column per input channel.

    Args:
        model: the network.
        layer: the path of a Conv2d, such as ``"conv1"`` or ``"0"``.
        most: how many filters are shown; of the input channels, up to 16.

    Raises:
        KeyError: there is no such layer; the message gives the most similar paths.
        ShapeError: the layer has no weight of shape (filters, channels, height, width); most is below 1.
        ImportError: matplotlib is not installed.
    """
    found = layer_at("plot_filters", model, layer)
    weight = getattr(found, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        raise ShapeError(f"plot_filters: {layer!r} must be a Conv2d, it is a {type(found).__name__}")
    array = weight._array[: count("plot_filters", "most", most, 1)]
    filters, channels = array.shape[:2]
    alone = channels in (1, 3)  # one image per filter
    columns = min(8, filters) if alone else min(16, channels)
    rows = math.ceil(filters / columns) if alone else filters
    figure = picture(max(4.0, 0.75 * columns + 1.2), 0.75 * rows + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False)
    limit = float(np.abs(array).max()) or 1.0
    for place, axes in enumerate(grid.flat):
        row, column = divmod(place, columns)
        which, channel = (place, 0) if alone else (row, column)
        if which >= filters:
            axes.axis("off")
            continue
        if channels == 3:
            show(axes, pixels(0.5 + 0.5 * array[which] / limit))
        else:
            drawn = show(axes, array[which, channel], cmap=DIVERGING, vmin=-limit, vmax=limit)
        if alone or row == 0:
            axes.set_title(str(which if alone else column), fontsize=8, pad=2)
        if not alone and column == 0:
            axes.set_ylabel(str(which), rotation=0, fontsize=8, ha="right", va="center")
    if channels != 3:
        figure.colorbar(drawn, ax=grid, shrink=min(1.0, 3 / rows), aspect=20, pad=0.02)
    of = "" if filters == weight.shape[0] else f" of {weight.shape[0]}"
    across = "" if alone else f"; across: input channels 0 to {columns - 1} of {channels}"
    figure.suptitle(f"layer {layer}: {filters}{of} filters{across}", fontsize=10)
    return figure


def plot_feature_maps(model: Module, image: Tensor, most: int = 8) -> Picture:
    """The feature maps of an image after every step of the network: convolution, ReLU, pooling, addition.

    Args:
        model: the network; it runs in evaluation mode, and nothing of it is changed.
        image: (C, H, W) or (1, C, H, W).
        most: how many maps of every step are shown, the first ones.

    Returns:
        The Figure: a row per step; each has its own scale, written beside it, which begins at 0 where no value is
        negative and else has 0 in its middle.  Steps whose values are no images (after flattening) are left out.

    Raises:
        TypeError, DTypeError, ShapeError: model is no Module; image is no image; or a layer cannot take it.
        ImportError: matplotlib is not installed.
    """
    check_model("plot_feature_maps", model)
    values = Values(model, one_image("plot_feature_maps", model, image))
    steps = [(name, array[0]) for name, array in values.steps() if array.ndim == 4]
    if not steps:
        raise ShapeError(f"plot_feature_maps: the network makes no feature maps of an image {tuple(image.shape)}")
    columns = min(count("plot_feature_maps", "most", most, 1), max(len(maps) for _, maps in steps))
    figure = picture(1.0 * columns + 3.4, 1.06 * (len(steps) + 1))
    grid = figure.subplots(len(steps) + 1, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    show(grid[0, 0], pixels(values.images[0])).axes.axis("on")
    _name_row(grid[0, 0], "input", values.images[0])
    for (name, maps), row in zip(steps, grid[1:]):
        limit = float(np.abs(maps).max()) or 1.0
        scale = {"cmap": DIVERGING, "vmin": -limit} if maps.min() < 0 else {"cmap": SEQUENTIAL, "vmin": 0}
        for axes, one in zip(row, maps):
            axes.axis("on")
            drawn = show(axes, one, vmax=limit, **scale)
        _name_row(row[0], name, maps)
        bar = figure.colorbar(drawn, ax=row, fraction=0.06, aspect=8, pad=0.01)
        bar.ax.tick_params(labelsize=7)
        bar.set_ticks([drawn.norm.vmin, drawn.norm.vmax], labels=[f"{v:.2g}" for v in drawn.get_clim()])
    return figure


def _name_row(axes: Any, name: str, maps: np.ndarray) -> None:
    label = f"{name}\n{len(maps)}@{maps.shape[1]}×{maps.shape[2]}"
    axes.set_ylabel(label, rotation=0, fontsize=8, ha="right", va="center", labelpad=6)


def activation_maximization(
    model: Module,
    layer: str,
    filter: int,
    input_shape: tuple[int, ...],
    steps: int = 100,
    step_size: float = 0.05,
    decay: float = 0.02,
    value_range: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Tensor:
    """An image that a filter answers to as much as possible: gradient ascent on the pixels instead of the weights.

    From grey with a little noise, every step goes along the gradient of the filter's activation in the middle of its
    map, divided by its largest entry, moves all pixels a little back to grey, and stays inside the range.

    Args:
        model: the network; it runs in evaluation mode, and nothing of it is changed.
        layer: the path of the layer, such as ``"conv2"``; the layer before the ReLU also shows what it wants while it
            answers with 0.
        filter: which of the layer's feature maps, or which of a vector's numbers.
        input_shape: the shape of the image, (C, H, W), as the network takes it.
        steps: how many.
        step_size: the most by which a pixel changes per step, as a part of the range.
        decay: by which part all pixels go back to the middle of the range per step.
        value_range: the smallest and the largest pixel.
        seed: of the noise.

    Returns:
        The image, of input_shape.

    Raises:
        KeyError: there is no such layer.
        DimError: there is no such filter.
        DTypeError, ShapeError: input_shape is none; the layer cannot take the image; steps is below 1.
        ValueError: value_range is empty.

    Reference:
        D. Erhan, Y. Bengio, A. Courville, P. Vincent, "Visualizing higher-layer features of a deep network", Université
        de Montréal, Technical Report 1341, 2009; the decay: J. Yosinski et al., arXiv:1506.06579, 2015.
    """
    who = "activation_maximization"
    low, high = value_range
    if not low < high:
        raise ValueError(f"activation_maximization: value_range must be (smallest, largest), got {value_range}")
    steps = count(who, "steps", steps, 1)
    check_model(who, model)
    middle, span = (low + high) / 2, high - low
    noise = np.random.default_rng(seed).standard_normal((1, *checked_shape(who, input_shape, model)[1:]))
    x = (middle + 0.05 * span * noise).astype(floating_dtype(model))
    for _ in range(steps):
        with inference_mode(False):  # recorded also where the caller records nothing
            image = wrap(x).requires_grad_()
            answer = _answer(who, run_to(who, model, layer, image), filter)
            (slope,) = grad(answer, image, allow_unused=True, materialize_grads=True)
        assert slope is not None
        step = step_size * span * slope._array / max(float(np.abs(slope._array).max()), 1e-12)
        x = np.clip(x + step - decay * (x - middle), low, high).astype(x.dtype)
    return wrap(x[0])


def _answer(who: str, output: Tensor, which: int) -> Tensor:
    """One number of a layer's output, (1, filters, ...): the filter's, in the middle of its map."""
    check_filter(who, which, output.shape[1] if output.ndim > 1 else 0)
    return output[(0, which, *(side // 2 for side in output.shape[2:]))]


def plot_activation_maximization(
    model: Module,
    layer: str | None,
    input_shape: tuple[int, ...],
    filters: list[int] | None = None,
    **options: Any,
) -> Picture:
    """What the filters of a layer look for (``activation_maximization``), at the size of their receptive field.

    Args:
        model: the network.
        layer: the path of the layer; None is the last convolution.
        input_shape: the shape of the image, (C, H, W).
        filters: which; None is the first 16, or all if there are fewer.
        **options: for ``activation_maximization``.

    Raises:
        As ``activation_maximization``; ImportError: matplotlib is not installed.
    """
    who = "plot_activation_maximization"
    path = last_convolution(who, model) if layer is None else layer
    check_model(who, model)
    blank = wrap(np.zeros((1, *checked_shape(who, input_shape, model)[1:]), floating_dtype(model)))
    output = run_to(who, model, path, blank)
    filters = chosen_filters(who, filters, output.shape[1], 16)
    field = field_of(who, model, path, blank)
    jump = field.jump or (0, 0)
    corner = np.array([start + side // 2 * step for start, side, step in zip(field.start, output.shape[2:], jump)])
    columns = min(8, len(filters))
    rows = math.ceil(len(filters) / columns)
    figure = picture(max(3.2, 1.15 * columns), 1.3 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(filters) :]:
        axes.axis("off")
    low, high = options.get("value_range", (0.0, 1.0))
    for axes, which in zip(grid.flat, filters):
        found = activation_maximization(model, path, which, input_shape, **options)._array
        seen = cut(found, corner, field.size) if len(corner) else found
        show(axes, pixels((seen - low) / (high - low)), vmin=0, vmax=1)
        axes.set_title(str(which), fontsize=9, pad=2)
    figure.suptitle(f"layer {path}: what each filter answers to most", fontsize=10)
    return figure
