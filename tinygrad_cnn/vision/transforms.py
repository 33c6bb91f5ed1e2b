"""Transforms of images, under torchvision's names, that take a single image or a whole batch.

A transform with ``works_on_batches = True`` is given a batch (B, C, H, W) at once by the datasets of this library; any
other callable is given one image (C, H, W) at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import DTypeError, ShapeError


class Compose:
    """Transforms one after the other; works on batches if all of them do."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    @property
    def works_on_batches(self) -> bool:
        """Whether a whole batch may be given."""
        return all(getattr(transform, "works_on_batches", False) for transform in self.transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {transform}\n" for transform in self.transforms) + ")"


class ToTensor:
    """uint8 pixels to float32 in [0, 1].

    Args:
        max_value: the pixel value that becomes 1; must be positive.

    The call takes a uint8 Tensor (..., H, W), or a NumPy array (H, W) or (H, W, C) as torchvision does, which becomes
    (1, H, W) or (C, H, W); it raises DTypeError for other dtypes, ShapeError for other shapes.
    """

    works_on_batches = True

    def __init__(self, max_value: int = 255) -> None:
        if not max_value > 0:
            raise ValueError(f"ToTensor: max_value must be positive, got {max_value}")
        self.max_value = max_value

    def __call__(self, image: Tensor | np.ndarray) -> Tensor:
        if isinstance(image, np.ndarray):
            if image.ndim not in (2, 3):
                raise ShapeError(f"ToTensor: an array must be (H, W) or (H, W, C), got shape {image.shape}")
            array = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        elif isinstance(image, Tensor):
            array = image._array
            if array.ndim < 2:
                raise ShapeError(f"ToTensor: an image must be (..., H, W), got shape {array.shape}")
        else:
            raise DTypeError(f"ToTensor: image must be a Tensor or a NumPy array, got {type(image).__name__}")
        if array.dtype != np.uint8:
            raise DTypeError(f"ToTensor: pixels must be uint8, got {array.dtype}")
        return wrap(np.divide(array, np.float32(self.max_value), dtype=np.float32))

    def __repr__(self) -> str:
        return "ToTensor()" if self.max_value == 255 else f"ToTensor(max_value={self.max_value})"


class Normalize:
    """(image - mean) / std per channel.

    Args:
        mean, std: one number per channel, or one for all; std must not be 0.

    The call takes a floating-point Tensor (..., C, H, W); it raises DTypeError for anything else, ShapeError for other
    shapes.
    """

    works_on_batches = True

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = tuple(map(float, np.ravel(mean)))
        self.std = tuple(map(float, np.ravel(std)))
        if len(self.mean) != len(self.std):
            raise ShapeError(f"Normalize: {len(self.mean)} means but {len(self.std)} standard deviations")
        if 0 in self.std:
            raise ValueError(f"Normalize: std must not contain 0, got {self.std}")

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor):
            raise DTypeError(f"Normalize: image must be a Tensor, got {type(image).__name__}; use ToTensor() before")
        array = image._array
        if array.dtype.kind != "f":
            raise DTypeError(f"Normalize: the image must be floating-point, got {image.dtype}; use ToTensor() before")
        if array.ndim < 3 or len(self.mean) not in (1, array.shape[-3]):
            raise ShapeError(f"Normalize: {len(self.mean)} channels expected, the image has shape {array.shape}")
        mean = np.array(self.mean, array.dtype).reshape(-1, 1, 1)
        std = np.array(self.std, array.dtype).reshape(-1, 1, 1)
        return wrap((array - mean) / std)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"
