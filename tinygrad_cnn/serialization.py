"""Saving and loading Tensors as safetensors files: numbers and names only, so loading a file never runs code.

Reference:
    The format: https://huggingface.co/docs/safetensors (an 8-byte length, a JSON header, the raw bytes).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .autograd import Tensor, wrap
from .autograd.dtype import FROM_NUMPY
from .errors import DataError

FORMAT = "tinygrad_cnn"
VERSION = "1"


def save(obj: Mapping[str, Tensor], f: str | os.PathLike[str]) -> None:
    """Write a ``state_dict`` to a file, in one piece or not at all.

    The file is written beside its place under another name and then renamed, so that neither Ctrl-C nor a full disk
    destroys an older file of this name.

    Args:
        obj: Tensors of any shape and dtype by name, as ``Module.state_dict()`` returns them.
        f: the path; an existing file is replaced.

    Raises:
        TypeError: obj is not a dictionary of Tensors.
        OSError: the file cannot be written.
    """
    if not isinstance(obj, Mapping):
        raise TypeError(
            f"save: obj must be a dictionary of Tensors such as model.state_dict(), got {type(obj).__name__}"
        )
    for name, value in obj.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save: obj must map names to Tensors, got {name!r}: {type(value).__name__}")
    from safetensors.numpy import save as to_bytes

    # safetensors writes an array's memory as it lies there, so it must lie in C order.
    arrays = {name: np.ascontiguousarray(t._array).reshape(t._array.shape) for name, t in obj.items()}
    write_atomically(Path(f), to_bytes(arrays, metadata={"format": FORMAT, "version": VERSION}))


def write_atomically(path: Path, content: bytes) -> None:
    """Make ``path`` a file of this content; if that fails, whatever was there stays as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(f: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> dict[str, Tensor]:
    """Read the Tensors of a safetensors file, also one that another program wrote.

    Args:
        f: the path.
        map_location: None or ``"cpu"``.
        weights_only: only True: a file holds nothing but Tensors.

    Returns:
        Tensors by name, for ``Module.load_state_dict``.

    Raises:
        DataError: the file is missing, cut, no safetensors file, or holds dtypes that Tensors don't have.
        ValueError: another map_location, or weights_only=False.
    """
    if map_location is not None and str(map_location) != "cpu":
        raise ValueError(f"load: map_location must be None or 'cpu', the only device there is, got {map_location!r}")
    if not weights_only:
        raise ValueError("load: weights_only must be True; a file that could hold more than Tensors could run code")
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        content = Path(f).read_bytes()
    except OSError as error:
        raise DataError(f"load: {os.fspath(f)!r} cannot be read: {error.strerror}") from None
    try:
        arrays: dict[str, Any] = from_bytes(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"load: {os.fspath(f)!r} is not a whole safetensors file: {error}") from None
    for name, array in arrays.items():
        if array.dtype not in FROM_NUMPY:
            raise DataError(f"load: {name!r} in {os.fspath(f)!r} has dtype {array.dtype}, which Tensors don't have")
    return {name: wrap(array.copy()) for name, array in arrays.items()}  # the arrays of safetensors are read-only
