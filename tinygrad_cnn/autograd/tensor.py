"""The Tensor: a NumPy array plus the record of how it was made.

This file holds what the graph needs: the fields, the connection to the graph, versions and views.  The operations
that users call on a Tensor are in ``ops/methods.py`` and are added to the class when ``ops`` is imported, because
this layer knows no operation.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ..errors import DTypeError, GraphError, ShapeError
from .dtype import FROM_NUMPY, get_default_dtype
from .dtype import dtype as DType
from .grad_mode import enable_grad, inference, recording

if TYPE_CHECKING:
    from ..ops.methods import TensorMethods
    from .op import Op, RemovableHandle
else:
    TensorMethods = object

_ndarray = np.ndarray
_new = object.__new__

Edge = tuple[Union["Op", "Tensor"], int]
"""Where a gradient goes: ``(node, index of its output)``, or ``(leaf, 0)``."""


class Size(tuple):
    """A shape: a tuple of ints with PyTorch's ``numel`` and way of printing."""

    __slots__ = ()

    def numel(self) -> int:
        """The product of the sizes."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self) -> str:
        return f"tinygrad_cnn.Size({list(self)})"


class Tensor(TensorMethods):
    """An n-dimensional array that records the operations it goes through.

    ``Tensor(data)`` makes a float32 (default dtype) tensor from nested sequences, an array or another tensor,
    ``Tensor(2, 3)`` an uninitialised one of shape (2, 3), both as ``torch.Tensor``; ``tensor(data)`` infers the dtype.

    Attributes:
        data: a Tensor on the same memory without history.
        grad: a Tensor of the same shape and dtype, or None until a backward reaches this leaf.
        grad_fn: the node that made this Tensor, None for a leaf.
        requires_grad: whether operations on it are recorded.
    """

    # Defaults live on the class, so making a Tensor sets one field.
    _array: np.ndarray
    _node: Op | None = None
    _index: int = 0
    _requires_grad: bool = False
    _grad: Tensor | None = None
    _version: list[int] | None = None  # shared by all Tensors on one memory; made when first needed
    _view: View | None = None
    _history: int = 0  # how often an in-place operation has changed where this Tensor came from
    _inference: bool = False
    _hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None
    _post_hooks: dict[int, Callable[[Tensor], None]] | None = None
    _retained: RemovableHandle | None = None  # of the place where a non-leaf's node knows of it
    _copied_by: str | None = None  # the view operation of PyTorch's that had to copy here

    # NumPy hands binary operations with an array on the left to the Tensor on the right.
    __array_priority__ = 1000

    def __new__(cls, *data: Any) -> Tensor:
        self = _new(cls)
        floating = get_default_dtype().numpy_dtype
        if len(data) == 1 and not isinstance(data[0], int | np.integer):
            value = data[0]._array if isinstance(data[0], Tensor) else data[0]
            self._array = np.array(value, dtype=floating, order="C")
        else:
            self._array = np.empty(data or 0, dtype=floating)
        return self

    # ---------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    @property
    def dtype(self) -> DType:
        return FROM_NUMPY[self._array.dtype]

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    @property
    def data(self) -> Tensor:
        """A Tensor on the same memory, without history and, as PyTorch's, without version checks."""
        return wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise DTypeError(f"data: expected a Tensor, got {type(value).__name__}")
        self._array = value._array
        self._version = value._version

    # ---------------------------------------------------------------- the graph

    @property
    def requires_grad(self) -> bool:
        if self._view is not None:
            refresh_view(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None:
            if not value:
                raise GraphError(
                    "requires_grad: only a leaf can stop requiring grad; use detach() for a copy that does"
                )
            return
        if value and self._array.dtype.kind != "f":
            raise DTypeError(f"requires_grad: only floating-point tensors can require gradients, got {self.dtype}")
        self._requires_grad = bool(value)

    @property
    def is_leaf(self) -> bool:
        """True for a Tensor that no recorded operation made."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Op | None:
        if self._view is not None:
            refresh_view(self)
        return self._node

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            self._grad = None
            return
        if not isinstance(value, Tensor):
            raise DTypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
        if value._array.shape != self._array.shape:
            raise ShapeError(f"grad: expected shape {tuple(self.shape)}, got {tuple(value.shape)}")
        if value._array.dtype != self._array.dtype:
            raise DTypeError(f"grad: expected dtype {self.dtype}, got {value.dtype}")
        self._grad = value

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the derivative of this Tensor by every leaf to the leaf's ``.grad``; see ``autograd.backward``."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """A Tensor on the same memory that needs no gradient; writing to either is noticed by the graph."""
        out = wrap(self._array)
        out._copied_by = self._copied_by
        if self._inference:
            out._inference = True
        else:
            out._version = self._counter()
        return out

    def detach_(self) -> Tensor:
        """Cut this Tensor from the graph that made it; it becomes a leaf."""
        if self._view is not None:
            raise GraphError("detach_: cannot detach a view in place; use detach()")
        self._node, self._index, self._requires_grad = None, 0, False
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` and return the Tensor itself."""
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Keep ``.grad`` for this Tensor too, though it is not a leaf.

        Raises:
            GraphError: the Tensor does not require grad.
        """
        if not self.requires_grad:
            raise GraphError("retain_grad: the tensor does not require grad")
        if self._node is not None and self._retained is None:
            self._keep_grad()

    def _keep_grad(self) -> None:
        """Keep the gradient of what this Tensor is now, and no longer that of what it was before an in-place write."""
        if self._retained is not None:
            self._retained.remove()
        from .op import RemovableHandle

        assert self._node is not None
        if self._node.kept is None:
            self._node.kept = {}
        # A reference from the node to the Tensor would be a cycle, and nobody reads the grad of a dead Tensor.
        self._retained = RemovableHandle(self._node.kept.setdefault(self._index, {}), weakref.ref(self))

    @property
    def retains_grad(self) -> bool:
        """True if ``retain_grad`` was called on this non-leaf."""
        return self._retained is not None

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this Tensor has been computed.

        Args:
            hook: gets the gradient, of this Tensor's shape; what it returns, if not None, replaces the gradient.

        Returns:
            A handle whose ``remove()`` takes the hook away.

        Raises:
            GraphError: the Tensor does not require grad.
        """
        from .op import RemovableHandle

        if not self.requires_grad:
            raise GraphError("register_hook: the tensor does not require grad, so its hook would never run")
        if self._node is not None:
            return self._node.register_hook(hook, self._index)
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(leaf)`` after a backward has added to this leaf's ``.grad``.

        Raises:
            GraphError: the Tensor is not a leaf that requires grad.
        """
        from .op import RemovableHandle

        if self._node is not None or not self._requires_grad:
            raise GraphError("register_post_accumulate_grad_hook: only for a leaf that requires grad")
        if self._post_hooks is None:
            self._post_hooks = {}
        return RemovableHandle(self._post_hooks, hook)

    # ---------------------------------------------------------------- versions

    def _counter(self) -> list[int]:
        """The counter of in-place writes, shared by every Tensor on this memory.

        Raises:
            GraphError: an inference tensor, which has none and so can never be saved for backward.
        """
        version = self._version
        if version is None:
            if self._inference:
                raise GraphError("an inference tensor cannot be saved for backward; clone() it outside inference_mode")
            self._version = version = [0]
        return version

    def _mark_written(self) -> None:
        """Count an in-place write, so that a graph that saved the old values will say so."""
        if not self._inference:
            self._counter()[0] += 1

    @property
    def output_nr(self) -> int:
        """Which output of ``grad_fn`` this Tensor is."""
        return self._index

    __hash__ = object.__hash__  # by identity, though == compares elementwise


class View:
    """How a Tensor was taken from another one's memory, so that it can be taken again after an in-place write."""

    __slots__ = ("op", "parent", "root", "seen", "static")

    def __init__(self, parent: Tensor, op: type[Op] | None, static: dict[str, Any]) -> None:
        self.parent = parent
        self.op = op  # None if the view was taken where nothing is recorded
        self.static = static
        self.root: Tensor = parent if parent._view is None else parent._view.root
        self.seen = self.root._history


def wrap(array: Any) -> Tensor:
    """A Tensor on this array: no copy, no check, no history.  NumPy scalars become 0-dimensional arrays."""
    tensor = _new(Tensor)
    tensor._array = array if type(array) is _ndarray else np.asarray(array)
    tensor._view = tensor._version = None
    return tensor


def link_view(output: Tensor, parent: Tensor, op: type[Op], static: dict[str, Any]) -> None:
    """If the output shares its parent's memory, let it share the version counter and remember how it was taken."""
    if not np.may_share_memory(output._array, parent._array) and output._array.size:
        return
    if parent._copied_by is not None:
        output._copied_by = parent._copied_by
    if parent._inference:
        output._inference = True
        return
    output._version = parent._counter()
    if not inference.get():
        output._view = View(parent, op if recording.get() else None, static)


def refresh_view(tensor: Tensor) -> bool:
    """Take a view again if its root's history was changed by an in-place write since; returns ``requires_grad``."""
    view = tensor._view
    assert view is not None
    if view.seen != view.root._history:
        parent = view.parent
        if parent._view is not None:
            refresh_view(parent)
        if parent._requires_grad:
            if view.op is None:
                raise GraphError(
                    "a view taken under no_grad, or returned by a Function, is used after an in-place operation gave "
                    "its base a gradient; take the view again"
                )
            with enable_grad():  # only the record is wanted: the memory is the same
                again = view.op.apply(parent, **view.static)
            tensor._node, tensor._index, tensor._requires_grad = again._node, again._index, True
            if tensor._retained is not None:
                tensor._keep_grad()
        view.seen = view.root._history
    return tensor._requires_grad


from . import engine  # noqa: E402 (last, because it imports Tensor; inside `backward` it would take 2 µs of every call)
