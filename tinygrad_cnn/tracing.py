"""Who is told of the programs that run, so that they can be recorded; and what else happens that a recording must know.

Every layer may ask, so this file imports nothing heavy, and nothing of ours but errors.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import GraphError

if TYPE_CHECKING:
    from .kernels._chain import Recording

Array = np.ndarray[Any, Any]

tracing: ContextVar[Recording | None] = ContextVar("tracing", default=None)
"""What is told of every program that runs in this thread, and of its operands; None for nobody."""


def python_reads(what: str) -> None:
    """Numbers leave the graph: what Python does with them can't be recorded."""
    recording = tracing.get()
    if recording is not None:
        recording.give_up(f"{what} hands numbers to Python, which may do something else with others")


def python_writes(what: str) -> None:
    """Something else than a program writes to memory that a program may have written, or will read."""
    recording = tracing.get()
    if recording is not None:
        recording.give_up(f"{what} writes in place, and not by a kernel")


def redrawn(function: Callable[[Array], None], array: Array) -> None:
    """If programs are recorded: ``function(array)``, which drew its numbers, is to draw before each repetition too."""
    recording = tracing.get()
    if recording is not None:
        recording.redrawn(function, array)


def then(function: Callable[..., None], *arrays: Array) -> None:
    """If programs are recorded: ``function(*arrays)``, which has just run, is to run after each repetition too."""
    recording = tracing.get()
    if recording is not None:
        recording.then(function, *arrays)


def refuse_while_recording(what: str) -> None:
    """Raise a GraphError if programs are recorded: this changes more than what a function returns."""
    if tracing.get() is not None:
        raise GraphError(f"{what}: not inside a captured function; call it on what the function returns")
