"""Checkpointing: compute a part of the network again in backward instead of storing its intermediate arrays.

The function runs as usual; then every node that it recorded is stripped of its saved arrays.  When backward asks the
first of them for its arrays, the function runs once more, and each node takes the arrays that its twin of the second
run has saved.  The graph itself stays, so hooks, ``autograd.grad``, higher derivatives and checkpoints inside
checkpoints work as without.

Reference:
    Griewank, Walther: Algorithm 799: revolve.  ACM Trans. Math. Softw. 26 (2000).
    Chen, Xu, Zhang, Guestrin: Training deep nets with sublinear memory cost.  arXiv:1604.06174 (2016).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError
from .engine import edge_of
from .grad_mode import enable_grad, recording
from .op import Op, Saved, _next_sequence
from .random import default_generator
from .tensor import Edge, Tensor

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


def _no_contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts = _no_contexts,
    determinism_check: str = "default",
    debug: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, whose intermediate arrays are computed again when backward needs them.

    The gradients are bit for bit those without a checkpoint, if the function computes the same when it is called again.

    Args:
        function: returns a Tensor, or tuples, lists and dicts with Tensors in them.
        *args, **kwargs: what it is called with.
        use_reentrant: accepted and without effect: what PyTorch calls non-reentrant can do all that the other can.
        context_fn: returns two contexts, for the first run and for the second.
        determinism_check: ``"default"`` compares shapes and dtypes of the two runs, ``"none"`` does not.
        debug: accepted and without effect: errors always name the operations.
        preserve_rng_state: give the second run the random numbers of the first (dropout).

    Returns:
        What the function returned.

    Raises:
        ValueError: another ``determinism_check``.
        GraphError: in backward, if the second run recorded other operations or shapes than the first, or if an
            argument or a parameter was modified in place in between.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}")
    first, second = context_fn()
    if not recording.get():
        with first:
            return function(*args, **kwargs)
    run = _Run(function, args, kwargs, second, determinism_check == "default")
    if preserve_rng_state:
        run.rng_state = default_generator.get_state()
    start = _start([args, kwargs])
    with first:
        result = function(*args, **kwargs)
    run.strip(_nodes_since(start, result))
    return result


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run functions one after the other, in so many segments, each but the last one checkpointed.

    Args:
        functions: callables of one argument, as a sequence or a Sequential.
        segments: how many; the last one takes what does not divide evenly.
        input: what the first function gets.
        use_reentrant, **kwargs: as for ``checkpoint`` (``preserve_rng_state``).

    Returns:
        What the last function returned.

    Raises:
        ValueError: fewer than one segment, or more than functions.
    """
    chain = list(functions)
    if not 1 <= segments <= len(chain):
        raise ValueError(f"checkpoint_sequential: segments must be 1 to {len(chain)} functions, got {segments}")
    length = len(chain) // segments
    for first in range(0, length * (segments - 1), length):
        input = checkpoint(_run_all, chain[first : first + length], input, **kwargs)
    return _run_all(chain[length * (segments - 1) :], input)


def _run_all(functions: Sequence[Callable[[Any], Any]], value: Any) -> Any:
    for function in functions:
        value = function(value)
    return value


class _Fingerprint(NamedTuple):
    """What stays of a saved array: all but its memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    version: list[int]
    number: int
    edge: Edge | tuple[None, int] | None


class _Run:
    """One checkpointed call: how to repeat it, and what the repetition has saved until backward takes it."""

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, context: AbstractContextManager[Any], compare: bool
    ) -> None:
        self.function, self.args, self.kwargs, self.context, self.compare = function, args, kwargs, context, compare
        self.rng_state: dict[str, Any] | None = None
        self.names: list[str] = []
        self.saved: dict[int, Iterable[Saved | None]] = {}  # by the node's position among all of the call
        self.sources = [_state(t) for t in _tensors_in([args, kwargs])]

    def strip(self, nodes: list[Op]) -> None:
        """Take their saved arrays from the nodes that the call recorded."""
        for position, node in enumerate(nodes):
            self.names.append(node.name())
            self.sources += [_state(e[0]) for e in node.edges if e is not None and isinstance(e[0], Tensor)]
            if node.saved:
                node.saved = _Recomputed(self, position, node.name(), node.saved)

    def take(self, position: int) -> Iterable[Saved | None]:
        """What the second run has saved for a node of the first; it is kept no longer."""
        if position not in self.saved:
            self._repeat()
        return self.saved.pop(position)

    def _repeat(self) -> None:
        for array, tensor, version, number in self.sources:
            if tensor._array is not array or version[0] != number:
                raise GraphError(
                    f"checkpoint: an argument or parameter of shape {array.shape} was modified between the call and "
                    "its repetition in backward"
                )
        now = default_generator.get_state() if self.rng_state is not None else None
        if self.rng_state is not None:
            default_generator.set_state(self.rng_state)
        try:
            with enable_grad(), self.context:
                start = _next_sequence()
                nodes = _nodes_since(start, self.function(*self.args, **self.kwargs))
        finally:
            if now is not None:
                default_generator.set_state(now)
        names = [node.name() for node in nodes]
        if names != self.names:
            raise GraphError(
                f"checkpoint: the function recorded {_difference(self.names, names)} when it was called again in "
                "backward; it must do the same every time"
            )
        self.saved = {position: node.saved for position, node in enumerate(nodes) if node.saved}


class _Recomputed:
    """In the place of a node's saved arrays: iterating over it gives them, from the second run."""

    def __init__(self, run: _Run, position: int, name: str, saved: Any) -> None:
        self.run, self.position, self.name = run, position, name
        self.entries: list[_Fingerprint | None]
        if isinstance(saved, _Recomputed):  # a checkpoint inside: the outer one computes all of it again
            self.entries = saved.entries
        else:
            self.entries = [e and _Fingerprint(e[0].shape, e[0].dtype, *e[1:]) for e in saved]

    def __iter__(self) -> Iterator[Saved | None]:
        for entry, again in zip(self.entries, self.run.take(self.position)):
            if entry is None or again is None:
                yield None
                continue
            array = again[0]
            if self.run.compare and (array.shape != entry.shape or array.dtype != entry.dtype):
                raise GraphError(
                    f"checkpoint: {self.name} saved an array of shape {entry.shape} and dtype {entry.dtype}, and of "
                    f"shape {array.shape} and dtype {array.dtype} when the function was called again in backward"
                )
            yield array, entry.version, entry.number, entry.edge


def _state(tensor: Tensor) -> tuple[np.ndarray, Tensor, list[int], int]:
    """What a Tensor is now, to find out later whether it was modified."""
    version = [0] if tensor._inference else tensor._counter()
    return tensor._array, tensor, version, version[0]


def _start(arguments: Any) -> int:
    """The number after which the nodes of the call come; views are taken again first, if they have to be."""
    for tensor in _tensors_in(arguments):
        edge_of(tensor)
    return _next_sequence()


def _tensors_in(value: Any) -> list[Tensor]:
    """The Tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _tensors_in(item)]
    return []


def _nodes_since(start: int, result: Any) -> list[Op]:
    """The nodes recorded after ``start`` that the result was computed by, in the order they were made."""
    found: set[Op] = set()
    stack = [edge_of(t)[0] for t in _tensors_in(result)]
    while stack:
        node = stack.pop()
        if isinstance(node, Op) and node.sequence > start and node not in found:
            found.add(node)
            stack.extend(e[0] for e in node.edges if e is not None)
    return sorted(found, key=lambda node: node.sequence)


def _difference(first: list[str], second: list[str]) -> str:
    for index, (a, b) in enumerate(zip(first, second)):
        if a != b:
            return f"{b} instead of {a} as operation {index}"
    return f"{len(second)} operations instead of {len(first)}"
