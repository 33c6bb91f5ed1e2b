"""How a Tensor prints: PyTorch's rules for width, precision, scientific notation and summarising."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..tracing import python_reads
from .dtype import bool_, get_default_dtype, int64
from .tensor import Tensor

_LARGEST_RATIO = 1000.0
_LARGEST = 1e8
_SMALLEST = 1e-4


@dataclass(frozen=True)
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {"default": _Options(), "short": _Options(precision=2, edgeitems=2), "full": _Options(threshold=math.inf)}
_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how Tensors print; what is left out stays as it is, but for ``sci_mode``, as ``torch.set_printoptions``.

    Args:
        precision: digits after the point.  Default 4.
        threshold: a Tensor with more elements than this is summarised.  Default 1000.
        edgeitems: how many items a summary shows at each end of a dimension.  Default 3.
        linewidth: characters per line.  Default 80.
        profile: ``"default"``, ``"short"`` or ``"full"``, set before the other arguments.
        sci_mode: True or False force scientific notation on or off; None lets each Tensor decide.

    Raises:
        ValueError: the profile is unknown.
    """
    global _options
    options = _options
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
        options = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = replace(options, **changes, sci_mode=sci_mode)


def to_string(tensor: Tensor) -> str:
    """What ``print(tensor)`` shows, as PyTorch prints it."""
    python_reads("repr")
    array, suffixes = tensor._array, []
    dtype = tensor.dtype
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if dtype != get_default_dtype():
            suffixes.append(f"dtype={dtype}")
    else:
        if dtype not in (get_default_dtype(), int64, bool_):
            suffixes.append(f"dtype={dtype}")
        summarise = array.size > _options.threshold
        form = _Formatter(_edges(array) if summarise else array)
        body = _body(array, len("tensor("), summarise, form)
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes("tensor(" + body, suffixes, len("tensor("))


class _Formatter:
    """Turns elements into strings of one width, chosen from all the values to be shown."""

    def __init__(self, array: np.ndarray) -> None:
        self.form: Callable[[Any], str] = str
        if array.dtype.kind != "f":
            self.width = max((len(str(value)) for value in array.ravel().tolist()), default=1)
            return
        values = array[np.isfinite(array) & (array != 0)].astype(np.float64)
        self.form = self._choose(values)
        self.width = max((len(self.form(value)) for value in values.tolist()), default=1)

    def _choose(self, values: np.ndarray) -> Callable[[float], str]:
        digits = _options.precision
        whole = bool((values == np.ceil(values)).all())
        if values.size:  # zeros, infinities and NaN alone are never written with powers of ten
            largest, smallest = np.abs(values).max(), np.abs(values).min()
            with np.errstate(over="ignore"):
                scientific = bool(largest / smallest > _LARGEST_RATIO or largest > _LARGEST)
            scientific = scientific or (not whole and bool(smallest < _SMALLEST))
            if scientific if _options.sci_mode is None else _options.sci_mode:
                return lambda value: f"{value:.{digits}e}"
        if whole:
            return lambda value: f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return lambda value: f"{value:.{digits}f}"

    def __call__(self, value: Any) -> str:
        return self.form(value).rjust(self.width)


def _edges(array: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    edge = _options.edgeitems
    for axis, size in enumerate(array.shape):
        if size > 2 * edge:
            array = np.take(array, [*range(edge), *range(size - edge, size)], axis)
    return array


def _body(array: np.ndarray, indent: int, summarise: bool, form: _Formatter) -> str:
    if array.ndim == 0:
        return form(array.item())
    if array.ndim == 1:
        return _line(array, indent, summarise, form)
    edge, size = _options.edgeitems, len(array)
    if summarise and size > 2 * edge:
        first = [_body(array[i], indent + 1, summarise, form) for i in range(edge)]
        last = [_body(array[i], indent + 1, summarise, form) for i in range(size - edge, size)]
        rows = [*first, "...", *last]
    else:
        rows = [_body(row, indent + 1, summarise, form) for row in array]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _line(array: np.ndarray, indent: int, summarise: bool, form: _Formatter) -> str:
    edge = _options.edgeitems
    if summarise and not edge:
        return "[...]"
    if summarise and len(array) > 2 * edge:
        items = [form(v) for v in array[:edge].tolist()] + [" ..."] + [form(v) for v in array[-edge:].tolist()]
    else:
        items = [form(value) for value in array.tolist()]
    per_line = max(1, (_options.linewidth - indent) // (form.width + 2))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    length = len(text) - text.rfind("\n") + 1  # of the last line, as PyTorch counts it
    for suffix in suffixes:
        if length + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            text += ", " + suffix
            length += len(suffix) + 2
    return text + ")"
