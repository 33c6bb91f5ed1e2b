"""Places the nodes of a graph in layers, every edge downwards, with few crossings.

Reference: K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system structures", IEEE
Transactions on Systems, Man, and Cybernetics 11(2), 1981: layers, then orders by the mean place of the neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Point = tuple[float, float]
Edge = tuple[int, int]

_SWEEPS = 8


def arrange(
    widths: Sequence[float], edges: Sequence[Edge], late: Sequence[bool], row: float, gap: float
) -> tuple[list[Point], list[list[Point]]]:
    """Where the nodes and the bends of the edges are.

    An edge that crosses a layer gets a place of no width there, so that it runs between the nodes.

    Args:
        widths: how wide every node is.
        edges: pairs of nodes; the second is below the first and has the larger number.
        late: whether a node without predecessors is put just above what it goes into, not into the first layer.
        row: from one layer to the next.
        gap: between neighbours.

    Returns:
        The center of every node, and per edge its bends from top to bottom.
    """
    layer = _layers(len(widths), edges, late)
    chains = []  # per edge: its nodes and, in between, a place in every layer that it crosses
    wide, height = list(widths), list(layer)
    for source, target in edges:
        inner = list(range(len(wide), len(wide) + layer[target] - layer[source] - 1))
        wide += [0.0] * len(inner)
        height += range(layer[source] + 1, layer[target])
        chains.append([source, *inner, target])
    above: list[list[int]] = [[] for _ in wide]
    below: list[list[int]] = [[] for _ in wide]
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    # Leaves follow what they go into; were it to follow them too, the way of the data would not run straight down.
    weights = [0.001 if i < len(late) and late[i] else 1.0 for i in range(len(wide))]
    above = [[k for k in near if weights[k] == 1] or near for near in above]
    layers: list[list[int]] = [[] for _ in range(max(height) + 1)]
    for place in range(len(wide)):
        layers[height[place]].append(place)
    x = _columns(layers, above, below, wide, weights, gap)
    y = [row * (level + 0.5) for level in height]
    return [(x[i], y[i]) for i in range(len(widths))], [[(x[i], y[i]) for i in chain[1:-1]] for chain in chains]


def _layers(count: int, edges: Sequence[Edge], late: Sequence[bool]) -> list[int]:
    """Per node the length of the longest way to it."""
    layer = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layer[target] = max(layer[target], layer[source] + 1)
    for node in range(count):
        readers = [layer[target] for source, target in edges if source == node] if late[node] else []
        if readers:
            layer[node] = min(readers) - 1
    return layer


def _columns(
    layers: list[list[int]],
    above: list[list[int]],
    below: list[list[int]],
    wide: list[float],
    weights: list[float],
    gap: float,
) -> list[float]:
    """The x of every place: sweeps down and up put each near the mean of its neighbours, without overlap."""
    x = [0.0] * len(wide)
    for level in layers:
        _pack(level, [0.0] * len(level), x, wide, weights, gap)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for level in layers if down else reversed(layers):
            near = above if down else below
            wanted = [sum(x[k] for k in near[i]) / len(near[i]) if near[i] else x[i] for i in level]
            order = sorted(range(len(level)), key=lambda k: wanted[k])
            level[:] = [level[k] for k in order]
            _pack(level, [wanted[k] for k in order], x, wide, weights, gap)
    left = min(x[i] - wide[i] / 2 for i in range(len(wide)))
    return [value - left + gap for value in x]


def _pack(
    level: list[int], wanted: list[float], x: list[float], wide: list[float], weights: list[float], gap: float
) -> None:
    """Put places side by side as near as possible, in squares, to where they want to be.

    Neighbours that would overlap are joined to a block that stands at the weighted mean of its members' wishes ("pool
    adjacent violators", M. Ayer et al., Annals of Mathematical Statistics 26(4), 1955).
    """
    offsets, reach = [], 0.0  # of a place's center from the first's, were they all side by side
    for i in level:
        offsets.append(reach + wide[i] / 2)
        reach += wide[i] + gap
    blocks: list[tuple[float, float, int]] = []  # mean of (wish - offset), weight, how many
    for i, wish, offset in zip(level, wanted, offsets):
        mean, weight, count = wish - offset, weights[i], 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, size = blocks.pop()
            mean = (before * heavy + mean * weight) / (heavy + weight)
            weight, count = heavy + weight, size + count
        blocks.append((mean, weight, count))
    starts = [mean for mean, _, count in blocks for _ in range(count)]
    for i, start, offset in zip(level, starts, offsets):
        x[i] = start + offset
