"""The chapter on features: from low-level to high-level ones, seen and measured."""

from __future__ import annotations

import itertools

import numpy as np

from ..attribution import exciting_patches, plot_exciting_patches
from ..document import Document
from ..filters import plot_filters
from .pictures import bars_picture
from .subject import Subject, percent, size

_FEW = 1000
"""So many test images are searched for patches."""


def features(d: Document, s: Subject) -> None:
    """From low-level to high-level features: filters, the patches that excite them, and how pure these are."""
    d.say(
        "The first layer sees a few pixels. Later layers see more of the picture, and combine what earlier ones have "
        "found. So simple features (edges, dots) can grow into complex ones (arcs, loops, whole shapes).",
    )
    if s.convolutions:
        row, _ = s.convolutions[0]
        d.show(
            plot_filters(s.model, row.path, 32 if s.image_shape[0] in (1, 3) else 8),
            "filters",
            f"The filters of the first convolution, {row.path}, as small images.",
            f"What `{row.path}` looks for: orange weights are positive, violet ones negative. A filter with orange "
            "on one side and violet on the other answers to edges in this direction.",
        )
    depth = _purity(s)
    for path, field, _ in _chosen(depth, sum(path in {row.path for row, _ in s.convolutions} for path, _, _ in depth)):
        d.show(
            plot_exciting_patches(s.model, path, s.data.test_images[:_FEW], 9, _strongest(s, path)),
            f"patches-{path.replace('.', '-') or 'all'}",
            f"For some outputs of layer {path}, the nine parts of test pictures that excite each most.",
            f"Layer `{path}` sees {field} pixels. In each row: the nine parts of test pictures to which one of its "
            "outputs answers most, with the answer below. What do they have in common?",
        )
    if len(depth) < 2:
        d.ask(
            "What are low-level and high-level features?",
            "Small patterns that early layers find, and what later layers combine of them.",
        )
        return
    d.say(
        "Can this be measured? Take the nine pictures that excite an output most. If it looks for a small stroke, they "
        "will be of many classes. If it looks for a whole shape, they will be of one. So count the share of the most "
        "frequent class among the nine, and take the mean over all outputs of a layer:",
    )
    d.table(
        ("layer", "sees", "share of one class among the nine"),
        [[f"`{path}`", f"{field} pixels", percent(share)] for path, field, share in depth],
        (False, False, True),
    )
    d.show(
        bars_picture([f"{path}" for path, _, _ in depth], {"share of one class": [share for _, _, share in depth]}),
        "purity",
        "For every layer, the share of one class among the nine most exciting pictures, as a bar.",
        f"From the first layer (top) to the last. Chance alone would give about {percent(_chance(s))}.",
    )
    shares = [share for _, _, share in depth]
    if all(a <= b + 0.02 for a, b in itertools.pairwise(shares)) and shares[-1] > shares[0] + 0.05:
        verdict = (
            "It grows from layer to layer: early outputs answer to parts that many classes share, late ones to classes."
        )
    elif shares[-1] > shares[0] + 0.05:
        verdict = "It does not grow at every step, but from the first layer to the last."
    else:
        verdict = "In this network it does not grow from the first layer to the last."
    d.say(verdict)
    d.ask(
        "What are low-level and high-level features?",
        "Small patterns that early layers find, and what later ones combine of them. Of the nine pictures that "
        f"excite an output most, {percent(shares[0])} are of one class in the first layer and {percent(shares[-1])} "
        "in the last.",
    )


def _layers(s: Subject) -> list[tuple[str, str]]:
    """Path and receptive field of the layers whose outputs are features, in their order."""
    found = []
    for row, _ in (*s.convolutions, *s.dense):
        if row.receptive_field is not None and (row.jump is not None or len(row.output_shape or ()) == 2):
            H, W = (min(a, b) for a, b in zip(row.receptive_field, s.image_shape[1:]))
            found.append((row.path, size((H, W))))
    return found


def _purity(s: Subject) -> list[tuple[str, str, float]]:
    """Per layer: path, what it sees, and the mean share of the most frequent class among the most exciting images."""
    images, labels = s.data.test_images[:_FEW], s.truth[:_FEW]
    result = []
    for path, field in _layers(s):
        found = exciting_patches(s.model, path, images)
        counts = [np.bincount(labels[row]).max() / found.images.shape[1] for row in found.images]
        result.append((path, field, float(np.mean(counts))))
    return result


def _chance(s: Subject) -> float:
    """The share of the most frequent class among nine images drawn at random, the mean of many draws."""
    draw, labels = np.random.default_rng(0), s.truth[:_FEW]
    top = min(9, len(labels))
    return float(np.mean([np.bincount(draw.choice(labels, top, replace=False)).max() / top for _ in range(500)]))


def _chosen(depth: list[tuple[str, str, float]], convolutions: int) -> list[tuple[str, str, float]]:
    """The first layer, the last convolution, or else one in the middle, and the last layer."""
    places = {0, max(convolutions - 1, 0), len(depth) // 2 if not convolutions else 0, len(depth) - 1}
    return [depth[i] for i in sorted(places) if depth]


def _strongest(s: Subject, path: str, most: int = 5) -> list[int]:
    """Those outputs of a layer that are excited most; dead ones would only show pictures at random."""
    found = exciting_patches(s.model, path, s.data.test_images[:_FEW], 1)
    return sorted(np.argsort(-found.values[:, 0], kind="stable")[:most].tolist())
