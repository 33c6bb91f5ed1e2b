"""The six dtypes of a Tensor and the default floating-point one.

The rule for everything else: a Tensor never holds another dtype.  An array of one (float16, int16, complex64,
big-endian float32 ...) is refused with a ``DTypeError`` that names the nearest dtype that is supported, because a
silent conversion would change values or share no memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError


class dtype:
    """A Tensor's element type, as ``torch.dtype``: compares equal to itself and to the NumPy dtype it stands for."""

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy_dtype")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy_dtype = np.dtype(name)
        self.is_floating_point = self.numpy_dtype.kind == "f"
        self.itemsize = self.numpy_dtype.itemsize

    @property
    def is_signed(self) -> bool:
        return self.numpy_dtype.kind in "fi"

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def __numpy_dtype__(self) -> np.dtype:
        """NumPy >= 2.4 reads this where a dtype is expected."""
        return self.numpy_dtype

    @property
    def dtype(self) -> np.dtype:
        """Older NumPy reads this where a dtype is expected, so ``np.zeros(3, dtype=float32)`` works."""
        return self.numpy_dtype

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dtype):
            return self is other
        if isinstance(other, np.dtype | type):
            return self.numpy_dtype == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.numpy_dtype)

    def __repr__(self) -> str:
        return f"tinygrad_cnn.{self.name}"

    def __reduce__(self) -> str:
        return "bool" if self is bool_ else self.name


float32 = dtype("float32")
float64 = dtype("float64")
int64 = dtype("int64")
int32 = dtype("int32")
uint8 = dtype("uint8")
bool_ = dtype("bool")

ALL = (float32, float64, int64, int32, uint8, bool_)
FROM_NUMPY: dict[np.dtype, dtype] = {d.numpy_dtype: d for d in ALL}
_PYTHON_TYPES: dict[Any, dtype] = {float: float32, int: int64, bool: bool_}
_NEAREST = {"f": "float32 or float64", "i": "int32 or int64", "u": "int64 or uint8", "b": "bool"}

CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}
"""bool < integer < floating point, by the kind of a NumPy dtype: what type promotion compares first."""

_default = float32


def as_numpy_dtype(value: Any, name: str = "dtype") -> np.dtype:
    """The NumPy dtype for one of ours, a NumPy dtype or scalar type, a string, or Python's float, int, bool.

    Raises:
        DTypeError: the value names no dtype, or one that Tensors do not hold.
    """
    if isinstance(value, dtype):
        return value.numpy_dtype
    if value in _PYTHON_TYPES:
        return _default.numpy_dtype if value is float else _PYTHON_TYPES[value].numpy_dtype
    try:
        found = np.dtype(value)
    except TypeError:
        raise DTypeError(f"{name}: {value!r} is not a dtype; expected one of {_names()}") from None
    check_supported(found, name)
    return found


def check_supported(found: np.dtype, name: str) -> None:
    """Raise a DTypeError unless a Tensor can hold arrays of this NumPy dtype as they are."""
    if found in FROM_NUMPY and found.isnative:
        return
    if not found.isnative:
        advice = "convert it to native byte order first: array.astype(array.dtype.newbyteorder('='))"
    elif found.kind in _NEAREST:
        advice = f"convert it to {_NEAREST[found.kind]} first"
    else:
        advice = "there is no such Tensor"
    raise DTypeError(f"{name}: dtype {found} is not one of {_names()}; {advice}")


def can_cast(source: np.dtype, to: np.dtype) -> bool:
    """Whether values may be converted without being asked to: not to a lower category (float to int, int to bool)."""
    return CATEGORY[source.kind] <= CATEGORY[to.kind]


def _names() -> str:
    return ", ".join(d.name for d in ALL)


def get_default_dtype() -> dtype:
    """The dtype that factories and Python floats take: float32 unless ``set_default_dtype`` was called."""
    return _default


def set_default_dtype(d: Any) -> None:
    """Make float32 or float64 the dtype of factories and Python floats.

    Raises:
        DTypeError: ``d`` is not a floating-point dtype.
    """
    global _default
    found = FROM_NUMPY[as_numpy_dtype(d, "d")]
    if not found.is_floating_point:
        raise DTypeError(f"set_default_dtype: d must be float32 or float64, got {found}")
    _default = found
