"""What the stages of a program refer to: the operands, and scratch memory cut out of the workspace."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _tasks
from ._tasks import At

Array = np.ndarray[Any, np.dtype[Any]]

LEFT, RIGHT, BIAS = At(_tasks.LEFT), At(_tasks.RIGHT), At(_tasks.BIAS)
WORKSPACE, OUT, OUT_COLUMNS = At(_tasks.WORKSPACE), At(_tasks.OUT), At(_tasks.OUT_COLUMNS)


class Carver:
    """Cuts a workspace into arrays that each begin on a 64-byte line, if the workspace does."""

    def __init__(self, dtype: Any) -> None:
        self.itemsize = np.dtype(dtype).itemsize
        self.used = 0  # elements

    def take(self, *shape: int) -> At:
        """Where the next array begins."""
        place = At(WORKSPACE.operand, self.used * self.itemsize)
        line = 64 // self.itemsize
        self.used += round_up(product(shape), line)
        return place

    def take_int64(self, *shape: int) -> At:
        """The same for an array of int64."""
        return self.take(product(shape) * 8 // self.itemsize)


def round_up(value: int, step: int) -> int:
    """The smallest multiple of ``step`` that is not below ``value``."""
    return -(-value // step) * step


def product(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    size = 1
    for extent in shape:
        size *= extent
    return size
