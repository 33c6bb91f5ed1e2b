"""What is tested: one drawn call (``Case``) of one operation (``OpSample``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import DTypeError


@dataclass(frozen=True)
class Case:
    """One drawn call: float64 (or integer, bool) arrays in the order of the Tensor arguments, then keywords.

    An array may be None for an optional argument that is left out.
    """

    arrays: tuple[np.ndarray | None, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpSample:
    """An operation and all that is known about it.

    Attributes:
        name: the public name; a second sample for the same function is "name/variant".
        function: called with Tensors made from ``case.arrays`` and with ``case.kwargs``; gives a Tensor or a tuple.
        cases: a Hypothesis strategy of ``Case``; floating-point arrays are what is differentiated by.  Kinks are
            avoided by construction: values are distinct and spaced, away from 0 and edges, never by ``assume``.
        reference: the same call on NumPy arrays, slow and obvious; or None.
        torch: the same call on torch Tensors (it may import torch inside), or None where PyTorch has no such function.
        order: how many times the function can be differentiated (2 for all but a few).
        value_only: no gradient is defined (comparisons, argmax ...).
        exact: the operation is linear in every floating-point argument by itself, so integer-valued float64 data
            must give exact adjoints.
    """

    name: str
    function: Callable[..., Any]
    cases: Any
    reference: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    order: int = 2
    value_only: bool = False
    exact: bool = False


def as_case(drawn: Any) -> Case:
    """A Case from what a strategy may draw: a Case, a Tensor or array, or a tuple of them.

    Raises:
        DTypeError: something else.
    """
    if isinstance(drawn, Case):
        return drawn
    items = drawn if isinstance(drawn, tuple | list) else (drawn,)
    arrays = []
    for item in items:
        if not isinstance(item, Tensor | np.ndarray) and item is not None:
            raise DTypeError(f"a case must be made of Tensors, arrays or None, got {type(item).__name__}")
        arrays.append(item._array if isinstance(item, Tensor) else item)
    return Case(tuple(arrays))


def torch_function(path: str) -> Callable[..., Any]:
    """The function of PyTorch at a dotted path below ``torch``, looked up when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        import torch

        found: Any = torch
        for name in path.split("."):
            found = getattr(found, name)
        return found(*args, **kwargs)

    call.__name__ = f"torch.{path}"
    return call


def is_float(array: np.ndarray | None) -> TypeGuard[np.ndarray]:
    return array is not None and array.dtype.kind == "f"


def tensors_of(case: Case, requires_grad: bool = True) -> list[Tensor | None]:
    """Leaves on copies of the case's arrays; the floating-point ones require grad."""
    return [None if a is None else leaf(a.copy(order="K"), requires_grad and is_float(a)) for a in case.arrays]


def leaf(array: np.ndarray, requires_grad: bool = True) -> Tensor:
    """A Tensor on this array that requires grad."""
    return wrap(array).requires_grad_(requires_grad)


def outputs_of(result: Any) -> list[Any]:
    """The outputs as a list, for one output or several."""
    return list(result) if isinstance(result, tuple | list) else [result]


def float_leaves(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [t for t in tensors if t is not None and t.requires_grad]


def has_torch() -> bool:
    """Whether PyTorch, the second oracle, is installed."""
    import importlib.util

    return importlib.util.find_spec("torch") is not None
