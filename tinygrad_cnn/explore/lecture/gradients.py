"""Chapters on what the network learns from: the loss, and its gradient by every weight."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from ... import nn
from ...autograd import Tensor, enable_grad, grad, inference_mode, no_grad, wrap
from ...nn import functional as F
from ..document import Document, link
from ..explain import explain_grad
from ..explanations import GradientExplanation
from ..summary import summary
from .pictures import loss_picture, slope_picture
from .subject import Subject, number, percent, plain, probability


def cross_entropy(d: Document, s: Subject) -> None:
    """What the loss of a picture is, with the surest, the most doubtful and the worst one."""
    d.say(
        "To learn, the network needs a number that says how wrong it is: the *loss*. Cross-entropy takes the "
        "probability p that the network gave to the true class:",
        "> loss of a picture = −ln p",
        "Where the network is sure and right, p is near 1 and the loss near 0. Where it is sure and wrong, p is near "
        "0 and the loss is large. The loss of several pictures is the mean of theirs.",
    )
    chance = 1 / len(s.classes)
    chosen = [(f"sure, shows {s.said(s.truth[s.typical])}", s.typical), ("doubtful", s.doubtful)]
    if s.wrong is not None:
        chosen.append(("wrong", s.wrong))
    rows = []
    for name, i in chosen:
        p = max(float(s.true_shares[i]), 1e-300)
        rows.append(
            [
                name,
                s.cell(s.truth[i]),
                s.cell(s.predicted[i]),
                probability(p),
                f"−ln {probability(p)} = {plain(-math.log(p))}",
            ]
        )
    d.table(("picture", "true class", "answer", "p of the true class", "loss"), rows, (False, False, False, True, True))
    d.show(
        loss_picture([(name.split(",")[0], float(s.true_shares[i])) for name, i in chosen], chance),
        "cross-entropy",
        "The curve of minus ln p, steep near 0 and zero at 1, with the pictures of the table on it.",
        f"The pictures of the table on the curve. Guessing among {len(s.classes)} classes costs ln {len(s.classes)} = "
        f"{math.log(len(s.classes)):.3f}: a network that has learned nothing begins there.",
    )
    loss = float(-np.log(np.maximum(s.true_shares, 1e-12)).mean())
    d.say(f"Over all {len(s.truth):,} test pictures, the mean loss of this network is {loss:.4f}.")
    p = float(s.true_shares[s.doubtful])
    d.ask(
        "What is cross-entropy?",
        f"−ln of the probability of the true class. For the doubtful picture: −ln {p:.3f} = {-math.log(p):.3f}; for "
        f"guessing, ln {len(s.classes)} = {math.log(len(s.classes)):.3f}.",
    )


# ---------------------------------------------------------------- back-propagation


class Weight(NamedTuple):
    """A weight of a layer, in the network as it was before training, and a batch for it."""

    model: nn.Module
    path: str
    place: tuple[int, ...]
    images: Tensor
    labels: Tensor
    explanation: GradientExplanation


def example_weight(s: Subject) -> Weight | None:
    """The weight of the first convolution or dense layer with the steepest slope on a batch."""
    model = copy.deepcopy(s.thawed if s.blank is None else s.blank).eval()
    images, labels = s.sample.images[: s.batch_size], s.sample.labels[: s.batch_size]
    layers = [row.path for row, _ in (*s.convolutions, *s.dense)][:1]
    if not layers:
        return None
    weight = model.get_submodule(layers[0]).weight
    slope = slopes_by(model, images, labels, weight)
    index = tuple(int(n) for n in np.unravel_index(int(np.abs(slope).argmax()), slope.shape))
    explanation = explain_grad(model, F.cross_entropy, (images, labels), layers[0], index)
    return Weight(model, layers[0], index, images, labels, explanation)


def slopes_by(model: nn.Module, images: Tensor, labels: Tensor, parameter: Any) -> np.ndarray:
    """The gradient of the mean loss of some pictures by a parameter."""
    with inference_mode(False), enable_grad():
        (found,) = grad(F.cross_entropy(model(images), labels), [parameter])
    assert found is not None
    return found._array


def loss_of(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with no_grad():
        return F.cross_entropy(model(images), labels).item()


def back_propagation(d: Document, s: Subject) -> None:
    """The gradient: a slope, its first link p − y, one weight's as a sum over places, and what the walk costs."""
    d.say(
        "The loss depends on every weight. For each of them we want to know: if this weight grows a little, does the "
        "loss rise or fall, and how fast? This slope is the *gradient* of the loss by the weight.",
    )
    weight = example_weight(s)
    if weight is None:
        d.say(
            "**This network has neither a convolution nor a fully connected layer** whose weights could be shown here."
        )
    else:
        _show_slope(d, s, weight)
    d.heading("Backwards, link by link")
    d.say(
        "Trying out every weight would take a run of the network for each. Back-propagation gets all slopes in one "
        "walk from the loss back to the pixels, by the *chain rule*: if the loss depends on b, and b on a, then the "
        "slope by a is the slope by b times how fast b grows with a.",
        "The first link, through cross-entropy and softmax together, is short. By the score of a class, the slope is "
        "p − y: the probability that the network gave, minus 1 for the true class and 0 for all others.",
    )
    _show_first_link(d, s)
    d.say(
        "Every layer takes the slopes of its outputs and makes of them the slopes of its weights and of its inputs:",
        "- dense layer: slope by a weight = slope by the output · the input\n"
        "- ReLU: the slope passes where x was positive, and is 0 elsewhere\n"
        "- max pooling: the slope goes to the place of the largest number\n"
        "- convolution: as in a dense layer, added up over all places where the weight was used",
    )
    if weight is not None and s.convolutions:
        found = weight.explanation
        d.say(
            f"The weight {_index(weight.place)} of layer `{weight.path}` was used {found.places:,} times: at all "
            f"{found.places // len(weight.images):,} places of {len(weight.images)} pictures. What these add up to is "
            "its gradient. That is what sharing a weight means for learning (`explore.explain_grad` prints this):",
        )
        d.calculation(str(found))
    if weight is not None:
        times = summary(weight.model, weight.images, repeats=3)
        forward = sum(row.forward_seconds or 0.0 for row in times.rows)
        backward = sum(row.backward_seconds or 0.0 for row in times.rows)
        d.say(
            f"One walk backwards gives all {s.plan.parameters:,} slopes. Measured with {len(weight.images)} pictures: "
            f"{1000 * forward:.1f} ms forward, {1000 * backward:.1f} ms backward, {backward / max(forward, 1e-9):.1f} "
            "times as long. Trying out each weight would take a forward run per weight."
        )
    d.ask(
        "What does back-propagation do?",
        "It walks from the loss back through all layers, multiplies slopes along the way (chain rule), and so gets "
        f"the slope of the loss by each of the {s.plan.parameters:,} parameters in one go.",
    )


def _index(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"


def _meaning(index: tuple[int, ...]) -> str:
    """What the numbers of a weight count, from 0."""
    names = ("filter", "channel", "row", "column") if len(index) == 4 else ("output", "input")
    return ", ".join(f"{name} {i}" for name, i in zip(names, index)) + ", counted from 0"


def _show_slope(d: Document, s: Subject, weight: Weight) -> None:
    # in float64: differences of nearly equal losses would otherwise be mostly rounding
    model, images = copy.deepcopy(weight.model).double(), weight.images.double()
    parameter, index = model.get_submodule(weight.path).weight, weight.place
    value, slope = float(parameter._array[index]), weight.explanation.recorded

    def loss_at(candidate: float) -> float:
        with no_grad():
            parameter[index] = candidate
        return loss_of(model, images, weight.labels)

    reach = 2.5 * max(float(np.abs(parameter._array).mean()), 1e-3)
    weights = value + np.linspace(-reach, reach, 25)
    losses = [loss_at(candidate) for candidate in weights]
    step = 0.001 * reach
    around = [loss_at(value + step), loss_at(value - step)]
    before = loss_at(value)
    state = "with new initial values, as before training" if s.blank is not None else "as it is now"
    d.say(
        f"As an example, take one weight of the first layer, number {_index(index)} of layer `{weight.path}` "
        f"({_meaning(index)}), in the network {state}, and a batch of {len(weight.images)} pictures. The weight is "
        f"{number(value, '.4f')} and "
        f"the loss {before:.4f}."
    )
    d.show(
        slope_picture(weights, np.array(losses), value, before, slope),
        "slope",
        "The loss over the value of one weight, and the tangent at its present value.",
        "Blue: the loss if only this weight had another value, computed by running the network for each. Orange: the "
        "slope that back-propagation gives, without any of these runs. It touches the curve.",
    )
    tried = (around[0] - around[1]) / (2 * step)
    apart = abs(tried - slope) / max(abs(slope), 1e-12)
    d.say(
        f"To check: with the weight {step:.3g} larger the loss is {around[0]:.9f}, with it {step:.3g} smaller "
        f"{around[1]:.9f}. That is a slope of ({around[0]:.9f} − {around[1]:.9f}) / {2 * step:.3g} = "
        f"{plain(tried, 4)}; back-propagation says {plain(slope, 4)}. "
        + ("They agree." if apart < 0.001 else f"They differ by {percent(apart)}, because the curve bends in between.")
    )


def _show_first_link(d: Document, s: Subject) -> None:
    """The gradient of the loss by the scores of the doubtful image, against p − y."""
    which = s.doubtful
    with inference_mode(False), enable_grad():
        scores = wrap(s.outputs[which][None].copy()).requires_grad_()
        (slope,) = grad(F.cross_entropy(scores, wrap(s.truth[which : which + 1].astype(np.int64))), [scores])
    assert slope is not None
    order = np.argsort(-np.abs(slope._array[0]))[:5]
    powers = np.exp(s.outputs[which] - s.outputs[which].max())
    p = powers / powers.sum()
    y = np.eye(len(p))[s.truth[which]]
    d.table(
        ("class", "p", "y", "p − y", "slope by its score"),
        [
            [s.cell(k), f"{p[k]:.4f}", f"{y[k]:.0f}", number(p[k] - y[k], ".4f"), number(slope._array[0, k], ".4f")]
            for k in order
        ],
        (False, True, True, True, True),
    )
    k = int(s.truth[which])
    d.say(
        f"This is the picture of {link('Softmax')}; the classes with the largest slopes come first. The last column "
        f"was computed by back-propagation and agrees. The slope of {s.said(k)} is negative: a larger score for the "
        "true class makes the loss smaller."
    )
