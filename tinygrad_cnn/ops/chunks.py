"""A large batch cut into chunks of a few images.

Layers that look at each image alone may take one chunk after the other: what one layer writes is then still in the
cache when the next one reads it, and a result that only the next layer wants never goes to memory.
"""

from __future__ import annotations

CHUNK = 5 << 19
"""Bytes that the layers have to do with for one chunk, about. In the lecture's network with 256 images, on 2 cores of
Zen 3 with 0.5 MB of second-level cache each, 2.5 MB are quicker than 0.6 and 1.2, and in training than 4, 6 and 8."""


def cut(images: int, size: int, chunk: int) -> tuple[int, ...]:
    """Where chunks of nearly the same number of images begin, and ``images``.

    Args:
        images: of the batch, at least 1.
        size: bytes that the layers have to do with for all of them.
        chunk: bytes for one chunk, about; an image alone may take more.
    """
    count = max(1, min(images, -(-size // chunk)))
    return tuple(images * i // count for i in range(count + 1))
