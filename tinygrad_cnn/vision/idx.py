"""A reader of the IDX format of the MNIST files that trusts nothing it is told.

The format (LeCun, Cortes, Burges: The MNIST database of handwritten digits): two zero bytes, a byte for the element
type, a byte for the number of dimensions, one big-endian 32-bit size per dimension, then the elements.

A header may claim any size.  So a plain file's size is compared with the claim before anything is read, and a
compressed one is decompressed piece by piece, up to one byte more than the claim: memory grows only with data that is
really there, and a bomb stops where the claim ends.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError

_PIECE = 1 << 20  # bytes read at a time
_GZIP_MAGIC = b"\x1f\x8b"
_ELEMENT_TYPES: dict[int, np.dtype] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, plain or compressed with gzip, in native byte order.

    Args:
        path: the file.

    Returns:
        An array of the shape and element type that the header gives.

    Raises:
        DataError: the file is missing or unreadable, is not IDX, is cut short, is damaged, or holds more or less than
            its header says.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not compressed:
                return _read(file, path, available=os.fstat(file.fileno()).st_size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, path, available=None)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged or cut gzip data ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read(file: BinaryIO, path: Path, available: int | None) -> np.ndarray:
    """Header, then exactly the elements that it announces."""
    start = _exactly(file, 4, path, "header")
    zeros, code, rank = start[:2], start[2], start[3]
    if zeros != b"\0\0" or code not in _ELEMENT_TYPES:
        raise DataError(f"{path}: not an IDX file: it starts with {start.hex(' ')}, expected 00 00, a type, a rank")
    shape = struct.unpack(f">{rank}I", _exactly(file, 4 * rank, path, "header"))
    dtype = _ELEMENT_TYPES[code]
    size = dtype.itemsize
    for side in shape:
        size *= side
    found = None if available is None else available - 4 - 4 * rank
    if found is not None and found != size:
        raise _wrong_size(path, shape, size, f"{found:,}")
    content = bytearray()
    while len(content) <= size:
        piece = file.read(min(_PIECE, size + 1 - len(content)))
        if not piece:
            break
        content += piece
    if len(content) != size:
        raise _wrong_size(path, shape, size, f"{len(content):,}" if len(content) < size else "more")
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # more dimensions than NumPy has, or sizes of an empty array that overflow
        raise DataError(f"{path}: the header's shape {shape} cannot be had ({error})") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def _exactly(file: BinaryIO, count: int, path: Path, what: str) -> bytes:
    content = b""
    while len(content) < count:
        piece = file.read(count - len(content))
        if not piece:
            raise DataError(f"{path}: cut short: the {what} needs {count} bytes, the file has {len(content)}")
        content += piece
    return content


def _wrong_size(path: Path, shape: tuple[int, ...], expected: int, found: str) -> DataError:
    return DataError(f"{path}: the header says shape {shape}, {expected:,} bytes, but {found} bytes follow")
