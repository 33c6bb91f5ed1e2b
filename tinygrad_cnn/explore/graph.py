"""The computation graph of a Tensor: as DOT for Graphviz, as Mermaid for Markdown, and drawn without either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..autograd import Op, Tensor
from ..errors import DTypeError, GraphError
from ..nn import Module
from .drawing import Drawing, text_width
from .formulas import Shape
from .layered import Point, arrange
from .operations import name_of
from .showing import ORANGE, SKY, Text

_COLORS = {"leaf": ORANGE, "operation": SKY, "result": "#7FCEB9"}
_MOST = 1000
"""Nodes in a drawing of our own: more could not be read."""


class Mermaid(Text):
    """A diagram in Mermaid's language, which notebooks and Markdown pages show between fences."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self}```\n"


@dataclass(frozen=True)
class Node:
    """A leaf or an operation of the graph.

    Attributes:
        name: of a leaf its name in ``params``, else ``leaf``; of an operation as it is written in code.
        shape: the shape of the Tensor.
        kind: ``"leaf"``, ``"operation"`` or ``"result"``, the operation that made the Tensor asked for.
    """

    name: str
    shape: Shape
    kind: str

    @property
    def size(self) -> str:
        return "×".join(map(str, self.shape)) or "number"


def dot(tensor: Tensor, params: Mapping[str, Tensor] | Module | None = None) -> Text:
    """The graph that a Tensor was computed by, in the language of Graphviz.

    Leaves that require a gradient and operations are nodes; constants are not, since nothing is recorded of them.

    Args:
        tensor: a Tensor of any shape that requires grad.
        params: names of leaves: a network, or a mapping such as ``{"x": x, **dict(model.named_parameters())}``.

    Returns:
        DOT text; ``save("graph.dot")`` writes it.

    Raises:
        DTypeError: tensor is no Tensor, params no network and no mapping of names to Tensors.
        GraphError: nothing was recorded: the tensor does not require grad.
    """
    nodes, edges = graph("dot", tensor, params)
    lines = [
        "digraph {",
        '  node [shape=box, style=filled, fontname="sans-serif"];',
        *(
            f'  n{i} [label="{_quoted(n.name)}\\n{n.size}", fillcolor="{_COLORS[n.kind]}"];'
            for i, n in enumerate(nodes)
        ),
        *(f"  n{i} -> n{k};" for i, k in edges),
        "}",
    ]
    return Text("\n".join(lines) + "\n")


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def mermaid(tensor: Tensor, params: Mapping[str, Tensor] | Module | None = None) -> Mermaid:
    """The graph that a Tensor was computed by, in Mermaid's language; arguments and errors as ``dot``."""
    nodes, edges = graph("mermaid", tensor, params)
    lines = [
        "flowchart TD",
        *(f'  n{i}["{_entities(n.name)}<br/>{n.size}"]:::{n.kind}' for i, n in enumerate(nodes)),
        *(f"  n{i} --> n{k}" for i, k in edges),
        *(f"  classDef {kind} fill:{color},stroke:#222222,color:#222222" for kind, color in _COLORS.items()),
    ]
    return Mermaid("\n".join(lines) + "\n")


def _entities(name: str) -> str:
    """Mermaid reads markup and lists (``+`` begins one) in labels; entities are taken as they are."""
    return "".join(c if c.isalnum() or c in " ._" else f"#{ord(c)};" for c in name)


def draw_graph(tensor: Tensor, params: Mapping[str, Tensor] | Module | None = None) -> Drawing:
    """The graph that a Tensor was computed by, drawn from top to bottom; arguments as ``dot``.

    Returns:
        The Drawing: notebooks show it, ``save("graph.svg")`` and ``save("graph.png")`` write it.

    Raises:
        DTypeError, GraphError: as ``dot``.
        ValueError: the graph has more than 1000 nodes.
    """
    nodes, edges = graph("draw_graph", tensor, params)
    if len(nodes) > _MOST:
        raise ValueError(
            f"draw_graph: the graph has {len(nodes):,} nodes, more than the {_MOST:,} that could be read; "
            "use dot(tensor).save(...) and Graphviz"
        )
    high = 34.0
    widths = [16 + max(text_width(node.name, 12), text_width(node.size, 10)) for node in nodes]
    centers, ways = arrange(widths, edges, [node.kind == "leaf" for node in nodes], row=high + 30, gap=16)
    drawing = Drawing(f"Computation graph, {len(nodes)} nodes, result {nodes[-1].size}")
    arrivals: dict[int, list[list[Point]]] = {}
    for (source, target), bends in zip(edges, ways):
        x, y = centers[source]
        arrivals.setdefault(target, []).append([(x, y + high / 2), *bends])
    for target, lines in arrivals.items():
        x, y = centers[target]
        lines.sort(key=lambda line: line[-1][0])
        for i, line in enumerate(lines):  # side by side, so that their heads do not lie on each other
            share = (i + 1) / (len(lines) + 1) - 0.5
            drawing.line([*line, (x + share * widths[target], y - high / 2)], arrow=True)
    for node, (x, y), width in zip(nodes, centers, widths):
        drawing.box(x - width / 2, y - high / 2, width, high, _COLORS[node.kind])
        drawing.label(x, y - 2, node.name, 12)
        drawing.label(x, y + 12, node.size, 10)
    return drawing


def graph(
    who: str, tensor: Tensor, params: Mapping[str, Tensor] | Module | None
) -> tuple[list[Node], list[tuple[int, int]]]:
    """The nodes, each after those it is computed from, and the edges as pairs of places in that list, each once."""
    names = _names(who, params)
    if not isinstance(tensor, Tensor):
        raise DTypeError(f"{who}: tensor must be a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise GraphError(
            f"{who}: nothing was recorded for this tensor of shape {tuple(tensor.shape)}: it does not require grad "
            "(no input did, or it was computed under no_grad)"
        )
    root = tensor.grad_fn or tensor
    sources: dict[Op | Tensor, list[Op | Tensor]] = {}
    stack: list[Op | Tensor] = [root]
    while stack:
        found = stack.pop()
        if found not in sources:
            edges = found.edges if isinstance(found, Op) else ()
            sources[found] = list(dict.fromkeys(edge[0] for edge in edges if edge is not None))
            stack += sources[found]
    operations = sorted((node for node in sources if isinstance(node, Op)), key=lambda node: node.sequence)
    order: list[Op | Tensor] = [*(node for node in sources if isinstance(node, Tensor)), *operations]
    place = {node: i for i, node in enumerate(order)}
    nodes = [_node(found, found is root, tensor, names) for found in order]
    return nodes, [(place[source], place[found]) for found in order for source in sources[found]]


def _node(found: Op | Tensor, is_root: bool, tensor: Tensor, names: dict[int, str]) -> Node:
    if isinstance(found, Tensor):
        return Node(names.get(id(found), "leaf"), tuple(found.shape), "leaf")
    shape = tuple(tensor.shape) if is_root else found.output_shapes[0]
    return Node(name_of(found), shape, "result" if is_root else "operation")


def _names(who: str, params: Mapping[str, Tensor] | Module | None) -> dict[int, str]:
    """Names of leaves by the identity of the Tensor."""
    named = dict(params.named_parameters()) if isinstance(params, Module) else {} if params is None else params
    if not isinstance(named, Mapping) or not all(isinstance(value, Tensor) for value in named.values()):
        raise DTypeError(f"{who}: params must be a Module or map names to Tensors, got {type(params).__name__}")
    return {id(value): str(name) for name, value in named.items()}
