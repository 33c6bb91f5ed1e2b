"""The values behind the rows of a plan: what every layer and every function of a network makes of an image.

Layers hand their results to a hook.  Functions between layers are run again from what is recorded of them: the values
of their inputs, and the constants that they have saved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..autograd import Op, Tensor, wrap
from ..autograd.function import FunctionNode
from ..nn import Module
from ..ops.activation import ReLU
from .formulas import Step
from .plan import completed
from .rows import Row, Rows
from .trace import Trace, evaluation, tensors_in

Place = tuple[Op, int]
"""A node and which of its outputs."""


class Result(NamedTuple):
    """What a layer or function made of an image.

    Attributes:
        name: the layer's path and class, or the function as it is written in code.
        row: its row of the plan.
        step: its first operation.
        before: what went in; None if that is not known.
        after: what came out.
    """

    name: str
    row: Row
    step: Step | None
    before: np.ndarray | None
    after: np.ndarray


class ValueTrace(Trace):
    """A trace that keeps what the calls of modules returned, before anything can write to it."""

    def __init__(self, model: Module, image: Tensor) -> None:
        super().__init__(model, image)
        self.arrays: dict[Place, np.ndarray] = {}

    def _leave(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        super()._leave(module, args, kwargs, output)
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None:
                # in the same order of memory, because kernels rely on it
                self.arrays.setdefault((tensor.grad_fn, tensor._index), tensor._array.copy(order="K"))


class Values:
    """What comes out of every step of a network in evaluation mode for a batch of images.

    Args:
        model: the network; nothing of it is changed.
        images: (N, ...), floating-point.

    Attributes:
        images: the images as an array.

    Raises:
        ShapeError: a layer cannot take what reaches it, as in ``plan``.
    """

    def __init__(self, model: Module, images: Tensor) -> None:
        self.images = images._array
        with evaluation(model):
            self._trace = completed(ValueTrace(model, images))
        self._known: dict[Place, np.ndarray | None] = dict(self._trace.arrays)
        if self._trace.source is not None:
            self._known[self._trace.source, 0] = images._array

    def steps(self) -> list[tuple[str, np.ndarray]]:
        """Name and result of every layer and function that makes something new; those of ``results``."""
        return [(result.name, result.after) for result in self.results()]

    def results(self) -> list[Result]:
        """Every layer and function that makes something new, in the order of the computation.

        Functions of what is not recorded (Functions of the user's, frozen parameters) are left out.
        """
        found = []
        rows = Rows(self._trace)
        for entry in rows.entries:
            for node in entry.nodes if entry.row.is_function else []:
                self._value((node, 0))
            if entry.nodes:
                made = entry.call.outputs if entry.is_layer and entry.call is not None else ()
                last = made[0] if made else entry.nodes[-1]
                array = self._known.get((last, 0))
                if array is not None:
                    row = entry.row
                    name = row.kind if row.is_function else f"{row.path} {row.kind}".strip()
                    inputs = self._inputs(entry.nodes[0])
                    step = next((s for s in map(rows.steps.get, entry.nodes) if s and not s.hidden), None)
                    found.append(Result(name, row, step, inputs[0] if inputs else None, array))
        return found

    @property
    def output(self) -> Any:
        """What the network returned."""
        return self._trace.output

    def layer(self, path: str) -> Tensor | None:
        """What a layer gave when it was called last, in the recorded graph; None if it was not called."""
        call = next((call for call in reversed(self._trace.calls) if call.path == path and call.outputs), None)
        return None if call is None else self._recorded(call.outputs[0])

    def activated(self, maps: Tensor) -> Tensor | None:
        """What the first ReLU behind these maps makes, in the recorded graph; None if something else comes first.

        Normalisation and addition may lie in between, as all that keeps the shape.
        """
        reached = {maps.grad_fn}
        for node in self._trace.nodes():
            follows = any(edge is not None and edge[0] in reached for edge in node.edges)
            if follows and node.output_shapes[0] == maps.shape:
                if isinstance(node, ReLU):
                    return self._recorded(node)
                reached.add(node)
        return None

    def _recorded(self, node: Op) -> Tensor | None:
        """The output of a node, by which one can differentiate."""
        array = self._value((node, 0))
        if array is None:
            return None
        tensor = wrap(array)
        tensor._node, tensor._requires_grad = node, True
        return tensor

    def _value(self, place: Place) -> np.ndarray | None:
        """One output of a node, None if it cannot be told."""
        if place not in self._known:
            node, index = place
            inputs = self._inputs(node)
            result = None if inputs is None else node.forward(*inputs)
            self._known[place] = result[index] if isinstance(result, tuple) else result
        return self._known[place]

    def _inputs(self, node: Op) -> list[np.ndarray] | None:
        """What a node was given, None if that is not known of all: a constant is only if it was saved."""
        if isinstance(node, FunctionNode):
            return None
        saved = {index: entry for (index, _), entry in zip(node._inputs_to_save, node.saved or ()) if entry is not None}
        inputs: list[np.ndarray] = []
        for index, edge in enumerate(node.edges):
            array: np.ndarray | None = None
            if edge is not None:
                source, output = edge
                array = self._value((source, output)) if isinstance(source, Op) else source._array
            elif index in saved and saved[index][1][0] == saved[index][2]:  # and nobody has written to it since
                array = saved[index][0]
            if array is None:
                return None
            inputs.append(array)
        return inputs
