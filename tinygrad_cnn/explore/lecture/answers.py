"""The last chapters: what the network gets wrong, where it looks, and the questions of the lecture."""

from __future__ import annotations

import numpy as np

from ...errors import GraphError, ShapeError
from ..attribution import grad_cam, plot_grad_cam, plot_saliency
from ..document import Document
from ..inputs import last_convolution
from ..predictions import plot_confusion
from ..training import accuracy
from .subject import Subject, percent


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
        often = "once" if counts[most] == 1 else f"{counts[most]} times"
        error = f"The most frequent error: {s.said(t)} taken for {s.said(p)}, {often}."
    else:
        error = "It makes no error on these pictures."
    spread = (
        f" {s.said(best)} is read best ({percent(shares[best])}), {s.said(worst)} worst ({percent(shares[worst])})."
        if shares[best] > shares[worst]
        else ""
    )
    d.say(error + spread)
    if len(wrong):
        sure, right_sure = s.shares.max(1)[wrong], s.shares.max(1)[s.predicted == s.truth]
        d.say(
            f"When it errs, it is {'also less sure' if np.median(sure) < np.median(right_sure) else 'no less sure'}: "
            f"its answer has a probability of {percent(float(np.median(sure)))} in half of the errors or more, "
            f"against {percent(float(np.median(right_sure)), 2)} in half of the right answers."
            if len(right_sure)
            else "It is never right."
        )
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
            f"Saliency of {name}. {said} Bright: pixels that matter.",
        )
    shown = False
    if s.convolutions:
        path = last_convolution("report", s.model)
        d.say(
            f"*Grad-CAM* asks a coarser question: which places of the last feature maps (layer `{path}`) speak for "
            "the class? Every map is weighted by the mean slope of the score by it; the weighted maps are added, "
            "and what is negative is left out.",
        )
        for which, name, key in cases:
            try:
                drawn = plot_grad_cam(s.model, s.image(which))
            except (ShapeError, GraphError):
                continue
            shown = True
            d.show(
                drawn,
                f"grad-cam-{key}",
                f"A test picture, its Grad-CAM map, and both together, for {name}.",
                f"Grad-CAM of {name}. Bright places spoke for {s.said(s.predicted[which])}. Are they on the shape?"
                if grad_cam(s.model, s.image(which))._array.max() > 0
                else f"Grad-CAM of {name}. The map is empty: with these weights, no place speaks for the class.",
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


def questions(d: Document, s: Subject) -> None:
    """The questions that the chapters have answered, with their answers."""
    d.say("The questions of the lecture, with the numbers of this network. Try to answer each before you read on.")
    for question, answer in list(d.questions):
        d.say(f"**{question}** {answer}")
