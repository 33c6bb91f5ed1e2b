"""MNIST: 70,000 handwritten digits of 28×28 pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from ...folders import cache_folder
from .download import download as download_file
from .images import ImageDataset, Transform, read_images_and_labels

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://yann.lecun.com/exdb/mnist/",
)
DATA_VARIABLE = "TINYGRAD_CNN_DATA"


class Part(NamedTuple):
    """A file of the data set: its name without ``.gz`` and the MD5 of its decompressed content."""

    name: str
    md5: str


TRAIN = (
    Part("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    Part("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
)
TEST = (
    Part("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    Part("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
)


class MNIST(ImageDataset):
    """The MNIST digits: 60,000 training and 10,000 test images of 28×28 pixels, 0 to 255.

    The four IDX files, compressed or not, are looked for in ``root``, ``root/MNIST/raw`` (where torchvision puts them)
    and the cache folder.  Files of one's own in the same format, of any size and number, are read as well.

    Args:
        root: a folder, or None for the cache folder alone.
        train: the training set, or the test set.
        transform, target_transform: see ``ImageDataset``.
        download: fetch what is missing into the cache folder.
        budget: seconds that the download may take in all.  Default: no limit.

    Attributes:
        mirrors: the addresses to download from, tried in order.

    Raises:
        DataError: the folder or a file is missing, a file is damaged or not what it should be (see
            ``read_images_and_labels``).
        DownloadError: a DataError too; no mirror gave a file.  The message names each address and how to place files by
            hand.

    Reference:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition.
        Proc. IEEE 86 (1998).
    """

    mirrors = MIRRORS

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
        budget: float | None = None,
    ) -> None:
        parts = TRAIN if train else TEST
        folder = _folder_with(parts, root)
        if folder is None and download:
            folder = fetch(parts, budget, self.mirrors)
        if folder is None:
            raise _missing(parts, root)
        images, labels = (_find(folder, part) for part in parts)
        assert images is not None
        assert labels is not None
        super().__init__(*read_images_and_labels(images, labels), transform, target_transform)
        self.train = train


def mnist_cache() -> Path:
    """Where downloaded files go and where they are looked for."""
    return cache_folder() / "mnist"


def find_mnist(root: str | os.PathLike[str] | None = None) -> Path | None:
    """The first of ``root``, ``$TINYGRAD_CNN_DATA`` and the cache folder that holds all four files; None if none does.

    In the first two, the subfolders ``mnist`` and ``MNIST/raw`` are looked at too.
    """
    for start in (root, os.environ.get(DATA_VARIABLE)):
        if start:
            folder = _folder_with((*TRAIN, *TEST), start, cache=False)
            if folder is not None:
                return folder
    return _folder_with((*TRAIN, *TEST), None)


def fetch(
    parts: tuple[Part, ...] = (*TRAIN, *TEST), budget: float | None = None, mirrors: Sequence[str] = MIRRORS
) -> Path:
    """Download the files that the cache folder lacks; returns the folder.

    Args:
        parts: which files.
        budget: seconds for all of them together.  Default: no limit.
        mirrors: folders' addresses, tried in order.

    Raises:
        DownloadError: no mirror gave a file; those that came before it stay.
    """
    end = None if budget is None else time.monotonic() + budget
    for part in parts:
        remaining = None if end is None else max(0.0, end - time.monotonic())
        urls = [f"{mirror.rstrip('/')}/{part.name}.gz" for mirror in mirrors]
        download_file(urls, part.md5, mnist_cache() / f"{part.name}.gz", remaining)
    return mnist_cache()


def _folder_with(parts: tuple[Part, ...], root: str | os.PathLike[str] | None, cache: bool = True) -> Path | None:
    candidates = []
    if root is not None:
        candidates += [Path(root), Path(root) / "mnist", Path(root) / "MNIST" / "raw"]
    if cache:
        candidates.append(mnist_cache())
    for folder in candidates:
        if all(_find(folder, part) is not None for part in parts):
            return folder
    return None


def _find(folder: Path, part: Part) -> Path | None:
    for name in (f"{part.name}.gz", part.name):
        if (folder / name).is_file():
            return folder / name
    return None


def _missing(parts: tuple[Part, ...], root: str | os.PathLike[str] | None) -> DataError:
    names = " and ".join(f"{part.name}(.gz)" for part in parts)
    if root is None:
        return DataError(f"{mnist_cache()}: {names} not there; pass root=, or download=True")
    if not Path(root).is_dir():
        return DataError(f"{root}: no such folder")
    lacking = [f"{part.name}(.gz)" for part in parts if _find(Path(root), part) is None]
    return DataError(f"{root}: {' and '.join(lacking)} not there")
