"""PyTorch's way to write an operation: a class with static ``forward(ctx, ...)`` and ``backward(ctx, ...)``.

It is a thin layer on ``Op``: ``Function.apply`` records one node, and the node hands its ``ctx`` to the class's
``backward``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError, GraphError, ShapeError
from .anomaly import inspect_call
from .engine import edge_of
from .grad_mode import anomaly, enable_grad, no_grad, recording
from .op import Op, Saved
from .tensor import Tensor, View, wrap


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors, and any attribute that is set on it.

    Attributes:
        needs_input_grad: one bool per argument of ``apply``: whether its gradient is wanted.
        saved_tensors: what ``save_for_backward`` got, in ``backward``.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Tensor | None, ...] = ()
        self._non_differentiable: tuple[Tensor, ...] = ()
        self._materialize = True
        self._unpacked: tuple[Tensor | None, ...] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``: inputs and outputs with their history, others as constants.

        A tensor that is neither input nor output (an intermediate result) is a constant in second derivatives, here as
        in PyTorch; return it as a further output if its own gradient matters.

        Raises:
            DTypeError: something that is neither a Tensor nor None.
        """
        for index, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise DTypeError(
                    f"save_for_backward: expected Tensors or None, got {type(tensor).__name__} as argument {index}"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The saved tensors; only while ``backward`` runs.

        Raises:
            GraphError: outside backward.
        """
        if self._unpacked is None:
            raise GraphError("saved_tensors: only available while backward runs")
        return self._unpacked

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Not supported: return new tensors instead of writing to the inputs.

        Raises:
            GraphError: always.
        """
        raise GraphError("mark_dirty: a Function must not write to its inputs; return a new tensor instead")

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient, as an index has none; backward gets zeros for them."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros for outputs that received no gradient (default), or None."""
        self._materialize = bool(value)


class Function:
    """Base class of operations in PyTorch's style, ``torch.autograd.Function``.

    Example::

        class Square(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return 2 * x * grad

        y = Square.apply(x)

    Instead of ``forward(ctx, ...)`` there may be ``forward(...)`` and ``setup_context(ctx, inputs, output)``.

    ``backward`` returns one gradient per argument of ``apply`` (a single one may stand without a tuple): a Tensor of
    the argument's shape, or None.  As in PyTorch a gradient to whose shape the argument's broadcasts is summed over the
    added dimensions, and one of another dtype is converted.  A backward that is written in operations on Tensors can be
    differentiated again.
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        """Compute the output, a Tensor or a tuple, from the arguments of ``apply``.  Nothing is recorded inside."""
        raise NotImplementedError("Function: forward must be defined as a static method")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, where ``forward`` takes no ctx."""
        raise NotImplementedError("Function: setup_context must be defined as a static method")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """One gradient, or None, per argument of ``apply`` from one gradient per output."""
        raise NotImplementedError("Function: backward must be defined as a static method")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and, if a gradient may be wanted, record it.

        Args:
            *args: Tensors and anything else.

        Returns:
            What forward returned, its Tensors connected to the graph.  They are new Tensors on the same memory: a ctx
            that keeps what forward made then does not keep the graph that keeps the ctx.

        Raises:
            TypeError: forward, setup_context or backward is not a static method.
            DTypeError: forward returned neither a Tensor nor a tuple with one in it.
            GraphError: forward wrote to an input that requires grad.
        """
        _check_static(cls)
        ctx = FunctionCtx(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
        before = [_writes(a) for a in args]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        for index, count in enumerate(before):
            if ctx.needs_input_grad[index] and _writes(args[index]) != count:
                raise GraphError(
                    f"{cls.__name__}: forward wrote to its input {index}, which requires grad; return a new tensor "
                    "instead"
                )
        return _wrapped(cls, ctx, args, result)


class FunctionNode(Op):
    """The node of one ``Function.apply``."""

    function: type[Function]
    ctx: FunctionCtx
    inputs: tuple[tuple[tuple[int, ...], np.dtype] | None, ...]  # shape and dtype; None for what is not a Tensor
    places: tuple[int | None, ...]  # per output of forward: which output of the node; None for what is not a Tensor
    output_dtypes: tuple[np.dtype, ...]

    def connect(self, args: tuple[Any, ...], made: Sequence[Tensor]) -> list[Tensor]:
        """Record the call: new Tensors for those that forward made, and what backward is to read."""
        tensors = tuple(a if isinstance(a, Tensor) else None for a in args)
        self.inputs = tuple(None if t is None else (t._array.shape, t._array.dtype) for t in tensors)
        self.output_dtypes = tuple(t._array.dtype for t in made)
        self.edges = tuple(edge_of(t) if t is not None and t.requires_grad else None for t in tensors)
        outputs = [wrap(t._array) for t in made]
        self._connect(tuple(outputs))
        if anomaly.get():
            inspect_call(self, tensors, tuple(outputs))
        self.saved = [None if t is None else self._kept(t, made) for t in self.ctx._to_save]
        return outputs

    def _kept(self, tensor: Tensor, made: Sequence[Tensor]) -> Saved:
        index = next((i for i, t in enumerate(made) if t is tensor), None)
        if index is not None and not any(tensor is t for t in self.ctx._non_differentiable):
            edge: Any = (None, index) if tensor._array.dtype.kind == "f" else None  # see Saved
        else:
            edge = edge_of(tensor) if tensor.requires_grad else None
        version = tensor._counter()
        return tensor._array, version, version[0], edge

    def backward(self, *received: Any) -> tuple[Tensor | None, ...]:
        count = len(self.output_shapes)
        grads = list(received[:count])
        if self.ctx._materialize:
            for i, (shape, dtype) in enumerate(zip(self.output_shapes, self.output_dtypes)):
                if grads[i] is None:
                    grads[i] = wrap(np.zeros(shape, dtype))
        self.ctx._unpacked = received[count:]
        try:
            results = self.function.backward(self.ctx, *[None if i is None else grads[i] for i in self.places])
        finally:
            self.ctx._unpacked = None
        return self._checked(results if isinstance(results, tuple) else (results,))

    def _checked(self, results: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
        expected = len(self.inputs)
        if len(results) < expected or any(grad is not None for grad in results[expected:]):
            raise GraphError(f"{self.name()}: returned {len(results)} gradients, expected {expected}, one per argument")
        return tuple(self._fitted(i, grad) for i, grad in enumerate(results[:expected]))

    def _fitted(self, index: int, grad: Any) -> Tensor | None:
        """The gradient for one argument in the argument's shape and dtype, None where none is wanted."""
        if grad is None:
            return None
        if not isinstance(grad, Tensor):
            raise DTypeError(f"{self.name()}: expected a Tensor or None as gradient {index}, got {type(grad).__name__}")
        target = self.inputs[index]
        if target is None:
            raise GraphError(f"{self.name()}: gradient {index} is not None, but argument {index} is not a Tensor")
        if not self.needs(index):
            return None
        shape, dtype = target
        if grad._array.shape != shape:
            grad = self._summed(index, grad, shape)
        return grad if grad._array.dtype == dtype else grad.to(dtype)

    def _summed(self, index: int, grad: Tensor, shape: tuple[int, ...]) -> Tensor:
        added = grad.ndim - len(shape)
        sizes = grad._array.shape[added:] if added >= 0 else None
        if sizes is None or any(size not in (1, own) for size, own in zip(shape, sizes)):
            raise ShapeError(f"{self.name()}: gradient {index} has shape {tuple(grad.shape)}, expected {shape}")
        repeated = [added + i for i, size in enumerate(shape) if size == 1]
        return grad.sum(dim=(*range(added), *repeated)).reshape(shape)

    def name(self) -> str:
        return f"{self.function.__name__}Backward"


def _check_static(cls: type[Function]) -> None:
    """An ordinary method would take the ctx for self, and fail with a message that helps nobody."""
    for name in ("forward", "setup_context", "backward"):
        if not isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod):
            raise TypeError(f"{cls.__name__}: {name} must be a static method; put @staticmethod above it")


def _writes(value: Any) -> int:
    """How often the memory of a Tensor was written to."""
    return value._version[0] if isinstance(value, Tensor) and value._version is not None else 0


def _wrapped(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], result: Any) -> Any:
    """What forward returned, with each Tensor replaced by one that is connected to the graph, if there is one."""
    items = result if isinstance(result, tuple) else (result,)
    made = [item for item in items if isinstance(item, Tensor)]
    if not made:
        raise DTypeError(f"{cls.__name__}: forward must return a Tensor or a tuple of them, got {_kinds(result)}")
    if recording.get() and any(ctx.needs_input_grad):
        node = FunctionNode()
        node.function, node.ctx = cls, ctx
        number = itertools.count().__next__
        node.places = tuple(number() if isinstance(item, Tensor) else None for item in items)
        outputs = node.connect(args, made)
        for own, output in zip(made, outputs):
            if any(own is t for t in ctx._non_differentiable):
                output._node, output._index, output._requires_grad = None, 0, False
    else:
        outputs = [wrap(own._array) for own in made]
    for i, (own, output) in enumerate(zip(made, outputs)):
        bases = [outputs[j] for j in range(i) if made[j] is own]  # it is returned more than once
        if own._requires_grad or any(own is a for a in args):
            bases.append(own)
        _share_memory(output, own, bases[0] if bases else None)
    ctx._to_save = ctx._non_differentiable = ()  # the node has them now, and lets go of them after backward
    remaining = iter(outputs)
    connected = tuple(next(remaining) if isinstance(item, Tensor) else item for item in items)
    return connected if isinstance(result, tuple) else connected[0]


def _kinds(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in result) or 'nothing'}"
    return type(result).__name__


def _share_memory(output: Tensor, own: Tensor, base: Tensor | None) -> None:
    """Let in-place writes be noticed where an output's memory is also that of an input or of another output, base."""
    output._copied_by = own._copied_by
    if own._inference:
        output._inference = True
        return
    output._version = own._counter()
    if base is not None:
        output._view = View(base, None, {})
    elif own._view is not None:
        output._view = own._view


class DifferentiatedTwice(Op):
    """The input; going backward through it is the error that ``once_differentiable`` promises."""

    by: str

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x

    def backward(self, *grads: Tensor) -> tuple[Tensor | None, ...]:
        raise GraphError(f"{self.by}: marked with @once_differentiable, so its gradient cannot be differentiated")


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a ``backward`` that is not written in operations on Tensors: nothing in it is recorded.

    Differentiating its gradients again raises a GraphError, also where PyTorch would silently leave the term out
    because the incoming gradient needs none.
    """

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grads)
        if not recording.get():
            return results
        guarded = tuple(
            _guard(result, backward.__qualname__) if isinstance(result, Tensor) else result
            for result in (results if isinstance(results, tuple) else (results,))
        )
        return guarded if isinstance(results, tuple) else guarded[0]

    return wrapper


def _guard(result: Tensor, name: str) -> Tensor:
    leaf = wrap(result._array)
    leaf._requires_grad = True
    with enable_grad():
        return DifferentiatedTwice.apply(leaf, by=name)
