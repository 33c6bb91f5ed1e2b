"""Chapters on why convolution works: shared parameters, few connections, moved and resized images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...autograd import no_grad, wrap
from ..advantages import (
    parameter_sharing,
    resized,
    scale_accuracy,
    shift_accuracy,
    shift_equivariance,
    shifted,
    tolerated,
)
from ..document import Document
from ..inputs import scores
from ..measurement import Measurement
from .pictures import curves_picture, images_picture
from .sketches import connections_sketch
from .subject import Subject, called, percent, plain, size


def sharing(d: Document, s: Subject) -> None:
    """Shared parameters and absent connections, counted for every convolution."""
    d.say(
        "Why do CNNs work so well? This chapter and the next three give the reasons. First: what is gained by a small "
        "window, over connecting everything with everything? Two things.",
        "- **Shared parameters**: the same few weights are used at every place. An edge on the left and an edge on "
        "the right are found by the same filter, and it is learned from both.\n"
        "- **Sparse connections**: a number in the output depends only on the window under it, not on all pixels.",
    )
    d.show(
        connections_sketch(),
        "connections",
        "Seven inputs and five outputs: fully connected there are 35 lines, in a convolution 15 in three colours.",
        "A row of seven pixels. On the right, lines of one colour are one and the same weight, used at every place.",
    )
    if not s.convolutions:
        d.say("**This network has no convolution**: it has neither of the two.")
        d.ask(
            "What is parameter sharing?",
            "The same weights are used at every place. This network, without convolution, does not.",
        )
        return
    measured = parameter_sharing(s.model, s.image_shape)
    cells = [
        [f"`{layer}`", f"{own:,}", f"{other:,}", f"{factor:,.0f}", percent(absent, 2)]
        for layer, own, other, factor, _, _, absent in measured.rows
    ]
    d.say("Counted for this network, against a dense layer from the same inputs to the same outputs:")
    d.table(
        ("layer", "parameters", "dense layer's", "times fewer", "connections that are absent"),
        cells,
        (False, True, True, True, True),
    )
    row, conv = s.convolutions[0]
    inputs, window = math.prod(row.input_shapes[0][1:]), conv.weight[0].numel()
    assert row.output_shape is not None
    places = math.prod(row.output_shape[2:])
    d.say(
        f"For example {called(row)}: a number of its output looks at {window} numbers instead of all {inputs:,}, and "
        f"each of its weights is used at {size(row.output_shape[2:]).replace('×', '·')} = {places:,} places of a "
        "picture.",
    )
    own, other = (sum(measured.column(name)) for name in ("parameters", "dense"))
    d.say(
        f"Together, {own:,} parameters do what would take {other:,}: {other / own:,.0f} times fewer. Fewer "
        "parameters need fewer examples, less memory, and can learn less by heart."
    )
    d.ask(
        "What is parameter sharing?",
        f"A filter's weights are used at every place of the picture. In {called(row)}, each is used at {places:,} "
        f"places; all convolutions together have {own:,} parameters instead of a dense layer's {other:,}.",
    )
    d.ask(
        "What are sparse connections?",
        f"Each output looks only at its window: in {called(row)}, at {window} of {inputs:,} numbers.",
    )


# ---------------------------------------------------------------- moved and resized


def moved(d: Document, s: Subject) -> None:
    """Translation: of feature maps exactly, of answers as far as it is measured."""
    d.say(
        "If the picture moves, the feature maps of a convolution move with it: the same filter finds the same "
        "pattern, only elsewhere. This is called *equivariance*. That the final answer stays the same would be "
        "*translation invariance* (translation means moving without turning). The first follows from how convolution "
        "works, the second has to be measured.",
    )
    if s.convolutions:
        _equivariance(d, s)
    most = max(1, min(5, min(s.image_shape[1:]) // 4))
    shifts = tuple(range(most + 1))
    measured = shift_accuracy(s.rivals, s.changed, shifts, epochs=0)
    _show_variants(d, s, "moved", [(f"by {n} px", n) for n in shifts], lambda images, n: shifted(images, 0, int(n)))
    bright = np.abs(s.changed.test_images._array)
    lost = [1 - float(shifted(bright, 0, n).sum() / max(bright.sum(), 1e-9)) for n in shifts]
    names = list(s.rivals)
    kind = "one hidden layer of 128 units and no convolution" if s.convolutions else "two convolutions"
    d.say(
        f"Now the accuracies on {len(bright):,} test pictures, moved up, down, left and right. The {names[1]} is a "
        f"network with {kind}, trained for {s.rival_epochs} epochs on the same pictures. *Lost* is the share of all "
        "brightness that is pushed out of the picture."
    )
    d.table(
        ("moved by", *(f"{name}: right" for name in names), "lost"),
        [[f"{row[0]} px", *(percent(v) for v in row[1:]), percent(lost[i])] for i, row in enumerate(measured.rows)],
        (True,) * 4,
    )
    d.show(
        curves_picture(measured),
        "moved",
        "Accuracy over the shift in pixels, a curve for each of two networks.",
        "The share of test pictures that are still read rightly after they were moved.",
    )
    verdict = _verdict(measured, names, 0)
    own = measured.curves[names[0]][1]
    d.say(
        *verdict,
        "So tolerance of moved pictures is not invariance. What helps beyond it are training pictures that are moved "
        "at random, and layers that average over all places."
        if own[-1] < 0.9 * own[0]
        else "Over these shifts, the answers are close to invariant. A network may owe that to its layers, or to "
        "training pictures that are moved themselves.",
    )
    d.ask(
        "Are CNNs translation invariant?",
        f"Their feature maps move with the picture; the answers were measured. {verdict[0]}",
    )


def _equivariance(d: Document, s: Subject) -> None:
    """f(shift x) against shift f(x) for the last convolution before the size of the picture is lost."""
    row = next(
        (r for r, _ in reversed(s.convolutions) if r.jump is not None and r.output_shape is not None and _room(s, r)),
        None,
    )
    if row is None:
        return
    step = row.jump[1] if row.jump is not None else 1
    images = s.sample.test_images[:64]
    measured = shift_equivariance(s.model, images, (step,), row.path)
    _, inside, border = measured.rows[0]
    moves = "one pixel" if step == 1 else f"{step} pixels, which is one place of the map"
    apart = f"they differ by {plain(inside, 1)} of their size, which is "
    apart += "the rounding of the computer" if inside < 1e-4 else "more than rounding"
    d.say(
        f"In this network: the feature maps of {called(row)} for {len(images)} pictures that were moved by {moves}, "
        "against its moved feature maps for the pictures as they are. Away from the border, "
        f"{apart if inside else 'they are the same'}; with the border, where pixels get lost, they differ by "
        f"{percent(border)}."
    )


def _room(s: Subject, row: object) -> bool:
    """Whether something of a layer's maps is left after a shift whose window lies inside the picture."""
    field, jump, shape = row.receptive_field, row.jump, row.output_shape  # type: ignore[attr-defined]
    margins = [math.ceil(field[a] / 2 / jump[a]) for a in (0, 1)]
    return shape[2] - 2 * margins[0] > 0 and shape[3] - 2 * margins[1] - 1 > 0


def _show_variants(
    d: Document,
    s: Subject,
    name: str,
    changes: list[tuple[str, float]],
    change: Callable[[np.ndarray, float], np.ndarray],
) -> None:
    """One picture changed more and more, with what both networks say."""
    picture = s.image(s.typical)._array[None]
    shown, titles = [], []
    for label, amount in changes:
        image = change(picture, amount).astype(picture.dtype)
        with no_grad():
            found = [int(scores("report", model, wrap(image))._array[0].argmax()) for model in s.rivals.values()]
        shown.append(image[0])
        titles.append(f"{label}\n{s.classes[found[0]]} / {s.classes[found[1]]}")
    names = list(s.rivals)
    d.show(
        images_picture(shown, titles, 6),
        f"{name}-examples",
        f"A picture, {name} more and more, with the answers of both networks above.",
        f"One test picture ({s.said(s.truth[s.typical])}), {name} more and more. Above each: by how much, and below "
        f"that the answer of {names[0]} / of the {names[1]}.",
    )


def scaled(d: Document, s: Subject) -> None:
    """Scale: how far the accuracy holds when images shrink and grow."""
    factors = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75)
    measured = scale_accuracy(s.rivals, s.changed, factors, epochs=0)
    d.say(
        "CNNs are sometimes called scale invariant. But nothing in a convolution is: a filter of 3×3 pixels finds a "
        "curve of its size, and not one twice as large. How far does it hold nevertheless?",
    )
    shown = [(f"× {f:g}", f) for f in (0.5, 0.7, 0.9, 1.1, 1.25, 1.5)]
    _show_variants(d, s, "resized", shown, resized)
    names = list(s.rivals)
    lost = [_cut_off(s.changed.test_images._array, factor) for factor in factors]
    d.say(
        "A picture that grows is cut off at the border: *lost* is the share of all brightness that lies outside then. "
        "Where much is lost, no network could read everything."
        if lost[-1] > 0.001
        else "The pictures have room to grow: nothing bright is cut off at the border (*lost*)."
    )
    d.table(
        ("size", *(f"{name}: right" for name in names), "lost"),
        [[f"× {row[0]:g}", *(percent(v) for v in row[1:]), percent(lost[i])] for i, row in enumerate(measured.rows)],
        (True,) * 4,
    )
    d.show(
        curves_picture(measured),
        "resized",
        "Accuracy over the factor of the size, a curve for each of two networks.",
        "The share of test pictures that are read rightly after they shrank or grew. Invariance would be a flat line.",
    )
    verdict = _verdict(measured, names, 1)
    d.say(*verdict, "What makes networks more tolerant is training with pictures of many sizes.")
    d.ask("Are CNNs scale invariant?", f"Not by construction: a filter fits one size. {verdict[0]}")


def _cut_off(images: np.ndarray, factor: float) -> float:
    """The share of all brightness of images (N, C, H, W) that lies outside when they grow around their middle."""
    bright = np.abs(images.astype(np.float64)).sum((0, 1))

    def inside(size: int) -> np.ndarray:
        """The part of every row or column that stays."""
        edges = (np.arange(size + 1) - size / 2) * factor
        return np.diff(np.clip(edges, -size / 2, size / 2)) / factor

    kept = inside(bright.shape[0]) @ bright @ inside(bright.shape[1])
    return max(0.0, 1 - float(kept) / float(bright.sum())) if bright.any() else 0.0


def _verdict(measured: Measurement, names: list[str], untouched: float) -> list[str]:
    """Sentences on how far both networks hold, by the numbers."""
    what = measured.headings[0]
    kept = [tolerated(*measured.curves[name], untouched)[1:] for name in names]
    own, other = (sum(measured.column(name)) / len(measured.rows) for name in names)
    first = (
        f"This network keeps nine tenths of its accuracy {_range(what, *kept[0])}, "
        f"the {names[1]} {_range(what, *kept[1])}."
        if kept[0] != kept[1]
        else f"This network and the {names[1]} keep nine tenths of their accuracy {_range(what, *kept[0])}."
    )
    if abs(own - other) < 0.01:
        second = f"Averaged over the table, both are right equally often ({percent(own)} and {percent(other)})."
    else:
        word = "more" if own > other else "less"
        against = f"{percent(own)} against {percent(other)}"
        second = f"Averaged over the table, this network is {word} often right than the {names[1]}: {against}."
    return [first, second]


def _range(what: str, low: float, high: float) -> str:
    """Over which changes something holds, in words."""
    if low == high:
        return "only on pictures as they are"
    if what == "shift":
        return f"up to a shift of {high:g} px"
    return f"from {low:g} to {high:g} times the size"
