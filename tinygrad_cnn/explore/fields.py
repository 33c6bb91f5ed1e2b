"""Which part of the image a number of a layer's output sees, and that part cut out."""

from __future__ import annotations

import numpy as np

from ..autograd import Tensor
from ..errors import ShapeError
from ..nn import Module
from .formulas import Field, Pair
from .plan import traced
from .rows import Rows
from .trace import evaluation


def field_of(who: str, model: Module, layer: str, image: Tensor) -> Field:
    """The receptive field of a layer's output for images as this one, (1, C, H, W).

    Raises:
        ShapeError: a layer cannot take the image; the layer is not called; or its receptive field is unknown.
    """
    with evaluation(model):
        trace = traced(model, image)
    call = next((c for c in trace.calls if c.path == layer), None)
    if call is None or not call.outputs or call.output_shape is None:
        raise ShapeError(f"{who}: the network's forward does not call the layer {layer!r} on what the image becomes")
    field = Rows(trace).fields.get(call.outputs[0])
    if field is None or len(call.output_shape) not in (2, 4) or (len(call.output_shape) == 4 and field.jump is None):
        raise ShapeError(f"{who}: it is unknown which part of the image an output of {layer!r} sees")
    if field.jump is None:  # it sees everything; of the padding, only what is inside is worth showing
        return Field((image.shape[2], image.shape[3]), None)
    return field


def cut(image: np.ndarray, corner: np.ndarray, size: Pair) -> np.ndarray:
    """A patch of an image (C, H, W), 0 where it reaches over the border."""
    patch = np.zeros((image.shape[0], *size), image.dtype)
    first = np.maximum(corner, 0)
    last = np.minimum(corner + size, image.shape[1:])
    (top, left), (bottom, right) = first - corner, last - corner
    patch[:, top:bottom, left:right] = image[:, first[0] : last[0], first[1] : last[1]]
    return patch
