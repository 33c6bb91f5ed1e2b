"""Checks of layers' constructor arguments: each names the argument and the value it got."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import DTypeError, ShapeError


def count(owner: str, name: str, value: Any, least: int = 0) -> int:
    """An int of at least ``least``.

    Raises:
        DTypeError: no integer.
        ShapeError: below ``least``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise DTypeError(f"{owner}: {name} must be an int, got {value!r}") from None
    if number < least:
        raise ShapeError(f"{owner}: {name} must be at least {least}, got {number}")
    return number


def probability(owner: str, name: str, value: Any) -> float:
    """A number between 0 and 1.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{owner}: {name} must be between 0 and 1, got {value!r}")
    return value
