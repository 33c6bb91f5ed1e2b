"""The backward walk: from the roots to the leaves, newest node first.

Nodes are numbered as they are made, and a node can only use what was made before it, so taking the pending node with
the highest number from a heap visits every node after all its users: a topological order without a second pass, and
without recursion (a chain of 100,000 operations is no problem).
"""

from __future__ import annotations

import heapq
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError, GraphError, ShapeError
from ..tracing import refuse_while_recording
from .anomaly import explain, raise_on_nan_gradient, raise_on_nan_root
from .grad_mode import anomaly, enable_grad, recording, set_grad_enabled
from .op import Op
from .tensor import Edge, Tensor, wrap


class _Walk:
    """One backward: the pending nodes and the gradients that have reached leaves and requested inputs.

    Gradients are added up in lists with one place per output of a node (a leaf is one place).  The first to arrive is
    kept by reference; later ones are added in place to the first array that nothing else refers to, which is a new one
    if there is none.
    """

    def __init__(self, create_graph: bool, retain_graph: bool, wanted: Sequence[Edge] | None) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.pending: dict[Op | Tensor, list[Tensor | None]] = {}
        self.heap: list[tuple[int, Op]] = []
        self.owned: set[Edge] = set()  # places whose array nothing else refers to
        self.captured: dict[Edge, Tensor] = {}
        self.retained: list[tuple[weakref.ref[Tensor], Tensor]] = []  # non-leaves that keep their gradient
        self.wanted = None if wanted is None else frozenset(wanted)
        self.needed: set[Op] | None = None  # the nodes between the roots and the wanted inputs

    def deliver(
        self, edges: Sequence[Edge | None], grads: Sequence[Tensor | None], fresh: bool, source: Op | None
    ) -> None:
        """Add each gradient to what is pending at its edge's end.

        Args:
            edges: where they go; None for a gradient that is not wanted.
            grads: one per edge; None is a gradient of zeros.
            fresh: whether nothing else refers to their arrays.
            source: the node that they come from, None for those that the user gave.
        """
        pending, adds_in_place = self.pending, not self.create_graph
        for edge, grad in zip(edges, grads):
            if edge is None or grad is None:
                continue
            target, index = edge
            places = pending.get(target)
            if places is None:
                if isinstance(target, Op):
                    if self.needed is not None and target not in self.needed:
                        continue
                    shapes = target.output_shapes
                    heapq.heappush(self.heap, (-target.sequence, target))
                else:
                    if self.wanted is not None and edge not in self.wanted:
                        continue
                    shapes = (target._array.shape,)
                places = pending[target] = [None] * len(shapes)
                current, expected = None, shapes[index]
            else:
                current = places[index]
                # A leaf has only one place, so what has none of its gradients yet is a node.
                expected = target.output_shapes[index] if current is None else current._array.shape  # type: ignore[union-attr]
            if grad._array.shape != expected:
                grad = _summed(grad, expected, source)
            if current is None:
                places[index] = grad
                if fresh:
                    self.owned.add(edge)
            elif adds_in_place and edge in self.owned:
                current._accumulate(grad)
            elif adds_in_place and fresh and grad._array.dtype == current._array.dtype:
                grad._accumulate(current)
                places[index] = grad
                self.owned.add(edge)
            else:
                places[index] = current + grad  # recorded if create_graph
                self.owned.add(edge)

    def run(self) -> None:
        heap, pending = self.heap, self.pending
        while heap:
            node = heapq.heappop(heap)[1]
            grads = pending.pop(node)
            if node.hooks is not None:
                grads = [_run_hooks(node.hooks.get(i), g) for i, g in enumerate(grads)]
            if node.kept is not None:
                self._retain(node.kept, grads)
            if self.wanted is not None and not self._capture(node, grads):
                continue
            if node.overwrites_gradient:
                node.owns_gradient = self._owns(node)
            try:
                saved = node.saved_tensors(self.create_graph)
                results = node.backward(*grads, *saved)
            except Exception as error:
                explain(error, node)
                raise
            if not self.retain_graph and node.saved:
                node.saved = None
            edges = node.edges
            if type(results) is not tuple or len(results) != len(edges):
                raise GraphError(
                    f"{node.name()}: backward must return a tuple of {len(edges)} gradients, one per input, got "
                    f"{len(results) if type(results) is tuple else type(results).__name__}"
                )
            if anomaly.get():
                raise_on_nan_gradient(node, results, saved)
            self.deliver(edges, results, node.makes_fresh_gradients, node)
            del grads, saved, results  # what only this node needed is free before the next one runs

    def _owns(self, node: Op) -> bool:
        """Whether nothing but this walk refers, or may come to refer, to the gradient of the node's first output."""
        seen = node.hooks is not None or node.kept is not None or self.wanted is not None or self.create_graph
        return not seen and (node, 0) in self.owned

    def _retain(self, kept: dict[int, dict[int, weakref.ref[Tensor]]], grads: list[Tensor | None]) -> None:
        for index, references in kept.items():
            grad = grads[index]
            if grad is not None:
                self.retained.extend((reference, grad) for reference in references.values())

    def _capture(self, node: Op, grads: list[Tensor | None]) -> bool:
        """Keep the gradients that were asked for; False if nothing further down is wanted."""
        assert self.wanted is not None
        for index, grad in enumerate(grads):
            if (node, index) in self.wanted and grad is not None:
                self.captured[node, index] = grad
        return any(self._leads_on(e) for e in node.edges if e is not None)

    def _leads_on(self, edge: Edge) -> bool:
        assert self.wanted is not None
        assert self.needed is not None
        return edge in self.wanted or edge[0] in self.needed

    def prune(self, roots: Sequence[Edge]) -> None:
        """Find the nodes from which a wanted input can be reached; the others need not run."""
        assert self.wanted is not None
        reachable: set[Op] = set()
        stack = [target for target, _ in roots if isinstance(target, Op)]
        while stack:
            node = stack.pop()
            if node not in reachable:
                reachable.add(node)
                stack.extend(e[0] for e in node.edges if e is not None and isinstance(e[0], Op))
        wanted_nodes = {edge[0] for edge in self.wanted}
        self.needed = set()
        for node in sorted(reachable, key=lambda n: n.sequence):  # inputs before their users
            if node in wanted_nodes or any(self._leads_on(e) for e in node.edges if e is not None):
                self.needed.add(node)


def _summed(grad: Tensor, expected: tuple[int, ...], source: Op | None) -> Tensor:
    """The gradient of an input that the operation had broadcast."""
    shape = grad._array.shape
    fits = len(expected) <= len(shape) and all(size in (1, wide) for size, wide in zip(expected[::-1], shape[::-1]))
    if source is not None and source.broadcasts and fits:
        return grad._summed_to(expected)
    who = "backward" if source is None else source.name()
    raise ShapeError(f"{who}: returned a gradient of shape {tuple(shape)}, expected {tuple(expected)}")


def _run_hooks(hooks: dict[int, Any] | None, grad: Tensor | None) -> Tensor | None:
    if not hooks or grad is None:
        return grad
    for hook in list(hooks.values()):
        replaced = hook(grad)
        if replaced is not None:
            if not isinstance(replaced, Tensor):
                raise DTypeError(f"hook: must return a Tensor or None, got {type(replaced).__name__}")
            if replaced._array.shape != grad._array.shape:
                raise ShapeError(f"hook: returned shape {tuple(replaced.shape)} for a gradient of {tuple(grad.shape)}")
            grad = replaced
    return grad


def _walk(
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor],
    retain_graph: bool,
    create_graph: bool,
    wanted: Sequence[Edge] | None,
) -> _Walk:
    walk = _Walk(create_graph, retain_graph, wanted)
    roots = [edge_of(t) for t in tensors]
    if wanted is not None:
        walk.prune(roots)
    before = recording.set(create_graph)  # set_grad_enabled(create_graph), without a context object
    try:
        walk.deliver(roots, gradients, False, None)
        walk.run()
    finally:
        recording.reset(before)
    return walk


def edge_of(tensor: Tensor) -> Edge:
    """Where gradients of this Tensor go: its node and output index, or itself if it is a leaf."""
    node = tensor.grad_fn
    return (tensor, 0) if node is None else (node, tensor._index)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the derivatives of the given tensors by every leaf to the leaf's ``.grad``.

    Args:
        tensors: one or several Tensors of any shape that require grad.
        grad_tensors: one upstream gradient per tensor, of its shape and dtype; None for a one-element tensor means 1.
        retain_graph: keep the saved arrays, so that the graph can be used again.  Default: ``create_graph``.
        create_graph: record the gradient computation itself, for higher derivatives.
        inputs: only these Tensors (leaves or not) get a ``.grad``.  Default: every leaf.

    Raises:
        GraphError: a tensor that needs no gradient, a non-scalar without gradient, a graph that was freed, an array
            modified in place.  Every ``.grad`` is then as it was.
        ShapeError, DTypeError: an upstream gradient of another shape or dtype.
    """
    refuse_while_recording("backward")
    tensors = _as_list(tensors, "tensors")
    gradients = _check_roots(tensors, grad_tensors, "backward")
    wanted, targets = None, []
    if inputs is not None:
        targets = _as_list(inputs, "inputs")
        if not targets:
            raise GraphError("backward: inputs is empty; leave it out to reach every leaf")
        _check_inputs(targets, "backward")
        wanted = [edge_of(t) for t in targets]
    walk = _walk(tensors, gradients, _keep(retain_graph, create_graph), create_graph, wanted)
    _commit(walk, targets)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The derivatives of the outputs by the inputs, leaving every ``.grad`` alone.

    Args:
        outputs: one or several Tensors of any shape that require grad.
        inputs: the Tensors to differentiate by, leaves or not.
        grad_outputs: one upstream gradient per output, of its shape; None for a one-element output means 1.
        retain_graph: keep the saved arrays.  Default: ``create_graph``.
        create_graph: record the computation of the result, so that it can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.
            Default: ``materialize_grads``.
        materialize_grads: give zeros instead of None.

    Returns:
        A tuple with one gradient per input, each of its input's shape and dtype.

    Raises:
        GraphError: as ``backward``; an input that needs no gradient; an unused input.
    """
    refuse_while_recording("grad")
    if allow_unused is False and materialize_grads:
        raise ValueError("grad: allow_unused=False and materialize_grads=True contradict each other")
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    outputs = _as_list(outputs, "outputs")
    inputs = _as_list(inputs, "inputs")
    gradients = _check_roots(outputs, grad_outputs, "grad")
    _check_inputs(inputs, "grad")
    edges = [edge_of(t) for t in inputs]
    walk = _walk(outputs, gradients, _keep(retain_graph, create_graph), create_graph, edges)
    results: list[Tensor | None] = []
    for index, (tensor, edge) in enumerate(zip(inputs, edges)):
        found = _leaf_gradient(walk, tensor) if isinstance(edge[0], Tensor) else walk.captured.get(edge)
        if found is None:
            if not allow_unused:
                raise GraphError(
                    f"grad: inputs[{index}] of shape {tuple(tensor.shape)} was not used to compute the outputs; pass "
                    "allow_unused=True to get None for it"
                )
            if materialize_grads:
                found = wrap(np.zeros_like(tensor._array))
        results.append(found)
    _commit_retained(walk, ())
    return tuple(results)


def leaf_gradients(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """The gradients that reach the leaves, before their hooks, leaving every ``.grad`` alone; the graph is freed.

    Args:
        outputs: Tensors that require grad.
        gradients: their upstream gradients, of their shapes.
    """
    walk = _walk(outputs, gradients, False, False, None)
    return {
        leaf: places[0] for leaf, places in walk.pending.items() if isinstance(leaf, Tensor) and places[0] is not None
    }


def _keep(retain_graph: bool | None, create_graph: bool) -> bool:
    return create_graph if retain_graph is None else retain_graph


def _as_list(value: Tensor | Sequence[Tensor], name: str) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    tensors = list(value) if isinstance(value, Iterable) else [value]
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise DTypeError(f"{name}[{index}]: expected a Tensor, got {type(tensor).__name__}")
    return tensors


def _check_inputs(inputs: Sequence[Tensor], name: str) -> None:
    for index, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise GraphError(f"{name}: inputs[{index}] of shape {tuple(tensor.shape)} does not require grad")


def _check_roots(tensors: Sequence[Tensor], gradients: Any, name: str) -> list[Tensor]:
    """The upstream gradients, filled in where None and checked against the tensors."""
    if gradients is None:
        gradients = [None] * len(tensors)
    elif isinstance(gradients, Tensor) or not isinstance(gradients, Sequence):
        gradients = [gradients]
    if len(gradients) != len(tensors):
        raise GraphError(f"{name}: {len(gradients)} gradients for {len(tensors)} tensors")
    checked = []
    for tensor, gradient in zip(tensors, gradients):
        if not tensor.requires_grad:
            raise GraphError(
                f"{name}: the tensor of shape {tuple(tensor.shape)} does not require grad and has no grad_fn"
            )
        raise_on_nan_root(tensor, name)
        if gradient is None:
            if tensor._array.size != 1:
                raise GraphError(
                    f"{name}: a gradient can be left out only for one element; got shape {tuple(tensor.shape)}"
                )
            gradient = wrap(np.ones(tensor._array.shape, tensor._array.dtype))
        elif not isinstance(gradient, Tensor):
            raise DTypeError(f"{name}: expected a Tensor or None as gradient, got {type(gradient).__name__}")
        elif gradient._array.shape != tensor._array.shape:
            raise ShapeError(
                f"{name}: gradient of shape {tuple(gradient.shape)} for a tensor of shape {tuple(tensor.shape)}"
            )
        elif gradient._array.dtype != tensor._array.dtype:
            raise DTypeError(f"{name}: gradient of dtype {gradient.dtype} for a tensor of dtype {tensor.dtype}")
        checked.append(gradient)
    return checked


def _leaf_gradient(walk: _Walk, leaf: Tensor) -> Tensor | None:
    """The gradient that reached a leaf, after its hooks, on memory of its own."""
    places = walk.pending.get(leaf)
    if places is None:
        return None
    total = places[0]
    if leaf._hooks:
        with set_grad_enabled(walk.create_graph):
            total = _run_hooks(leaf._hooks, total)
    assert total is not None
    if total._array.dtype != leaf._array.dtype:
        raise DTypeError(f"backward: gradient of dtype {total.dtype} for a leaf of dtype {leaf.dtype}")
    if (leaf, 0) in walk.owned and not leaf._hooks:
        return total
    return _own(total, walk.create_graph)


def _own(gradient: Tensor, create_graph: bool) -> Tensor:
    """The gradient on memory that no other Tensor refers to, with its history under ``create_graph``."""
    if create_graph:
        with enable_grad():
            return gradient.clone()
    return wrap(gradient._array.copy(order="K"))


def _commit(walk: _Walk, inputs: Sequence[Tensor]) -> None:
    """Add what the finished walk found to ``.grad``: everything that can fail has happened before the first write."""
    leaves = [target for target in walk.pending if isinstance(target, Tensor)]
    found = [(leaf, _leaf_gradient(walk, leaf)) for leaf in leaves]
    for tensor in inputs:
        captured = walk.captured.get(edge_of(tensor))
        if captured is not None:
            found.append((tensor, _own(captured, walk.create_graph)))
    _commit_retained(walk, inputs)
    for tensor, gradient in found:
        assert gradient is not None
        if tensor._grad is None:
            tensor._grad = gradient
        elif walk.create_graph:
            with enable_grad():
                tensor._grad = tensor._grad + gradient
        else:
            tensor._grad._accumulate(gradient)
            tensor._grad._mark_written()
    for tensor, _ in found:
        for hook in list((tensor._post_hooks or {}).values()):
            hook(tensor)


def _commit_retained(walk: _Walk, inputs: Sequence[Tensor]) -> None:
    """Add to the ``.grad`` of Tensors that ``retain_grad`` was called on, those aside that get it as inputs.

    Never in place, unlike a leaf's: as in PyTorch, who holds the former ``.grad`` sees it unchanged.
    """
    served = {id(t) for t in inputs}
    for reference, gradient in walk.retained:
        tensor = reference()
        if tensor is None or id(tensor) in served:
            continue
        if tensor._grad is None:
            tensor._grad = _own(gradient, walk.create_graph)
        else:
            with set_grad_enabled(walk.create_graph):
                tensor._grad = tensor._grad + gradient


def zero_grad(leaves: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Forget the leaves' gradients, or with ``set_to_none=False`` fill those that are there with zeros."""
    refuse_while_recording("zero_grad")
    for leaf in leaves:
        gradient = leaf._grad
        if gradient is None or set_to_none:
            leaf._grad = None
            continue
        leaf._grad = gradient = gradient.detach()
        gradient._array[...] = 0
        gradient._mark_written()
