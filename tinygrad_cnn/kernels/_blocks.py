"""Blocks of output pixels, and the patches of the source image that they see.

What an output pixel (i, j) sees through its filter are the source pixels ``(i·step + a, j·step + b)``, a and b being
the *taps* of the two axes (`Axis`). Pixels are computed block by block: some rows and columns of one image, or several
whole images if these are small. All blocks look alike, so one table of offsets, a number per pixel of a block, serves
all of them: where the pixel's first tap lies, counted from that of the block's first pixel.

Where taps reach beyond the image, a block's part of the source is first copied into a *patch* with zeros around it. A
patch stays in the L2 cache, so the copy costs little (3 % of a 16→16 3x3 layer on Cascade Lake; looking up every piece
of every window, with a row of zeros for those outside, took a third of it), and the taps of a filter row lie side by
side in it, channels and all, as long as the filter's row.

A block's part of the source comes from memory, and nothing is computed while it is waited for. So while one block is
computed, what the next one reads is *fetched* into the L2 cache, a few lines after every tile. Where results go to many
places by turns, their lines are *claimed* before they are written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._addresses import copy_bytes, get, prefetch, prefetch_to_write, size_of, zero_bytes
from ._jit import helper

Array = np.ndarray[Any, np.dtype[Any]]

PATCH_BYTES = 256 * 1024
"""A block has so few pixels that its patch is not larger, if it can: a quarter of an L2 cache of 1 MB."""


class Axis(NamedTuple):
    """Along one axis: output pixel i sees source pixel ``i·step + tap`` through each of the taps; outside are zeros."""

    pixels: int  # of the output
    step: int
    taps: tuple[int, ...]  # increasing
    source: int  # pixels of the source

    @property
    def low(self) -> int:
        """The first tap."""
        return self.taps[0] if self.taps else 0

    @property
    def extent(self) -> int:
        """Source pixels from the first tap to the last."""
        return self.taps[-1] - self.low + 1 if self.taps else 1

    @property
    def inside(self) -> bool:
        """Whether no pixel sees anything outside."""
        return self.low >= 0 and (self.pixels - 1) * self.step + self.low + self.extent <= self.source

    def reach(self, count: int) -> int:
        """Source pixels that ``count`` neighbouring output pixels span."""
        return (count - 1) * self.step + self.extent


class Grid(NamedTuple):
    """The output pixels of all images, and what each of them sees."""

    images: int
    vertical: Axis
    horizontal: Axis
    channels: int  # of the source

    @property
    def pixels(self) -> int:
        """Output pixels of all images."""
        return self.images * self.vertical.pixels * self.horizontal.pixels

    def cut(self, pixels: int, itemsize: int, whole_rows: bool = False) -> Blocks:
        """Blocks of about so many pixels.

        Args:
            pixels: In a block, if its patch is not too large for the cache.
            itemsize: Bytes of an element.
            whole_rows: Every pixel is in one block only. Else the last block of a row may begin in the one before it.
        """
        I, J = self.vertical.pixels, self.horizontal.pixels
        images, rows, columns = 1, I, J
        if pixels >= I * J:
            images = max(1, min(self.images, pixels // (I * J)))
        elif pixels >= J or whole_rows:
            rows = _even(I, pixels // J)
        else:  # two rows, because those around them are copied too
            columns = _even(J, pixels // 2)
            rows = min(I, 2)
        blocks = Blocks(self, images, rows, columns)
        while blocks.patch_size * itemsize > PATCH_BYTES:
            if blocks.images > 1:
                blocks = blocks._replace(images=blocks.images // 2)
            elif blocks.rows > 1:
                blocks = blocks._replace(rows=-(-blocks.rows // 2))
            elif blocks.columns > 1 and not whole_rows:
                blocks = blocks._replace(columns=-(-blocks.columns // 2))
            else:
                break
        return blocks


def one_to_one(pixels: int, channels: int) -> Grid:
    """Every output pixel sees the source pixel of its own number: a matrix product, or a 1x1 convolution."""
    return Grid(1, Axis(pixels, 1, (0,), pixels), Axis(1, 1, (0,), 1), channels)


def _even(size: int, most: int) -> int:
    """Size of the parts when ``size`` is cut into as few as possible of at most ``most``, all about equal."""
    parts = -(-size // max(1, most))
    return -(-size // parts)


class Blocks(NamedTuple):
    """A grid cut into blocks of ``images`` whole images, or of ``rows`` x ``columns`` pixels of one."""

    grid: Grid
    images: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        """Pixels in a whole block."""
        return self.images * self.rows * self.columns

    @property
    def total(self) -> int:
        """Number of blocks."""
        grid = self.grid
        down, across = -(-grid.vertical.pixels // self.rows), -(-grid.horizontal.pixels // self.columns)
        return -(-grid.images // self.images) * down * across

    @property
    def patch(self) -> tuple[int, int] | None:
        """(height, width) of an image's patch, or None: the source is read where it lies."""
        vertical, horizontal = self.grid.vertical, self.grid.horizontal
        if vertical.inside and horizontal.inside:
            return None
        return vertical.reach(self.rows), horizontal.reach(self.columns)

    @property
    def patch_size(self) -> int:
        """Elements of a block's patch; 0 where it needs none."""
        return 0 if self.patch is None else self.images * self.patch[0] * self.patch[1] * self.grid.channels

    @property
    def width(self) -> int:
        """Pixels from one row to the next of what is read."""
        return self.grid.horizontal.source if self.patch is None else self.patch[1]

    def table(self) -> Array:
        """(pixels,) where in what is read each pixel's first tap lies, in elements from the first pixel's."""
        grid = self.grid
        height = grid.vertical.source if self.patch is None else self.patch[0]
        steps = (height * self.width, grid.vertical.step * self.width, grid.horizontal.step)
        return self.spread(*(step * grid.channels for step in steps))

    def pieces(self) -> Array:
        """(vertical taps, horizontal taps) where each tap lies, in elements from the first."""
        vertical, horizontal = self.grid.vertical, self.grid.horizontal
        down = np.array(vertical.taps, np.int64) - vertical.low
        across = np.array(horizontal.taps, np.int64) - horizontal.low
        return (down[:, None] * self.width + across) * self.grid.channels

    def spread(self, image_step: int, row_step: int, column_step: int) -> Array:
        """(pixels,) ``image·image_step + row·row_step + column·column_step`` of each pixel of a block."""
        g, i, j = (np.arange(count, dtype=np.int64) for count in (self.images, self.rows, self.columns))
        places = g[:, None, None] * image_step + i[:, None] * row_step + j * column_step
        return places.reshape(-1)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What kernels are told, in the order of `IMAGES` and what follows it."""
        grid = self.grid
        vertical, horizontal = grid.vertical, grid.horizontal
        height, width = self.patch or (0, 0)
        return (
            grid.images, vertical.pixels, horizontal.pixels, self.images, self.rows, self.columns,
            vertical.source, horizontal.source, grid.channels, vertical.step, horizontal.step,
            vertical.low, horizontal.low, vertical.extent, height, width,
        )  # fmt: skip


LINE = 64
"""Bytes of a cache line."""

MOST_FETCHED = 128 * 1024
"""Bytes to be fetched ahead, at most: a quarter of an L2 cache of 512 KB."""

(
    IMAGES, IMAGE_ROWS, IMAGE_COLUMNS, BLOCK_IMAGES, BLOCK_ROWS, BLOCK_COLUMNS,
    HEIGHT, WIDTH, CHANNELS, DOWN, ACROSS,
    LOW_ROW, LOW_COLUMN, ROW_EXTENT, PATCH_HEIGHT, PATCH_WIDTH,
) = range(0, 8 * 16, 8)  # fmt: skip
NUMBERS_BYTES = 8 * 16
"""Where the numbers that kernels are told of blocks lie, see `Blocks.numbers`."""


@helper
def block_at(number, blocks):
    """(image, row, column) of a block's first pixel, and how many (images, rows) it has; columns are always as many.

    ``blocks`` is the address of `Blocks.numbers`.
    """
    across = (get(blocks + IMAGE_COLUMNS) + get(blocks + BLOCK_COLUMNS) - 1) // get(blocks + BLOCK_COLUMNS)
    down = (get(blocks + IMAGE_ROWS) + get(blocks + BLOCK_ROWS) - 1) // get(blocks + BLOCK_ROWS)
    image = number // (down * across) * get(blocks + BLOCK_IMAGES)
    row = number // across % down * get(blocks + BLOCK_ROWS)
    column = min(
        number % across * get(blocks + BLOCK_COLUMNS), get(blocks + IMAGE_COLUMNS) - get(blocks + BLOCK_COLUMNS)
    )
    images = min(get(blocks + BLOCK_IMAGES), get(blocks + IMAGES) - image)
    rows = min(get(blocks + BLOCK_ROWS), get(blocks + IMAGE_ROWS) - row)
    return image, row, column, images, rows


@helper
def first_seen(blocks, place, source, zero):
    """Where the rows begin and end that a block reads and the block before it does not.

    Both are the same if they lie in pieces. Arguments as in `see`.
    """
    image, row, _, images, rows = place
    height, step = get(blocks + HEIGHT), get(blocks + DOWN)
    if get(blocks + BLOCK_COLUMNS) < get(blocks + IMAGE_COLUMNS):
        return source, source
    line = get(blocks + WIDTH) * get(blocks + CHANNELS) * size_of(zero)
    reach = get(blocks + LOW_ROW) + get(blocks + ROW_EXTENT)
    begin = image * height + (max(0, (row - 1) * step + reach) if row else 0)
    end = (image + images - 1) * height + min(height, (row + rows - 1) * step + reach)
    return source + begin * line, source + end * line


@helper
def share(begin, end, parts):
    """Bytes, in whole cache lines, of one of so many parts of what lies between two addresses; 0 if it is too much."""
    return (end - begin + parts * LINE - 1) // (parts * LINE) * LINE if end - begin <= MOST_FETCHED else 0


@helper
def fetch(begin, size, part):
    """Ask for one part, of `share` bytes, of what will be read next.

    What is computed between the calls takes longer than the lines take to come, so nobody waits for memory: asked for
    all at once, they would come no sooner than they are copied. Convolutions of 16 channels take 0.9 to 0.96 of the
    time, their weight gradients 0.83 to 0.93, Winograd's convolutions 0.87 to 0.97 (2 cores of Zen 3). Fetching
    Winograd's filters brings nothing.
    """
    for where in range(begin + size * part, begin + size * (part + 1), LINE):
        prefetch(where)


@helper
def claim(begin, size):
    """Ask for the cache lines of so many bytes that will be written.

    The processor foresees what is written in order. Where it is a few pixels here and there, or one panel of several of
    every pixel, stores wait for their lines, the longer if another core wrote there last. What asking in time saves
    (2 cores of Zen 3): 3→64 3x3 @32 a quarter of its time, F(2x2) of 16 channels a tenth, of 32 a twentieth.
    """
    for where in range(begin, begin + size, LINE):
        prefetch_to_write(where)


@helper
def see(blocks, place, source, patch, zero):
    """Where the first tap of a block's first pixel lies: in the source, or in the patch that is copied here.

    Args:
        blocks: Address of `Blocks.numbers`.
        place: What `block_at` returned.
        source: Address of the images (N, H, W, C).
        patch: Address of `Blocks.patch_size` elements, written.
        zero: Any value of the dtype.
    """
    image, row, column, images, rows = place
    item = size_of(zero)
    pixel, line = get(blocks + CHANNELS) * item, get(blocks + WIDTH) * get(blocks + CHANNELS) * item
    top = row * get(blocks + DOWN) + get(blocks + LOW_ROW)
    left = column * get(blocks + ACROSS) + get(blocks + LOW_COLUMN)
    if get(blocks + PATCH_HEIGHT) == 0:
        return source + (image * get(blocks + HEIGHT) + top) * line + left * pixel
    height, width = (rows - 1) * get(blocks + DOWN) + get(blocks + ROW_EXTENT), get(blocks + PATCH_WIDTH)
    H, W = get(blocks + HEIGHT), get(blocks + WIDTH)
    for n in range(images):
        target = patch + n * get(blocks + PATCH_HEIGHT) * width * pixel
        copy_window(source + (image + n) * H * line, H, W, pixel, top, left, height, width, target)
    return patch


@helper
def copy_window(image, H, W, pixel, top, left, height, width, target):
    """Copy height x width pixels of an image (H, W) of so many bytes a pixel; those outside it become zeros."""
    begin, end = max(0, left), min(W, left + width)
    for h in range(top, top + height):
        if h < 0 or h >= H or begin >= end:
            zero_bytes(target, width * pixel)
        else:
            if begin > left:
                zero_bytes(target, (begin - left) * pixel)
            copy_bytes(image + (h * W + begin) * pixel, target + (begin - left) * pixel, (end - begin) * pixel)
            if end < left + width:
                zero_bytes(target + (end - left) * pixel, (left + width - end) * pixel)
        target += width * pixel
