"""Who is told of the programs that run, so that they can be recorded. Without Numba: every layer may ask."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._chain import Recording

tracing: ContextVar[Recording | None] = ContextVar("tracing", default=None)
"""What is told of every program that runs in this thread, and of its operands; None for nobody."""


def python_reads(what: str) -> None:
    """Numbers leave the graph: what Python does with them can't be recorded."""
    recording = tracing.get()
    if recording is not None:
        recording.give_up(f"{what} hands numbers to Python, which may do something else with others")


def redrawn(function: Callable[[np.ndarray[Any, Any]], None], array: np.ndarray[Any, Any]) -> None:
    """If programs are recorded: ``function(array)``, which drew its numbers, is to draw before each repetition too."""
    recording = tracing.get()
    if recording is not None:
        recording.redrawn(function, array)


def then(function: Callable[..., None], *arrays: np.ndarray[Any, Any]) -> None:
    """If programs are recorded: ``function(*arrays)``, which has just run, is to run after each repetition too."""
    recording = tracing.get()
    if recording is not None:
        recording.then(function, *arrays)
