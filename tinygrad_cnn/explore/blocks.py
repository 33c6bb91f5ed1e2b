"""From the trace of a network to the blocks of its drawing: what is drawn as a box, and what only stands between boxes.

An operation that leaves the shape as it is (an activation, a normalisation, dropout) gets no box: its name is put to
the layer before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..autograd import Op
from .formulas import Pair, Shape, Step
from .rows import Entry, Rows
from .trace import Trace

_WINDOWS = ("F.conv2d", "F.max_pool2d", "F.avg_pool2d")
_WORK = ("F.conv2d", "F.linear", "matmul")


@dataclass
class Block:
    """A feature map or a vector, and how it comes about.

    Attributes:
        shape: its shape without the batch.
        inputs: the blocks it is computed from, as places in the list of blocks; empty for the network's input.
        steps: what is done to them: ``Conv2d 3×3``, ``ReLU``.
        path: the path of the layer that makes it; empty for a function.
        kind: ``"input"``, ``"convolution"``, ``"pooling"``, ``"dense"`` or ``"other"``.
        window: height and width of the window that slides over the input, None if there is none.
    """

    shape: Shape
    inputs: list[int] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    path: str = ""
    kind: str = "input"
    window: Pair | None = None


def blocks(trace: Trace) -> list[Block]:
    """The blocks of a network in the order of the computation, the input first."""
    rows = Rows(trace)
    made: dict[Op, int] = {} if trace.source is None else {trace.source: 0}  # a node: the block that it belongs to
    result = [Block(tuple(trace.image.shape[1:]))]
    readers = _readers(rows)
    for entry in rows.entries:
        sources = _sources(entry, rows)
        inputs = list(dict.fromkeys(made[node] for node in sources if node in made))
        if not inputs:
            continue  # it only has parameters, or is not computed from the input
        place = inputs[0]
        if len(inputs) > 1 or place == 0 or not _only_named(entry, rows, sources, readers):
            result.append(_block(entry, rows, inputs))
            place = len(result) - 1
        else:
            result[place].steps.append(entry.row.kind)
        made.update(dict.fromkeys(entry.nodes, place))
    return result


def _sources(entry: Entry, rows: Rows) -> list[Op]:
    """The nodes, computed from the input, whose results go into an entry; what only moves memory is looked through."""
    own = set(entry.nodes)
    edges = [e for node in entry.nodes for e in node.edges]
    found = [e[0] for e in edges if e is not None and isinstance(e[0], Op) and e[0] not in own]
    if not entry.nodes and entry.is_layer and entry.call is not None and entry.call.inputs == entry.call.outputs:
        found = list(entry.call.inputs)  # a layer that does nothing, such as dropout in evaluation mode
    known = [node for node in found if node in rows.steps or node is rows.trace.source]
    return list(dict.fromkeys(_visible(node, rows) for node in known))


def _visible(node: Op, rows: Rows) -> Op:
    while node in rows.steps and rows.steps[node].hidden:
        # of an in-place write, the last input is what was written
        node = [e[0] for e in node.edges if e is not None and isinstance(e[0], Op)][-1]
    return node


def _readers(rows: Rows) -> dict[Op, int]:
    """How many entries read what a node makes."""
    count: dict[Op, int] = {}
    for entry in rows.entries:
        if entry.nodes:
            for node in _sources(entry, rows):
                count[node] = count.get(node, 0) + 1
    return count


def _only_named(entry: Entry, rows: Rows, sources: list[Op], readers: dict[Op, int]) -> bool:
    """Whether an entry gets no box: it keeps the shape, and nothing else reads what it is applied to."""
    if not entry.nodes:
        return True
    steps = [rows.steps[node] for node in entry.nodes]
    shape = entry.nodes[-1].output_shapes[0]
    (source,) = sources[:1]
    same = shape == source.output_shapes[0] and len(sources) == 1 and readers[source] == 1
    return same and all(step.reach == (0, 0) and step.name not in _WORK for step in steps)


def _block(entry: Entry, rows: Rows, inputs: list[int]) -> Block:
    steps = [rows.steps[node] for node in entry.nodes if not rows.steps[node].hidden]
    window = next((_window(step) for step in steps if step.name in _WINDOWS), None)
    name = entry.row.kind if window is None else f"{entry.row.kind} {window[0]}×{window[1]}"
    step = next((s for s in steps if s.name in _WINDOWS), None)
    details = [f"stride {_pair(step.stride)}"] if step and window and _has_stride(step, window) else []
    shape = entry.row.output_shape or entry.nodes[-1].output_shapes[0]
    path = "" if entry.row.is_function else entry.row.path
    return Block(tuple(shape[1:]), inputs, [name, *details], path, _kind(steps), window)


def _window(step: Step) -> Pair | None:
    return None if isinstance(step.reach, str) else (step.reach[0] + 1, step.reach[1] + 1)


def _has_stride(step: Step, window: Pair) -> bool:
    """Whether it is worth saying: for pooling, windows side by side are usual."""
    return step.stride != ((1, 1) if step.name == "F.conv2d" else window)


def _pair(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"


def _kind(steps: list[Step]) -> str:
    names = {step.name for step in steps}
    if "F.conv2d" in names:
        return "convolution"
    if names & {"F.max_pool2d", "F.avg_pool2d", "sum"}:
        return "pooling"
    return "dense" if names & {"F.linear", "matmul"} else "other"
