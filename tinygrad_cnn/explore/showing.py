"""What all drawings and pictures share: where they are written, the colours, and matplotlib, which is optional."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..serialization import write_atomically

if TYPE_CHECKING:
    from .picture import Picture

BLUE, SKY, GREEN, ORANGE, VERMILION, GREY = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#666666"
"""Colours that the colour-blind can tell apart: M. Okabe, K. Ito, "Color Universal Design", 2008."""

SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"
"""Colour maps for values from 0 and for values around 0; cividis: J. Nuñez, C. Anderton, R. Renslow, PLOS ONE 2018."""


class Text(str):
    """Text in a language of drawings, such as DOT; a str that can be saved."""

    __slots__ = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file in UTF-8, in one piece or not at all.

        Raises:
            OSError: the folder does not exist, or the file cannot be written.
        """
        write(path, self.encode())


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Make a file of this content, in one piece or not at all.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it cannot be written.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {str(target.parent)!r} for {target.name!r}")
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(target)!r} is a folder, not a file")
    write_atomically(target, content)


def picture(width: float, height: float) -> Picture:
    """An empty matplotlib Figure of this size in inches; pyplot and its list of open figures are not involved.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from .picture import Picture
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'tinygrad_cnn[viz]'") from error
    return Picture(figsize=(width, height), layout="constrained")


def pixels(image: np.ndarray) -> np.ndarray:
    """An image as matplotlib shows it: (C, H, W) becomes (H, W), or (H, W, 3) scaled to [0, 1] for three channels."""
    if image.shape[0] != 3:
        return image.mean(0)
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, 1e-12)
    return image.transpose(1, 2, 0)


def show(axes: Any, image: np.ndarray, **options: Any) -> Any:
    """Draw an array as an image without ticks; grey where nothing else is said."""
    options = {"cmap": "gray", "interpolation": "nearest", **options}
    axes.set(xticks=[], yticks=[])
    return axes.imshow(image, **options)
