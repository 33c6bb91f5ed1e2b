"""``capture``: forward and backward of a network, recorded once and then replayed without the Python between kernels.

A training step of LeNet-5 with 64 images spends a third of its time between kernels: checks, allocation, nodes of the
graph. `capture` lets a function run once while `kernels._chain` listens, and makes two programs of what it heard, one
for forward and one for backward. They are one node of the graph, with the function's arguments and all parameters as
its inputs; what autograd, hooks on parameters, optimizers and gradient accumulation do stays as it is.

The kernels are the same, and so are the bits. Before it is used, what was recorded runs once on the same numbers, and
its results must be those of the recording, bit for bit: that finds everything that happened beside kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from . import kernels
from .autograd import Op, Tensor, no_grad, wrap
from .autograd.engine import leaf_gradients
from .autograd.grad_mode import anomaly, recording
from .errors import DTypeError, GraphError
from .kernels._memory import ABSENT
from .kernels._tracing import tracing
from .ops import buffers
from .ops.conv import get_float32_matmul_precision
from .ops.layout import memory_of

REMEMBERED = 8
"""Situations whose programs a captured function keeps, at most."""


def capture(function: Callable[..., Tensor], module: Any = None) -> Captured:
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
        function: called with Tensors, gives one Tensor. Its numbers must come from kernels: convolution, pooling,
            ``batch_norm`` in training, ``linear``, ``relu``, sums of two Tensors of one shape, ``cross_entropy`` with
            int64 labels, and views such as ``flatten``. It must not ask a Tensor for its numbers.
        module: the ``nn.Module`` whose parameters and buffers it uses. Default: ``function`` itself.

    Returns:
        A function of up to three Tensors. What it returns has a gradient of first order only, and backward can go
        through it once, even with ``retain_graph``.

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

    def __init__(self, function: Callable[..., Tensor], module: Any) -> None:
        self.function, self.module = function, module
        self._plans: dict[Hashable, tuple[_Plan, list[Any]]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """``function(*inputs)``.

        Raises:
            DTypeError: an argument is not a Tensor.
            GraphError: see `capture`.
        """
        for index, tensor in enumerate(inputs):
            if not isinstance(tensor, Tensor):
                raise DTypeError(f"capture: argument {index} must be a Tensor, got {type(tensor).__name__}")
        situation: list[Any] = []
        has_hooks = _describe(self.module, situation)
        if has_hooks or anomaly.get() or tracing.get() is not None or not all([t._array.size for t in inputs]):
            return self.function(*inputs)
        inputs = tuple([t if memory_of(t._array) is not None else t.contiguous() for t in inputs])
        parameters = list(self.module.parameters())
        differentiable = [t for t in (*inputs, *parameters) if t.requires_grad] if recording.get() else []
        key = (
            *((t._array.shape, t._array.strides, t._array.dtype, t.requires_grad) for t in inputs),
            bool(differentiable), kernels._jit.get_num_threads(), get_float32_matmul_precision(), *map(id, situation),
        )  # fmt: skip
        found = self._plans.get(key)
        if found is None:
            plan = _recorded(self.function, self.module, inputs, parameters, differentiable)
            while len(self._plans) >= REMEMBERED:
                self._plans.pop(next(iter(self._plans)))
            # The objects are kept with it, so that their identities stand for them.
            found = self._plans[key] = plan, situation
        plan = found[0]
        if plan.backward is None:
            with no_grad():
                return _Replay.apply(*inputs, plan=plan)
        return _Replay.apply(*inputs, *parameters, plan=plan)

    def reset(self) -> None:
        """Forget what was recorded: for changes that `capture` can't see."""
        self._plans.clear()

    def __repr__(self) -> str:
        return f"<captured {getattr(self.function, '__name__', type(self.function).__name__)}>"


def _describe(module: Any, found: list[Any]) -> bool:
    """Append what a module's results depend on beside numbers; returns whether it, or one inside it, has hooks.

    The settings of this package's layers are among it. Those of other classes are not: a counter would be one.
    """
    attributes = module.__dict__
    if type(module).__module__.startswith("tinygrad_cnn."):
        found += attributes.values()
    else:
        found += (module, attributes.get("training"))
    for tensors in (module._parameters, module._buffers):
        for tensor in tensors.values():
            if tensor is not None:
                found += (tensor._array, tensor._requires_grad)
    has_hooks = module.has_hooks()
    for child in module._modules.values():
        if child is not None:
            has_hooks = _describe(child, found) or has_hooks
    return has_hooks


# ---------------------------------------------------------------- recording


class _Plan:
    """What was recorded: programs for forward and, if gradients are wanted, backward, and where everything lies.

    Attributes:
        forward, backward: see `kernels._chain.Recording.program`.
        tape: bytes of intermediate results.
        result: where the result lies in an array of so many bytes.
        reads_result: whether backward reads it.
        gradients: for each input (the function's arguments, then all parameters) where its gradient lies, None if it
            has none, in an array of so many bytes.
        seed: an array as that which backward is to begin with lies in memory.
        afterwards: what is to be done after forward: see `kernels._chain.Recording.afterwards`.
        arguments: how many inputs are the function's arguments.
    """

    forward: Any
    backward: Any = None
    tape: int
    result: tuple[Any, int]
    reads_result = False
    gradients: tuple[list[Any], int] = ([], 0)
    seed: np.ndarray
    afterwards: list[Any]
    arguments: int


def _recorded(
    function: Callable[..., Tensor],
    module: Any,
    inputs: Sequence[Tensor],
    parameters: list[Tensor],
    differentiable: list[Tensor],
) -> _Plan:
    """Run the function and record it, forward and, if anything is differentiable, backward."""
    buffers_of_module = [b._array for b in module.buffers()]
    before = [array.copy() for array in buffers_of_module]

    def restore() -> None:
        for array, values in zip(buffers_of_module, before):
            array[...] = values

    leaves = []
    for tensor in inputs:
        leaf = wrap(tensor._array)
        leaf._requires_grad = bool(differentiable) and tensor.requires_grad
        leaves.append(leaf)
    memories = [_memory(leaf._array) for leaf in leaves]
    recorded = kernels._chain.Recording(memories, [p._array for p in parameters] + buffers_of_module)
    token = tracing.set(recorded)
    try:
        output = function(*leaves)
        if type(output) is not Tensor:
            raise GraphError(f"capture: the function must return one Tensor, got {type(output).__name__}")
        result = output._array
        first = recorded.begin_backward(seed := np.ones_like(result))
        found: dict[Tensor, Tensor] = {}
        if differentiable and output.requires_grad:
            found = leaf_gradients(output, wrap(seed))
        foreign = set(found) - {*leaves, *parameters}
        if foreign:
            shapes = ", ".join(str(tuple(leaf.shape)) for leaf in foreign)
            raise GraphError(f"capture: a Tensor of shape {shapes} requires grad, but is no parameter of the module")
        gradients = [found[t]._array if t in found else None for t in (*leaves, *parameters)]
        plan = _planned(recorded, result, gradients, first, seed)
        plan.arguments = len(inputs)
    finally:
        tracing.reset(token)
        restore()
    try:
        _check(plan, [t._array for t in (*inputs, *parameters)], result, gradients)
    finally:
        restore()
    return plan


def _memory(array: np.ndarray) -> np.ndarray:
    memory = memory_of(array)
    assert memory is not None, "arguments were made contiguous"
    return memory


def _planned(
    recorded: Any, result: np.ndarray, gradients: list[np.ndarray | None], first: int, seed: np.ndarray
) -> _Plan:
    """Programs of what was recorded, those of backward from number ``first`` on."""
    chain = kernels._chain
    wanted = [g for g in gradients if g is not None]
    placed = recorded.results(chain.RESULT, [result])
    placed_gradients = recorded.results(chain.GRADIENTS, wanted, first)
    plan = _Plan()
    if placed is not None and placed_gradients is not None:
        plan.tape = recorded.plan()
        plan.forward = recorded.program(chain.At(chain.SCRATCH), 0, first)
        if wanted:
            plan.backward = recorded.program(chain.At(chain.SCRATCH), first)
    if recorded.reason:
        raise GraphError(f"capture: this function can't be recorded: {recorded.reason}")
    assert placed is not None
    assert placed_gradients is not None
    views = iter(placed_gradients[0])
    plan.result = placed[0][0], placed[1]
    plan.reads_result = recorded.reads(chain.RESULT, first)
    plan.gradients = [None if g is None else next(views) for g in gradients], placed_gradients[1]
    plan.seed, plan.afterwards = seed, recorded.afterwards()
    return plan


def _check(
    plan: _Plan, arrays: list[np.ndarray], result: np.ndarray, gradients: list[np.ndarray | None]
) -> None:
    """Raise unless the programs compute from the same inputs, bit for bit, what was recorded."""
    replay = _Replay()
    replay.plan = plan
    found = [replay.forward(*arrays)]
    if plan.backward is not None:
        found += [g for g in replay.gradients(plan.seed) if g is not None]
    expected = [result, *(g for g in gradients if g is not None)]
    if any([a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)]):
        raise GraphError(
            "capture: this function can't be recorded: beside its kernels, something else changed an array on the way"
        )


# ---------------------------------------------------------------- replaying


class _Replay(Op):
    """Inputs are the function's arguments and, where gradients are wanted, all parameters."""

    saves_inputs = (0,)  # which ones, `_save` says
    makes_fresh_gradients = True
    plan: _Plan

    def forward(self, *arrays: np.ndarray) -> np.ndarray:
        plan = self.plan
        dtype = plan.forward.dtype
        none, (view, size) = ABSENT[dtype], plan.result
        self.memories = [_memory(array) for array in arrays[: plan.arguments]]
        self.tape: np.ndarray | None = _bytes(plan.tape)
        self.result = _bytes(size)
        result = view.of(self.result)
        plan.forward(
            self.tape, buffers.scratch(plan.forward.workspace, dtype), self.result, none, none, *self.memories
        )
        for function, places in plan.afterwards:
            operands = (self.tape, none, self.result, none, none, *self.memories)
            function(*[p if isinstance(p, np.ndarray) else p[1].of(operands[p[0]]) for p in places])
        return result

    def _save(self, inputs: Any, saved_inputs: Any, outputs: Any, saved_outputs: Any) -> None:
        everything = tuple([(index, ()) for index in range(len(inputs))])
        super()._save(inputs, everything, outputs, (0,) if self.plan.reads_result else ())

    def backward(self, grad: Tensor, *saved: Tensor | None) -> tuple[Tensor | None, ...]:
        if recording.get():
            raise GraphError(
                "capture: a captured function has gradients of first order only; call the function itself where "
                "create_graph=True"
            )
        if self.tape is None:
            raise GraphError(
                "capture: backward through a captured function a second time; call the function itself where the graph "
                "is retained"
            )
        wanted = [self.needs(index) for index in range(len(self.edges))]
        return tuple([wrap(g) if g is not None and w else None for g, w in zip(self.gradients(grad._array), wanted)])

    def gradients(self, grad: np.ndarray) -> list[np.ndarray | None]:
        """For every input its gradient, or None, from that of the result."""
        plan = self.plan
        assert self.tape is not None
        if grad.strides != plan.seed.strides or not grad.flags.aligned:
            seed = np.empty_like(plan.seed)
            seed[...] = grad
            grad = seed
        views, size = plan.gradients
        dtype, memory = plan.backward.dtype, _bytes(size)
        scratch = buffers.scratch(plan.backward.workspace, dtype)
        plan.backward(self.tape, scratch, self.result, memory, grad, *self.memories)
        self.tape = None
        return [None if view is None else view.of(memory) for view in views]


def _bytes(size: int) -> np.ndarray:
    """Memory that begins on a cache line."""
    return buffers.empty((max(size, buffers.SMALLEST),), np.dtype(np.uint8))
