"""What a function of one Tensor computes, as one program: recorded in its first call, run in all that follow.

The function must be a sequence of operations without decisions by values. All that it depends on beside its input's
numbers and its parameters' is given as its *situation*, a hashable value; here the input's shape, the number of threads
and the precision are added. For each situation there is one program (see `kernels._chain`), with the bits of the
operations one by one.

A large batch of images goes through the layers that look at each image alone in `chunks`: with 256 images the lecture's
network takes 27 instead of 32 ms (2 cores of Zen 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, wrap
from ..autograd.grad_mode import inference
from ..kernels._memory import ABSENT, memory_of
from ..tracing import tracing
from . import buffers
from .chunks import CHUNK, cut
from .conv import get_float32_matmul_precision
from .layout import nchw

if TYPE_CHECKING:
    from ..kernels._chain import Recording

REMEMBERED = 8
"""Situations whose programs are kept, at most."""

LIMIT = 64 << 20
"""Bytes of intermediate results that a recording keeps alive. Larger ones take so long that Python hardly counts."""

Layers = Callable[[Any], Any]
"""A function of one Tensor."""


class Replays:
    """The programs of one function."""

    def __init__(self) -> None:
        self._programs: dict[Hashable, _Replay | _InChunks | None] = {}

    def __deepcopy__(self, memo: Any) -> Replays:
        """A copy of what the function belongs to has other parameters: it begins with no programs."""
        return Replays()

    def run(
        self,
        function: Layers,
        input: Any,
        situation: Hashable,
        parameters: Sequence[np.ndarray],
        parts: Callable[[], tuple[Layers, Layers | None]] | None = None,
    ) -> Any:
        """``function(input)``: replayed where that can be; else called, and recorded if it was not yet.

        Args:
            function: a sequence of operations on its argument and the parameters.
            input: its argument; nothing is recorded for gradients.
            situation: all else that it depends on.
            parameters: the arrays that it reads; their numbers may change from call to call.
            parts: gives the function in two parts, the first of which computes each image, a row of the first
                dimension, alone; the second may be None.
        """
        x = input._array if type(input) is Tensor else None
        memory = memory_of(x) if x is not None and x.dtype.kind == "f" and x.size else None
        if x is None or memory is None or tracing.get() is not None:
            return function(input)
        # An array's identity stands for where it lies: a replay keeps its arrays, so no other can get the same.
        key = (
            situation, tuple(map(id, parameters)), x.shape, x.strides, x.dtype, kernels._jit.get_num_threads(),
            get_float32_matmul_precision(),
        )  # fmt: skip
        if key in self._programs:
            replay = self._programs[key]
            return function(input) if replay is None else replay(memory)
        output, recording = _recorded(function, input, memory, parameters)
        while len(self._programs) >= REMEMBERED:
            self._programs.pop(next(iter(self._programs)))
        in_chunks = None if parts is None else _in_chunks(*parts(), x, recording, parameters)
        self._programs[key] = in_chunks or _replay(recording, output, parameters)
        return output


def _recorded(
    function: Layers, input: Tensor, memory: np.ndarray, parameters: Sequence[np.ndarray]
) -> tuple[Any, Recording]:
    """``function(input)``, and the programs that computed it."""
    recording = kernels._chain.Recording([memory], parameters, LIMIT)
    token = tracing.set(recording)
    try:
        return function(input), recording
    finally:
        tracing.reset(token)


class _Replay:
    """One program, and the shape of its result."""

    def __init__(self, program: Any, shape: tuple[int, ...], is_image: bool, parameters: Sequence[np.ndarray]) -> None:
        self.program, self.shape, self.is_image = program, shape, is_image
        self.parameters = parameters

    def __call__(self, memory: np.ndarray) -> Tensor:
        out = buffers.empty(self.shape, memory.dtype)
        self.write(memory, out)
        return self.tensor(out)

    def write(self, memory: np.ndarray, out: np.ndarray) -> None:
        """Compute from the input's memory that of the output, of the shape ``shape``."""
        none = ABSENT[memory.dtype]
        self.program(buffers.scratch(self.program.workspace, memory.dtype), none, out, none, none, memory)

    def tensor(self, out: np.ndarray) -> Tensor:
        """The output, in its logical shape."""
        result = wrap(nchw(out) if self.is_image else out)
        if inference.get():
            result._inference = True
        return result


def _replay(recording: Recording, output: Any, parameters: Sequence[np.ndarray]) -> _Replay | None:
    """What was recorded, if it gives the output."""
    if type(output) is not Tensor:
        return None
    memory = memory_of(output._array)
    if memory is None:
        return None
    chain = kernels._chain
    placed = recording.results(chain.RESULT, [memory])
    if placed is None or placed[0][0].offset or placed[1] - memory.nbytes >= chain.ALIGNMENT:
        return None  # it was computed otherwise, or is a part of what was computed
    program = recording.program(chain.At(chain.TAPE, recording.plan()))
    if program is None:
        return None
    return _Replay(program, memory.shape, memory is not output._array, parameters)


class _InChunks:
    """The first layers on a chunk of images after the other, the others on the whole batch."""

    def __init__(self, bounds: tuple[int, ...], replays: dict[int, _Replay], rest: Layers | None) -> None:
        self.bounds, self.replays, self.rest = bounds, replays, rest
        self.replays_of_rest = Replays()

    def __call__(self, memory: np.ndarray) -> Tensor:
        replay = next(iter(self.replays.values()))
        out = buffers.empty((self.bounds[-1], *replay.shape[1:]), memory.dtype)
        for first, after in itertools.pairwise(self.bounds):
            self.replays[after - first].write(memory[first:after], out[first:after])
        result = replay.tensor(out)
        if self.rest is None:
            return result
        return self.replays_of_rest.run(self.rest, result, None, replay.parameters)


def _in_chunks(
    layers: Layers, rest: Layers | None, x: np.ndarray, whole: Recording, parameters: Sequence[np.ndarray]
) -> _InChunks | None:
    """The way through chunks; None where it brings nothing, or would run other algorithms than ``whole`` did."""
    bounds = cut(len(x), whole.written, CHUNK)
    sizes = {after - first for first, after in itertools.pairwise(bounds)}
    if x.ndim != 4 or len(x) in sizes:
        return None
    replays = {}
    for size in sizes:
        part = wrap(x[:size])
        memory = memory_of(part._array)
        if memory is None:
            return None
        output, recording = _recorded(layers, part, memory, parameters)
        replay = _replay(recording, output, parameters)
        if replay is None or replay.shape[0] != size or recording.ran != whole.ran[: len(recording.ran)]:
            return None
        replays[size] = replay
    return _InChunks(bounds, replays, rest)
