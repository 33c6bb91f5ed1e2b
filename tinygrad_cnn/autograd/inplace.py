"""In-place writes: a Tensor takes over the data and the history of a freshly computed one.

``x.mul_(y)`` computes ``x * y`` as usual and then lets ``x`` stand for the result: the bytes are copied into x's
memory, the version counter of that memory goes up, and x's place in the graph becomes the result's.  If x is a view,
its base changes too: the base becomes "the old base with that region replaced", and x is taken from it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, GraphError, ShapeError
from ..tracing import python_writes
from .dtype import can_cast
from .grad_mode import recording
from .op import Op
from .tensor import Tensor, refresh_view, wrap


class Overwrite(Op):
    """The second input; the first one, which it replaces, gets a zero gradient."""

    def forward(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return new

    def backward(self, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        return (wrap(np.zeros_like(grad._array)) if self.needs(0) else None), grad


class ViewScatter(Op):
    """The base with one of its views replaced by a value: ``out = base.clone(); view(out)[...] = value``."""

    view: type[Op]
    static: dict[str, Any]

    def forward(self, base: np.ndarray, value: np.ndarray) -> np.ndarray:
        out = base.copy(order="K")
        apply_view(self.view, self.static, out)[...] = value
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        taken = self.view.apply(grad, **self.static)
        zeros = wrap(np.zeros_like(taken._array))
        return ViewScatter.apply(grad, zeros, view=self.view, static=self.static), taken


def apply_view(view: type[Op], static: dict[str, Any], array: np.ndarray) -> np.ndarray:
    """The view that an operation makes of an array."""
    node = object.__new__(view)
    node.__dict__.update(static)
    return node.forward(array)


def check_writable(target: Tensor, name: str) -> None:
    """Raise unless an in-place write to this Tensor can be right.

    Raises:
        GraphError: a leaf that requires grad (or a view of one) while recording; a copy where PyTorch has a view;
            an inference tensor while recording; overlapping or read-only memory.
    """
    python_writes(name)
    if target._copied_by is not None:
        raise GraphError(
            f"{name}: {target._copied_by}() had to copy here, so this write would not reach the tensor it was taken "
            "from; write to that tensor, or clone() first"
        )
    if not target._array.flags.writeable:
        raise GraphError(
            f"{name}: the tensor of shape {tuple(target.shape)} is read-only, or several of its elements "
            "share one place in memory (expand); clone() it before writing"
        )
    if not recording.get():
        return
    if target._inference:
        raise GraphError(f"{name}: in-place write to an inference tensor outside inference_mode; clone() it first")
    root = target if target._view is None else target._view.root
    if root._requires_grad and root._node is None:
        what = "a leaf" if root is target else "a view of a leaf"
        raise GraphError(
            f"{name}: {what} that requires grad is being used in an in-place operation; "
            "do it under no_grad() or on a clone()"
        )


def write(target: Tensor, value: Tensor, name: str) -> Tensor:
    """Let ``target`` stand for ``value``: its data, and while recording its history.

    Args:
        target: the Tensor written to, any shape; views are right too.
        value: what it becomes, of the same shape, computed by recorded operations.
        name: the in-place method, for messages.

    Returns:
        ``target``.

    Raises:
        GraphError: see ``check_writable``, or a view that cannot be written to with a gradient.
        ShapeError: the shapes differ.
        DTypeError: value's dtype does not fit into target's (float into int, int into bool ...).
    """
    check_writable(target, name)
    if value._array.shape != target._array.shape:
        raise ShapeError(
            f"{name}: result of shape {tuple(value.shape)} does not fit the tensor's shape {tuple(target.shape)}"
        )
    if not can_cast(value._array.dtype, target._array.dtype):
        raise DTypeError(
            f"{name}: result of dtype {value.dtype} cannot be written into a tensor of dtype {target.dtype}"
        )
    if recording.get() and (value._requires_grad or target.requires_grad):
        if not value._requires_grad:
            value = Overwrite.apply(target, value)
        if value._array.dtype != target._array.dtype:
            value = value.to(target.dtype)
        _rebase(target, value, name)
    np.copyto(target._array, value._array, casting="unsafe")  # the categories were checked
    target._mark_written()
    return target


def _rebase(target: Tensor, value: Tensor, name: str) -> None:
    """Make ``value``'s place in the graph the target's, and put the change into every Tensor it is a view of."""
    view = target._view
    if view is None:
        target._node, target._index, target._requires_grad = value._node, value._index, True
        target._history += 1
        if target._retained is not None:
            target._keep_grad()
        return
    if view.op is None:
        raise GraphError(
            f"{name}: the view was taken under no_grad or returned by a Function, so its base would not learn of this "
            "gradient; take the view again, or clone() it"
        )
    changed = ViewScatter.apply(view.parent, value, view=view.op, static=view.static)
    _rebase(view.parent, changed, name)
    refresh_view(target)
