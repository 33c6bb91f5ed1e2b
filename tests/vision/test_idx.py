"""The IDX reader gives back what was written, and meets every lie with a DataError that names the file."""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_cnn.errors import DataError
from tinygrad_cnn.vision.idx import read_idx

from .files import CODES, idx_bytes, images

FILE = idx_bytes(images(5))
NOT_MUCH = 4 << 20  # bytes

TYPED_ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def read(content: bytes, compressed: bool = False) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(gzip.compress(content) if compressed else content)
        return read_idx(path)


@given(TYPED_ARRAYS, st.booleans())
def test_round_trip(array, compressed):
    code = CODES[{"uint8": "u1", "int8": "i1"}.get(array.dtype.name, array.dtype.str)]
    result = read(idx_bytes(array, code), compressed)
    assert result.dtype == array.dtype.newbyteorder("=")
    assert result.dtype.isnative
    assert result.shape == array.shape
    assert result.astype(array.dtype).tobytes() == array.tobytes()
    assert result.flags.writeable


def test_a_file_spelled_out(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes.fromhex("00000B02 00000002 00000003 0001 0002 0003 FFFF FFFE 7FFF"))
    assert read_idx(str(path)).tolist() == [[1, 2, 3], [-1, -2, 32767]]


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(content):
    for start in (b"", b"\0\0\x08", b"\0\0\x0d\1\0\0\0"):
        for compressed in (False, True):
            with contextlib.suppress(DataError):
                read(start + content, compressed)


@given(st.integers(0, len(gzip.compress(FILE)) - 1), st.integers(1, 255))
def test_a_changed_byte_of_a_compressed_file(place, flip):
    content = bytearray(gzip.compress(FILE, mtime=0))
    content[place] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            result = read_idx(path)
        except DataError:
            return
    assert result.tolist() == images(5).tolist()  # the byte was one of the header's that do not matter


@given(st.integers(0, len(FILE) - 1), st.booleans())
def test_a_file_cut_short(end, compressed):
    with pytest.raises(DataError, match=r"cut short: the header needs|bytes follow"):
        read(FILE[:end], compressed)


@given(st.integers(0, len(gzip.compress(FILE)) - 1))
def test_a_compressed_file_cut_short(end):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(gzip.compress(FILE)[:end])
        with pytest.raises(DataError, match=r"damaged or cut gzip data|cut short"):
            read_idx(path)


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"gone: no such file"):
        read_idx(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no such file"):
        read_idx(tmp_path / "no folder" / "gone")
    with pytest.raises(DataError, match=r"cannot be read \("):
        read_idx(tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut short: the header needs 4 bytes, the file has 0"),
        (b"\0\0\x08", "cut short: the header needs 4 bytes, the file has 3"),
        (b"\0\0\x08\x03\0\0\0\1", "cut short: the header needs 12 bytes, the file has 4"),
        (b"\0\1\x08\1\0\0\0\0", "not an IDX file: it starts with 00 01 08 01"),
        (b"<!DOCTYPE html>", "not an IDX file: it starts with 3c 21 44 4f"),
        (b"\0\0\x0a\1\0\0\0\0", "not an IDX file: it starts with 00 00 0a 01"),
        (b"\0\0\x08\1\0\0\0\4abc", r"shape \(4,\), 4 bytes, but 3 bytes follow"),
        (b"\0\0\x0d\1\0\0\0\1abc", r"shape \(1,\), 4 bytes, but 3 bytes follow"),
        (b"\0\0\x08\1\0\0\0\2abc", r"shape \(2,\), 2 bytes, but (3|more) bytes follow"),
        (b"\0\0\x08\1\xff\xff\xff\xffabc", r"4,294,967,295 bytes, but 3 bytes follow"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"abc", "but 3 bytes follow"),
        (b"\0\0\x0e\xff" + b"\xff" * 1020 + b"abc", "but 3 bytes follow"),
        (b"\0\0\x08\xc8" + b"\0\0\0\1" * 200 + b"a", r"shape \(1, 1, .*cannot be had"),
        (b"\0\0\x08\4\0\0\0\0" + b"\xff" * 12, r"shape \(0, 4294967295, .*cannot be had"),
    ],
)
def test_what_is_refused_takes_no_memory(tmp_path, content, message, compressed):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if compressed else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < NOT_MUCH


def test_a_long_file_is_not_read_for_a_header_that_says_longer(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\0\0\x08\1\xff\xff\xff\xff")
    os.truncate(path, 32 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="4,294,967,295 bytes, but 33,554,424 bytes follow"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < NOT_MUCH


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(20 << 20, np.uint8), shape=(10,)), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"shape \(10,\), 10 bytes, but more bytes follow"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < NOT_MUCH


def test_a_checksum_that_is_wrong(tmp_path):
    path = tmp_path / "file.gz"
    content = bytearray(gzip.compress(FILE))
    content[-8] ^= 1  # the first byte of the CRC
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"file.gz: damaged or cut gzip data \(CRC check failed"):
        read_idx(path)


def test_bytes_after_compressed_data(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(FILE) + b"more")
    with pytest.raises(DataError, match="damaged or cut gzip data"):
        read_idx(path)


def test_more_than_one_piece(tmp_path):
    array = np.arange(3 << 19, dtype=np.int32).astype(np.uint8)
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx_bytes(array), compresslevel=1))
    assert np.array_equal(read_idx(path), array)
