"""The same values in other memory: what an operation must not notice."""

from __future__ import annotations

import numpy as np

from .cases import Case, is_float


def layouts(array: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays with the same values, by the name of their memory layout; 0-dimensional ones only read-only."""
    read_only = np.array(array)  # of a NumPy scalar too
    read_only.flags.writeable = False
    found = {"read-only": read_only}
    if array.ndim == 0:
        return found
    found["Fortran"] = np.asfortranarray(array)
    found["sliced"] = np.repeat(array, 2, axis=-1)[..., ::2]
    backwards = (slice(None, None, -1),) * array.ndim
    found["negative-stride"] = array[backwards].copy()[backwards]
    if array.ndim == 4:
        found["channels-last"] = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return found


def broadcast_case(case: Case) -> Case | None:
    """The case with the first slice of every floating-point array repeated without copying, or None without any."""
    arrays, any_repeated = [], False
    for array in case.arrays:
        if array is not None and is_float(array) and array.ndim and array.shape[0] > 1:
            array = np.broadcast_to(array[:1], array.shape)
            any_repeated = True
        arrays.append(array)
    return Case(tuple(arrays), case.kwargs) if any_repeated else None
