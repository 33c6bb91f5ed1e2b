"""Which layers a `Sequential` may run as one program, and what that program depends on."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from .activation import ReLU
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Identity, Linear
from .module import Module
from .pooling import MaxPool2d

_SETTINGS: dict[type[Module], Callable[[Module], Hashable]] = {
    Conv2d: operator.attrgetter("stride", "padding", "dilation", "groups"),
    Linear: lambda module: None,
    ReLU: operator.attrgetter("inplace"),
    MaxPool2d: operator.attrgetter("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
    Flatten: operator.attrgetter("start_dim", "end_dim"),
    Dropout: lambda module: None,
    Identity: lambda module: None,
}
"""What the result of a layer depends on beside its parameters."""


def situation(modules: Sequence[Any]) -> tuple[Hashable, list[np.ndarray]] | None:
    """What the result of these layers, one after the other, depends on beside numbers, and their parameters' arrays.

    None if they can't be replayed: a layer of another kind or with hooks, one that draws random numbers, a ReLU in
    place that no layer takes along, settings that can't be compared (lists).
    """
    settings: list[Hashable] = []
    arrays: list[np.ndarray] = []
    before: Any = None
    for module in modules:
        kind = type(module)
        of_kind = _SETTINGS.get(kind)
        if of_kind is None or module.has_hooks() or (kind is Dropout and module.training):
            return None
        if kind is ReLU and module.inplace and before not in (Conv2d, Linear):
            return None
        settings.append((kind, of_kind(module)))
        arrays += [p._array for p in module._parameters.values() if p is not None]
        before = kind
    found = tuple(settings)
    try:
        hash(found)
    except TypeError:
        return None
    return found, arrays
