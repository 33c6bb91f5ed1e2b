"""Runs a network once and notes what happened: which module was called when, and which operations were recorded.

Operations carry the number at which they were made.  A call of a module takes a number when it begins and one when it
ends, so the operations with numbers in between are those of its forward.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, default_generator, inference_mode
from ..autograd.op import _next_sequence
from ..nn import Module


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        module, path: the module and its dotted path, empty for the network itself.
        begin, end: its place in the order of operations; end is None for a call that an exception ended.
        began, ended: the same as seconds of ``time.perf_counter``.
        input_shapes: the shapes of the Tensors it got.
        inputs: the nodes that made them.
        output_shape: that of the first Tensor it returned, None if there is none.
        output_bytes: memory of the Tensors it returned, unless it is that of an input.
        outputs: the nodes that made them.
    """

    module: Module
    path: str
    begin: int
    input_shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[Op, ...]
    began: float = 0.0
    ended: float = 0.0
    end: int | None = None
    output_shape: tuple[int, ...] | None = None
    output_bytes: int = 0
    outputs: tuple[Op, ...] = ()

    def contains(self, sequence: int) -> bool:
        """Whether what has this number happened during the call."""
        return self.begin < sequence and (self.end is None or sequence < self.end)


class Trace:
    """One run of a network on an input.

    Args:
        model: the network.
        image: its input.

    Attributes:
        calls: the calls of modules, in the order they began; also those that an exception ended.
        leaf: the input as a leaf that requires a gradient, None for one that can't (integers).
        source: the node between the leaf and the network, or None.
        output: what the network returned.
    """

    def __init__(self, model: Module, image: Tensor) -> None:
        self.model, self.image = model, image
        self.calls: list[Call] = []
        self._open: list[Call] = []
        self.leaf: Tensor | None = None
        self.source: Op | None = None
        self.output: Any = None

    def run(self) -> None:
        """Run the network.  Buffers, the random state and the hooks are afterwards as they were."""
        paths = {id(module): path for path, module in self.model.named_modules()}
        handles = []
        with inference_mode(False), unchanged(self.model):
            image = self.image.detach()
            if image._array.dtype.kind == "f":
                self.leaf = image.requires_grad_()
                image = image.clone()  # so that the network may write to its input
                self.source = image.grad_fn
            try:
                for module in self.model.modules():
                    path = paths[id(module)]
                    handles.append(module.register_forward_pre_hook(self._entering(path), with_kwargs=True))
                    handles.append(module.register_forward_hook(self._leave, with_kwargs=True))
                self.output = self.model(image)
            finally:
                for handle in handles:
                    handle.remove()

    def _entering(self, path: str) -> Any:
        def enter(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs = list(tensors_in((args, kwargs)))
            shapes = tuple(tuple(t.shape) for t in inputs)
            call = Call(module, path, _next_sequence(), shapes, makers(inputs))
            self.calls.append(call)
            self._open.append(call)
            call.began = time.perf_counter()

        return enter

    def _leave(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        ended = time.perf_counter()
        call = self._open.pop()
        while call.module is not module:  # an exception that the network caught ended an inner call
            call.end = _next_sequence()
            call = self._open.pop()
        inputs, outputs = list(tensors_in((args, kwargs))), list(tensors_in(output))
        call.ended, call.end = ended, _next_sequence()
        call.output_shape = tuple(outputs[0].shape) if outputs else None
        call.outputs = makers(outputs)
        call.output_bytes = sum(
            t._array.nbytes for t in outputs if not any(np.may_share_memory(t._array, i._array) for i in inputs)
        )

    def recorded(self) -> list[Op]:
        """The recorded operations, in the order they ran: also those on parameters only."""
        start = -1 if self.source is None else self.source.sequence
        found: set[Op] = set()
        stack = [node for call in self.calls for node in (*call.inputs, *call.outputs)]
        while stack:
            node = stack.pop()
            if node not in found and node.sequence > start:
                found.add(node)
                stack.extend(e[0] for e in node.edges if e is not None and isinstance(e[0], Op))
        return sorted(found, key=lambda node: node.sequence)

    def nodes(self) -> list[Op]:
        """Those of the recorded operations that the input went through."""
        downstream = {self.source}
        for node in self.recorded():
            if any(e is not None and e[0] in downstream for e in node.edges):
                downstream.add(node)
        return [node for node in self.recorded() if node in downstream]

    def owner(self, sequence: int) -> Call:
        """The innermost call during which the operation of this number ran."""
        return max((call for call in self.calls if call.contains(sequence)), key=lambda call: call.begin)


def makers(tensors: Iterable[Tensor]) -> tuple[Op, ...]:
    """The nodes that made these Tensors, leaves aside."""
    return tuple(node for node in (t.grad_fn for t in tensors) if node is not None)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The Tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors_in(entry)
    elif isinstance(value, tuple | list):
        for entry in value:
            yield from tensors_in(entry)


@contextmanager
def unchanged(model: Module) -> Iterator[None]:
    """Put buffers and the random state back afterwards, also after an exception."""
    random_state = default_generator.get_state()
    buffers = [(module, dict(module._buffers)) for module in model.modules()]
    values = [(b, b._array, b._array.copy()) for b in model.buffers()]
    try:
        yield
    finally:
        default_generator.set_state(random_state)
        for module, entries in buffers:
            module._buffers.clear()
            module._buffers.update(entries)
        for buffer, array, value in values:
            buffer._array = array
            if array.tobytes() != value.tobytes():
                np.copyto(array, value)
                buffer._mark_written()


@contextmanager
def evaluation(model: Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards each in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
