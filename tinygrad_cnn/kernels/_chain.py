"""Many programs as one: what a network computes, recorded once and then run in a single call.

Between two layers' kernels lies the Python of a layer: checks, allocation, an operation, a launch. With one image that
is most of the time. A `Recording` listens while the layers run once: every program reports its operands, and what each
is follows from where it lies: an input, a constant such as a parameter, or memory that an earlier program wrote. That
gives a program with the stages of all, or one for forward and one for backward. The intermediate results lie on a
*tape*, planned so that those which are needed at different times share memory.

The kernels are the same, and so are the bits. An operand of unknown origin (NumPy computed it) ends the recording
without a program.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._tasks import NOWHERE, OPERANDS, WORKSPACE, At, Program, Stage, TaskKernel
from ._workspace import round_up

Array = np.ndarray[Any, np.dtype[Any]]

TAPE, SCRATCH, RESULT, GRADIENTS, SEED, INPUT = range(6)
"""The operands of a joint program: intermediate results; memory that one stage leaves to the next; what is computed;
the gradients by inputs and constants; the gradient that backward begins with; from `INPUT` on the inputs."""

MOST_INPUTS = OPERANDS - INPUT

ALIGNMENT = 64
"""Intermediate results begin on a cache line."""


class _Span(NamedTuple):
    """Bytes in memory that were there before, and what they are: an operand, or a constant."""

    begin: int
    end: int
    meaning: At | Array


class _Intermediate:
    """Memory that programs write and read: bytes from ``begin`` to ``end`` of what was allocated at once.

    From program number ``written`` to number ``last_used`` its contents matter.
    """

    def __init__(self, begin: int, end: int, number: int) -> None:
        self.begin, self.end = begin, end
        self.written = self.last_used = number
        self.place: At | None = None

    def use(self, begin: int, end: int, number: int) -> None:
        """Program number ``number`` reads or writes these bytes."""
        self.begin, self.end = min(self.begin, begin), max(self.end, end)
        self.last_used = max(self.last_used, number)


class _Part(NamedTuple):
    """A place in an intermediate result: its number, and bytes from the beginning of the allocation."""

    number: int
    offset: int


_Place = At | Array | _Part


class View(NamedTuple):
    """An array in an operand."""

    offset: int  # bytes
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    def of(self, memory: Array) -> Array:
        """The array in this operand's memory, bytes."""
        return np.ndarray(self.shape, self.dtype, memory, self.offset, self.strides)


class Recording:
    """Records programs; call it with each one and its operands, in order.

    Args:
        inputs: C-contiguous arrays, `MOST_INPUTS` at most: operands `INPUT`, `INPUT` + 1 ... of the result.
        constants: arrays that are read, or changed, where they lie, in every run.
        limit: bytes that the programs may write in all; above, the recording is given up. Default: no limit.

    Attributes:
        ran: what every program computed by, in order: its algorithm, or its kernels if there is only one.
        written: bytes that the programs wrote, in all; both also where the recording was given up.
        reason: why there will be no program; empty while nothing is against it.
    """

    def __init__(self, inputs: Sequence[Array], constants: Sequence[Array], limit: int | None = None) -> None:
        self.ran: list[str | list[TaskKernel]] = []
        self.written = 0
        self.reason = "" if len(inputs) <= MOST_INPUTS else f"there are more than {MOST_INPUTS} arguments"
        self._spans = [_span(array, At(INPUT + k)) for k, array in enumerate(inputs)]
        self._spans += [_span(array, array) for array in constants]
        self._limit = limit
        self._calls: list[tuple[Program, list[_Place]]] = []
        self._beforehand: list[tuple[Callable[[Array], None], _Part, Array]] = []
        self._afterwards: list[tuple[Callable[..., None], list[_Place], list[Array]]] = []
        self._intermediates: list[_Intermediate] = []
        self._allocations: dict[int, tuple[weakref.ref[Array], int]] = {}  # by identity, those that are alive
        self._forward: int | None = None  # programs before backward began

    # ---------------------------------------------------------------- while it records

    def give_up(self, reason: str) -> None:
        """There will be no program."""
        self.reason = self.reason or reason

    def __call__(self, program: Program, arrays: tuple[Array, ...]) -> None:
        """One program runs on these operands."""
        self.ran.append(program.algorithm or [stage.kernel for stage in program.stages])
        self.written += sum(arrays[index].nbytes for index in program.writes if index < len(arrays))
        if self._limit is not None and self.written > self._limit:
            self.give_up(f"the intermediate results take more than {self._limit} bytes")
        if self.reason:
            return
        places: list[_Place] = []
        for index, array in enumerate(arrays):
            if array.size == 0:
                place: _Place | None = NOWHERE
            elif index == WORKSPACE and program.workspace:
                place = At(SCRATCH)
            elif index in program.writes:
                place = self._written(array, len(self._calls))
            else:
                place = self._read(array)
            if place is None:
                names = ", ".join(dict.fromkeys(stage.kernel.name for stage in program.stages))
                self.give_up(
                    f"operand {index} of {names}, of shape {array.shape}, is neither an argument nor a constant (a "
                    "parameter, a buffer), and no kernel has computed it"
                )
                return
            places.append(place)
        self._calls.append((program, places))

    def begin_backward(self, seed: Array) -> int:
        """From now on, programs may read the gradient of the result; returns the number of programs so far."""
        self._spans.append(_span(seed, At(SEED)))
        self._forward = len(self._calls)
        return self._forward

    def redrawn(self, function: Callable[[Array], None], array: Array) -> None:
        """Numbers that ``function(array)`` has drawn, and is to draw anew before every run of the forward program."""
        place = None if self._forward is not None else self._written(array, 0)
        if isinstance(place, _Part):
            self._beforehand.append((function, place, array))
        else:
            self.give_up(f"random numbers are drawn in backward, or into an array of shape {array.shape} from outside")

    def then(self, function: Callable[..., None], *arrays: Array) -> None:
        """Something that is to be done after every run of the forward program, with what these arrays then contain."""
        places = [self._read(array) for array in arrays]
        if any([place is None for place in places]):
            self.give_up(f"{function} reads an array that no kernel wrote")
        if self._forward is not None:
            self.give_up(f"{function} is to run in backward")
        self._afterwards.append((function, places, list(arrays)))  # type: ignore[arg-type]

    def _read(self, array: Array) -> _Place | None:
        """What an operand that is read is; None if unknown."""
        begin = _address(array)
        for span in self._spans:
            if span.begin <= begin and begin + array.nbytes <= span.end:
                if isinstance(span.meaning, At):
                    return At(span.meaning.operand, begin - span.begin)
                return array
        owner = _owner(array)
        if not owner.flags.writeable:
            return array  # a table
        known = self._allocations.get(id(owner))
        return None if known is None else self._part(known[1], array, owner)

    def _written(self, array: Array, when: int) -> _Place | None:
        """What an operand is that program number ``when`` writes; None for an argument."""
        begin = _address(array)
        for span in self._spans:
            if span.begin < begin + array.nbytes and begin < span.end:
                return None if isinstance(span.meaning, At) else array
        owner = _owner(array)
        known = self._allocations.get(id(owner))
        if known is None:
            number, identity = len(self._intermediates), id(owner)
            # When it dies, another allocation may get its address and its identity.
            forget = functools.partial(_forget, self._allocations, identity)
            self._allocations[identity] = weakref.ref(owner, forget), number
            offset = begin - _address(owner)
            self._intermediates.append(_Intermediate(offset, offset + array.nbytes, when))
        else:
            number = known[1]
        return self._part(number, array, owner)

    def _part(self, number: int, array: Array, owner: Array) -> _Part:
        offset = _address(array) - _address(owner)
        self._intermediates[number].use(offset, offset + array.nbytes, len(self._calls))
        return _Part(number, offset)

    # ---------------------------------------------------------------- what was recorded

    def results(self, operand: int, arrays: Sequence[Array], first: int = 0) -> tuple[list[View], int] | None:
        """Let the memory of these arrays, which programs wrote, lie in an operand of the result.

        Args:
            operand: `RESULT` or `GRADIENTS`.
            arrays: of any strides.
            first: the number of the first program that may have written them.

        Returns:
            Where each lies in the operand, and the operand's size in bytes; None if one was computed otherwise.
        """
        views, total = [], 0
        for array in arrays:
            owner = _owner(array)
            known = self._allocations.get(id(owner))
            intermediate = None if known is None else self._intermediates[known[1]]
            if intermediate is None or intermediate.written < first:
                self.give_up(f"a result of shape {array.shape} was not computed by a kernel")
                return None
            if intermediate.place is None:
                intermediate.place = At(operand, total)
                total += round_up(intermediate.end - intermediate.begin, ALIGNMENT)
            elif intermediate.place.operand != operand:
                self.give_up("a gradient is the result itself")
                return None
            offset = intermediate.place.offset + _address(array) - _address(owner) - intermediate.begin
            views.append(View(offset, array.shape, array.strides, array.dtype))
        return views, total

    def plan(self) -> int:
        """Give every other intermediate result a place on the tape; returns how many bytes that has."""
        forward = len(self._calls) if self._forward is None else self._forward
        for part in [place for _, places, _ in self._afterwards for place in places if isinstance(place, _Part)]:
            intermediate = self._intermediates[part.number]
            intermediate.last_used = max(intermediate.last_used, forward)
        planned: list[_Intermediate] = []
        total = 0
        for new in self._intermediates:
            if new.place is not None:
                continue
            # The lowest gap among those that live at the same time.
            begin, size = 0, new.end - new.begin
            for old in planned:
                assert old.place is not None
                if old.last_used < new.written or new.last_used < old.written:
                    continue
                if begin + size <= old.place.offset:
                    break
                begin = max(begin, round_up(old.place.offset + old.end - old.begin, ALIGNMENT))
            new.place = At(TAPE, begin)
            planned.append(new)
            planned.sort(key=lambda i: i.place.offset)  # type: ignore[union-attr]
            total = max(total, round_up(begin + size, ALIGNMENT))
        return total

    def program(self, scratch: At, first: int = 0, after: int | None = None) -> Program | None:
        """Some of the programs as one, after `plan`; None if that cannot be.

        Args:
            scratch: where the programs' own scratch memory lies.
            first, after: numbers of programs: the first, and the one after the last.

        Returns:
            ``run(tape, scratch, result, gradients, seed, *inputs)``; its ``workspace`` is where the scratch memory ends
            in its operand, in elements.
        """
        calls = self._calls[first:after]
        if self.reason or not calls:
            return None
        dtype, workers = calls[0][0].dtype, calls[0][0].workers
        if any([program.dtype != dtype or program.workers != workers for program, _ in calls]):
            self.give_up("kernels of several dtypes took part")
            return None
        stages: list[Stage] = []
        for number, (program, places) in enumerate(calls, first):
            operands = [self._resolved(program, index, place, scratch, number) for index, place in enumerate(places)]
            stages += [_moved(stage, operands) for stage in program.stages]
        workspace = scratch.offset + max(program.workspace for program, _ in calls) * dtype.itemsize
        return Program(dtype, workers, stages, -(-workspace // dtype.itemsize), writes=())

    def read_from(self, first: int) -> tuple[set[int], list[Array]]:
        """What programs from number ``first`` on have to do with, after `results`: operands, and constants."""
        operands, constants = set(), []
        for place in [place for _, places in self._calls[first:] for place in places]:
            at = self._at(place) if isinstance(place, _Part) else place
            if isinstance(at, At):
                operands.add(at.operand)
            else:
                constants.append(at)
        return operands, constants

    def beforehand(self) -> list[tuple[Callable[[Array], None], View]]:
        """What `redrawn` was told, after `plan`: functions, and what they write to on the tape."""
        return [
            (function, View(self._at(part).offset, array.shape, array.strides, array.dtype))
            for function, part, array in self._beforehand
        ]

    def afterwards(self) -> list[tuple[Callable[..., None], list[tuple[int, View] | Array]]]:
        """What `then` was told, after `plan`: functions, and their arrays as views of operands, or constants."""
        found = []
        for function, places, arrays in self._afterwards:
            operands: list[tuple[int, View] | Array] = []
            for place, array in zip(places, arrays):
                at = self._at(place) if isinstance(place, _Part) else place
                if isinstance(at, At):
                    operands.append((at.operand, View(at.offset, array.shape, array.strides, array.dtype)))
                else:
                    operands.append(at)
            found.append((function, operands))
        return found

    def _at(self, part: _Part) -> At:
        intermediate = self._intermediates[part.number]
        assert intermediate.place is not None
        return At(intermediate.place.operand, intermediate.place.offset + part.offset - intermediate.begin)

    def _resolved(self, program: Program, index: int, place: _Place, scratch: At, number: int) -> At | Array:
        """Where an operand of program ``number`` lies for the joint program."""
        if isinstance(place, _Part):
            intermediate = self._intermediates[place.number]
            unread = intermediate.written == intermediate.last_used == number
            if index in program.spare and unread and intermediate.place.operand == TAPE:  # type: ignore[union-attr]
                return NOWHERE
            return self._at(place)
        if isinstance(place, At):
            return scratch if place == At(SCRATCH) else place
        return place


def _forget(allocations: dict[int, Any], identity: int, reference: Any) -> None:
    """An allocation died; its identity may already stand for the next one."""
    known = allocations.get(identity)
    if known is not None and known[0] is reference:
        del allocations[identity]


def _owner(array: Array) -> Array:
    """What was allocated at once: the array that this one is a view of, or the lease on a block of memory."""
    while type(array) is np.ndarray and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _span(array: Array, meaning: At | Array) -> _Span:
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
