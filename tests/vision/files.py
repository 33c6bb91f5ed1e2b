"""IDX files for tests, written independently of the reader."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(array: np.ndarray, code: int = 0x08, shape: tuple[int, ...] | None = None) -> bytes:
    """The file of an array that is in the file's byte order; ``shape`` is what the header says."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def images(count: int, side: int = 4) -> np.ndarray:
    return (np.arange(count * side * side) % 256).astype(np.uint8).reshape(count, side, side)


def labels(count: int) -> np.ndarray:
    return (np.arange(count) % 10).astype(np.uint8)


def mnist_files(train: int = 12, test: int = 3) -> dict[str, bytes]:
    """A small data set: the four files' contents by name."""
    return {
        "train-images-idx3-ubyte": idx_bytes(images(train)),
        "train-labels-idx1-ubyte": idx_bytes(labels(train)),
        "t10k-images-idx3-ubyte": idx_bytes(images(test)),
        "t10k-labels-idx1-ubyte": idx_bytes(labels(test)),
    }


def place(folder: Path, files: dict[str, bytes], compressed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder
