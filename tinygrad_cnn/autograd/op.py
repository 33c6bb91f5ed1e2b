"""The differentiable operation: one small class with ``forward`` on arrays and ``backward`` on Tensors.

An instance is one use of the operation, a *node* of the graph.  It holds edges to where its inputs came from and the
arrays that backward has declared to read, and no Tensor: references run from output to input only, so a graph that
nobody holds is freed at once by reference counting.
"""

from __future__ import annotations

import itertools
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import GraphError
from .anomaly import inspect_call
from .grad_mode import anomaly, inference, recording
from .tensor import Edge, Tensor, link_view, refresh_view, wrap

_ndarray = np.ndarray
_new = object.__new__
_next_sequence = itertools.count().__next__


Saved = tuple[Any, list[int], int, Edge | tuple[None, int] | None]
"""An array that backward will read: ``(array, version counter of its memory, its count when saved, origin)``.

The origin of an output is ``(None, index)``, because a node that refers to itself would never be freed without the
garbage collector.  A plain tuple, because two of them are made for every product that is recorded.
"""


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
        overwrites_gradient: True if backward asks ``owns_gradient`` before it computes.
        is_view: True if the output may share memory with the first input.

    Attributes:
        owns_gradient: during backward, of a class that overwrites gradients: nothing else refers to the array of the
            first output's gradient, nor will, so backward may compute in place.
    """

    saves_inputs: ClassVar[tuple[int, ...] | Mapping[int, tuple[int, ...]]] = ()
    saves_outputs: ClassVar[tuple[int, ...]] = ()
    makes_fresh_gradients: ClassVar[bool] = False
    overwrites_gradient: ClassVar[bool] = False
    is_view: ClassVar[bool] = False

    _inputs_to_save: ClassVar[tuple[tuple[int, int], ...]] = ()  # (input, bits of the inputs whose gradients read it)

    _saves: ClassVar[bool] = False

    sequence: int = -1  # nodes are numbered in the order they are made, which is a topological order
    edges: tuple[Edge | None, ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    saved: Iterable[Saved | None] | None = ()  # None once the graph was freed
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None = None
    kept: dict[int, dict[int, weakref.ref[Tensor]]] | None = None  # per output the Tensors that retain their gradient
    trace: traceback.StackSummary | None = None  # under detect_anomaly: the stack it was called from
    owns_gradient: bool = False
    made_nan: bool = False  # under detect_anomaly: its result had a NaN and its inputs had none

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
        node = cls()
        if static:
            node.__dict__.update(static)
        arrays: list[Any] = []
        needed = 0  # a bit per input whose gradient is wanted
        if recording.get():
            edges: list[Edge | None] = []
            bit = 1
            for t in inputs:
                if t is None:
                    arrays.append(None)
                    edges.append(None)
                    bit += bit
                    continue
                arrays.append(t._array)
                if t._view is not None:
                    refresh_view(t)
                if t._requires_grad:
                    source = t._node
                    edges.append((t, 0) if source is None else (source, t._index))
                    needed += bit
                else:
                    edges.append(None)
                bit += bit
        else:
            for t in inputs:
                arrays.append(None if t is None else t._array)
        # Python calls a function with a fixed number of arguments 0.15 µs faster than one with a star.
        result = node.forward(arrays[0], arrays[1]) if len(arrays) == 2 else node.forward(*arrays)
        outputs: Any
        if type(result) is _ndarray:  # wrap(result), without a call
            outputs = _new(Tensor)
            outputs._array = result
            outputs._view = outputs._version = None  # class defaults are found a third as quickly
        else:
            outputs = wrap(result) if type(result) is not tuple else tuple(map(wrap, result))
        if needed:
            node.edges = tuple(edges)
            if type(outputs) is Tensor:  # node._connect((outputs,)), without a call
                node.sequence = _next_sequence()
                node.output_shapes = (outputs._array.shape,)
                outputs._node = node
                outputs._index = 0
                outputs._requires_grad = True
            else:
                node._connect(outputs)
            if cls._saves:
                node._save(inputs, needed, outputs)
            if anomaly.get():
                inspect_call(node, inputs, outputs)
        elif inference.get():
            _mark_inference(outputs)
        if cls.is_view:
            link_view(outputs, inputs[0], cls, static)  # type: ignore[arg-type]
        return outputs

    def _connect(self, outputs: tuple[Tensor, ...]) -> None:
        """Make this node part of the graph: number it and connect its outputs."""
        self.sequence = _next_sequence()
        self.output_shapes = tuple(output._array.shape for output in outputs)
        for index, output in enumerate(outputs):
            if output._array.dtype.kind == "f":
                output._node, output._index, output._requires_grad = self, index, True

    def _save(self, inputs: tuple[Tensor | None, ...], needed: int, outputs: Any) -> None:
        """Keep the arrays that backward declared, those inputs only whose users' gradients are wanted."""
        saved: list[Saved | None] = []
        edges = self.edges
        for index, users in self._inputs_to_save:
            t = inputs[index]
            if t is None or not needed & users:
                saved.append(None)
                continue
            version = t._version
            if version is None:
                version = t._counter()
            saved.append((t._array, version, version[0], edges[index]))
        for index in self.saves_outputs:
            t = outputs[index] if type(outputs) is tuple else outputs
            version = t._counter()
            saved.append((t._array, version, version[0], (None, index)))
        self.saved = saved

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        wanted = cls.saves_inputs
        if isinstance(wanted, Mapping):
            cls._inputs_to_save = tuple((i, sum(1 << user for user in users)) for i, users in wanted.items())
        else:
            cls._inputs_to_save = tuple((i, -1) for i in wanted)
        cls._saves = bool(wanted or cls.saves_outputs)

    def needs(self, index: int) -> bool:
        """Whether the gradient for this input is wanted; backward may return None for the others."""
        return self.edges[index] is not None

    def input_shape(self, index: int) -> tuple[int, ...]:
        """The shape of an input whose gradient is wanted."""
        source, output = self.edges[index]  # type: ignore[misc]
        return source.output_shapes[output] if isinstance(source, Op) else source._array.shape

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
        tensors: list[Tensor | None] = []
        for entry in self.saved:
            if entry is None:
                tensors.append(None)
                continue
            array, version, number, edge = entry
            if version[0] != number:
                raise GraphError(
                    f"{self.name()}: a tensor of shape {array.shape} that it needs for its gradient was modified by an "
                    f"in-place operation: it is at version {version[0]}, expected version {number}"
                )
            tensor = _new(Tensor)
            tensor._array = array
            tensor._version = version
            tensors.append(self._with_history(tensor, edge) if with_history and edge is not None else tensor)
        return tensors

    def _with_history(self, tensor: Tensor, edge: Edge | tuple[None, int]) -> Tensor:
        source, index = edge
        if source is None:  # one of this node's own outputs
            source = self
        if isinstance(source, Op):
            tensor._node, tensor._index, tensor._requires_grad = source, index, True
            return tensor
        if source._array is not tensor._array:
            raise GraphError(f"{self.name()}: .data of a leaf was replaced between forward and backward")
        return source

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


def _mark_inference(outputs: Any) -> None:
    for output in outputs if type(outputs) is tuple else (outputs,):
        output._inference = True


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
