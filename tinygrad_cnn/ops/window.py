"""Checks that convolution and pooling share: floating-point images, pairs of sizes, windows that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import DTypeError, ShapeError
from .layout import channels_last
from .shape import squeeze, unsqueeze

Pair = tuple[int, int]


def pair(name: str, argument: str, value: Any, least: int) -> Pair:
    """An int or a sequence of one or two ints as (vertical, horizontal).

    Raises:
        DTypeError: not ints.
        ShapeError: another number of them, or one below ``least``.
    """
    if type(value) is int:
        result = (value, value)
    elif type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        result = value
    elif isinstance(value, int | np.integer):
        result = (int(value), int(value))
    else:
        if not isinstance(value, tuple | list) or not all([isinstance(v, int | np.integer) for v in value]):
            raise DTypeError(f"{name}: {argument} must be an int or a pair of ints, got {value!r}")
        if len(value) not in (1, 2):
            raise ShapeError(f"{name}: {argument} must be an int or a pair of ints, got {len(value)} values: {value!r}")
        result = (int(value[0]), int(value[-1]))
    if result[0] < least or result[1] < least:
        raise ShapeError(f"{name}: {argument} must be at least {least}, got {value!r}")
    return result


def check_image(name: str, input: Any, argument: str = "input") -> None:
    """Raise unless the argument is a Tensor of float32 or float64, (N, C, H, W) or (C, H, W)."""
    if not isinstance(input, Tensor):
        raise DTypeError(f"{name}: {argument} must be a Tensor, got {type(input).__name__}")
    array = input._array
    if array.dtype.kind != "f":
        raise DTypeError(f"{name}: {argument} must be float32 or float64, got {input.dtype}")
    if array.ndim not in (3, 4):
        raise ShapeError(
            f"{name}: {argument} must be (N, C, H, W) or (C, H, W), got {array.ndim} dimensions; "
            f"{argument}.shape={array.shape}"
        )


def on_batch(function: Callable[[Tensor], Any], input: Tensor) -> Any:
    """``function`` of the channels-last batch; one (C, H, W) image becomes a batch of one and is taken out again."""
    if input._array.ndim == 4:
        return function(channels_last(input))
    result = function(channels_last(unsqueeze(input, 0)))
    return tuple([squeeze(r, 0) for r in result]) if isinstance(result, tuple) else squeeze(result, 0)
