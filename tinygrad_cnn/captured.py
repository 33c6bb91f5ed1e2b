"""``capture``: forward and backward of a network, recorded once and then replayed without the Python between kernels.

A training step of LeNet-5 with 64 images spends a third of its time between kernels: checks, allocation, nodes of the
graph. `capture` lets a function run once while `kernels._chain` listens, and makes two programs of what it heard, one
for forward and one for backward. They are one node of the graph, with the function's arguments and all parameters as
its inputs; what autograd, hooks on parameters, optimizers and gradient accumulation do stays as it is.

The kernels are the same, and so are the bits. Before it is used, what was recorded runs once on the same numbers, and
its results must be those of the recording, bit for bit: that finds everything that happened beside kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import kernels
from .autograd import Op, Tensor, default_generator, no_grad, wrap
from .autograd.engine import leaf_gradients
from .autograd.grad_mode import anomaly, recording
from .errors import DTypeError, GraphError
from .kernels._memory import ABSENT, memory_of
from .kernels._tracing import tracing
from .ops import buffers
from .ops.conv import get_float32_matmul_precision
from .ops.copies import clone, contiguous_format
from .ops.layout import channels_last

REMEMBERED = 8
"""Situations whose programs a captured function keeps, at most."""


def capture(function: Callable[..., Any], module: Any = None) -> Captured:
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
    else the function's Python reads (its own attributes, global variables) is read only while it is recorded.

    While a submodule has hooks, under ``detect_anomaly`` and for empty arguments the function is simply called.

    Args:
        function: called with Tensors, gives one or a tuple of them. Its numbers must come from kernels: convolution,
            pooling, ``batch_norm`` (with gradients by its weight and bias in training only), ``dropout``, ``linear``,
            ``relu``, sums of two Tensors of one shape, ``cross_entropy`` with int64 labels, and views such as
            ``flatten``. It must not ask a Tensor for its numbers.
        module: the ``nn.Module`` whose parameters and buffers it uses. Default: ``function`` itself.

    Returns:
        A function of up to three Tensors. Its results have gradients of first order only, and backward can go through
        them once, even with ``retain_graph``.

    Raises:
        TypeError: ``function`` can't be called, or ``module`` is no module.
        GraphError: (when called) it can't be recorded; the message says which operation was in the way. The module's
            buffers are then as they were.
    """
    module = function if module is None else module
    if not callable(function):
        raise TypeError(f"capture: function must be callable, got {type(function).__name__}")
    if not (hasattr(module, "parameters") and hasattr(module, "modules")):
        raise TypeError(f"capture: module must be an nn.Module, got {type(module).__name__}")
    return Captured(function, module)


class Captured:
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
        situation: list[Any] = []
        found_parameters: dict[int, Tensor] = {}
        has_hooks = _describe(self.module, situation, found_parameters)
        if has_hooks or anomaly.get() or tracing.get() is not None or not all([t._array.size for t in inputs]):
            return self.function(*inputs)
        inputs = tuple(map(_readable, inputs))
        parameters = list(found_parameters.values())
        with_gradients = recording.get() and any([t.requires_grad for t in (*inputs, *parameters)])
        key = (
            *((t._array.shape, t._array.strides, t._array.dtype, t.requires_grad) for t in inputs),
            with_gradients, kernels._jit.get_num_threads(), get_float32_matmul_precision(), *map(id, situation),
        )  # fmt: skip
        found = self._plans.get(key)
        if found is None:
            plan = _recorded(self.function, self.module, inputs, parameters, with_gradients)
            while len(self._plans) >= REMEMBERED:
                self._plans.pop(next(iter(self._plans)))
            # The objects are kept with it, so that their identities stand for them.
            found = self._plans[key] = plan, situation
        plan = found[0]
        if plan.backward is None:
            with no_grad():
                outputs = _Captured.apply(*inputs, plan=plan)
        else:
            outputs = _Captured.apply(*inputs, *parameters, plan=plan)
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


def _describe(module: Any, found: list[Any], parameters: dict[int, Tensor]) -> bool:
    """Whether a module, or one inside it, has hooks.

    Args:
        module: an ``nn.Module``.
        found: what its results depend on beside numbers is appended.
        parameters: its parameters are added, by identity.

    The settings of this package's layers are among it. Those of other classes are not: a counter would be one.
    """
    attributes = module.__dict__
    if type(module).__module__.startswith("tinygrad_cnn."):
        found += attributes.values()
    else:
        found += (module, attributes.get("training"))
    for tensor in module._parameters.values():
        if tensor is not None:
            parameters[id(tensor)] = tensor
            found += (tensor, tensor._array, tensor._requires_grad)
    for tensor in module._buffers.values():
        if tensor is not None:
            found.append(tensor._array)
    has_hooks = module.has_hooks()
    for child in module._modules.values():
        if child is not None:
            has_hooks = _describe(child, found, parameters) or has_hooks
    return has_hooks


# ---------------------------------------------------------------- recording


class _Plan:
    """What was recorded: programs for forward and, if gradients are wanted, backward, and where everything lies.

    Attributes:
        forward, backward: see `kernels._chain.Recording.program`.
        tape: bytes of intermediate results.
        arguments: how many inputs are the function's arguments; the others are all parameters.
        is_single: whether the function returns one Tensor, not a tuple.
        differentiable: for each of its results whether it requires grad.
        results: where each lies, in an array of so many bytes.
        seeds: where the gradient of each is expected, None where none is, in an array of so many bytes.
        reads_results: whether backward reads results.
        gradients: where the gradient of each input lies, None if it has none, in an array of so many bytes.
        beforehand, afterwards: what is to be done before and after forward: see `kernels._chain.Recording`.
    """

    forward: Any
    backward: Any = None
    tape: int
    arguments: int
    is_single: bool
    differentiable: list[bool]
    results: tuple[list[Any], int]
    seeds: tuple[list[Any], int]
    reads_results: bool
    gradients: tuple[list[Any], int]
    beforehand: list[Any]
    afterwards: list[Any]


def _recorded(
    function: Callable[..., Any],
    module: Any,
    inputs: Sequence[Tensor],
    parameters: list[Tensor],
    with_gradients: bool,
) -> _Plan:
    """Run the function and record it, forward and backward; the module's buffers and the random numbers stay."""
    leaves = [wrap(tensor._array).requires_grad_(with_gradients and tensor.requires_grad) for tensor in inputs]
    kept = [b._array for b in module.buffers()]
    recorded = kernels._chain.Recording(
        [_memory(leaf._array) for leaf in leaves], [*(p._array for p in parameters), *kept]
    )
    with _undone(kept):
        token = tracing.set(recorded)
        try:
            returned = function(*leaves)
            outputs = returned if type(returned) is tuple else (returned,)
            for output in outputs:
                if not isinstance(output, Tensor):
                    raise GraphError(f"capture: the function must return Tensors, got {type(output).__name__}")
            seeds, memory = _seeds(outputs, with_gradients)
            first = recorded.begin_backward(memory)
            found: dict[Tensor, Tensor] = {}
            if memory.size:
                differentiable = [(o, wrap(s.of(memory))) for o, s in zip(outputs, seeds) if s is not None]
                found = leaf_gradients(*zip(*differentiable))
        finally:
            tracing.reset(token)
    for leaf in found:
        if leaf not in {*leaves, *parameters}:
            raise GraphError(
                f"capture: a Tensor of shape {tuple(leaf.shape)} requires grad, but is neither an argument nor a "
                "parameter of the module"
            )
    gradients = [found[t]._array if t in found else None for t in (*leaves, *parameters)]
    results = [output._array for output in outputs]
    plan = _planned(recorded, results, gradients, first)
    plan.arguments, plan.is_single = len(inputs), type(returned) is not tuple
    plan.seeds, plan.differentiable = (seeds, memory.nbytes), [s is not None for s in seeds]
    with _undone(kept):
        _check(plan, [t._array for t in (*inputs, *parameters)], memory, results, gradients)
    return plan


@contextmanager
def _undone(arrays: list[np.ndarray]) -> Iterator[None]:
    """What happens inside to these arrays and to the random numbers is undone."""
    before = [array.copy() for array in arrays]
    state = default_generator.get_state()
    try:
        yield
    finally:
        for array, values in zip(arrays, before):
            array[...] = values
        default_generator.set_state(state)


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


def _planned(recorded: Any, results: list[np.ndarray], gradients: list[np.ndarray | None], first: int) -> _Plan:
    """Programs of what was recorded, those of backward from number ``first`` on."""
    chain = kernels._chain
    wanted = [g for g in gradients if g is not None]
    placed = recorded.results(chain.RESULT, results)
    placed_gradients = recorded.results(chain.GRADIENTS, wanted, first)
    plan = _Plan()
    if placed is not None and placed_gradients is not None:
        plan.tape = recorded.plan()
        plan.forward = recorded.program(chain.At(chain.SCRATCH), 0, first)
        plan.backward = recorded.program(chain.At(chain.SCRATCH), first) if wanted else None
    if recorded.reason:
        raise GraphError(f"capture: the function can't be recorded: {recorded.reason}")
    assert placed is not None
    assert placed_gradients is not None
    views = iter(placed_gradients[0])
    plan.results = placed
    plan.gradients = [None if g is None else next(views) for g in gradients], placed_gradients[1]
    plan.reads_results = recorded.reads(chain.RESULT, first)
    plan.beforehand, plan.afterwards = recorded.beforehand(), recorded.afterwards()
    return plan


def _check(
    plan: _Plan,
    arrays: list[np.ndarray],
    seeds: np.ndarray,
    results: list[np.ndarray],
    gradients: list[np.ndarray | None],
) -> None:
    """Raise unless the programs compute from the same inputs, bit for bit, what was recorded."""
    replay = _Captured()
    replay.plan = plan
    found = [*replay.forward(*arrays)]
    if plan.backward is not None:
        found += [g for g in replay.gradients(seeds) if g is not None]
    expected = [*results, *(g for g in gradients if g is not None)]
    if any([a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)]):
        raise GraphError(
            "capture: the function can't be recorded: beside its kernels, something else changed an array on the way"
        )


# ---------------------------------------------------------------- replaying


class _Captured(Op):
    """Inputs are the function's arguments and, where gradients are wanted, all parameters."""

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
        super()._save(inputs, tuple([(index, ()) for index in range(len(inputs))]), outputs, saved_outputs)

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
        memory = _bytes(size)
        scratch = buffers.scratch(plan.backward.workspace, dtype)
        assert self.tape is not None
        plan.backward(self.tape, scratch, self.results, memory, seeds, *self.memories)
        self.tape = None
        found: dict[int, np.ndarray] = {}
        return [None if view is None else _own(found, view.offset, view.of(memory)) for view in views]

    def name(self) -> str:
        """What ``grad_fn`` prints."""
        return "CapturedBackward"


def _bytes(size: int) -> np.ndarray:
    """Memory that begins on a cache line."""
    return buffers.empty((max(size, buffers.SMALLEST),), np.dtype(np.uint8))


def _own(found: dict[int, np.ndarray], offset: int, gradient: np.ndarray) -> np.ndarray:
    """The gradient, which was not found at this offset before (for both terms of a sum); else a copy of it."""
    return gradient if found.setdefault(offset, gradient) is gradient else gradient.copy(order="K")


def _lies_as(array: np.ndarray, view: Any) -> bool:
    return array.strides == view.strides and array.flags.aligned
