"""What ``lint`` returns, and the recorded run that its checks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from ..autograd.engine import edge_of
from ..autograd.inplace import Overwrite
from ..nn import Module
from ..ops import broadcast, cast, copies, dropout, layout, views
from .operations import describe
from .trace import Call, Trace

_PASSING = (
    views.Reshape,
    views.Permute,
    views.Slice,
    broadcast.Expand,
    layout.ToChannelsLast,
    copies.Clone,
    cast.Cast,
    dropout.Dropout,
    Overwrite,
)
"""Operations after which the numbers still mean what they did."""


@dataclass(frozen=True)
class Finding:
    """A mistake, or what is very likely one; printed, it is one line.

    Attributes:
        kind: its name, the same for every finding of this kind: ``"softmax twice"``.
        where: the layer, as path and type, or ``labels``, ``input``, ``optimizer``, ``step``, ``loss_fn``.
        what: what is wrong, with the numbers that show it.
        remedy: what to do.
    """

    kind: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}."


@dataclass(eq=False)
class Run:
    """One forward and backward of a network.

    Attributes:
        trace: the network's calls and operations.
        loss: what the loss function returned.
        nodes: the operations that the loss depends on, in the order they ran, those of the loss function included.
        gradients: by name of the parameter; None for one that gets none.
    """

    trace: Trace
    loss: Tensor
    nodes: list[Op] = field(default_factory=list)
    gradients: dict[str, np.ndarray | None] = field(default_factory=dict)

    @property
    def model(self) -> Module:
        return self.trace.model

    @property
    def output(self) -> Any:
        """What the network returned."""
        return self.trace.output

    def call_of(self, node: Op) -> Call | None:
        """The innermost call of a module that an operation belongs to; None if it is the loss function's."""
        calls = [call for call in self.trace.calls if call.contains(node.sequence)]
        return max(calls, key=lambda call: call.begin) if calls else None

    def place(self, node: Op) -> str:
        """Where an operation is: ``3 Softmax`` for a layer's, ``F.softmax after fc3`` for a function's."""
        call = self.call_of(node)
        if call is not None and not call.module._modules and call.path:
            return f"{call.path} {type(call.module).__name__}"
        name = describe(node).name
        before = self._layer_before(node)
        return f"{name} in the loss function" if call is None else f"{name} after {before}" if before else name

    def _layer_before(self, node: Op) -> str:
        """The path of the layer whose output reached an operation."""
        while True:
            source = next((e[0] for e in node.edges if e is not None and isinstance(e[0], Op)), None)
            if source is None:
                return ""
            node = source
            call = self.call_of(node)
            if call is not None and not call.module._modules and call.path:
                return call.path


def nodes_of(loss: Tensor) -> list[Op]:
    """The operations that a Tensor depends on, in the order they ran."""
    found: set[Op] = set()
    stack = [edge_of(loss)[0]]
    while stack:
        node = stack.pop()
        if isinstance(node, Op) and node not in found:
            found.add(node)
            stack.extend(e[0] for e in node.edges if e is not None)
    return sorted(found, key=lambda node: node.sequence)


def source_of(node: Op) -> Op | None:
    """What computed the first input of an operation, seen through views, copies, conversions and dropout."""
    while True:
        edge = node.edges[-1] if isinstance(node, Overwrite) else node.edges[0]
        if edge is None or not isinstance(edge[0], Op):
            return None
        node = edge[0]
        if not isinstance(node, _PASSING):
            return node


def readers_of(source: Op, nodes: list[Op]) -> list[Op]:
    """The operations that read what a node made, seen through views, copies, conversions and dropout."""
    reached, readers = {source}, []
    for node in nodes:
        if any(e is not None and e[0] in reached for e in node.edges):
            if isinstance(node, _PASSING):
                reached.add(node)
            else:
                readers.append(node)
    return readers
