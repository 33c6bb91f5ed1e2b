"""The table of operations: one row per differentiable function, read by the generic tests.

A row says what the function is called, how to draw inputs for it, what a slow and obvious reference gives, and what
PyTorch calls it.  Every property in ``test_table.py`` holds for every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Case:
    """One drawn call: float64 (or integer, bool) arrays in the order of the Tensor arguments, then keywords."""

    arrays: tuple[np.ndarray, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpSample:
    """A row of the table.

    Attributes:
        name: the public name, unique in the table; a second row for the same function is "name/variant".
        function: called with Tensors made from ``case.arrays`` and with ``case.kwargs``; gives a Tensor or a tuple.
        cases: a strategy of ``Case``; floating-point arrays are what is differentiated by.  Kinks are avoided by
            construction: values are distinct and spaced, away from 0 and edges, never by ``assume``.
        reference: the same call on NumPy arrays, written with plain loops or plain NumPy, from ``tests/reference``.
        torch: the same call on torch Tensors (it may import torch inside), or None where PyTorch has no such function.
        order: how many times the function can be differentiated (2 for all but a few).
        value_only: no gradient is defined (comparisons, argmax ...).
        exact: the operation is linear in every floating-point argument by itself, so integer-valued float64 data
            must give exact adjoints.
    """

    name: str
    function: Callable[..., Any]
    cases: st.SearchStrategy[Case]
    reference: Callable[..., Any]
    torch: Callable[..., Any] | None
    order: int = 2
    value_only: bool = False
    exact: bool = False


def torch_function(path: str) -> Callable[..., Any]:
    """The function of PyTorch at a dotted path below ``torch``, looked up when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        import torch

        found: Any = torch
        for name in path.split("."):
            found = getattr(found, name)
        return found(*args, **kwargs)

    return call
