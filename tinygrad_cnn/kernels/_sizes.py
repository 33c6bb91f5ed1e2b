"""Sizes that pooling kernels are told; a file without Numba, because whoever describes a network needs them too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Pair = tuple[int, int]

MOST_IN_A_BYTE = 255
"""Pixels in a window whose places, and the place that is none, fit into a byte."""


class Window(NamedTuple):
    """What slides over the image; pairs are (vertical, horizontal)."""

    size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def numbers(self) -> tuple[int, ...]:
        """The eight integers that kernels take."""
        return (*self.size, *self.stride, *self.padding, *self.dilation)

    @property
    def place_dtype(self) -> np.dtype[Any]:
        """The dtype of the places in a window: uint8, or int32 for large ones."""
        return np.dtype(np.uint8 if self.size[0] * self.size[1] <= MOST_IN_A_BYTE else np.int32)
