"""What a function of one Tensor computes, as one program: recorded in its first call, run in all that follow.

The function must be a sequence of operations without decisions by values. All that it depends on beside its input's
numbers and its parameters' is given as its *situation*, a hashable value; here the input's shape, the number of threads
and the precision are added. For each situation there is one program (see `kernels._chain`), with the bits of the
operations one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, wrap
from ..autograd.grad_mode import inference
from ..kernels._memory import ABSENT, is_channels_last
from . import buffers
from .conv import get_float32_matmul_precision
from .layout import nchw, nhwc

REMEMBERED = 8
"""Situations whose programs are kept, at most."""

LIMIT = 64 << 20
"""Bytes of intermediate results that a recording keeps alive. Larger ones take so long that Python hardly counts."""


class Replays:
    """The programs of one function."""

    def __init__(self) -> None:
        self._programs: dict[Hashable, _Replay | None] = {}

    def __deepcopy__(self, memo: Any) -> Replays:
        """A copy of what the function belongs to has other parameters: it begins with no programs."""
        return Replays()

    def run(
        self, function: Callable[[Any], Any], input: Any, situation: Hashable, parameters: Sequence[np.ndarray]
    ) -> Any:
        """``function(input)``: replayed where that can be; else called, and recorded if it was not yet.

        Args:
            function: a sequence of operations on its argument and the parameters.
            input: its argument; nothing is recorded for gradients.
            situation: all else that it depends on.
            parameters: the arrays that it reads; their numbers may change from call to call.
        """
        memory = _memory(input._array) if type(input) is Tensor else None
        if memory is None or kernels._tasks.tracing.get() is not None:
            return function(input)
        x = input._array
        # An array's identity stands for where it lies: a replay keeps its arrays, so no other can get the same.
        key = (
            situation, tuple(map(id, parameters)), x.shape, x.strides, x.dtype, kernels._jit.get_num_threads(),
            get_float32_matmul_precision(),
        )  # fmt: skip
        if key in self._programs:
            replay = self._programs[key]
            return function(input) if replay is None else replay(memory)
        recording = kernels._chain.Recording(memory, parameters, LIMIT)
        token = kernels._tasks.tracing.set(recording)
        try:
            output = function(input)
        finally:
            kernels._tasks.tracing.reset(token)
        while len(self._programs) >= REMEMBERED:
            self._programs.pop(next(iter(self._programs)))
        self._programs[key] = _replay(recording, output, parameters)
        return output


def _memory(x: np.ndarray) -> np.ndarray | None:
    """The C-contiguous array that a kernel reads ``x`` as; None if it would read a copy."""
    if x.dtype.kind != "f" or not x.size:
        return None
    if x.flags.carray:
        return x
    return nhwc(x) if x.ndim == 4 and is_channels_last(x) else None


class _Replay:
    """One program, and the shape of its result."""

    def __init__(self, program: Any, shape: tuple[int, ...], is_image: bool, parameters: Sequence[np.ndarray]) -> None:
        self.program, self.shape, self.is_image = program, shape, is_image
        self.parameters = parameters

    def __call__(self, memory: np.ndarray) -> Tensor:
        dtype, program = memory.dtype, self.program
        none = ABSENT[dtype]
        out = buffers.empty(self.shape, dtype)
        program(memory, none, none, buffers.scratch(program.workspace, dtype), out)
        result = wrap(nchw(out) if self.is_image else out)
        if inference.get():
            result._inference = True
        return result


def _replay(recording: Any, output: Any, parameters: Sequence[np.ndarray]) -> _Replay | None:
    """What was recorded, if it gives the output."""
    if type(output) is not Tensor:
        return None
    memory = _memory(output._array)
    program = None if memory is None else recording.program(memory)
    if memory is None or program is None:
        return None
    return _Replay(program, memory.shape, memory is not output._array, parameters)
