"""Many programs as one: what a network computes, recorded once and then run in a single call.

Between two layers' kernels lies the Python of a layer: checks, allocation, an operation, a launch. With one image that
is most of the time. A `Recording` listens while the layers run once: every program reports its operands, and where each
lies says what it is: the input, a parameter, or what an earlier program wrote. From that follows one program with the
stages of all. The intermediate results lie in its workspace, planned so that those which are needed at different times
share memory.

The kernels are the same, and so are the bits. An operand of unknown origin (NumPy computed it) ends the recording
without a program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._tasks import NOWHERE, OUT, WORKSPACE, At, Program, Stage, TaskKernel
from ._workspace import LEFT, round_up

Array = np.ndarray[Any, np.dtype[Any]]

ALIGNMENT = 64
"""Intermediate results begin on a cache line."""


class _Span(NamedTuple):
    """Bytes in memory and what they are: `LEFT`, the input; a parameter; or the number of an intermediate result."""

    begin: int
    end: int
    meaning: At | Array | int


class _Intermediate:
    """What one program writes and others read, and when: numbers of programs."""

    def __init__(self, size: int, written: int) -> None:
        self.size = size
        self.written = self.last_read = written
        self.place: At | None = None


class Recording:
    """Records programs; call it with each one and its operands, in order.

    Args:
        input: the array that all of it begins with; where it lies is `LEFT` in the result.
        parameters: arrays that are read where they lie, in every run.
        limit: bytes of operands to keep alive for the time of the recording; above, it is given up.

    Attributes:
        ran: every program's algorithm and kernels, in order.
        written: bytes that the programs wrote, in all; both also where the recording was given up.
    """

    def __init__(self, input: Array, parameters: Sequence[Array], limit: int) -> None:
        self.ran: list[tuple[str, list[TaskKernel]]] = []
        self.written = 0
        self._known = [_span(input, LEFT), *(_span(array, array) for array in parameters)]
        self._limit = limit
        self._calls: list[tuple[Program, list[At | Array | int | tuple[int, int]]]] = []
        self._intermediates: list[_Intermediate] = []
        self._kept: list[Any] = []  # while operands live, no other array can lie where they do
        self._complete = True

    def give_up(self) -> None:
        """There will be no program."""
        self._complete = False
        self._kept.clear()

    def __call__(self, program: Program, arrays: tuple[Array, ...]) -> None:
        """One program runs on these operands."""
        self.ran.append((program.algorithm, [stage.kernel for stage in program.stages]))
        self.written += sum(arrays[index].nbytes for index in program.writes if index < len(arrays))
        if not self._complete:
            return
        self._kept.append(arrays)
        places = [self._place(program, index, array) for index, array in enumerate(arrays)]
        if self.written > self._limit or any([place is None for place in places]):
            self.give_up()
            return
        self._calls.append((program, places))  # type: ignore[arg-type]

    def _place(self, program: Program, index: int, array: Array) -> At | Array | int | tuple[int, int] | None:
        """What an operand is: a place, a parameter, an intermediate result's number (and offset); None if unknown."""
        if array.size == 0:
            return NOWHERE
        if index == WORKSPACE and program.workspace:
            return At(WORKSPACE)
        number = len(self._calls)
        if index in program.writes:
            self._intermediates.append(_Intermediate(array.nbytes, number))
            self._known.append(_span(array, len(self._intermediates) - 1))
            return len(self._intermediates) - 1
        address = _address(array)
        for span in reversed(self._known):
            if span.begin <= address and address + array.nbytes <= span.end:
                if isinstance(span.meaning, np.ndarray):
                    return array
                if isinstance(span.meaning, At):
                    return At(span.meaning.operand, address - span.begin)
                self._intermediates[span.meaning].last_read = number
                return span.meaning, address - span.begin
        return None

    def program(self, result: Array) -> Program | None:
        """All of it as one program, ``run(input, none, none, workspace, result)``; None if that cannot be.

        Args:
            result: what was computed: memory that one of the programs wrote, the whole of it.
        """
        if not self._complete or not self._calls:
            return None
        span = _span(result, LEFT)
        found = [s.meaning for s in self._known if (s.begin, s.end) == span[:2] and type(s.meaning) is int]
        if not found:
            return None
        self._intermediates[found[-1]].place = At(OUT)
        first = self._plan()
        dtype, workspace, stages = self._calls[0][0].dtype, first, []
        for program, places in self._calls:
            workspace = max(workspace, first + program.workspace * dtype.itemsize)
            operands = [self._resolved(program, index, place, first) for index, place in enumerate(places)]
            stages += [_moved(stage, operands) for stage in program.stages]
        workers = self._calls[0][0].workers
        return Program(dtype, workers, stages, -(-workspace // dtype.itemsize))

    def _plan(self) -> int:
        """Give every intermediate result a place in the workspace; returns how many bytes they take."""
        planned: list[_Intermediate] = []
        total = 0
        for new in self._intermediates:
            if new.place is not None:
                continue
            # The lowest gap among those that live at the same time.
            begin = 0
            for old in sorted(planned, key=lambda i: i.place.offset):  # type: ignore[union-attr]
                if old.last_read < new.written or new.last_read < old.written:
                    continue
                assert old.place is not None
                if begin + new.size <= old.place.offset:
                    break
                begin = max(begin, round_up(old.place.offset + old.size, ALIGNMENT))
            new.place = At(WORKSPACE, begin)
            planned.append(new)
            total = max(total, round_up(begin + new.size, ALIGNMENT))
        return total

    def _resolved(self, program: Program, index: int, place: Any, scratch: int) -> At | Array:
        """Where an operand lies for the joint program, whose workspace ends with the programs' own."""
        if isinstance(place, np.ndarray):
            return place
        if isinstance(place, At):
            return At(WORKSPACE, scratch) if place.operand == WORKSPACE else place
        number, offset = place if type(place) is tuple else (place, 0)
        intermediate = self._intermediates[number]
        if index in program.spare and intermediate.last_read == intermediate.written and intermediate.place != At(OUT):
            return NOWHERE
        assert intermediate.place is not None
        return At(intermediate.place.operand, intermediate.place.offset + offset)


def _span(array: Array, meaning: At | Array | int) -> _Span:
    address = _address(array)
    return _Span(address, address + array.nbytes, meaning)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _moved(stage: Stage, operands: Sequence[At | Array]) -> Stage:
    """The stage with its operands elsewhere."""

    def moved(place: At | Array) -> At | Array:
        if not isinstance(place, At) or place == NOWHERE:
            return place
        target = operands[place.operand] if place.operand < len(operands) else NOWHERE
        if isinstance(target, At):
            return target if target == NOWHERE else At(target.operand, target.offset + place.offset)
        return target.reshape(-1)[place.offset // target.itemsize :]

    return stage._replace(floats=tuple(map(moved, stage.floats)), ints=tuple(map(moved, stage.ints)))
