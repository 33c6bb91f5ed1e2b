"""Chapters on the network as a whole: how it looks, and where its parameters are."""

from __future__ import annotations

from ..architecture import draw_architecture
from ..document import Document
from ..filters import plot_feature_maps
from ..rows import Row
from ..tables import memory, pair
from .pictures import bars_picture
from .subject import Subject, called, percent, sentence_list, size


def _name(row: Row) -> str:
    return f"`{row.path}`" if row.path and not row.is_function else ""


def whole(d: Document, s: Subject) -> None:
    """The drawing, the table of sizes, and the feature maps of one image through all layers."""
    d.say(
        "Put together, the layers are this network. Read it from left to right: a stack of sheets is a set of feature "
        "maps, written as number@height×width; a bar is a list of numbers.",
    )
    d.show(
        draw_architecture(s.model, s.image_shape, 760),
        "architecture",
        "The network drawn as boxes: the input, then what every layer makes of it, with its size.",
        "The whole network. The small square is the window that slides over a map, the words below say what is done. "
        "Maps usually become smaller and more numerous: less of where, more of what.",
    )
    fields = any(row.receptive_field for row in s.plan.rows)
    cells = []
    for row in s.plan.rows:
        out = "–" if row.output_shape is None else size(row.output_shape[1:])
        cells.append(
            [_name(row), row.kind, out, *([pair(row.receptive_field)] if fields else []), f"{row.multiply_adds:,}"]
        )
    d.table(
        ("layer", "type", "what comes out", *(["sees"] if fields else []), "multiply-adds"),
        cells,
        (False, False, False, *([True] if fields else []), True),
    )
    if fields:
        d.say(
            "*Sees* is the receptive field: how many pixels high and wide the part of the picture is that one number "
            "depends on. It grows from layer to layer."
        )
    d.say(
        f"In all, one picture takes {s.plan.multiply_adds:,} multiply-adds (a product that is added to something) and "
        f"{memory(s.plan.activation_bytes)} of memory for everything in between.",
    )
    kinds = [row.kind for row in s.plan.rows]
    if any("ropout" in kind for kind in kinds):
        d.say(
            "*Dropout* sets a part of its numbers to zero at random, but only during training. So no output can "
            "rely on a single input. Afterwards it does nothing."
        )
    if any("BatchNorm" in kind for kind in kinds):
        d.say(
            "*Batch normalisation* shifts and scales every feature map, so that in training its numbers have mean 0 "
            "and variance 1 over a batch; two parameters per map can undo that. Afterwards, it uses running means."
        )
    if any(r.after.ndim == 4 for r in s.results):
        d.show(
            plot_feature_maps(s.model, s.image(s.typical), 6),
            "feature-maps",
            "A row per layer with the first feature maps that it makes of one picture.",
            "One test picture on its way. Each row is a step, with its first maps; the scale of a row is beside it. "
            "Compare a convolution with the ReLU below it, and look how pooling makes maps coarser.",
        )
    d.ask(
        "How is this network built?",
        f"In this order: {' → '.join(kinds)}."
        if len(s.plan.rows) <= 14
        else f"Of {len(s.plan.rows)} steps: {sentence_list(list(dict.fromkeys(kinds)))}.",
    )


def parameters(d: Document, s: Subject) -> None:
    """The table of parameters with their shares, and where they are against where the work is."""
    plan = s.plan
    d.say(
        "*Parameters* are the numbers that the network has learned: weights and biases. They are counted like this:",
        "- convolution: (window height · window width · maps in + 1) · filters; the 1 is the bias\n"
        "- fully connected: (inputs + 1) · outputs\n"
        "- ReLU, max pooling, flatten and softmax: none",
    )
    cells = []
    for row in plan.rows:
        share = percent(row.share, 1 if row.share > 0.001 else 3) if row.parameters else "–"
        cells.append(
            [_name(row), row.kind, row.parameter_formula or "0", f"{row.parameters:,}", f"{row.trainable:,}",
             f"{row.non_trainable:,}", share]
        )  # fmt: skip
    cells.append(["total", "", "", f"{plan.parameters:,}", f"{plan.trainable:,}", f"{plan.non_trainable:,}", "100.0 %"])
    d.table(
        ("layer", "type", "how they are counted", "parameters", "trainable", "non-trainable", "share"),
        cells,
        (False, False, False, True, True, True, True),
    )
    frozen = (
        "Here training may change all of them."
        if not plan.non_trainable
        else f"Here {plan.non_trainable:,} are frozen: training does not change them."
    )
    d.say(
        f"*Trainable* are those that training may change. {frozen}"
        + (
            f" Besides, layers keep {plan.buffers:,} numbers, such as running means, that are not learned by gradients."
            if plan.buffers
            else ""
        )
    )
    owners = [row for row in plan.rows if row.parameters]
    if not owners:
        return
    largest = max(owners, key=lambda row: row.parameters)
    busiest = max(plan.rows, key=lambda row: row.multiply_adds)
    name = called(largest)
    work = busiest.multiply_adds / max(plan.multiply_adds, 1)
    most = "Most" if largest.share > 0.5 else "The largest part"
    d.say(
        f"**{most} of it, {percent(largest.share)}, sits in one layer: {name}.** It has "
        f"{largest.parameter_formula} parameters."
    )
    if busiest is not largest:
        d.say(
            f"The work is elsewhere: {percent(work)} of all multiply-adds are done in "
            f"{called(busiest)}, which has only {percent(busiest.share)} of the parameters. A filter's few weights are "
            "used at every place of the picture, a dense layer's weights only once."
        )
    d.show(
        bars_picture(
            [f"{row.path} {row.kind}".strip() for row in owners],
            {
                "share of the parameters": [row.share for row in owners],
                "share of the multiply-adds": [row.multiply_adds / max(plan.multiply_adds, 1) for row in owners],
            },
        ),
        "parameters",
        "For every layer with parameters, its share of all parameters and of all multiply-adds as bars.",
        "Blue: where the network keeps what it has learned. Orange: where it works.",
    )
    d.ask(
        "How many parameters does this network have, and where?",
        f"{plan.parameters:,}, of which {plan.trainable:,} are trainable. {percent(largest.share)} of them are in "
        f"{name}: {largest.parameter_formula}.",
    )
