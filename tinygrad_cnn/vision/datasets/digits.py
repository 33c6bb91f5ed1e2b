"""The digits that come with the package: real handwriting, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .images import ImageDataset, Transform, read_images_and_labels

_FOLDER = Path(__file__).parent / "digits_data"


class Digits(ImageDataset):
    """1,797 handwritten digits of 8×8 pixels with values 0 to 16, of 13 writers, shipped with the package.

    Of each digit's images, in the order of the file, every fifth belongs to the test set (355 images), the others to
    the training set (1,442).  So the classes are balanced and the split never changes; the same writers are in both
    parts, which makes the test easier than one on new writers.

    Args:
        train: the training set, or the test set.
        transform, target_transform: see ``ImageDataset``.

    Raises:
        DataError: the files of the installed package are damaged.

    Reference:
        E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits.  UCI Machine Learning Repository, 1998,
        https://doi.org/10.24432/C50P49, CC BY 4.0.  These are the images of its test file, as scikit-learn
        distributes them.
    """

    max_value = 16

    def __init__(
        self, train: bool = True, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        images, labels = read_images_and_labels(_FOLDER / "images-idx3-ubyte.gz", _FOLDER / "labels-idx1-ubyte.gz")
        chosen = every_fifth_of_each_class(labels) != train
        super().__init__(images[chosen], labels[chosen], transform, target_transform)
        self.train = train


def every_fifth_of_each_class(labels: np.ndarray) -> np.ndarray:
    """True for the fifth, tenth ... image of each label; labels (N,), result bool (N,)."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen
