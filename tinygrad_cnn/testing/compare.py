"""Comparison of results: ``assert_close`` as PyTorch's, and the oracle's test for arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor

_TOLERANCES = {np.dtype(np.float32): (1.3e-6, 1e-5), np.dtype(np.float64): (1e-7, 1e-7)}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere, as ``torch.testing.assert_close``.

    Args:
        actual, expected: Tensors, arrays or numbers of one shape, or sequences or mappings of them.
        allow_subclasses: if False, both must be of the same type.
        rtol, atol: both or neither.  Default by dtype: 1.3e-6 and 1e-5 for float32, 1e-7 and 1e-7 for float64, the
            looser if they differ, 0 for integers and bools.
        equal_nan: whether NaN equals NaN.
        check_device, check_layout: have no effect, there is one device and one layout.
        check_dtype: whether the dtypes must be the same.
        check_stride: whether the strides must be the same.
        msg: the message, or a function from the usual message to the one to raise.

    Raises:
        AssertionError: they differ; says where and by how much.
        ValueError: only one of rtol and atol is given.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"assert_close: rtol and atol must be given together, got rtol={rtol}, atol={atol}")
    options = (allow_subclasses, rtol, atol, equal_nan, check_dtype, check_stride)
    problem = _difference(actual, expected, "", *options)
    if problem is not None:
        raise AssertionError(problem if msg is None else msg(problem) if callable(msg) else msg)


def _difference(actual: Any, expected: Any, where: str, *options: Any) -> str | None:
    """What is wrong, or None; goes through sequences and mappings."""
    if isinstance(expected, Mapping) or isinstance(actual, Mapping):
        if not (isinstance(expected, Mapping) and isinstance(actual, Mapping)) or actual.keys() != expected.keys():
            return f"Mappings with different keys{where}: {_keys(actual)} and {_keys(expected)}"
        pairs = [(actual[key], expected[key], f"{where}[{key!r}]") for key in expected]
    elif _is_sequence(expected) or _is_sequence(actual):
        if not (_is_sequence(expected) and _is_sequence(actual)) or len(actual) != len(expected):
            return f"Sequences of different lengths{where}: {_length(actual)} and {_length(expected)}"
        pairs = [(a, e, f"{where}[{i}]") for i, (a, e) in enumerate(zip(actual, expected))]
    else:
        return _array_difference(actual, expected, where, *options)
    for a, e, place in pairs:
        problem = _difference(a, e, place, *options)
        if problem is not None:
            return problem
    return None


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _keys(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__


def _length(value: Any) -> Any:
    return len(value) if _is_sequence(value) else type(value).__name__


def _array_difference(
    actual: Any,
    expected: Any,
    where: str,
    allow_subclasses: bool,
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
    check_dtype: bool,
    check_stride: bool,
) -> str | None:
    if not allow_subclasses and type(actual) is not type(expected):
        return f"Types{where} are not equal: {type(actual).__name__} and {type(expected).__name__}"
    numbers = isinstance(actual, int | float) and isinstance(expected, int | float)
    a, e = as_array(actual), as_array(expected)
    if a.shape != e.shape:
        return f"Shapes{where} are not equal: {a.shape} and {e.shape}"
    if check_dtype and not numbers and a.dtype != e.dtype:
        return f"Dtypes{where} are not equal: {a.dtype} and {e.dtype}"
    if check_stride and a.strides != e.strides:
        return f"Strides{where} are not equal: {a.strides} and {e.strides} bytes"
    if rtol is None or atol is None:
        defaults = [_TOLERANCES.get(x.dtype, (0.0, 0.0)) for x in (a, e)]
        rtol, atol = max(d[0] for d in defaults), max(d[1] for d in defaults)
    return mismatch(a, e, rtol, atol, equal_nan, where)


def as_array(value: Any) -> np.ndarray:
    """The array of a Tensor, of a torch Tensor, or of anything NumPy takes."""
    if isinstance(value, Tensor):
        return value._array
    if type(value).__module__.split(".")[0] == "torch":
        return value.detach().numpy(force=True)  # force: PyTorch has tensors of zeros without memory
    return np.asarray(value)


def mismatch(a: np.ndarray, e: np.ndarray, rtol: float, atol: float, equal_nan: bool, where: str = "") -> str | None:
    """A message if two arrays of one shape differ by more than ``atol + rtol * |e|``, else None."""
    close = np.isclose(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if close.all():
        return None
    with np.errstate(all="ignore"):
        error = np.abs(a.astype(np.float64) - e.astype(np.float64))
        relative = error / np.abs(e.astype(np.float64))
    lines = [f"Values{where} are not close.", f"{int((~close).sum())} of {close.size} elements differ."]
    for name, sizes, limit in (("absolute", error, atol), ("relative", relative, rtol)):
        worst = np.where(close, -1.0, np.where(np.isnan(sizes), np.inf, sizes))
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(worst)), a.shape))
        lines.append(
            f"Greatest {name} difference: {sizes[index]:.6g} at index {index} ({a[index]!s} and {e[index]!s}; up to "
            f"{limit} allowed)"
        )
    return "\n".join(lines)


def assert_agree(ours: Any, theirs: Any, what: str, relative: float = 1e-9) -> None:
    """Raise unless two float64 results agree to a part of their largest element; integers and bools must be equal.

    Raises:
        AssertionError: shapes or values differ.
    """
    a, e = as_array(ours), as_array(theirs)
    if a.shape != e.shape:
        raise AssertionError(f"{what}: shape {a.shape}, expected {e.shape}")
    if e.dtype.kind != "f":
        relative = 0.0
    finite = np.abs(e[np.isfinite(e)]) if e.dtype.kind == "f" else np.zeros(0)
    problem = mismatch(a, e, relative, relative * max(1.0, float(np.max(finite, initial=0.0))), True)
    if problem is not None:
        raise AssertionError(f"{what}: {problem}")
