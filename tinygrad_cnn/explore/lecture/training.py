"""Chapters on how a training is run: the learning rate, batches, iterations and epochs."""

from __future__ import annotations

import math

import numpy as np

from ..costs import epoch_gains, learning_rates
from ..curves import AHEAD, SHARE, diminishing_returns, plot_curves
from ..document import Document
from ..measurement import Measurement
from .pictures import curves_picture
from .subject import Subject, number, percent

_EPOCHS = 50


def learning_rate(d: Document, s: Subject) -> None:
    """Three rates from the same start."""
    rates = (0.001, 0.1, 10.0)
    own = s.blank is not None
    measured = learning_rates(s.beginner, s.sample, rates)
    chance = math.log(len(s.classes))
    d.say(
        "The learning rate says how far a step goes. The slope is only right where we stand: with a step too far, it "
        "no longer holds. With steps too short, it takes for ever.",
        f"Three trainings of {'this network' if own else 'a small CNN'} by plain gradient descent, from the same "
        f"start, 3 epochs on {len(s.sample.images):,} pictures:",
    )
    d.show(
        curves_picture(measured, 10),
        "learning-rates",
        "The loss over the steps of training, a curve for each learning rate.",
        f"The loss of every step (the mean of ten). {chance:.2f} is what guessing costs. Curves that explode leave the "
        "picture.",
    )
    verdicts = []
    best = min(measured.rows, key=lambda row: row[2] if math.isfinite(row[2]) else math.inf)
    for name, first, last, accuracy in measured.rows:
        peak = max(measured.curves[name][1], key=lambda loss: loss if math.isfinite(loss) else math.inf)
        if not math.isfinite(last):
            verdict = "too large: the loss has exploded"
        elif peak > 2 * max(first, chance):
            verdict = f"too large: the loss jumped to {peak:.3g} on the way"
        elif last > 0.9 * first:
            verdict = "the loss has hardly moved"
        elif name == best[0]:
            verdict = "the lowest of these"
        else:
            verdict = "the loss falls, but less far"
        loss = f"{last:.3g}" if math.isfinite(last) else "not a number any more"
        verdicts.append([name.removeprefix("lr "), f"{first:.3f}", loss, percent(accuracy), verdict])
    d.table(
        ("learning rate", "first loss", "last loss", "right on test pictures", "what happened"),
        verdicts,
        (True, True, True, True, False),
    )
    d.say(
        "In practice, one tries a few rates, each three to ten times the one before. Many also begin with a larger "
        "rate and lower it during training: long steps to get near, short ones to settle."
    )
    d.ask(
        "What happens with a wrong learning rate?",
        "; ".join(f"{row[0]}: {row[4]} (last loss {row[2]})" for row in verdicts) + ".",
    )


def epochs(d: Document, s: Subject) -> None:
    """The three words with numbers put in, the training of this network, and what 50 epochs bring."""
    images, batch = len(s.data.images), s.batch_size
    iterations = math.ceil(images / batch)
    d.say(
        "Three words for one thing each:",
        f"- A **batch** is the pictures of one step: here {batch:,}.\n"
        "- An **iteration** is one step: forward, loss, backward, new weights.\n"
        "- An **epoch** is one pass over all training pictures.",
        f"> {images:,} pictures / {batch:,} per batch = {images / batch:,.1f}, rounded up {iterations:,} iterations "
        "per epoch",
    )
    d.ask(
        "What are batch, iteration and epoch?",
        f"A batch is the {batch:,} pictures of one step, an iteration is that step, an epoch is all {images:,} "
        f"pictures once: {iterations:,} iterations.",
    )
    if s.history:
        _own_training(d, s, iterations)
    measured = epoch_gains(s.beginner, s.sample, _EPOCHS)
    _fifty(d, s, measured)


def _own_training(d: Document, s: Subject, iterations: int) -> None:
    """The curves that were given, and their point of diminishing returns."""
    d.heading("The training of this network")
    losses = next(
        (v for n, v in s.history.items() if "loss" in n.lower() and "batch" not in n.lower() and len(v)), None
    )
    rights = next((v for n, v in s.history.items() if "acc" in n.lower() and len(v)), None)
    if losses is not None:
        count = len(losses)
        d.say(
            f"It took {count} epoch{'s' if count > 1 else ''}, which is {count} · {iterations:,} = "
            f"{count * iterations:,} iterations. The mean loss went from {losses[0]:.4f} in the first epoch to "
            f"{losses[-1]:.4f} in the last."
        )
    d.show(
        plot_curves(s.history),
        "training",
        "The loss and the accuracy of this training over its epochs.",
        "Loss and accuracy, epoch by epoch. Where do the curves become flat?",
    )
    if losses is None or not np.isfinite(losses).all():
        return
    epoch = diminishing_returns(losses)
    share = percent(SHARE, 0)
    rule = f"the first epoch after which the next {AHEAD} together gain under {share} of the whole fall of the loss"
    if epoch is not None:
        d.say(f"The *point of diminishing returns* ({rule}) is epoch {epoch} here.")
    elif len(losses) <= AHEAD:
        d.say(f"The *point of diminishing returns* ({rule}) cannot be told from {len(losses)} epochs.")
    else:
        d.say(f"The *point of diminishing returns* ({rule}) is not reached in these {len(losses)} epochs.")
    if rights is not None and len(rights) > 1:
        whole = 100.0 if float(rights.max()) > 1.5 else 1.0
        first, last = (float(v) / whole for v in (rights[0], rights[-1]))
        d.say(f"After the first epoch, {percent(first, 2)} were right; after the last, {percent(last, 2)}.")


def _fifty(d: Document, s: Subject, measured: Measurement) -> None:
    """What 5, 10, 20 and 50 epochs bring, on a sample."""
    d.heading("How many epochs?")
    d.say(
        f"Often 5 to 50. To see what they bring, {'this network' if s.blank is not None else 'a small CNN'} was "
        f"trained anew for {_EPOCHS} epochs, on {len(s.sample.images):,} of the pictures only, and tested after each "
        f"on {len(s.sample.test_images):,} test pictures.",
    )
    seconds, losses, rights = (measured.column(name) for name in ("seconds", "loss", "accuracy"))
    d.show(
        plot_curves({"training loss": losses, "test accuracy": rights}),
        "fifty-epochs",
        f"The loss and the accuracy over {_EPOCHS} epochs of a training on a sample.",
        "Left, the loss on the pictures it learns from; mind the scale, each line may be ten times the next. Right, "
        "the share of test pictures that are read rightly. Does it follow?",
    )
    cells, before = [], 1 / len(s.classes)
    for epoch in (1, 2, 5, 10, 20, 50):
        right = rights[epoch - 1]
        cells.append(
            [
                f"{epoch}",
                f"{sum(seconds[:epoch]):.1f}",
                f"{losses[epoch - 1]:.4f}",
                percent(right),
                number(100 * (right - before), "+.1f"),
            ]
        )
        before = right
    d.table(
        ("epochs", "seconds in all", "training loss", "right on test pictures", "points gained since the line above"),
        cells,
        (True,) * 5,
    )
    gain = 100 * (rights[49] - rights[4])
    test = len(s.sample.test_images)
    noise = 200 * math.sqrt(max(rights[4] * (1 - rights[4]), 1 / test) / test)
    if gain > noise:
        verdict = f"That is more than chance usually does on {test:,} pictures (±{noise:.1f} points)."
    elif gain < -noise:
        verdict = "So here it did harm: the network learned its training pictures by heart."
    else:
        verdict = f"That is no more than chance may do on {test:,} pictures (±{noise:.1f} points)."
    d.say(
        f"The first line gains over guessing. From epoch 5 to epoch {_EPOCHS} it is {number(gain, '+.1f')} points, for "
        f"{_EPOCHS // 5} times as many epochs. {verdict}",
        "That is what *diminishing returns* means: every epoch is the same work, and the first five brought more than "
        "all others together."
        if gain < 100 * (rights[4] - 1 / len(s.classes))
        else "Here the first five brought less than the others together: this training was not nearly done by then.",
    )
    enough = diminishing_returns(losses) if np.isfinite(losses).all() else None
    point = f" Its point of diminishing returns is epoch {enough}." if enough is not None else ""
    d.ask(
        "How many epochs are enough?",
        f"Until more bring little. In the training on a sample, {percent(rights[4])} were right after 5 epochs, "
        f"{percent(rights[9])} after 10 and {percent(rights[49])} after 50.{point}",
    )
