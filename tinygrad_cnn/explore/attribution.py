"""Where a network looks: the pixels that its score depends on, and the patches that excite its filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..autograd import Tensor, grad, inference_mode, wrap
from ..errors import DTypeError, GraphError, ShapeError
from ..nn import Linear, Module
from ..nn.arguments import count
from .fields import cut, field_of
from .formulas import Field
from .inputs import chosen_filters, last_convolution, layer_at, one_image, run_to, scores, target_class
from .plan import check_model, floating_dtype
from .showing import SEQUENTIAL, picture, pixels, show
from .values import Values

if TYPE_CHECKING:
    from .picture import Picture

_BATCH = 256


def saliency(model: Module, image: Tensor, target: int | None = None) -> Tensor:
    """How much each pixel, changed a little, would change the score of a class: the size of the gradient.

    Args:
        model: the network, which gives (N, classes); it runs in evaluation mode, and nothing of it is changed.
        image: (C, H, W) or (1, C, H, W).
        target: the class; None is the one of the highest score.

    Returns:
        |∂score/∂pixel|, of several channels the largest: (H, W), without history.

    Raises:
        TypeError, DTypeError, ShapeError: model is no Module; image is no image; or a layer cannot take it.
        DimError: there is no such class.
        GraphError: the score does not depend on the image in a way that can be differentiated.

    Reference:
        K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image classification
        models and saliency maps", ICLR workshop 2014, arXiv:1312.6034, section 3.
    """
    return _saliency(model, image, target)[0]


def _saliency(model: Module, image: Tensor, target: int | None) -> tuple[Tensor, int]:
    check_model("saliency", model)
    with inference_mode(False):  # recorded also where the caller records nothing
        x = one_image("saliency", model, image).requires_grad_()
        output = scores("saliency", model, x)
        which = target_class("saliency", output, target)
        (slope,) = grad(_differentiable("saliency", output)[0, which], x, allow_unused=True)
    if slope is None:
        raise GraphError("saliency: the score does not depend on the image; is the network's input detached?")
    sizes = np.abs(slope._array[0])
    return wrap(sizes.max(0) if sizes.ndim == 3 else sizes), which


def _differentiable(who: str, output: Tensor) -> Tensor:
    if not output.requires_grad:
        raise GraphError(f"{who}: the network's output has no gradient; does its forward use no_grad or detach?")
    return output


def grad_cam(model: Module, image: Tensor, layer: str | None = None, target: int | None = None) -> Tensor:
    """Which places of a feature map speak for a class: the maps, each weighted by how much the score rises with it.

    Args:
        model: the network, which gives (N, classes); it runs in evaluation mode, and nothing of it is changed.
        image: (C, H, W) or (1, C, H, W).
        layer: the path of a layer that gives (N, K, h, w); None is the last convolution, and if a ReLU follows it, what
            comes out of that: the paper's activations.
        target: the class; None is the one of the highest score.

    Returns:
        max(0, Σ_k α_k·A_k), (h, w), without history: A are the layer's feature maps, α_k is the mean of ∂score/∂A_k.

    Raises:
        TypeError, DTypeError, ShapeError: model is no Module; image is no image; or a layer cannot take it.
        KeyError: there is no such layer.
        ShapeError: the layer gives no feature maps.
        DimError: there is no such class.
        GraphError: the score does not depend on the layer.

    Reference:
        R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV
        2017, arXiv:1610.02391, equations 1 and 2.
    """
    return wrap(np.maximum(evidence(model, image, layer, target).map, 0))


class Evidence(NamedTuple):
    """What Grad-CAM finds, before negative places are set to zero.

    Attributes:
        map: Σ_k α_k·A_k, (h, w).
        which: the class.
        path: the layer's.
        activated: whether A is what the ReLU behind the layer makes of its output.
    """

    map: np.ndarray
    which: int
    path: str
    activated: bool

    @property
    def name(self) -> str:
        """The layer as titles call it."""
        return f"layer {self.path}{' + ReLU' if self.activated else ''}"


def evidence(model: Module, image: Tensor, layer: str | None = None, target: int | None = None) -> Evidence:
    """What ``grad_cam`` makes its map of; arguments and errors as there."""
    x = one_image("grad_cam", model, image)
    path = last_convolution("grad_cam", model) if layer is None else layer
    layer_at("grad_cam", model, path)
    which = target_class("grad_cam", scores("grad_cam", model, x), target)
    values = Values(model, x)
    maps = values.layer(path)
    if maps is None:
        raise GraphError(f"grad_cam: the network's forward does not call the layer {path!r}")
    if maps.ndim != 4:
        raise ShapeError(f"grad_cam: {path!r} must give feature maps (N, K, h, w), it gives {tuple(maps.shape)}")
    after = values.activated(maps) if layer is None else None
    maps = maps if after is None else after
    with inference_mode(False):
        (slope,) = grad(_differentiable("grad_cam", values.output)[0, which], maps, allow_unused=True)
    if slope is None:
        raise GraphError(f"grad_cam: the score does not depend on the layer {path!r}")
    weights = slope._array[0].mean((1, 2))
    return Evidence(np.tensordot(weights, maps._array[0], 1), which, path, after is not None)


def plot_saliency(model: Module, image: Tensor, target: int | None = None) -> Picture:
    """The image, its ``saliency``, and the one over the other; arguments and errors as there.

    Raises:
        ImportError: matplotlib is not installed.
    """
    sizes, which = _saliency(model, image, target)
    return _overlay(image, sizes._array, f"saliency for class {which}", "|∂score/∂pixel|")


def plot_grad_cam(model: Module, image: Tensor, layer: str | None = None, target: int | None = None) -> Picture:
    """The image, its ``grad_cam``, and the one over the other; arguments and errors as there.

    Every value of the map lies where the middle of its receptive field is.

    Raises:
        ImportError: matplotlib is not installed.
    """
    found = evidence(model, image, layer, target)
    try:
        field = field_of("plot_grad_cam", model, found.path, one_image("plot_grad_cam", model, image))
    except ShapeError:  # unknown: as in the paper, the map is stretched over the image
        field = None
    title = f"Grad-CAM, {found.name}, class {found.which}"
    return _overlay(image, np.maximum(found.map, 0), title, "evidence", field)


def _overlay(image: Tensor, heat: np.ndarray, title: str, unit: str, field: Field | None = None) -> Picture:
    """Image, heat map, and both; with ``field``, every value lies in the middle of what it sees."""
    array = image._array[0] if image.ndim == 4 else image._array
    if array.ndim != 3 or heat.ndim != 2:
        raise ShapeError(f"plot: a picture needs an image (C, H, W), got shape {tuple(image.shape)}")
    figure = picture(8.6, 3.1)
    left, middle, right = figure.subplots(1, 3)
    extent = (-0.5, array.shape[2] - 0.5, array.shape[1] - 0.5, -0.5)
    place = extent if field is None or field.jump is None else _extent(field, heat.shape)
    high = float(heat.max()) or 1.0
    show(left, pixels(array)).axes.set_title("image", fontsize=10)
    shown = show(middle, heat, cmap=SEQUENTIAL, vmin=0, vmax=high, extent=place)
    middle.set_title(title, fontsize=10)
    show(right, pixels(array))
    show(right, heat, cmap=SEQUENTIAL, vmin=0, vmax=high, extent=place, alpha=0.6, interpolation="bilinear")
    for axes in (middle, right):
        axes.set(xlim=extent[:2], ylim=extent[2:], facecolor="0.85")
    right.set_title("both", fontsize=10)
    figure.colorbar(shown, ax=(left, middle, right), shrink=0.85, label=unit)
    return figure


def _extent(field: Field, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a map of this shape, in pixels of the image: matplotlib's extent."""
    assert field.jump is not None
    sides = []
    for start, size, jump, places in zip(field.start, field.size, field.jump, shape):
        first = start + (size - 1) / 2 - jump / 2
        sides.append((first, first + places * jump))
    (top, bottom), (left, right) = sides
    return left, right, bottom, top


# ---------------------------------------------------------------- patches


@dataclass(frozen=True)
class Patches:
    """The patches that excite every filter of a layer most, the strongest first.

    Attributes:
        layer: the layer's path.
        patches: (filters, top, C, height, width), at the size of the receptive field; 0 outside the image.
        values: (filters, top), the activations there.
        images: (filters, top), the images' numbers.
        corners: (filters, top, 2), row and column of the patch's first pixel in its image; negative in the padding.
    """

    layer: str
    patches: np.ndarray
    values: np.ndarray
    images: np.ndarray
    corners: np.ndarray


def exciting_patches(model: Module, layer: str, images: Tensor, top: int = 9) -> Patches:
    """The image patches to which each filter of a layer answers most, at most one of every image.

    Args:
        model: the network; it runs in evaluation mode, and nothing of it is changed.
        layer: the path of a layer that gives feature maps (N, K, h, w), or numbers (N, K) that see the whole image.
        images: (N, C, H, W).
        top: how many for each filter; fewer if there are fewer images.

    Raises:
        TypeError, DTypeError, ShapeError: model is no Module; images are none, or a layer cannot take them; top is
            below 1; the layer's receptive field is unknown.
        KeyError: there is no such layer.

    Reference:
        M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4: there, the
        patches accompany projections down to pixels.
    """
    who = "exciting_patches"
    layer_at(who, model, layer)
    top = count(who, "top", top, 1)
    if not isinstance(images, Tensor) or images._array.dtype.kind != "f":
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise DTypeError(f"{who}: images must be a floating-point Tensor, got {got}")
    if images.ndim != 4 or images.shape[0] < 1:
        raise ShapeError(f"{who}: images must be (N, C, H, W), got shape {tuple(images.shape)}")
    array = images._array.astype(floating_dtype(model), copy=False)
    field = field_of(who, model, layer, wrap(array[:1]))
    best, places = [], []
    for start in range(0, len(array), _BATCH):
        maps = run_to(who, model, layer, wrap(array[start : start + _BATCH]))._array
        flat = maps.reshape(*maps.shape[:2], -1)
        places.append(flat.argmax(2))
        best.append(flat.max(2))
    width = maps.shape[3] if maps.ndim == 4 else 1
    values, where = np.concatenate(best).T, np.concatenate(places).T  # (filters, N)
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    rows, columns = np.divmod(np.take_along_axis(where, order, 1), width)
    jump = field.jump or (0, 0)
    corners = np.stack([field.start[0] + rows * jump[0], field.start[1] + columns * jump[1]], axis=-1)
    patches = np.array(
        [[cut(array[i], corner, field.size) for i, corner in zip(*pair)] for pair in zip(order, corners)]
    )
    return Patches(layer, patches, np.take_along_axis(values, order, 1), order, corners)


def plot_exciting_patches(
    model: Module, layer: str, images: Tensor, top: int = 9, filters: list[int] | None = None
) -> Picture:
    """A row per filter: the patches that excite it most, each with the activation below; arguments and errors as
    ``exciting_patches``.

    Args:
        filters: which of the layer's; None is the first 8.

    Raises:
        DimError, ShapeError: filters names one that there is not, or none.
        ImportError: matplotlib is not installed.
    """
    found = exciting_patches(model, layer, images, top)
    chosen = chosen_filters("plot_exciting_patches", filters, len(found.patches), 8)
    columns = found.patches.shape[1]
    figure = picture(0.8 * columns + 1.2, 1.05 * len(chosen) + 0.5)
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    low, high = float(found.patches.min()), float(found.patches.max())
    word = "output" if isinstance(layer_at("plot_exciting_patches", model, layer), Linear) else "filter"
    for which, row in zip(chosen, grid):
        for axes, patch, value in zip(row, found.patches[which], found.values[which]):
            show(axes, pixels(patch), vmin=low, vmax=high)
            axes.set_xlabel(f"{value:.2f}", fontsize=7, labelpad=2)
        row[0].set_ylabel(f"{word} {which}", rotation=0, fontsize=8, ha="right", va="center", labelpad=6)
    size = "×".join(map(str, found.patches.shape[3:]))
    figure.suptitle(f"layer {layer}: the patches ({size} pixels) that excite each {word} most", fontsize=10)
    return figure
