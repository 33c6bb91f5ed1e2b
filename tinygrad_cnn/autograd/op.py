"""The differentiable operation: one small class with ``forward`` on arrays and ``backward`` on Tensors.

An instance is one use of the operation, a *node* of the graph.  It holds edges to where its inputs came from and the
arrays that backward has declared to read, and no Tensor: references run from output to input only, so a graph that
nobody holds is freed at once by reference counting.
"""

from __future__ import annotations

import inspect
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

InputToSave = tuple[int, tuple[int, ...]]
"""Which input backward reads, and for the gradients of which inputs; none named means all."""


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
    it can be differentiated again.  A ``forward`` that needs no parameter may be a static method: if it takes two
    arrays, uses that nobody records, as most of those in backward, do without a node.

    Class attributes:
        saves_inputs: indices of the inputs that backward reads; or a mapping from such an index to the inputs whose
            gradients need it, and it is saved (else backward gets None) only if one of them is wanted.
        saves_outputs: indices of the outputs that backward reads.
        makes_fresh_gradients: True promises that every gradient backward returns is an array that nothing else
            refers to, so a leaf may keep it without copying.
        overwrites_gradient: True if backward asks ``owns_gradient`` before it computes.
        broadcasts: True if inputs are broadcast.  Backward may then return an input's gradient in the shape that it was
            broadcast to; it is summed over the dimensions along which the input was repeated.
        is_view: True if the output may share memory with the first input.

    Attributes:
        owns_gradient: during backward, of a class that overwrites gradients: nothing else refers to the array of the
            first output's gradient, nor will, so backward may compute in place.
    """

    saves_inputs: ClassVar[tuple[int, ...] | Mapping[int, tuple[int, ...]]] = ()
    saves_outputs: ClassVar[tuple[int, ...]] = ()
    makes_fresh_gradients: ClassVar[bool] = False
    overwrites_gradient: ClassVar[bool] = False
    broadcasts: ClassVar[bool] = False
    is_view: ClassVar[bool] = False

    _inputs_to_save: ClassVar[tuple[InputToSave, ...]] = ()

    # What apply asks of the class: a static forward, _inputs_to_save, saves_outputs, is_view.  One tuple, because
    # Python 3.11 looks up an attribute of a class in 70 ns, three times as long as one of an instance.
    _traits: ClassVar[tuple[Callable[..., Any] | None, tuple[InputToSave, ...], tuple[int, ...], bool]] = (
        None,
        (),
        (),
        False,
    )

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
        plain, saved_inputs, saved_outputs, is_view = cls._traits
        recorded = recording.get()
        needed = False  # whether the gradient of any input is wanted
        result: Any
        if not recorded and plain is not None and len(inputs) == 2:  # most products of backward: no node, no list
            first, second = inputs
            result = plain(first._array, second._array)  # type: ignore[union-attr]
        else:
            node = cls()
            if static:
                node.__dict__.update(static)
            arrays: list[Any] = []
            edges: list[Edge | None] = []
            for t in inputs:
                edge = None
                if t is None:
                    arrays.append(None)
                else:
                    arrays.append(t._array)
                    if recorded:
                        if t._view is not None:
                            refresh_view(t)
                        if t._requires_grad:
                            source = t._node
                            edge = (t, 0) if source is None else (source, t._index)
                            needed = True
                edges.append(edge)
            forward = plain or node.forward
            # Python calls a function with a fixed number of arguments 0.15 µs faster than one with a star.
            result = forward(arrays[0], arrays[1]) if len(arrays) == 2 else forward(*arrays)
        outputs: Any
        if type(result) is _ndarray:  # wrap(result), without a call
            outputs = _new(Tensor)
            outputs._array = result
            outputs._view = outputs._version = None  # the class's defaults would be found a third as quickly
        else:
            outputs = wrap(result) if type(result) is not tuple else tuple(map(wrap, result))
        if needed:
            node.edges = tuple(edges)
            if type(outputs) is Tensor:  # node._connect((outputs,)), without a call
                node.sequence = _next_sequence()
                node.hooks = node.kept = None  # as above: backward asks for them
                node.output_shapes = (outputs._array.shape,)
                outputs._node = node
                outputs._index = 0
                outputs._requires_grad = True
            else:
                node._connect(outputs)
            if saved_inputs or saved_outputs:
                node._save(inputs, saved_inputs, outputs, saved_outputs)
            if anomaly.get():
                inspect_call(node, inputs, outputs)
        elif inference.get():
            _mark_inference(outputs)
        if is_view:
            link_view(outputs, inputs[0], cls, static)  # type: ignore[arg-type]
        return outputs

    def _connect(self, outputs: tuple[Tensor, ...]) -> None:
        """Make this node part of the graph: number it and connect its outputs."""
        self.sequence = _next_sequence()
        self.output_shapes = tuple(output._array.shape for output in outputs)
        for index, output in enumerate(outputs):
            if output._array.dtype.kind == "f":
                output._node, output._index, output._requires_grad = self, index, True

    def _save(
        self,
        inputs: tuple[Tensor | None, ...],
        saved_inputs: tuple[InputToSave, ...],
        outputs: Any,
        saved_outputs: tuple[int, ...],
    ) -> None:
        """Keep the arrays that backward declared, those inputs only whose users' gradients are wanted."""
        saved: list[Saved | None] = []
        edges = self.edges
        for index, users in saved_inputs:
            t = inputs[index]
            if t is None or (users and edges[users[0]] is None and all(edges[user] is None for user in users)):
                saved.append(None)
                continue
            version = t._version
            if version is None:
                version = t._counter()
            saved.append((t._array, version, version[0], edges[index]))
        for index in saved_outputs:
            t = outputs[index] if type(outputs) is tuple else outputs
            version = t._counter()
            saved.append((t._array, version, version[0], (None, index)))
        self.saved = saved

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        wanted = cls.saves_inputs
        if isinstance(wanted, Mapping):
            cls._inputs_to_save = tuple(wanted.items())
        else:
            cls._inputs_to_save = tuple((i, ()) for i in wanted)
        forward = inspect.getattr_static(cls, "forward")
        plain = forward.__func__ if isinstance(forward, staticmethod) else None
        cls._traits = (plain, cls._inputs_to_save, cls.saves_outputs, cls.is_view)

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
