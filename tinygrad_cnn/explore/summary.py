"""The plan of a network on real input, with the time that every layer takes."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, grad, wrap
from ..errors import DTypeError
from ..nn import Module
from ..nn.arguments import count
from .plan import Plan, assemble, check_model, traced
from .rows import Entry, Rows
from .trace import Trace, tensors_in

Times = tuple[float | None, float | None]
"""Seconds forward and backward; None where there is nothing to measure."""


def summary(model: Module, input: Tensor, repeats: int = 5) -> Plan:
    """The plan of a network for a real input, with the measured time of every layer forward and backward.

    The network runs in the mode it is in, so call ``eval()`` first to measure prediction.  Parameters, gradients,
    buffers, random state, modes and hooks are afterwards what they were, also after an exception.

    Args:
        model: the network.
        input: what it is called with, a batch as in training.
        repeats: so often it is measured, after a run that compiles kernels; the median counts.

    Returns:
        The Plan for this input, whose rows have ``forward_seconds`` and ``backward_seconds``.  Functions that are
        called one after the other between two layers are timed together forward, in the row of the last of them.
        ``backward_seconds`` is None where no gradient comes by.

    Raises:
        TypeError: model is no Module.
        DTypeError: input is no Tensor.
        ShapeError: a layer cannot take the shape that reaches it, as in ``plan``; repeats is below 1.
    """
    check_model("summary", model)
    if not isinstance(input, Tensor):
        raise DTypeError(f"summary: input must be a Tensor, got {type(input).__name__}")
    repeats = count("summary", "repeats", repeats, 1)
    measured: list[list[Times]] = []
    for run in range(repeats + 1):
        trace = traced(model, input)
        entries = Rows(trace).entries
        times = list(zip(_forward(trace, entries), _backward(trace, entries)))
        if run:
            measured.append(times)
    # A network that takes another way in every run has other rows in every run: then only the last one's fit.
    alike = [times for times in measured if len(times) == len(entries)]
    rows = [
        dataclasses.replace(
            entry.row,
            forward_seconds=_median([times[i][0] for times in alike]),
            backward_seconds=_median([times[i][1] for times in alike]),
        )
        for i, entry in enumerate(entries)
    ]
    return assemble(trace, rows)


def _median(times: Sequence[float | None]) -> float | None:
    known = [t for t in times if t is not None]
    return median(known) if known else None


def _forward(trace: Trace, entries: Sequence[Entry]) -> list[float | None]:
    """Seconds per entry: of a layer its call's, of functions the time between the calls around them."""
    marks = sorted(
        mark
        for call in trace.calls
        if call.end is not None
        for mark in ((call.begin, call.began), (call.end, call.ended))
    )
    times: list[float | None] = []
    gaps: dict[tuple[int, float], int] = {}  # by the mark before: the entry that has its time
    for i, entry in enumerate(entries):
        call = entry.call
        if entry.row.is_function:
            before = max(mark for mark in marks if mark[0] < entry.sequence)
            behind = min(mark for mark in marks if mark[0] > entry.sequence)
            if before in gaps:
                times[gaps[before]] = None
            gaps[before] = i
            times.append(behind[1] - before[1])
        elif entry.is_layer and call is not None and call.end is not None:
            times.append(call.ended - call.began)
        else:
            times.append(None)
    return times


def _backward(trace: Trace, entries: Sequence[Entry]) -> list[float | None]:
    """Seconds per entry: of the operations that it consists of.

    Every operation notes the time when its gradient has arrived; it takes until the next one does.
    """
    output = next((t for t in tensors_in(trace.output) if t.requires_grad), None)
    targets: list[Tensor] = [p for p in trace.model.parameters() if p.requires_grad]
    targets += [] if trace.leaf is None else [trace.leaf]
    if output is None or not targets:
        return [None] * len(entries)
    arrivals: list[tuple[Op | None, float]] = []

    def noting(node: Op) -> Any:
        return lambda grad: arrivals.append((node, time.perf_counter()))

    for node in trace.recorded():
        node.register_hook(noting(node))
    grad(output, targets, wrap(np.ones_like(output._array)), allow_unused=True)
    arrivals.append((None, time.perf_counter()))
    spent = {node: later - now for (node, now), (_, later) in itertools.pairwise(arrivals)}
    times: list[float | None] = []
    for entry in entries:
        nodes = [node for node in entry.nodes if node in spent]
        times.append(sum(spent[node] for node in nodes) if nodes else None)
    return times
