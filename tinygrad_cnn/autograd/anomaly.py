"""What ``detect_anomaly`` finds out: where each operation was called, and which one made a NaN.

A NaN is noticed in three places: an operation whose result has one though its inputs had none is marked as its maker
in forward; backward starting from a result with a NaN raises, naming the maker; so does the first operation whose
gradient has a NaN, naming also the maker of the NaN that it had saved.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GraphError
from .grad_mode import anomaly, nan_check

if TYPE_CHECKING:
    from .op import Op
    from .tensor import Tensor

_PACKAGE = str(Path(__file__).parents[1])
_FRAMES_SHOWN = 3


def inspect_call(node: Op, inputs: Sequence[Tensor | None], outputs: Any) -> None:
    """Keep the stack that an operation was called from, and whether its forward made a NaN."""
    node.trace = _callers()
    made = outputs if isinstance(outputs, tuple) else (outputs,)
    if nan_check.get() and any(map(_has_nan, made)):
        node.made_nan = not any(t is not None and _has_nan(t) for t in inputs)


def _callers() -> traceback.StackSummary:
    """The stack without this package's own frames: the last line is the user's."""
    frames = traceback.extract_stack()
    return traceback.StackSummary.from_list([f for f in frames if not f.filename.startswith(_PACKAGE)] or frames)


def _has_nan(tensor: Tensor) -> bool:
    return tensor._array.dtype.kind == "f" and bool(np.isnan(tensor._array).any())


def explain(error: Exception, node: Op) -> None:
    """Add to an error in backward where the operation was called."""
    if anomaly.get() and node.trace is not None:
        error.add_note(f"raised in {node.name()}{_called(node)}")


def raise_on_nan_root(tensor: Tensor, name: str) -> None:
    """Raise if backward would start from a NaN that an operation made.

    Raises:
        GraphError: naming the operation and the line that called it.
    """
    if not (anomaly.get() and nan_check.get() and _has_nan(tensor)):
        return
    maker = _maker(tensor.grad_fn)
    if maker is not None:
        raise GraphError(f"{name}: the tensor has NaN values; {maker.name()} made the first in forward{_called(maker)}")


def raise_on_nan_gradient(node: Op, results: Sequence[Tensor | None], saved: Sequence[Tensor | None]) -> None:
    """Raise if a node's gradients have a NaN.

    Raises:
        GraphError: naming the operation, the line that called it, and the maker of the NaN if it had saved one.
    """
    if not nan_check.get():
        return
    for index, grad in enumerate(results):
        if grad is None or not _has_nan(grad):
            continue
        message = f"{node.name()}: returned NaN values in the gradient for input {index}{_called(node)}"
        maker = _maker(node) if any(t is not None and _has_nan(t) for t in saved) else None
        if maker is not None and maker is not node:
            message += f"\nThe NaN was made in forward by {maker.name()}{_called(maker)}"
        raise GraphError(message)


def _called(node: Op) -> str:
    if node.trace is None:
        return " (recorded outside detect_anomaly, so the line is not known)"
    return ", called here:\n" + "".join(node.trace.format()[-_FRAMES_SHOWN:]).rstrip()


def _maker(node: Op | None) -> Op | None:
    """The first operation among a node and what it was computed from that made a NaN in forward."""
    first: Op | None = None
    stack, seen = [node], {node}
    while stack:
        current = stack.pop()
        if current is None:
            continue
        if current.made_nan and (first is None or current.sequence < first.sequence):
            first = current
        for successor, _ in current.next_functions:
            if hasattr(successor, "made_nan") and successor not in seen:
                seen.add(successor)
                stack.append(successor)
    return first
