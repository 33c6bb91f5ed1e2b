"""From the trace of a run to the rows of a plan."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from ..autograd import Op
from ..nn import Module
from .formulas import Field, Pair, Shape, Step, after, parameter_count, warnings
from .operations import describe, is_mean
from .trace import Call, Trace


@dataclass(frozen=True)
class Row:
    """One layer, or one function that is called between layers.

    Attributes:
        path: the layer's dotted path; for a function that of the module whose ``forward`` calls it.
        kind: the layer's class, or the function as it is written in code: ``F.relu``, ``+``.
        is_function: whether it is a function.
        input_shapes: shapes of what went in; empty for a function.
        output_shape: shape of what came out; None for a module that was not called.
        size: formula of the output's size with numbers put in; empty where the size stays.
        parameters: number of its parameters, those of an earlier row not included.
        parameter_formula: how that comes about.
        trainable, non_trainable: how many of them require a gradient, and how many do not.
        share: its part of all parameters, from 0 to 1.
        multiply_adds: products that are added to something, for the whole input.
        work_formula: how that comes about.
        activation_bytes: memory of what came out; 0 for a view of what went in.
        receptive_field: height and width, in pixels of the input, of what one place of the output depends on, padding
            included; None if there is no image or it is unknown.
        jump: how many pixels two neighbouring places are apart; None where there are no neighbours any more.
        warnings: sentences.
        forward_seconds, backward_seconds: measured by ``summary``, else None.
    """

    path: str
    kind: str
    is_function: bool = False
    input_shapes: tuple[Shape, ...] = ()
    output_shape: Shape | None = None
    size: str = ""
    parameters: int = 0
    parameter_formula: str = ""
    trainable: int = 0
    non_trainable: int = 0
    share: float = 0.0
    multiply_adds: int = 0
    work_formula: str = ""
    activation_bytes: int = 0
    receptive_field: Pair | None = None
    jump: Pair | None = None
    warnings: tuple[str, ...] = ()
    forward_seconds: float | None = None
    backward_seconds: float | None = None


@dataclass(frozen=True)
class Entry:
    """A row and where it comes from.

    Attributes:
        sequence: its place in the order of operations.
        row: the row.
        call: the call of its module, or for a function of the module that called it; None for a module never called.
        nodes: its operations.
        is_layer: whether the row stands for the whole call.
    """

    sequence: float
    row: Row
    call: Call | None = None
    nodes: list[Op] = field(default_factory=list)
    is_layer: bool = False


class Rows:
    """Turns a trace into rows; ``entries`` are in the order of the computation."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.counted: dict[int, str] = {}  # the parameters of earlier rows, and the path of their row
        self.total = sum(p.numel() for p in trace.model.parameters())
        nodes = trace.nodes()
        self.steps = {node: describe(node) for node in nodes}
        self.fields = self._receptive_fields(nodes)
        owned: dict[Call, list[Op]] = {}
        for node in nodes:
            owned.setdefault(trace.owner(node.sequence), []).append(node)
        self.entries: list[Entry] = []
        for call in trace.calls:  # in the order they began: a shared parameter is counted where it is used first
            if self._is_layer(call.module):
                self._add_layer(call, owned.get(call, []))
            else:
                self._add_container(call, owned.get(call, []))
        self._add_unused()
        self.entries.sort(key=lambda entry: entry.sequence)

    def _is_layer(self, module: Module) -> bool:
        """Whether it gets one row: the network itself does only if it is one of our own layers."""
        own = type(module).__module__.startswith(f"{Module.__module__.rpartition('.')[0]}.")
        return not module._modules and (own or module is not self.trace.model)

    def _receptive_fields(self, nodes: list[Op]) -> dict[Op, Field | None]:
        shape = tuple(self.trace.image.shape)
        source = self.trace.source
        if source is None or len(shape) != 4:
            return {}
        image = (shape[2], shape[3])
        fields: dict[Op, Field | None] = {source: Field((1, 1), (1, 1))}
        for node in nodes:
            inputs = [fields[e[0]] for e in node.edges if e is not None and e[0] in fields]  # type: ignore[index]
            fields[node] = after(self.steps[node], inputs, image)
        return fields

    def _add_layer(self, call: Call, nodes: list[Op]) -> None:
        steps = [self.steps[node] for node in nodes if not self.steps[node].hidden]
        found = self.fields.get(call.outputs[0]) if call.outputs else None
        remarks = warnings(steps)
        if call.output_shape is None:
            remarks += ("it gave no Tensor",)
        row = Row(
            call.path,
            type(call.module).__name__,
            input_shapes=call.input_shapes,
            output_shape=call.output_shape,
            size="; ".join(step.size for step in steps if step.size),
            multiply_adds=sum(step.multiply_adds for step in steps),
            work_formula="; ".join(step.work for step in steps if step.work),
            activation_bytes=0 if steps and steps[-1].is_view else call.output_bytes,
            receptive_field=found and found.size,
            jump=found and found.jump,
            warnings=remarks,
            **self._parameters(call.module, call.path),
        )
        self.entries.append(Entry(call.begin, row, call, nodes, is_layer=True))

    def _add_container(self, call: Call, nodes: list[Op]) -> None:
        """Rows of the functions that a module's forward calls, and one for parameters of its own."""
        if any(True for _ in call.module.parameters(recurse=False)):
            row = Row(
                call.path,
                type(call.module).__name__,
                input_shapes=call.input_shapes,
                output_shape=call.output_shape,
                **self._parameters(call.module, call.path),
            )
            self.entries.append(Entry(call.begin, row, call))
        for node, before in zip(nodes, (None, *nodes)):
            step = self.steps[node]
            if before is not None and is_mean(before, node):
                self.entries.pop()
                self._add_function(call, [before, node], dataclasses.replace(self.steps[before], name="mean"))
            elif not step.hidden:
                self._add_function(call, [node], step)

    def _add_function(self, call: Call, nodes: list[Op], step: Step) -> None:
        last = nodes[-1]
        found, shape = self.fields.get(last), last.output_shapes[0]
        row = Row(
            call.path,
            step.name,
            is_function=True,
            output_shape=shape,
            size=step.size,
            multiply_adds=step.multiply_adds,
            work_formula=step.work,
            activation_bytes=0 if step.is_view else math.prod(shape) * self.trace.image._array.itemsize,
            receptive_field=found and found.size,
            jump=found and found.jump,
            warnings=warnings([step]),
        )
        self.entries.append(Entry(last.sequence, row, call, nodes))

    def _add_unused(self) -> None:
        """A row at the end for every module whose own parameters no row has."""
        for path, module in self.trace.model.named_modules():
            if any(id(p) not in self.counted for p in module.parameters(recurse=False)):
                counted = self._parameters(module, path)
                row = Row(path, type(module).__name__, warnings=("its forward was not called",), **counted)
                self.entries.append(Entry(math.inf, row))

    def _parameters(self, module: Module, path: str) -> dict[str, Any]:
        """The fields of a row that are about a module's own parameters, counting each where it is met first."""
        own = dict(module.named_parameters(recurse=False))
        new = {name: p for name, p in own.items() if id(p) not in self.counted}
        texts = [parameter_count(module, new)] if new else []
        texts += [f"{name} as in {self.counted[id(p)] or 'the network'}" for name, p in own.items() if name not in new]
        self.counted.update({id(p): path for p in new.values()})
        count = sum(p.numel() for p in new.values())
        trainable = sum(p.numel() for p in new.values() if p.requires_grad)
        return {
            "parameters": count,
            "parameter_formula": "; ".join(texts),
            "trainable": trainable,
            "non_trainable": count - trainable,
            "share": count / self.total if self.total else 0.0,
        }
