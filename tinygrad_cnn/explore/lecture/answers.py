"""The last chapters: what the network gets wrong, where it looks, and the questions of the lecture."""

from __future__ import annotations

import numpy as np

from ...errors import GraphError, ShapeError
from ..attribution import Evidence, evidence, plot_grad_cam, plot_saliency
from ..document import Document
from ..predictions import plot_confusion
from ..training import accuracy
from .subject import Subject, percent, sure


def mistakes(d: Document, s: Subject) -> None:
    """The confusion matrix and the errors."""
    total, right = len(s.truth), int((s.predicted == s.truth).sum())
    d.say(
        f"Of {total:,} test pictures, the network names {right:,} rightly, {percent(s.accuracy, 2)}. Which does it "
        "take for which? The *confusion matrix* counts it: the row is what a picture shows, the column what the "
        "network says.",
    )
    d.show(
        plot_confusion(s.model, (s.data.test_images, s.data.test_labels), s.classes, examples=3),
        "confusion",
        "A table of true against predicted classes, and examples of the most frequent errors.",
        "Bold on the diagonal: right. The darker a place beside it, the more often this error happens."
        + (" On the right, examples: would you have known?" if right < total else ""),
    )
    wrong = np.flatnonzero(s.predicted != s.truth)
    known = [k for k in range(len(s.classes)) if (s.truth == k).any()]
    shares = {k: float((s.predicted[s.truth == k] == k).mean()) for k in known}
    best, worst = max(known, key=lambda k: shares[k]), min(known, key=lambda k: shares[k])
    if len(wrong):
        pairs, counts = np.unique(np.stack([s.truth[wrong], s.predicted[wrong]]), axis=1, return_counts=True)
        most = int(counts.argmax())
        t, p = (int(n) for n in pairs[:, most])
        name = f"{s.said(t)} taken for {s.said(p)}"
        error = f"The most frequent error: {name}, {counts[most]} times."
        if counts[most] == 1:
            error = f"No error happens twice; one of them is {name}." if len(wrong) > 1 else f"The one error: {name}."
    else:
        error = "It makes no error on these pictures."
    spread = (
        f" {s.said(best)} is read best ({percent(shares[best])}), {s.said(worst)} worst ({percent(shares[worst])})."
        if shares[best] > shares[worst]
        else ""
    )
    d.say(error + spread)
    if len(wrong):
        highest = s.shares.max(1)
        if len(wrong) < total:
            erring, knowing = (float(np.median(part)) for part in (highest[wrong], highest[s.predicted == s.truth]))
            d.say(
                f"When it errs, it is {'also less sure' if erring < knowing else 'no less sure'}. In half of the "
                f"errors, the probability of its answer is {sure(erring)} or more; in half of the right answers, "
                f"{sure(knowing)} or more."
            )
        else:
            d.say("It is never right.")
    _generalisation(d, s)
    d.ask("What does a confusion matrix show?", f"How often each class is taken for each other. Here: {error}")


def _generalisation(d: Document, s: Subject) -> None:
    """The accuracy on images of the training beside that on others."""
    trained = accuracy(s.model, s.sample.images, s.sample.labels)
    gap = 100 * (trained - s.accuracy)
    d.say(
        f"Does it know pictures it has learned from better? On {len(s.sample.images):,} of the training pictures it "
        f"is right for {percent(trained, 2)}: {abs(gap):.2f} points {'more' if gap >= 0 else 'less'} than on the "
        "test pictures. The larger this gap, the more was learned by heart."
    )


def looking(d: Document, s: Subject) -> None:
    """Saliency and Grad-CAM of a right and of a wrong answer."""
    d.say(
        "Which part of a picture decides? Back-propagation can go all the way to the pixels. *Saliency* is the size of "
        "the slope of the winning score by each pixel: where a small change of the picture would change the score "
        "most.",
    )
    cases = [(s.typical, "a right answer", "right")]
    if s.wrong is not None:
        cases.append((s.wrong, "a wrong answer", "wrong"))
    for which, name, key in cases:
        said = f"It shows {s.said(s.truth[which])}, the network says {s.said(s.predicted[which])}."
        d.show(
            plot_saliency(s.model, s.image(which)),
            f"saliency-{key}",
            f"A test picture, the size of the slope by each of its pixels, and both together, for {name}.",
            f"Saliency of {name}. {said} Bright: pixels that matter. The scale is the size of the slope.",
        )
    shown = False
    if s.convolutions:
        d.say(
            "*Grad-CAM* asks a coarser question: which places of the last convolution's feature maps speak for the "
            "class? Every map, as it is after ReLU, is weighted by the mean slope of the score by it. The weighted "
            "maps are added, and what is negative is left out. Each place is drawn in the middle of the part of the "
            "picture that it sees; where no window stands, the border is grey.",
        )
        for which, name, key in cases:
            try:
                found = evidence(s.model, s.image(which))
                drawn = plot_grad_cam(s.model, s.image(which))
            except (ShapeError, GraphError):
                continue
            shown = True
            d.show(
                drawn,
                f"grad-cam-{key}",
                f"A test picture, its Grad-CAM map, and both together, for {name}.",
                f"Grad-CAM of {name}. {_places(s, which, found)}",
            )
        if any(r.before is not None and r.before.ndim == 4 and r.after.ndim == 2 for r in s.results):
            d.say(
                "Grad-CAM was made for networks that average each map before they decide. In a network that "
                "flattens its maps, such as this one, the same map can speak for a class in one place and against "
                "it in another; the mean slope hides that, so the picture is rougher."
            )
    if not shown:
        d.say("**Grad-CAM needs feature maps of a convolution**, which this network does not have.")
    d.say("Such pictures are hints, not proofs: they say what the score depends on near this one picture, not why.")
    d.ask(
        "How can one see what a network looks at?",
        "By slopes: of the score by the pixels (saliency), or by the last feature maps (Grad-CAM).",
    )


def _places(s: Subject, which: int, found: Evidence) -> str:
    """What one sees in a Grad-CAM map."""
    if found.map.max() <= 0:
        return "The map is empty: by their mean slopes, the maps together speak against the class everywhere."
    strong = float((found.map > found.map.max() / 2).mean())
    return (
        f"Bright places spoke for {s.said(s.predicted[which])}: {percent(strong)} of all places reach more than half "
        "of the highest value. Are they on the shape, along its edges, or beside it?"
    )


def questions(d: Document, s: Subject) -> None:
    """The questions that the chapters have answered, with their answers."""
    d.say("The questions of the lecture, with the numbers of this network. Try to answer each before you read on.")
    for question, answer in list(d.questions):
        d.say(f"**{question}** {answer}")
