"""What is fetched ahead: every row of the source once, before the block that reads it first."""

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cnn.kernels._blocks import LINE, MOST_FETCHED, Axis, Grid, block_at, first_seen, share
from tinygrad_cnn.kernels._winograd import new_row

ITEM = 4
SIZES = st.integers(1, 12)


@numba.njit
def _block(number, numbers, zero):
    place = block_at(number, numbers)
    return place, first_seen(numbers, place, 0, zero)


@numba.njit
def _share(begin, end, parts):
    return share(begin, end, parts)


@numba.njit
def _new_row(tile, down, across, m, margin, height):
    return new_row(tile, down, across, m, margin, height)


@given(
    images=st.integers(1, 3),
    height=SIZES,
    width=SIZES,
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    pixels=st.integers(1, 60),
)
def test_every_row_that_a_block_copies_was_fetched_once(
    images, height, width, taps, stride, padding, dilation, pixels
) -> None:
    reach, channels = dilation * (taps - 1), 3
    padding = max(padding, -(-(reach + 1 - min(height, width)) // 2))
    vertical, horizontal = (
        Axis(
            (size + 2 * padding - reach - 1) // stride + 1,
            stride,
            tuple(p * dilation - padding for p in range(taps)),
            size,
        )
        for size in (height, width)
    )
    blocks = Grid(images, vertical, horizontal, channels).cut(pixels, ITEM, whole_rows=True)
    numbers, line = np.array(blocks.numbers, np.int64), width * channels * ITEM
    fetched: list[int] = []
    for number in range(blocks.total):
        (image, row, _, block_images, rows), (begin, end) = _block(number, numbers.ctypes.data, np.float32(0))
        assert begin % line == end % line == 0
        fetched += range(begin // line, end // line)
        first = row * stride + vertical.low
        last = (row + rows - 1) * stride + vertical.low + vertical.extent
        for n in range(image, image + block_images):
            read = range(n * height + max(0, first), n * height + min(height, last))
            assert set(read) <= set(fetched)
    assert len(fetched) == len(set(fetched))


@given(
    images=st.integers(1, 3), size=st.integers(1, 14), across=st.integers(1, 3), m=st.sampled_from((2, 4)), block=SIZES
)
def test_every_row_that_tiles_see_was_fetched_once(images, size, across, m, block) -> None:
    for padding in range(3):
        out = size + 2 * padding - 2
        if out < 1:
            continue
        down = -(-out // m)
        tiles, margin, fetched = images * down * across, 2 - padding, []
        for begin in range(0, tiles, block):
            end = min(tiles, begin + block)
            rows = [_new_row(tile, down, across, m, margin, size) for tile in (begin, end)]
            fetched += range(*rows)
            # A block that begins in the middle of a row of tiles finds that row fetched; one that ends there does not
            # find the last row, which the block after it begins with.
            for tile in range(begin // across * across, end // across * across):
                image, row = tile // across // down, tile // across % down
                read = range(max(0, row * m - padding), min(size, row * m - padding + m + 2))
                assert {image * size + r for r in read} <= set(fetched)
        assert len(fetched) == len(set(fetched))


@given(begin=st.integers(0, 1000), size=st.integers(0, 150_000), parts=st.integers(1, 200))
def test_the_parts_together_are_all(begin, size, parts) -> None:
    each = _share(begin, begin + size, parts)
    assert each % LINE == 0
    if size > MOST_FETCHED:
        assert each == 0
        return
    assert size <= each * parts < size + LINE * parts
    assert _share(begin, begin, parts) == 0
