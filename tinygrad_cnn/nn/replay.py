"""What a `Sequential` computes when nothing is recorded, as one program per shape of its input.

The first time, the layers run one by one, and the programs behind them are recorded (`kernels._chain`). After that, one
call runs them all, as long as nothing that was looked at then has changed: the layers and their settings, where their
parameters lie, the input's shape and layout, the number of threads. The values of parameters may change.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, wrap
from ..autograd.grad_mode import inference
from ..kernels._memory import ABSENT, is_channels_last
from ..ops import buffers, conv
from ..ops.layout import nchw, nhwc
from ..threads import get_num_threads
from .activation import ReLU
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Identity, Linear
from .module import Module
from .pooling import MaxPool2d

REMEMBERED = 8
"""Shapes of inputs whose programs are kept, at most."""

LIMIT = 64 << 20
"""Bytes of intermediate results that a recording keeps alive. Larger ones take so long that Python hardly counts."""

_SETTINGS: dict[type[Module], Callable[[Module], Any]] = {
    Conv2d: operator.attrgetter("stride", "padding", "dilation", "groups"),
    Linear: operator.attrgetter("training"),
    ReLU: operator.attrgetter("inplace"),
    MaxPool2d: operator.attrgetter("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
    Flatten: operator.attrgetter("start_dim", "end_dim"),
    Dropout: operator.attrgetter("training"),
    Identity: operator.attrgetter("training"),
}
"""What the result of a layer depends on beside its parameters, for the layers that may be replayed."""


class Replays:
    """The programs of one `Sequential`, by what they were recorded for."""

    def __init__(self) -> None:
        self._programs: dict[Any, _Replay | None] = {}

    def __deepcopy__(self, memo: Any) -> Replays:
        """A copied module has other parameters: it begins with none."""
        return Replays()

    def run(self, modules: Sequence[Any], forward: Callable[[Any], Any], input: Any) -> Any:
        """``forward(input)``: replayed where it can be, else called, and recorded if it was not yet.

        Args:
            modules: all that ``forward`` calls.
            forward: calls them one after the other, with no operations between them.
            input: its argument; no operation is recorded for gradients.
        """
        memory = _memory(input._array) if type(input) is Tensor else None
        situation = None if memory is None else _situation(modules, input._array)
        if memory is None or situation is None or kernels._tasks.tracing.get() is not None:
            return forward(input)
        if situation in self._programs:
            replay = self._programs[situation]
            return forward(input) if replay is None else replay(memory)
        listener = kernels._chain.Recording(memory, _parameters(modules), LIMIT)
        token = kernels._tasks.tracing.set(listener)
        try:
            output = forward(input)
        finally:
            kernels._tasks.tracing.reset(token)
        while len(self._programs) >= REMEMBERED:
            self._programs.pop(next(iter(self._programs)))
        self._programs[situation] = _replay(listener, output, modules)
        return output


def _situation(modules: Sequence[Any], x: np.ndarray) -> Any:
    """All that a program depends on, to be compared; None if it can't be replayed."""
    found: list[Any] = [x.shape, x.strides, x.dtype]
    before: Any = None
    for module in modules:
        kind = type(module)
        settings = _SETTINGS.get(kind)
        if settings is None or module.has_hooks() or (kind is Dropout and module.training):
            return None
        if kind is ReLU and module.inplace and before not in (Conv2d, Linear):  # those take it along
            return None
        # An array's identity stands for where it lies: a program keeps its arrays, so no other can get the same.
        found += (kind, settings(module), *[id(p._array) for p in module._parameters.values() if p is not None])
        before = kind
    found += (get_num_threads(), conv.get_float32_matmul_precision())
    return tuple(found)


def _parameters(modules: Sequence[Any]) -> list[np.ndarray]:
    return [p._array for module in modules for p in module._parameters.values() if p is not None]


def _memory(x: np.ndarray) -> np.ndarray | None:
    """The C-contiguous array that a kernel reads ``x`` as; None if it would read a copy."""
    if x.dtype.kind != "f" or not x.size:
        return None
    if x.flags.carray:
        return x
    return nhwc(x) if x.ndim == 4 and is_channels_last(x) else None


class _Replay:
    """One program, and the shape of its result."""

    def __init__(self, program: Any, shape: tuple[int, ...], is_image: bool, arrays: list[np.ndarray]) -> None:
        self.program, self.shape, self.is_image = program, shape, is_image
        self.arrays = arrays

    def __call__(self, memory: np.ndarray) -> Tensor:
        dtype, program = memory.dtype, self.program
        none = ABSENT[dtype]
        out = buffers.empty(self.shape, dtype)
        program(memory, none, none, buffers.scratch(program.workspace, dtype), out)
        result = wrap(nchw(out) if self.is_image else out)
        if inference.get():
            result._inference = True
        return result


def _replay(listener: Any, output: Any, modules: Sequence[Any]) -> _Replay | None:
    """What was recorded, if it gives the output."""
    if type(output) is not Tensor:
        return None
    memory = _memory(output._array)
    program = None if memory is None else listener.program(memory)
    if memory is None or program is None:
        return None
    return _Replay(program, memory.shape, memory is not output._array, _parameters(modules))
