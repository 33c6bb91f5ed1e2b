"""``capture``: forward and backward of a network, recorded once and then replayed without the Python between kernels.

A training step of a small network spends much of its time between kernels: checks, allocation, nodes of the graph
(`python -m benchmarks.tricks` measures how much). `capture` lets a function run once while `kernels._chain` listens,
and makes two programs of what it heard, one for forward and one for backward. They are one node of the graph, with the
function's arguments and all parameters as its inputs; what autograd, hooks on parameters, optimizers and gradient
accumulation do stays as it is.

The kernels are the same, and so are the bits. What happens beside kernels and can't be repeated ends the recording with
an error: numbers handed to Python, writes in place, memory that no kernel has written. And before it is used, what was
recorded runs once on the same numbers: results, gradients, buffers and random numbers must be those of the recording.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import kernels
from .autograd import Op, Tensor, default_generator, no_grad, wrap
from .autograd.engine import leaf_gradients
from .autograd.grad_mode import anomaly, recording
from .errors import DTypeError, GraphError
from .kernels._memory import ABSENT, memory_of
from .ops import buffers
from .ops.conv import get_float32_matmul_precision
from .ops.copies import clone, contiguous_format
from .ops.layout import channels_last
from .tracing import tracing

REMEMBERED = 8
"""Situations whose programs a captured function keeps, at most."""

_recording_lock = threading.RLock()


def capture(function: Callable[..., Any], module: Any = None) -> CapturedFunction:
    """A function that computes what ``function`` does, with the same bits and gradients, but little of its Python.

    The first call with arguments of new shapes runs ``function`` and records which kernels it runs; later calls run
    these kernels, forward as one program and, in ``backward``, the gradients as another::

        model = nn.Sequential(...)
        loss_of = tinygrad_cnn.capture(lambda images, labels: F.cross_entropy(model(images), labels), model)
        for images, labels in batches:
            optimizer.zero_grad()
            loss_of(images, labels).backward()
            optimizer.step()

    It is recorded anew whenever something is different that its result depends on: the arguments' shapes, dtypes and
    memory layout, the module's arrays (not the numbers in them), ``training`` of any submodule, the settings of the
    layers of this package, which parameters require grad, ``no_grad``, the number of threads and the precision. What
    else the function's Python reads and writes (its own attributes, global variables) it does only while it is
    recorded. Other threads should not draw random numbers then: they are drawn again.

    While a submodule has hooks, under ``detect_anomaly`` and for empty arguments the function is simply called.

    Args:
        function: called with Tensors, gives one or a tuple of them. Its numbers must come from kernels: convolution,
            pooling, ``batch_norm`` (with gradients by its weight and bias in training only), ``dropout``, ``linear``,
            ``relu``, sums of two Tensors of one shape, ``cross_entropy`` with int64 labels, and views such as
            ``flatten``. It must not ask a Tensor for its numbers, nor write to one in place.
        module: the ``nn.Module`` whose parameters and buffers it uses. Default: ``function`` itself.

    Returns:
        A function of up to three Tensors. Its results have gradients of first order only, and backward can go through
        them once, even with ``retain_graph``. The gradients that one backward gives to parameters share a block of
        memory, which lives as long as one of them. Where another gradient of the same parameter is added to them, it is
        so in another order than without ``capture``.

    Raises:
        TypeError: ``function`` can't be called, or ``module`` is no module.
        GraphError: (when called) it can't be recorded; the message says which operation was in the way. The module's
            parameters and buffers are then as they were.
    """
    module = function if module is None else module
    if not callable(function):
        raise TypeError(f"capture: function must be callable, got {type(function).__name__}")
    if not (hasattr(module, "parameters") and hasattr(module, "modules")):
        raise TypeError(f"capture: module must be an nn.Module, got {type(module).__name__}")
    return CapturedFunction(function, module)


class CapturedFunction:
    """What `capture` returns."""

    def __init__(self, function: Callable[..., Any], module: Any) -> None:
        self.function, self.module = function, module
        self._plans: dict[Hashable, tuple[_Plan, list[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """A copy belongs to other arrays: it begins with no programs."""
        return {**self.__dict__, "_plans": {}}

    def __call__(self, *inputs: Tensor) -> Any:
        """``function(*inputs)``.

        Raises:
            DTypeError: an argument is not a Tensor.
            GraphError: see `capture`.
        """
        for index, tensor in enumerate(inputs):
            if not isinstance(tensor, Tensor):
                raise DTypeError(f"capture: argument {index} must be a Tensor, got {type(tensor).__name__}")
        situation = _Situation()
        situation.describe(self.module)
        is_empty = not all([t._array.size for t in inputs])
        if situation.has_hooks or is_empty or anomaly.get() or tracing.get() is not None:
            return self.function(*inputs)
        inputs = tuple(map(_readable, inputs))
        own = (*situation.parameters.values(), *situation.buffers.values())
        with_gradients = recording.get() and any([t.requires_grad for t in (*inputs, *own)])
        key = (
            *((t._array.shape, t._array.strides, t._array.dtype, t.requires_grad) for t in inputs),
            with_gradients, kernels._jit.get_num_threads(), get_float32_matmul_precision(), *situation.lists,
            *map(id, situation.objects),
        )  # fmt: skip
        found = self._plans.get(key)
        if found is None:
            with _recording_lock:
                plan = _recorded(self.function, inputs, situation, with_gradients)
                while len(self._plans) >= REMEMBERED:
                    self._plans.pop(next(iter(self._plans)))
                # The objects are kept with it, so that their identities stand for them.
                found = self._plans[key] = plan, situation.objects
        plan = found[0]
        if plan.backward is None:
            with no_grad():
                outputs = Captured.apply(*inputs, plan=plan)
        else:
            outputs = Captured.apply(*inputs, *own, plan=plan)
            outputs = tuple([o if d else o.detach() for o, d in zip(outputs, plan.differentiable)])
        return outputs[0] if plan.is_single else outputs

    def reset(self) -> None:
        """Forget what was recorded: for changes that `capture` can't see."""
        self._plans.clear()

    def __repr__(self) -> str:
        return f"<captured {getattr(self.function, '__name__', type(self.function).__name__)}>"


def _readable(tensor: Tensor) -> Tensor:
    """The Tensor in memory that kernels read: images in channels-last memory, others contiguous."""
    array = tensor._array
    if array.ndim == 4 and array.dtype.kind == "f":
        return channels_last(tensor)
    return tensor if array.flags.carray else clone(tensor, memory_format=contiguous_format)


class _Situation:
    """What a module's results depend on beside numbers.

    Attributes:
        objects: what must be the very same: arrays, and the settings of this package's layers. Those of other classes
            are not among it: a counter would be one.
        lists: settings that are lists, as text.
        parameters, buffers: the Tensors of the module, by identity.
        has_hooks: whether it, or one inside it, has hooks.
    """

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.lists: list[str] = []
        self.parameters: dict[int, Tensor] = {}
        self.buffers: dict[int, Tensor] = {}
        self.has_hooks = False

    def describe(self, module: Any) -> None:
        """Add what an ``nn.Module`` and those inside it are."""
        attributes = module.__dict__
        if type(module).__module__.startswith("tinygrad_cnn."):
            self.objects += attributes.values()
            self.lists += [repr(value) for value in attributes.values() if type(value) is list]
        else:
            self.objects += (module, attributes.get("training"))
        for own, tensors in ((self.parameters, module._parameters), (self.buffers, module._buffers)):
            for tensor in tensors.values():
                if tensor is not None:
                    own[id(tensor)] = tensor
                    self.objects += (tensor, tensor._array, tensor._requires_grad)
        self.has_hooks = self.has_hooks or module.has_hooks()
        for child in module._modules.values():
            if child is not None:
                self.describe(child)


# ---------------------------------------------------------------- recording


@dataclass(frozen=True)
class _Plan:
    """What was recorded: programs for forward and, if gradients are wanted, backward, and where everything lies.

    Attributes:
        forward, backward: see `kernels._chain.Recording.program`.
        tape: bytes of intermediate results.
        arguments: how many inputs are the function's arguments; the others are the module's parameters and buffers.
        is_single: whether the function returns one Tensor, not a tuple.
        differentiable: for each of its results whether it requires grad.
        results: where each lies, in an array of so many bytes.
        seeds: where the gradient of each is expected, None where none is, in an array of so many bytes.
        reads_results: whether backward reads results.
        reads: the numbers of the inputs that it reads.
        gradients: where the gradient of each input lies, None if it has none, in an array of so many bytes.
        beforehand, afterwards: what is to be done before and after forward: see `kernels._chain.Recording`.
    """

    forward: Any
    backward: Any
    tape: int
    arguments: int
    is_single: bool
    differentiable: list[bool]
    results: tuple[list[Any], int]
    seeds: tuple[list[Any], int]
    reads_results: bool
    reads: list[int]
    gradients: tuple[list[Any], int]
    beforehand: list[Any]
    afterwards: list[Any]


def _recorded(
    function: Callable[..., Any], inputs: Sequence[Tensor], situation: _Situation, with_gradients: bool
) -> _Plan:
    """Run the function and record it, forward and backward; parameters, buffers and the random numbers stay."""
    # Copies of the arguments: what lies in one place in memory is one thing then.
    leaves = [wrap(t._array.copy(order="K")).requires_grad_(with_gradients and t.requires_grad) for t in inputs]
    own = [*situation.parameters.values(), *situation.buffers.values()]
    recorded = kernels._chain.Recording([_memory(leaf._array) for leaf in leaves], [t._array for t in own])
    with _Undone(own) as run:
        token = tracing.set(recorded)
        try:
            returned = function(*leaves)
            outputs = returned if type(returned) is tuple else (returned,)
            _check_outputs(outputs)
            seeds, memory = _seeds(outputs, with_gradients)
            first = recorded.begin_backward(memory)
            found: dict[Tensor, Tensor] = {}
            if memory.size:
                differentiable = [(o, wrap(s.of(memory))) for o, s in zip(outputs, seeds) if s is not None]
                found = leaf_gradients(*zip(*differentiable))
        finally:
            tracing.reset(token)
    _check_leaves(found, leaves, own, bool(memory.size))
    results = [output._array for output in outputs]
    gradients = [found[t]._array if t in found else None for t in (*leaves, *own)]
    forward, backward, tape, placed, placed_gradients = _programs(recorded, results, gradients, first)
    _check_arguments(leaves, inputs, with_gradients)
    operands, constants = recorded.read_from(first)
    reads = [k for k in range(len(inputs)) if kernels._chain.INPUT + k in operands]
    for number, tensor in enumerate(own, len(inputs)):
        if any([np.may_share_memory(tensor._array, constant) for constant in constants]):
            reads.append(number)
    plan = _Plan(
        forward=forward,
        backward=backward,
        tape=tape,
        arguments=len(inputs),
        is_single=type(returned) is not tuple,
        differentiable=[s is not None for s in seeds],
        results=placed,
        seeds=(seeds, memory.nbytes),
        reads_results=kernels._chain.RESULT in operands,
        reads=reads,
        gradients=placed_gradients,
        beforehand=recorded.beforehand(),
        afterwards=recorded.afterwards(),
    )
    with _Undone(own) as repetition:
        same = _gives(plan, [t._array for t in (*leaves, *own)], memory, results, gradients)
    if not (same and run.left_the_same_as(repetition)):
        raise GraphError(
            "capture: the function can't be recorded: beside its kernels, something else changed an array on the way"
        )
    return plan


def _check_outputs(outputs: Sequence[Any]) -> None:
    """Raise unless these are Tensors on memory of their own."""
    if not outputs:
        raise GraphError("capture: the function must return a Tensor or several, got an empty tuple")
    for output in outputs:
        if not isinstance(output, Tensor):
            raise GraphError(f"capture: the function must return Tensors, got {type(output).__name__}")
    for a, b in itertools.combinations(outputs, 2):
        if np.may_share_memory(a._array, b._array):
            raise GraphError(
                f"capture: two results of the function share memory, of shapes {tuple(a.shape)} and {tuple(b.shape)}; "
                "return one of them, or clone() it outside"
            )


def _check_leaves(found: dict[Tensor, Tensor], leaves: list[Tensor], own: list[Tensor], wanted: bool) -> None:
    """Raise if gradients reach something else than arguments and parameters, or, if wanted, nothing."""
    if wanted and not found:
        raise GraphError("capture: the result requires grad, but no gradient reaches an argument or a parameter")
    for leaf in found:
        if leaf not in {*leaves, *own}:
            raise GraphError(
                f"capture: a Tensor of shape {tuple(leaf.shape)} requires grad, but is neither an argument nor a "
                "parameter of the module"
            )


def _check_arguments(leaves: list[Tensor], inputs: Sequence[Tensor], with_gradients: bool) -> None:
    """Raise if the function has changed what stood for its arguments."""
    for index, (leaf, tensor) in enumerate(zip(leaves, inputs)):
        if leaf.requires_grad != (with_gradients and tensor.requires_grad) or not _same(leaf._array, tensor._array):
            raise GraphError(f"capture: the function changes argument {index}, of shape {tuple(tensor.shape)}")


class _Undone:
    """A context: what happens inside to some Tensors and to the random numbers is undone."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.arrays = [t._array for t in tensors if t._array.flags.writeable]

    def __enter__(self) -> _Undone:
        self.before, self.state = [array.copy() for array in self.arrays], default_generator.get_state()
        return self

    def __exit__(self, *exception: object) -> None:
        self.after, self.state_after = [array.copy() for array in self.arrays], default_generator.get_state()
        for array, values in zip(self.arrays, self.before):
            if not _same(array, values):
                array[...] = values
        default_generator.set_state(self.state)

    def left_the_same_as(self, other: _Undone) -> bool:
        """Whether both ended with the same numbers."""
        drew = [np.array_equal(value, other.state_after[name]) for name, value in self.state_after.items()]
        return all(drew) and all(map(_same, self.after, other.after))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def _seeds(outputs: Sequence[Tensor], with_gradients: bool) -> tuple[list[Any], np.ndarray]:
    """For each output where its gradient lies, ordered as the output, None if it has none; and the memory, all ones."""
    seeds: list[Any] = []
    total = 0
    for output in outputs:
        array = output._array
        if not (with_gradients and output.requires_grad):
            seeds.append(None)
            continue
        strides = np.empty_like(array).strides
        seeds.append(kernels._chain.View(total, array.shape, strides, array.dtype))
        total += kernels._workspace.round_up(array.nbytes, kernels._chain.ALIGNMENT)
    memory = np.empty(total, np.uint8)
    for seed in seeds:
        if seed is not None:
            seed.of(memory)[...] = 1
    return seeds, memory


def _memory(array: np.ndarray) -> np.ndarray:
    memory = memory_of(array)
    assert memory is not None, "arguments were made contiguous"
    return memory


def _programs(
    recorded: Any, results: list[np.ndarray], gradients: list[np.ndarray | None], first: int
) -> tuple[Any, Any, int, tuple[list[Any], int], tuple[list[Any], int]]:
    """What was recorded as `_Plan` has it: forward, backward (from program ``first`` on), tape, results, gradients."""
    chain = kernels._chain
    wanted = [g for g in gradients if g is not None]
    placed = recorded.results(chain.RESULT, results)
    placed_gradients = recorded.results(chain.GRADIENTS, wanted, first)
    if placed is not None and placed_gradients is not None:
        tape = recorded.plan()
        forward = recorded.program(chain.At(chain.SCRATCH), 0, first)
        backward = recorded.program(chain.At(chain.SCRATCH), first) if wanted else None
        if forward is not None and not recorded.reason:
            views = iter(placed_gradients[0])
            of_inputs = [None if g is None else next(views) for g in gradients]
            return forward, backward, tape, placed, (of_inputs, placed_gradients[1])
    raise GraphError(f"capture: the function can't be recorded: {recorded.reason or 'no kernel computed anything'}")


def _gives(
    plan: _Plan,
    arrays: list[np.ndarray],
    seeds: np.ndarray,
    results: list[np.ndarray],
    gradients: list[np.ndarray | None],
) -> bool:
    """Whether the programs compute from the same inputs, bit for bit, what was recorded."""
    replay = Captured()
    replay.plan = plan
    found = [*replay.forward(*arrays)]
    if plan.backward is not None:
        found += [g for g in replay.gradients(seeds) if g is not None]
    return all(map(_same, found, [*results, *(g for g in gradients if g is not None)]))


# ---------------------------------------------------------------- replaying


class Captured(Op):
    """Inputs are the function's arguments and, where gradients are wanted, the module's parameters and buffers."""

    saves_inputs = (0,)  # which ones, `_save` says
    makes_fresh_gradients = True
    plan: _Plan

    def forward(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        plan = self.plan
        dtype = plan.forward.dtype
        none, (views, size) = ABSENT[dtype], plan.results
        self.tape: np.ndarray | None = _bytes(plan.tape)
        self.memories = [_memory(array) for array in arrays[: plan.arguments]]
        self.results = _bytes(size)
        scratch = buffers.scratch(plan.forward.workspace, dtype)
        operands = (self.tape, scratch, self.results, none, none, *self.memories)
        results = tuple([view.of(self.results) for view in views])
        for draw, view in plan.beforehand:
            draw(view.of(self.tape))
        plan.forward(*operands)
        for function, places in plan.afterwards:
            function(*[p if isinstance(p, np.ndarray) else p[1].of(operands[p[0]]) for p in places])
        return results

    def _save(self, inputs: Any, saved_inputs: Any, outputs: Any, saved_outputs: Any) -> None:
        saved_outputs = range(len(outputs)) if self.plan.reads_results else ()
        super()._save(inputs, tuple([(index, ()) for index in self.plan.reads]), outputs, saved_outputs)

    def backward(self, *grads_and_saved: Any) -> tuple[Tensor | None, ...]:
        if recording.get():
            raise GraphError(
                "capture: a captured function has gradients of first order only; for create_graph=True call the "
                "function itself"
            )
        if self.tape is None:
            raise GraphError(
                "capture: backward through a captured function a second time; for retain_graph=True call the function "
                "itself"
            )
        grads = grads_and_saved[: len(self.plan.differentiable)]
        found = self.gradients(self._seeded([None if g is None else g._array for g in grads]))
        return tuple([wrap(g) if g is not None and e is not None else None for g, e in zip(found, self.edges)])

    def _seeded(self, grads: list[np.ndarray | None]) -> np.ndarray:
        """Memory with the gradients of the results; zeros where there is none."""
        seeds, size = self.plan.seeds
        if len(grads) == 1 and grads[0] is not None and _lies_as(grads[0], seeds[0]):
            return grads[0]
        memory = np.empty(size, np.uint8)
        for seed, grad in zip(seeds, grads):
            if seed is not None:
                seed.of(memory)[...] = 0 if grad is None else grad
        return memory

    def gradients(self, seeds: np.ndarray) -> list[np.ndarray | None]:
        """For every input its gradient, or None, from those of the results; the tape is used up."""
        plan = self.plan
        dtype, (views, size) = plan.backward.dtype, plan.gradients
        none = ABSENT[dtype]
        memory = _bytes(size)
        scratch = buffers.scratch(plan.backward.workspace, dtype)
        assert self.tape is not None
        plan.backward(self.tape, scratch, self.results, memory, seeds, *self.memories)
        self.tape = None
        self.memories, self.results = [], none  # the graph may live on
        found: dict[int, np.ndarray] = {}
        return [None if view is None else _own(found, view.offset, view.of(memory)) for view in views]


def _bytes(size: int) -> np.ndarray:
    """Memory that begins on a cache line."""
    if size >= buffers.SMALLEST:
        return buffers.empty((size,), np.dtype(np.uint8))
    memory = np.empty(size + buffers.ALIGNMENT, np.uint8)
    begin = -memory.__array_interface__["data"][0] % buffers.ALIGNMENT
    return memory[begin : begin + size]


def _own(found: dict[int, np.ndarray], offset: int, gradient: np.ndarray) -> np.ndarray:
    """The gradient, which was not found at this offset before (for both terms of a sum); else a copy of it."""
    return gradient if found.setdefault(offset, gradient) is gradient else gradient.copy(order="K")


def _lies_as(array: np.ndarray, view: Any) -> bool:
    return array.strides == view.strides and array.flags.aligned
