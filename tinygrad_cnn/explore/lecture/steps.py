"""Chapters on what follows a convolution: ReLU, max pooling, flattening, dense layers and softmax."""

from __future__ import annotations

import math

import numpy as np

from ..advantages import pooling_savings
from ..document import Document, link
from ..explain import explain
from ..predictions import plot_probabilities
from ..training import cnn
from ..values import Result
from .pictures import pooling_picture, relu_picture
from .subject import Subject, called, number, percent, sentence_list, size, sure


def _of(s: Subject, name: str) -> list[Result]:
    """The steps that are a function, by its name; those of which the input is known."""
    return [r for r in s.results if r.step is not None and r.step.name == name and r.before is not None]


def _where(result: Result) -> str:
    """A step in a table or at the beginning of a sentence."""
    return f"`{result.row.kind}`" if result.row.is_function else f"{result.row.kind} `{result.row.path}`"


def relu(d: Document, s: Subject) -> None:
    """ReLU: what it is, how many numbers it sets to zero, and why it is needed."""
    d.say(
        "ReLU (*rectified linear unit*) is the simplest step of all. It keeps positive numbers and replaces negative "
        "ones by zero:",
        "> ReLU(x) = max(0, x)",
        "A feature map is negative where the picture is unlike the filter. After ReLU, only what was found is left.",
    )
    steps = _of(s, "F.relu")
    if not steps:
        d.say("**This network uses no ReLU** that could be shown here.")
        d.ask("What does ReLU do?", "It replaces negative numbers by zero: max(0, x).")
        return
    first = steps[0]
    before, after = first.before, first.after
    assert before is not None
    if before.ndim == 4:
        positive, negative = np.maximum(before[0], 0).sum((1, 2)), np.maximum(-before[0], 0).sum((1, 2))
        which = int(np.minimum(positive, negative).argmax())  # a map with much of both
        drawn = relu_picture(before[0, which], after[0, which], before)
        more = f" On the right, map {which} of the test picture before and after: violet, the negative, is gone."
    else:
        drawn, more = relu_picture(before.reshape(-1), after.reshape(-1), before), ""
    d.show(
        drawn,
        "relu",
        "The function max(0, x) over the numbers that reach it, and a feature map before and after.",
        f"The first ReLU of this network. Orange is the function, blue how often each x occurs there.{more}",
    )
    example = float(before.min()), float(before.max())
    zero = [(r, float((r.after == 0).mean())) for r in steps]
    d.say(
        f"For example, max(0, {number(example[0], '.2f')}) = {max(0.0, example[0]):.2f} and max(0, "
        f"{number(example[1], '.2f')}) = {max(0.0, example[1]):.2f}. For the test picture, so many numbers are zero "
        "afterwards:",
    )
    d.table(
        ("step", "numbers", "zero afterwards"),
        [[_where(r), f"{r.after.size:,}", percent(share)] for r, share in zero],
        (False, True, True),
    )
    d.say(
        "Why is it there? Two convolutions or dense layers without anything in between are no more than one: "
        "W₂·(W₁·x + b₁) + b₂ = (W₂·W₁)·x + (W₂·b₁ + b₂) has again the form weights · x + bias. The bend at zero "
        "breaks this. Only with it is a second layer able to do what the first one cannot.",
    )
    d.ask(
        "What does ReLU do, and why is it needed?",
        f"It replaces negative numbers by zero ({percent(zero[0][1])} of them at its first use here). Without such a "
        "bend, several layers would be no more than one.",
    )


def pooling(d: Document, s: Subject) -> None:
    """Max pooling: the largest of every window, and what that saves."""
    d.say(
        "Max pooling also slides a window over each feature map, but it only keeps the largest number in it. The "
        "window usually moves by its own width, so that windows do not overlap. There is nothing to learn in it.",
    )
    steps = [r for r in _of(s, "F.max_pool2d") if r.after.ndim == 4]
    if steps:
        _own_pooling(d, steps[0])
        saved = sentence_list([_fewer(r) for r in steps])
        d.say(
            f"Fewer numbers are left to work with: {saved}. All layers behind it have that much less to do, and a "
            "fully connected layer that reads them needs that many times fewer weights.",
            "The price: where exactly in its window the largest number stood is forgotten. That can help, because a "
            f"pattern that moves a little may give the same result. Chapter {link('Moved images')} measures how far.",
        )
    else:
        d.say("**This network has no max pooling** that could be shown here.")
    pair = {"with pooling": s.small(cnn), "without": s.small(lambda data: cnn(data, pooling=False))}
    measured = pooling_savings(pair, s.sample)
    (_, parameters, work, seconds, accuracy), (_, parameters2, work2, seconds2, accuracy2) = measured.rows
    d.say(
        f"What does it save? Two small CNNs, alike but for the pooling, were trained for this report on "
        f"{len(s.sample.images):,} of the pictures, from the same start and for equally long:",
    )
    d.table(
        ("small CNN", "parameters", "multiply-adds per picture", "seconds per epoch", "right"),
        [
            ["with pooling", f"{parameters:,}", f"{work:,}", f"{seconds:.2f}", percent(accuracy)],
            ["without", f"{parameters2:,}", f"{work2:,}", f"{seconds2:.2f}", percent(accuracy2)],
        ],
        (False, True, True, True, True),
    )
    test = len(s.sample.test_images)
    gain = accuracy - accuracy2
    if abs(gain) * test < 2 * math.sqrt(test * max(accuracy2 * (1 - accuracy2), 0.01)):
        effect = f"The accuracies differ by less than chance makes them differ on {test} pictures."
    elif gain > 0:
        effect = "Here the one with pooling is also more often right."
    else:
        effect = (
            f"It is not free: here {100 * -gain:.1f} % of the pictures fewer are read rightly, after a short training."
        )
    if seconds2 > 1.1 * seconds:
        time = f"An epoch was {seconds2 / seconds:.1f} times as fast."
    else:
        time = "An epoch was no faster: what else such a small network costs counts more here."
    d.say(
        f"Pooling divides the parameters by {parameters2 / parameters:.1f} and the multiply-adds by "
        f"{work2 / work:.1f}. {time} {effect}"
    )
    d.ask(
        "What is max pooling for?",
        "It keeps the largest number of every window, so later layers have less to do: in the two small CNNs, "
        f"{parameters2 / parameters:.1f} times fewer parameters and {work2 / work:.1f} times fewer multiply-adds.",
    )


def _own_pooling(d: Document, result: Result) -> None:
    """The picture of a pooling layer at the part of a map that has the largest numbers."""
    before, after, step = result.before, result.after, result.step
    assert before is not None
    assert step is not None
    assert not isinstance(step.reach, str)
    H, W = after.shape[2:]
    high, wide = min(3, H), min(3, W)
    best, corner, which = -math.inf, (0, 0), 0
    for c in range(after.shape[1]):
        for row in range(H - high + 1):
            for column in range(W - wide + 1):
                part = after[0, c, row : row + high, column : column + wide]
                score = float((part > 0).sum()) + float(part.std()) / (1 + float(part.std()))
                inside = all(n * t + b >= 0 for n, t, b in zip((row, column), step.stride, step.start))
                if score > best and (inside or step.start == (0, 0)):
                    best, corner, which = score, (row, column), c
    window = (step.reach[0] + 1, step.reach[1] + 1)
    shifted = before[0, which]
    if step.start != (0, 0):  # the padding counts as smaller than everything
        top, left = -step.start[0], -step.start[1]
        shifted = np.pad(shifted, ((top, top), (left, left)), constant_values=float(shifted.min()))
    d.show(
        pooling_picture(shifted, after[0, which], window, step.stride, corner),
        "max-pooling",
        f"Windows of {size(window)} in a feature map, and the largest number of each.",
        f"{_where(result)}: windows of {size(window)} that move by {step.stride[0]}. Every frame on the left becomes "
        f"the number in the same place on the right, its largest. {before[0].size:,} numbers become "
        f"{after[0].size:,}.",
    )


def _fewer(result: Result) -> str:
    assert result.before is not None
    before, after = result.before[0], result.after[0]
    return (
        f"{size(before.shape).replace('×', '·')} = {before.size:,} become {size(after.shape).replace('×', '·')} = "
        f"{after.size:,}, {before.size / after.size:.3g} times fewer"
    )


def dense(d: Document, s: Subject) -> None:
    """Flatten, and fully connected layers with one score taken apart."""
    d.say(
        "Up to here there are pictures: maps with rows and columns. To decide, the network needs a list. *Flatten* "
        "writes all maps one after the other into one list and computes nothing.",
    )
    flat = next((r for r in s.results if r.before is not None and r.before.ndim == 4 and r.after.ndim == 2), None)
    if flat is not None and flat.before is not None and flat.before.size == flat.after.size:
        C, H, W = flat.before.shape[1:]
        c, i, j = C // 2, H // 2, W // 2
        d.say(
            f"Here {C} maps of {H}×{W} become a list of {C}·{H}·{W} = {flat.after.size:,} numbers. The one in map {c}, "
            f"row {i}, column {j} is number {c}·{H}·{W} + {i}·{W} + {j} = {(c * H + i) * W + j:,} of the list, all "
            "counted from 0."
        )
    if not s.dense:
        d.say("**This network has no fully connected layer** (Linear) that could be shown here.")
        d.ask(
            "What does a fully connected layer do?",
            "It adds up all inputs, each times a weight. This network has none.",
        )
        return
    row, layer = s.dense[-1]
    inputs, outputs = layer.in_features, layer.out_features
    d.say(
        "A *fully connected* (or dense) layer gives each of its outputs a weight for **every** input:",
        "> output = sum of (all inputs · their weights) + bias",
    )
    d.table(
        ("layer", "inputs", "outputs", "weights and biases"),
        [[f"`{r.path}`", f"{m.in_features:,}", f"{m.out_features:,}", r.parameter_formula] for r, m in s.dense],
        (False, True, True, False),
    )
    which = int(s.predicted[s.typical])
    last = outputs == len(s.classes)
    found = explain(s.model, s.image(s.typical)[None], row.path, which if last else 0)
    if last:
        d.say(
            f"The last one, {called(row)}, has one output per class, the *score* of this class. For the picture of the "
            f"last chapters, this is how the score of {s.said(which)} comes about. The terms that count most are first:"
        )
    else:
        d.say(f"This is how the first output of {called(row)} comes about, with the terms first that count most:")
    d.calculation(str(found))
    d.say("A positive product speaks for the class, a negative one against it." if last else "All inputs count.")
    d.ask(
        "What does flatten do?",
        "It writes all feature maps into one list, without computing anything."
        + (
            ""
            if flat is None or flat.before is None
            else f" Here {size(flat.before.shape[1:])} become {flat.after.size:,}."
        ),
    )
    d.ask(
        "What does a fully connected layer do?",
        f"Every output is the sum of all inputs, each times a weight of its own, plus a bias. The {called(row)} makes "
        f"{outputs:,} outputs of {inputs:,} inputs, with {row.parameter_formula} parameters.",
    )


def softmax(d: Document, s: Subject) -> None:
    """From scores to probabilities, with the numbers of the image that the network is least sure about."""
    which = s.doubtful
    scores, shares = s.outputs[which], s.shares[which]
    d.say(
        "The scores can be any numbers. *Softmax* makes probabilities of them: all positive, together 1. It raises "
        "e = 2.718… to the power of each score, and divides by the sum:",
        "> probability of class k = e^(score of k) / (sum of e^score over all classes)",
        "Only differences of scores matter. So the largest score is taken off first, which keeps the powers small.",
    )
    if np.allclose(scores, shares):
        d.say("**The outputs of this network are probabilities already**: softmax is its last step.")
    order = np.argsort(-shares)[:10]
    powers = np.exp(scores - scores.max())
    rows = [
        [s.cell(k), number(scores[k]), number(scores[k] - scores.max()), f"{powers[k]:.5f}", percent(shares[k], 2)]
        for k in (order if len(shares) > 10 else range(len(shares)))
    ]
    if not np.allclose(scores, shares):
        d.say(
            "The numbers of a picture that the network gets right, but is least sure about (it shows "
            f"{s.said(s.truth[which])}):"
            if s.predicted[which] == s.truth[which]
            else f"The numbers of a picture that shows {s.said(s.truth[which])}:"
        )
        d.table(("class", "score", "minus the largest", "e to that power", "probability"), rows, (False, *[True] * 4))
        d.say(f"The powers of all classes add up to {powers.sum():.5f}; each divided by that is the probability.")
    d.show(
        plot_probabilities(s.model, s.image(which), s.classes, int(s.truth[which])),
        "softmax",
        f"The picture and a bar for the probability of each class; {s.said(int(shares.argmax()))} has the longest bar.",
        f"The same picture with its probabilities as bars, the true class in orange. The longest bar is the answer: "
        f"{s.said(int(shares.argmax()))}, with {percent(shares.max())}.",
    )
    usual = float(np.median(s.shares.max(1)))
    d.say(
        f"{'Most answers are not so close. ' if usual > 1.2 * shares.max() else ''}For half of the test pictures, the "
        f"network gives {sure(usual)} or more to the class that it names."
    )
    k = int(shares.argmax())
    d.ask(
        "What does softmax do?",
        "It makes probabilities of scores: e to the power of each, divided by their sum. "
        f"In the example, {s.said(k)} gets {powers[k]:.3f} / {powers.sum():.3f} = {percent(shares[k])}.",
    )
