"""What the pictures are made from: an image, a layer of the user's network, labelled data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Tensor, inference_mode, wrap
from ..data import DataLoader
from ..errors import DimError, DTypeError, ShapeError
from ..nn import Conv2d, Module
from .plan import check_model, floating_dtype, traced, unknown_name
from .trace import evaluation, tensors_in, unchanged

_BATCH = 256


def one_image(who: str, model: Module, image: Any) -> Tensor:
    """The image as a batch of one, (1, C, H, W) or (1, features), in the network's dtype; a detached copy.

    Raises:
        DTypeError: no Tensor of floating-point numbers.
        ShapeError: not one image.
    """
    if not isinstance(image, Tensor):
        raise DTypeError(f"{who}: image must be a Tensor, got {type(image).__name__}")
    if image._array.dtype.kind != "f":
        raise DTypeError(f"{who}: image must be floating-point, got {image.dtype}; ToTensor() makes it so")
    shape = tuple(image.shape)
    if len(shape) not in (1, 3, 4) or (len(shape) == 4 and shape[0] != 1):
        remedy = "; take one of them, images[0]" if len(shape) == 4 else ""
        remedy = "; image[None] adds the channel" if len(shape) == 2 else remedy
        raise ShapeError(f"{who}: image must be one image, (C, H, W), got shape {shape}{remedy}")
    array = image._array if len(shape) == 4 else image._array[None]
    return wrap(array.astype(floating_dtype(model)))


@contextmanager
def observed(model: Module) -> Iterator[None]:
    """Evaluation mode with recording; buffers, random state and modes are afterwards as they were."""
    with evaluation(model), inference_mode(False), unchanged(model):
        yield


def layer_at(who: str, model: Module, path: Any) -> Module:
    """The layer at a dotted path.

    Raises:
        TypeError: model is no Module.
        KeyError: there is none; the message gives the most similar paths.
    """
    check_model(who, model)
    layers = dict(model.named_modules())
    if not isinstance(path, str) or path not in layers:
        raise KeyError(unknown_name(who, path, [name for name in layers if name]))
    return layers[path]


def last_convolution(who: str, model: Module) -> str:
    """The path of the last convolution, in the order in which they were added.

    Raises:
        ValueError: there is none.
    """
    check_model(who, model)
    paths = [path for path, module in model.named_modules() if isinstance(module, Conv2d)]
    if not paths:
        raise ValueError(f"{who}: the network has no Conv2d layer; give the path of a layer")
    return paths[-1]


class _Reached(Exception):
    """Ends a run at the layer that is of interest."""


def run_to(who: str, model: Module, path: str, images: Tensor) -> Tensor:
    """The output of a layer for images, (N, ...), recorded if they require a gradient; the run ends there.

    Raises:
        KeyError: there is no such layer.
        ShapeError: a layer cannot take the images: which, how that came about.
        ValueError: the network does not call it.
    """
    found: list[Tensor] = []

    def stop(module: Module, args: Any, output: Any) -> None:
        found.extend(tensors_in(output))
        raise _Reached

    with observed(model), layer_at(who, model, path).register_forward_hook(stop, prepend=True):
        try:
            model(images)
        except _Reached:
            pass
        except ShapeError:
            traced(model, images[:1])  # raises a message with the way that the image took
            raise
    if found:
        return found[0]
    raise ValueError(f"{who}: the network's forward does not call the layer {path!r}")


def scores(who: str, model: Module, batch: Tensor) -> Tensor:
    """The network's output for a batch, one number per class, (N, classes), in evaluation mode.

    Raises:
        TypeError: model is no Module.
        ShapeError: an output of another shape; or a layer cannot take the images: which, how that came about.
    """
    check_model(who, model)
    with observed(model):
        try:
            output = model(batch)
        except ShapeError:
            traced(model, batch[:1])  # raises a message with the way that the image took
            raise
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[0] != batch.shape[0]:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(f"{who}: the network must give (N, classes) for {tuple(batch.shape)}, got {got}")
    return output


def target_class(who: str, output: Tensor, target: Any) -> int:
    """The class that is asked for; by default the one of the highest score, ``output`` (1, classes).

    Raises:
        DTypeError: no int.
        DimError: there is no such class.
    """
    if target is None:
        return int(output._array[0].argmax())
    if isinstance(target, Tensor) and target.numel() == 1:
        target = target.item()
    if not isinstance(target, int | np.integer) or isinstance(target, bool):
        raise DTypeError(f"{who}: target must be the number of a class, got {target!r}")
    if not 0 <= target < output.shape[1]:
        raise DimError(f"{who}: target must be one of the {output.shape[1]} classes from 0, got {target}")
    return int(target)


def chosen_filters(who: str, filters: Any, number: int, most: int) -> list[int]:
    """Which of a layer's filters are asked for; None is the first ``most``.

    Raises:
        DimError: there is no such filter.
        ShapeError: there are none in the list.
    """
    if filters is None:
        return list(range(min(most, number)))
    for which in filters:
        check_filter(who, which, number)
    if not len(filters):
        raise ShapeError(f"{who}: filters must name at least one of the layer's {number}, got {filters!r}")
    return [int(which) for which in filters]


def check_filter(who: str, which: Any, number: int) -> None:
    """Raise a DimError unless a layer with so many filters has this one."""
    if not isinstance(which, int | np.integer) or isinstance(which, bool) or not 0 <= which < number:
        raise DimError(f"{who}: filter must be one of the layer's {number} from 0, got {which!r}")


def labelled(who: str, data: Any) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Batches of images (N, ...) and labels (N,) of a DataLoader, a dataset, a list of batches, or a pair of Tensors.

    Raises:
        TypeError: none of these.
        DTypeError: labels that are no integers.
        ShapeError: not as many labels as images.
    """
    batches: Iterable[Any]
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        batches = [data]
    elif isinstance(data, Tensor | tuple | str | dict):
        raise TypeError(_no_data(who, data))
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list):
        batches = DataLoader(data, batch_size=_BATCH)
    elif hasattr(data, "__iter__"):
        batches = data
    else:
        raise TypeError(_no_data(who, data))
    for pair in batches:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
            raise TypeError(f"{who}: every batch of data must be a pair of Tensors (images, labels)")
        images, labels = pair
        if labels._array.dtype.kind not in "iu":
            raise DTypeError(f"{who}: labels must be integers, got {labels.dtype}")
        if labels.ndim != 1 or images.shape[0] != labels.shape[0]:
            raise ShapeError(
                f"{who}: labels must be one per image, got {tuple(labels.shape)} for images {tuple(images.shape)}"
            )
        for start in range(0, labels.shape[0], _BATCH):
            yield images[start : start + _BATCH], labels._array[start : start + _BATCH]


def _no_data(who: str, data: Any) -> str:
    kind = type(data).__name__
    return f"{who}: data must be a DataLoader, a dataset or a pair of Tensors (images, labels), got {kind}"
