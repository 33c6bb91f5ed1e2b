"""Padding: constants, mirror images, copies of the border or the opposite side around a Tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..errors import DTypeError, ShapeError
from .indexing import Take
from .views import zeros_in_order_of


class Pad(Op):
    """A number put around the input, or, where a width is negative, elements left out."""

    makes_fresh_gradients = True
    widths: tuple[tuple[int, int], ...]
    value: float = 0

    def forward(self, x: np.ndarray) -> np.ndarray:
        shape = tuple(before + side + after for side, (before, after) in zip(x.shape, self.widths))
        out = zeros_in_order_of(x, shape)
        if self.value:
            out.fill(self.value)
        inner = tuple(slice(max(before, 0), side - max(after, 0)) for side, (before, after) in zip(shape, self.widths))
        kept = tuple(
            slice(max(-before, 0), side + min(after, 0)) for side, (before, after) in zip(x.shape, self.widths)
        )
        out[inner] = x[kept]
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor]:
        return (Pad.apply(grad, widths=tuple((-before, -after) for before, after in self.widths)),)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements put around a Tensor, from the last dimension to the first.

    Args:
        input: any shape for ``"constant"``; otherwise with one or two dimensions more than are padded, of which there
            may be one to three.
        pad: (before, after) of the last dimension, then of the one before it and so on.  Negative: cut off.
        mode: ``"constant"``, ``"reflect"`` (without the border itself), ``"replicate"`` (the border) or ``"circular"``.
        value: of a constant.  Default 0.

    Returns:
        A Tensor with before + size + after in each padded dimension.

    Raises:
        ShapeError: an odd number of widths or too many, more cut off than there is, a mirror image too wide.
        ValueError: an unknown mode, or a value beside another mode.

    Reference:
        The modes are NumPy's ``constant``, ``reflect``, ``edge`` and ``wrap``.
    """
    array = input._array
    amounts = tuple(pad)
    if any(not isinstance(amount, int | np.integer) for amount in amounts):
        raise DTypeError(f"pad: pad must be ints, got {amounts}")
    if len(amounts) % 2 or len(amounts) > 2 * array.ndim:
        raise ShapeError(f"pad: pad needs (before, after) for at most {array.ndim} dimensions, got {amounts}")
    pairs = [(int(amounts[i]), int(amounts[i + 1])) for i in range(0, len(amounts), 2)][::-1]
    widths = ((0, 0),) * (array.ndim - len(pairs)) + tuple(pairs)
    for dim, (side, (before, after)) in enumerate(zip(array.shape, widths)):
        if before + side + after < 0 or -before > side or -after > side:
            raise ShapeError(f"pad: cannot pad dim {dim} of size {side} by {(before, after)}")
    if mode == "constant":
        number = 0 if value is None else value
        if array.dtype.kind != "f":
            number = array.dtype.type(number)
        return Pad.apply(input, widths=widths, value=number)
    if mode not in _MODES:
        raise ValueError(f"pad: mode must be one of constant, {', '.join(_MODES)}, got {mode!r}")
    if value is not None and value != 0:
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}")
    if not 1 <= len(pairs) <= 3 or array.ndim - len(pairs) not in (1, 2):
        raise ShapeError(f"pad: mode {mode!r} pads the last 1 to 3 of 1 or 2 more dimensions, got {array.ndim} dims")
    if not any(amounts):
        return Pad.apply(input, widths=widths)
    for dim, (before, after) in enumerate(widths):
        if before or after:
            index = _MODES[mode](dim, array.shape[dim], before, after)
            input = Take.apply(input, wrap(index[None]), dims=(dim,))
    return input


def _reflected(dim: int, side: int, before: int, after: int) -> np.ndarray:
    if before >= side or after >= side:
        raise ShapeError(f"pad: reflect needs less than the size {side} of dim {dim}, got {(before, after)}")
    places = np.arange(-before, side + after)
    return (side - 1) - np.abs((side - 1) - np.abs(places))


def _replicated(dim: int, side: int, before: int, after: int) -> np.ndarray:
    if side == 0:
        raise ShapeError(f"pad: replicate of dim {dim} of size 0")
    return np.clip(np.arange(-before, side + after), 0, side - 1)


def _wrapped(dim: int, side: int, before: int, after: int) -> np.ndarray:
    if before > side or after > side:
        raise ShapeError(f"pad: circular needs at most the size {side} of dim {dim}, got {(before, after)}")
    return np.arange(-before, side + after) % max(side, 1)


_MODES: dict[str, Any] = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}
