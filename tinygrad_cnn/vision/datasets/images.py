"""What the image datasets share: an array of images, an array of labels, and transforms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...autograd import wrap
from ...data import Dataset, default_collate
from ...errors import DataError
from ..idx import read_idx

Transform = Callable[[Any], Any]


class ImageDataset(Dataset):
    """One-channel images and their labels, all in memory.

    Attributes:
        data: uint8 Tensor (N, H, W).
        targets: int64 Tensor (N,), the labels.
        classes: the names of the labels.
        max_value: the largest pixel value.
        transform: called on an image, a uint8 Tensor (1, H, W), or on a batch (B, 1, H, W) if it takes batches (see
            ``vision.transforms``).  None leaves the images as they are.
        target_transform: called on a label, an int.
    """

    classes = [str(digit) for digit in range(10)]  # noqa: RUF012
    max_value = 255

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        self.data = wrap(images)
        self.targets = wrap(labels.astype(np.int64))
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = wrap(self.data._array[index][None])
        target: Any = int(self.targets._array[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def get_batch(self, indices: np.ndarray) -> tuple[Any, Any]:
        """Images (B, 1, H, W) and labels (B,) int64 of these indices, transformed."""
        images: Any = wrap(self.data._array[indices][:, None])
        targets: Any = wrap(self.targets._array[indices])
        if getattr(self.transform, "works_on_batches", False):
            images = self.transform(images)  # type: ignore[misc]
        elif self.transform is not None:
            images = default_collate([self.transform(wrap(image)) for image in images._array])
        if self.target_transform is not None:
            targets = default_collate([self.target_transform(target) for target in targets._array.tolist()])
        return images, targets

    def __repr__(self) -> str:
        height, width = self.data.shape[1:]
        return f"{type(self).__name__}: {len(self):,} images of {height}x{width}, transform={self.transform}"


def read_images_and_labels(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a pair of IDX files and check that they belong together.

    Returns:
        uint8 arrays (N, H, W) and (N,).

    Raises:
        DataError: a file cannot be read, has another rank or element type, the counts differ, or a label is not in
            0..9.
    """
    pixels = _read(images, rank=3, what="images")
    classes = _read(labels, rank=1, what="labels")
    if len(pixels) != len(classes):
        raise DataError(f"{images} has {len(pixels):,} images, but {labels} has {len(classes):,} labels")
    if len(classes) and classes.max() > 9:
        place = int(np.argmax(classes > 9))
        raise DataError(f"{labels}: label {int(classes[place])} at position {place}; labels must be in 0..9")
    return pixels, classes


def _read(path: Path, rank: int, what: str) -> np.ndarray:
    array = read_idx(path)
    if array.ndim != rank or array.dtype != np.uint8:
        raise DataError(f"{path}: {what} must be uint8 with {rank} dimensions, got {array.dtype} with {array.ndim}")
    return array
