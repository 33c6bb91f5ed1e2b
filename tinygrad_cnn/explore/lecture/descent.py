"""The chapter on steps: gradient descent, mini-batches and Adam."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd import Generator, enable_grad, inference_mode, wrap
from ...nn import functional as F
from ...optim import SGD, Adam, Optimizer
from ..costs import batch_throughput, optimizers
from ..document import Document
from .gradients import Weight, example_weight, loss_of, slopes_by
from .pictures import curves_picture, spread_picture
from .subject import Subject, number, percent, plain

_RATE, _ADAM_RATE = 0.1, 0.001

_MAKERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD, rate 0.3": lambda parameters: SGD(parameters, lr=0.3),
    "SGD, rate 0.05, momentum 0.9": lambda parameters: SGD(parameters, lr=0.05, momentum=0.9),
    "Adam, rate 0.003": lambda parameters: Adam(parameters, lr=0.003),
}


def descent(d: Document, s: Subject) -> None:
    """A step against the gradient, mini-batches, and Adam."""
    d.say(
        "Now every weight takes a small step *against* its slope, and the loss becomes smaller. That is gradient "
        "descent:",
        "> new weight = weight − learning rate · slope",
    )
    weight = example_weight(s)
    if weight is not None:
        _show_step(d, s, weight)
    d.heading("Mini-batches")
    d.say(
        f"The exact slope would need all {len(s.data.images):,} training pictures for a single step. A *mini-batch* of "
        "a few pictures, drawn at random, gives a rough slope far sooner. How rough?",
    )
    if weight is not None:
        _show_spread(d, s, weight)
    largest = min(256, len(s.data.images))
    measured = batch_throughput(s.thawed, s.data, sizes=[n for n in (1, 8, 16, 32, 64, 128, 256) if n <= largest])
    rows = list(zip(*(measured.column(h) for h in ("batch", "training", "prediction"))))
    d.say("And how long does a picture take, alone and in batches? Measured with this network:")
    d.show(
        curves_picture(measured, log=(True, True)),
        "batch-sizes",
        "Pictures per second over the size of the batch, for training and for prediction.",
        "How many pictures per second this computer works through, by the size of the batch.",
    )
    d.table(
        ("batch", "training, pictures/s", "prediction, pictures/s"),
        [[f"{n}", f"{a:,.0f}", f"{b:,.0f}"] for n, a, b in rows],
        (True, True, True),
    )
    best = max(rows, key=lambda row: row[1])
    gain = f"{best[1] / rows[0][1]:.1f} times as fast as one picture at a time"
    d.say(
        f"Training is fastest with batches of {best[0]}: {gain}. That is a second reason for batches."
        if best[1] > 1.1 * rows[0][1]
        else "Here batches are hardly faster than one picture at a time."
    )
    d.ask(
        "Why mini-batches?",
        "A few pictures give a rough slope for a step, long before all have been seen. Measured with this network, "
        f"training in batches of {best[0]} is {gain}.",
    )
    _adam(d, s)


def _show_step(d: Document, s: Subject, weight: Weight) -> None:
    model = copy.deepcopy(weight.model)
    before = loss_of(model, weight.images, weight.labels)
    optimizer = SGD(model.parameters(), lr=_RATE)
    with inference_mode(False), enable_grad():
        optimizer.minimize(F.cross_entropy(model(weight.images), weight.labels))
    after = loss_of(model, weight.images, weight.labels)
    old = float(weight.model.get_submodule(weight.path).weight._array[weight.place])
    new = float(model.get_submodule(weight.path).weight._array[weight.place])
    slope = weight.explanation.recorded
    word = "fell" if after < before else "rose"
    shown = number(slope, ".5f")
    step = f"{number(old, '.5f')} − {_RATE} · {shown if slope >= 0 else f'({shown})'} = {number(new, '.5f')}"
    d.say(
        f"For the weight of the last chapter, with a learning rate of {_RATE}: {step}. After all "
        f"{s.plan.parameters:,} parameters have taken this one step, the loss of the batch {word} from "
        f"{before:.4f} to {after:.4f}."
    )
    d.ask(
        "What is gradient descent?",
        f"Every weight takes a step against its slope: {step}. One such step "
        f"of all weights took the loss of a batch from {before:.4f} to {after:.4f}.",
    )


def _show_spread(d: Document, s: Subject, weight: Weight) -> None:
    """The slope of one weight from many random batches of several sizes."""
    images, labels = s.sample.images._array, s.sample.labels._array
    parameter = weight.model.get_submodule(weight.path).weight
    whole = float(slopes_by(weight.model, wrap(images), wrap(labels), parameter)[weight.place])
    draw, found = Generator().manual_seed(0), {}
    for n in (size for size in (4, 32, 256) if size <= len(images)):
        slopes = []
        for _ in range(20):
            chosen = draw.randperm(len(images))[:n]
            slopes.append(
                float(slopes_by(weight.model, wrap(images[chosen]), wrap(labels[chosen]), parameter)[weight.place])
            )
        found[n] = np.array(slopes)
    if not found:
        return
    first, last = min(found), max(found)
    d.show(
        spread_picture(found, whole),
        "mini-batches",
        "The slopes that random batches give for one weight, in a line for each size of the batch.",
        "The same weight as above. Each blue mark is the slope that one random batch gives; the orange line is the "
        f"slope of all {len(images):,} pictures of a sample. With batches of {first}, the slopes scatter by "
        f"{plain(found[first].std(), 2)} (standard deviation), with batches of {last} by "
        f"{plain(found[last].std(), 2)}.",
    )


def _adam(d: Document, s: Subject) -> None:
    """Adam's step beside plain gradient descent's, and the curves of both."""
    d.heading("Adam")
    d.say(
        "Slopes differ in size from weight to weight. Where they are small, plain gradient descent (SGD) hardly "
        "moves. *Adam* keeps for every weight a running mean m of its slopes and v of their squares, and takes the "
        "step",
        "> new weight = weight − learning rate · m / (√v + ε)",
        "(m and v are first corrected for having begun at zero; ε only prevents a division by zero). So a step has "
        "about the size of the learning rate, whether the slopes are large or small, and steady slopes count more "
        "than those that change sign.",
    )
    rows = _first_steps(s)
    if rows:
        cells = [[f"`{path}`", *(plain(v) for v in found)] for path, found in rows.items()]
        headings = ("weight of", "slope", f"SGD's step, rate {_RATE}", f"Adam's step, rate {_ADAM_RATE}")
        d.say("The first step of a few weights, one of each layer (that of median slope):")
        d.table(headings, cells, (False, True, True, True))
        _, *steps = ([abs(v) for v in column] for column in zip(*rows.values()))
        if len(rows) > 1 and all(map(all, steps)):
            ratios = [max(column) / min(column) for column in steps]
            d.say(
                f"The largest of these steps is {ratios[0]:,.1f} times the smallest under SGD, and {ratios[1]:,.1f} "
                "times under Adam."
            )
    measured = optimizers(s.beginner, s.sample, _MAKERS)
    d.say(
        f"Three trainings of {'this network' if s.blank is not None else 'a small CNN'} from the same start, 3 epochs "
        f"on {len(s.sample.images):,} pictures. (With *momentum*, a step also goes on along the steps before it.)"
    )
    d.show(
        curves_picture(measured, 10),
        "optimizers",
        "The loss over the steps of training, a curve for each optimizer.",
        "The loss of every step (the mean of ten). Lower is better, and earlier down is better.",
    )
    d.table(
        ("optimizer", "last loss", "right on test pictures"),
        [[row[0], f"{row[2]:.3f}", percent(row[3])] for row in measured.rows],
        (False, True, True),
    )
    best = min(measured.rows, key=lambda row: row[2] if math.isfinite(row[2]) else math.inf)
    d.say(
        f"Here *{best[0]}* ends lowest. Each rule was given one learning rate that is usual for it; other rates can "
        "change the order."
    )
    d.ask(
        "What does Adam do differently?",
        "It divides each weight's step by the usual size of its slopes, so that all weights move about as far. In the "
        f"trainings above, *{best[0]}* ended with the lowest loss ({best[2]:.3f}).",
    )


def _first_steps(s: Subject) -> dict[str, tuple[float, float, float]]:
    """Per layer: its path, the slope of one weight, and the first steps of SGD and of Adam."""
    weight = example_weight(s)
    if weight is None:
        return {}
    paths = [row.path for row, _ in (*s.convolutions, *s.dense)]
    moved = []
    makers: tuple[Callable[[Any], Optimizer], ...] = (lambda p: SGD(p, lr=_RATE), lambda p: Adam(p, lr=_ADAM_RATE))
    for make in makers:
        model = copy.deepcopy(weight.model)
        with inference_mode(False), enable_grad():
            make(model.parameters()).minimize(F.cross_entropy(model(weight.images), weight.labels))
        moved.append(model)
    rows = {}
    for path in paths:
        old, sgd, adam = (m.get_submodule(path).weight for m in (weight.model, *moved))
        slopes = sgd.grad._array.reshape(-1)
        there = np.flatnonzero(slopes)
        if len(there):
            i = int(there[np.argsort(np.abs(slopes[there]))[len(there) // 2]])
            before, *after = (float(p._array.reshape(-1)[i]) for p in (old, sgd, adam))
            rows[path] = (float(slopes[i]), after[0] - before, after[1] - before)
    return rows
