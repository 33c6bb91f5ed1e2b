"""The differentiable operation: one small class with ``forward`` on arrays and ``backward`` on Tensors.

An instance is one use of the operation, a *node* of the graph.  It holds edges to where its inputs came from and the
arrays that backward has declared to read, and no Tensor: references run from output to input only, so a graph that
nobody holds is freed at once by reference counting.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from ..errors import GraphError
from .grad_mode import mode
from .tensor import Edge, Tensor, link_view, refresh_view, wrap

_new = object.__new__
_next_sequence = itertools.count().__next__


class Saved(NamedTuple):
    """An array that backward will read, with what is needed to prove that it is still the same and to wrap it."""

    array: Any
    version: list[int]  # the counter shared by every Tensor on this memory
    number: int  # its value when the array was saved
    edge: Edge | None  # where the array came from, None if no gradient flows there


class Op:
    """A differentiable operation.  Subclass it, write ``forward`` and ``backward``, and call ``apply``.

    Example::

        class Scale(Op):
            factor: float                                   # static: given to apply by keyword

            def forward(self, x):                           # NumPy arrays in, array(s) out
                return x * self.factor

            def backward(self, grad):                       # Tensors in, one Tensor or None per input out
                return (Scale.apply(grad, factor=self.factor),)

        y = Scale.apply(x, factor=2.0)

    ``backward`` receives one gradient per output (None for an output that got none, if there are several), then the
    saved inputs, then the saved outputs, each in the declared order.  Because it is written in operations on Tensors,
    it can be differentiated again.

    Class attributes:
        saves_inputs: indices of the inputs that backward reads; or a mapping from such an index to the inputs whose
            gradients need it, and it is saved (else backward gets None) only if one of them is wanted.
        saves_outputs: indices of the outputs that backward reads.
        makes_fresh_gradients: True promises that every gradient backward returns is an array that nothing else
            refers to, so a leaf may keep it without copying.
        is_view: True if the output may share memory with the first input.
    """

    saves_inputs: ClassVar[tuple[int, ...] | Mapping[int, tuple[int, ...]]] = ()
    saves_outputs: ClassVar[tuple[int, ...]] = ()
    makes_fresh_gradients: ClassVar[bool] = False
    is_view: ClassVar[bool] = False

    sequence: int = -1  # nodes are numbered in the order they are made, which is a topological order
    edges: tuple[Edge | None, ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    saved: list[Saved | None] | None = []  # noqa: RUF012  (never mutated; None once the graph was freed)
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None = None
    trace: traceback.StackSummary | None = None

    def forward(self, *arrays: Any) -> Any:
        """Compute the output array, or a tuple of them, from the input arrays."""
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def backward(self, *tensors: Any) -> tuple[Tensor | None, ...]:
        """Compute the gradient for every input from the outputs' gradients and the saved arrays, as Tensors."""
        raise NotImplementedError(f"{type(self).__name__}.backward")

    @classmethod
    def apply(cls, *inputs: Tensor | None, **static: Any) -> Any:
        """Run the operation and, if a gradient may be wanted, record it.

        Args:
            *inputs: the Tensors it works on; None for an optional one that is absent.
            **static: parameters that never depend on array values, set as attributes of the node.

        Returns:
            A Tensor, or a tuple of Tensors if ``forward`` returned a tuple.
        """
        node = _new(cls)
        if static:
            node.__dict__.update(static)
        result = node.forward(*[None if t is None else t._array for t in inputs])
        if mode.enabled:
            for t in inputs:
                if t is not None and (t._requires_grad or (t._view is not None and refresh_view(t))):
                    outputs = node._record(inputs, result)
                    break
            else:
                outputs = wrap(result) if type(result) is not tuple else tuple(map(wrap, result))
        elif type(result) is not tuple:
            outputs = wrap(result)
        else:
            outputs = tuple(map(wrap, result))
        if cls.is_view:
            link_view(outputs, inputs[0], cls, static)
        return outputs

    def _record(self, inputs: tuple[Tensor | None, ...], result: Any) -> Any:
        """Make this node part of the graph: number it, connect it, save what backward declared."""
        edges: list[Edge | None] = []
        for t in inputs:
            if t is None:
                edges.append(None)
                continue
            if t._view is not None:
                refresh_view(t)
            if not t._requires_grad:
                edges.append(None)
            elif t._node is None:
                edges.append((t, 0))
            else:
                edges.append((t._node, t._index))
        self.edges = tuple(edges)
        self.sequence = _next_sequence()
        if mode.anomaly:
            self.trace = traceback.extract_stack()[:-2]

        if type(result) is not tuple:
            output = wrap(result)
            output._node = self
            output._requires_grad = True
            self.output_shapes = (output._array.shape,)
            outputs: Any = output
        else:
            outputs = tuple(map(wrap, result))
            for index, output in enumerate(outputs):
                if output._array.dtype.kind == "f":
                    output._node, output._index, output._requires_grad = self, index, True
            self.output_shapes = tuple(output._array.shape for output in outputs)

        if self.saves_inputs or self.saves_outputs:
            self._save(inputs, outputs)
        return outputs

    def _save(self, inputs: tuple[Tensor | None, ...], outputs: Any) -> None:
        saved: list[Saved | None] = []
        wanted = self.saves_inputs
        for index in wanted:
            t = inputs[index]
            if t is None or (type(wanted) is dict and not any(self.edges[i] for i in wanted[index])):
                saved.append(None)
                continue
            if t._inference:
                raise GraphError(
                    f"{self.name()}: an inference tensor cannot be saved for backward; clone() it outside inference_mode"
                )
            saved.append(Saved(t._array, t._counter(), t._counter()[0], self.edges[index]))
        if self.saves_outputs:
            outputs = outputs if type(outputs) is tuple else (outputs,)
            for index in self.saves_outputs:
                t = outputs[index]
                saved.append(Saved(t._array, t._counter(), t._counter()[0], (self, index)))
        self.saved = saved

    def needs(self, index: int) -> bool:
        """Whether the gradient for this input is wanted; backward may return None for the others."""
        return self.edges[index] is not None

    def saved_tensors(self, with_history: bool) -> list[Tensor | None]:
        """The saved arrays as Tensors, after checking that none was written to since.

        Args:
            with_history: connect them to the graph (``create_graph``); otherwise they are constants.

        Raises:
            GraphError: the graph was freed, or an array was modified in place.
        """
        if self.saved is None:
            raise GraphError(
                f"{self.name()}: backward through a graph a second time after its saved arrays were freed; "
                "pass retain_graph=True to the first backward"
            )
        return [None if entry is None else self._unsave(entry, with_history) for entry in self.saved]

    def _unsave(self, entry: Saved, with_history: bool) -> Tensor:
        if entry.version[0] != entry.number:
            raise GraphError(
                f"{self.name()}: a tensor of shape {entry.array.shape} that it needs for its gradient was modified by "
                f"an in-place operation: it is at version {entry.version[0]}, expected version {entry.number}"
            )
        tensor = wrap(entry.array)
        tensor._version = entry.version
        if with_history and entry.edge is not None:
            source, index = entry.edge
            if isinstance(source, Op):
                tensor._node, tensor._index, tensor._requires_grad = source, index, True
            elif source._array is entry.array:
                return source
            else:
                raise GraphError(f"{self.name()}: .data of a leaf was replaced between forward and backward")
        return tensor

    def name(self) -> str:
        """What ``grad_fn`` prints: ``AddBackward`` for ``Add``."""
        return f"{type(self).__name__}Backward"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """``(node, output index)`` per input: where its gradient goes, ``(None, 0)`` where it goes nowhere."""
        return tuple(
            (None, 0) if e is None else (e[0] if isinstance(e[0], Op) else AccumulateGrad(e[0]), e[1])
            for e in self.edges
        )

    def register_hook(self, hook: Callable[[Tensor], Tensor | None], index: int = 0) -> RemovableHandle:
        """Call ``hook(grad)`` with the gradient of output ``index``; what it returns, if not None, replaces it."""
        if self.hooks is None:
            self.hooks = {}
        return RemovableHandle(self.hooks.setdefault(index, {}), hook)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class AccumulateGrad:
    """What ``next_functions`` shows for a leaf: the place where its gradient is added to ``.grad``."""

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.next_functions: tuple[Any, ...] = ()

    def name(self) -> str:
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class RemovableHandle:
    """Returned by everything that registers a hook; ``remove()`` takes the hook away, once or many times."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks = hooks
        self._id = next(self._ids)
        hooks[self._id] = hook

    def remove(self) -> None:
        self._hooks.pop(self._id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
