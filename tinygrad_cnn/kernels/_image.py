"""Rows of an image as micro-kernels see them: wherever a pixel would lie outside, there are zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._emitter import Emitter, Part


def zeros_for(elements: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A table with room for so many elements of ``dtype``, all zero: what an `Image` needs of its widest row."""
    return np.zeros(-(-elements * dtype.itemsize // 8), np.int64)


class Image:
    """Some rows of an image (H, W), whose pixels are loaded column by column.

    What lies outside is read from a row of zeros: to choose between two addresses costs less than to copy a patch with
    zeros around it, of which Winograd's F(2x2) on 16x16 pixels would need one for half of its tiles.

    Args:
        emit: Where the code goes.
        image: Address of the first pixel, or of some channels in it.
        H, W: Height and width.
        pixel: Bytes from pixel to pixel.
        zeros: Address of as many zeros as a row of the image has: see `zeros_for`.
        top: The first row, maybe outside.
        count: How many rows.
    """

    def __init__(self, emit: Emitter, image: Any, H: Any, W: Any, pixel: Any, zeros: Any, top: Any, count: int) -> None:
        builder = emit.builder
        self.emit, self.W, self.pixel, self.zeros = emit, W, pixel, zeros
        self.rows = []
        for i in range(count):
            row = builder.add(top, emit.i64(i))
            place = builder.add(image, builder.mul(row, builder.mul(W, pixel)))
            self.rows.append(builder.select(builder.icmp_unsigned("<", row, H), place, zeros))

    def column(self, number: Any, offset: Any = None, part: Part | None = None) -> list[Any]:
        """Of each row, the vector (or a part of it) that lies ``offset`` bytes into the pixel of this column."""
        builder = self.emit.builder
        inside = builder.icmp_unsigned("<", number, self.W)
        shift = builder.mul(number, self.pixel)
        if offset is not None:
            shift = builder.add(shift, offset)
        places = [builder.select(inside, builder.add(row, shift), self.zeros) for row in self.rows]
        return [self.emit.load_some(place, part) for place in places]
