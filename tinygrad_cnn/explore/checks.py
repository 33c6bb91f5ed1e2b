"""The checks of ``lint`` of loss, data and modes: each looks at one thing and gives its findings.

Reference: A. Karpathy, "A recipe for training neural networks", 2019,
https://karpathy.github.io/2019/04/25/recipe/, for the most common mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from ..nn import BatchNorm1d, BatchNorm2d, Dropout, Module
from ..ops import activation, conv, cross_entropy, elementwise, linear, norm, pooling
from ..ops import dropout as dropping
from .findings import Finding, Run, readers_of, source_of
from .trace import Trace

RELUS = (activation.ReLU, conv.Conv2dReLU, linear.LinearReLU)
SCORES = (
    linear.Linear,
    conv.Conv2d,
    norm.BatchNorm,
    norm.ScaleAndShift,
    pooling.AveragePool2d,
    pooling.MaxPool2d,
    elementwise.Tanh,
    activation.Sigmoid,
    *RELUS,
)
"""What computes scores of any sign and size; none of it gives log-probabilities."""
LARGEST_PIXEL = 10.0
"""Images with larger values were not scaled; standardised ones stay within ±5."""


# ---------------------------------------------------------------- the loss and what leads to it


def loss_inputs(run: Run) -> Iterator[Finding]:
    """Softmax before cross-entropy, log_softmax missing before nll_loss, an activation on the scores."""
    for node in run.nodes:
        if isinstance(node, cross_entropy.NLLLoss):
            yield from _before_nll(run, node)
        elif isinstance(node, cross_entropy.CrossEntropy):
            yield from _before_softmax(run, node, "cross_entropy")
        elif isinstance(node, activation.LogSoftmax) and (run.call_of(node) is None or _feeds_nll(run, node)):
            yield from _before_softmax(run, node, "log_softmax")


def _feeds_nll(run: Run, node: Op) -> bool:
    return any(isinstance(n, cross_entropy.NLLLoss) and source_of(n) is node for n in run.nodes)


def _before_softmax(run: Run, node: Op, name: str) -> Iterator[Finding]:
    """Findings about what computed the scores that this operation takes."""
    source = source_of(node)
    if isinstance(source, activation.Softmax):
        yield Finding(
            "softmax twice",
            run.place(source),
            f"softmax is applied before {name}, which contains it: the probabilities are squashed a second time, so "
            "the loss cannot become small and learning is slow",
            f"Remove the softmax and give {name} the scores; use it only to print probabilities",
        )
    elif isinstance(source, activation.LogSoftmax) and source is not node:
        yield Finding(
            "log_softmax twice",
            run.place(source),
            f"log_softmax is applied before {name}, which contains it: a second one changes nothing but costs time",
            "Remove it, or use nll_loss, which expects it",
        )
    elif isinstance(source, (*RELUS, activation.Sigmoid)):
        kind = "sigmoid" if isinstance(source, activation.Sigmoid) else "ReLU"
        yield Finding(
            "activation on the scores",
            run.place(source),
            f"a {kind} is applied to the scores before {name}, so they cannot take "
            + ("values outside 0 to 1" if kind == "sigmoid" else "negative values"),
            "Remove the activation after the last layer",
        )


def _before_nll(run: Run, node: Op) -> Iterator[Finding]:
    source = source_of(node)
    remedy = "Put nn.LogSoftmax(1) at the end of the network, or use cross_entropy on the scores"
    if isinstance(source, activation.Softmax):
        yield Finding(
            "log_softmax missing",
            run.place(source),
            "nll_loss gets probabilities (softmax) where it expects their logarithms",
            "Use log_softmax instead of softmax, or cross_entropy on the scores",
        )
    elif isinstance(source, SCORES):
        yield Finding(
            "log_softmax missing",
            run.place(source),
            "nll_loss gets scores where it expects log-probabilities, so the loss can fall without end",
            remedy,
        )


def broadcasts(warnings: Sequence[Any], output: Any, target: Tensor) -> Iterator[Finding]:
    """A difference of two shapes that are broadcast together, such as (N, 1) and (N,): N·N numbers instead of N."""
    if any("broadcast together" in str(w.message) for w in warnings) and isinstance(output, Tensor):
        yield Finding(
            "shapes broadcast",
            "loss_fn",
            f"the output has shape {tuple(output.shape)} and the target {tuple(target.shape)}: every prediction is "
            "compared with every target",
            f"Give both one shape: output.reshape({tuple(target.shape)}), or target.reshape({tuple(output.shape)})",
        )


# ---------------------------------------------------------------- data


def bad_labels(output: Any, target: Tensor) -> tuple[list[Finding], Tensor]:
    """Findings about class labels for an output (N, C, ...), and labels that could be used instead.

    Returns:
        The findings, empty if the labels fit, and int64 labels of a shape and range that fit.
    """
    if not isinstance(output, Tensor) or output.ndim < 2:
        return [], target
    labels, C = target._array, output.shape[1]
    shape = tuple(output.shape[:1]) + tuple(output.shape[2:])
    found = []
    if labels.shape == output._array.shape and labels.dtype.kind != "f":
        what = f"the target has the output's shape {tuple(target.shape)} and dtype {target.dtype}, as one-hot vectors"
        found.append(Finding("labels", "labels", what, "Give the class numbers, labels.argmax(1), or floats"))
        labels = labels.argmax(1)
    elif labels.shape != shape and labels.size == np.prod(shape) and labels.ndim >= 1:
        what = f"the target has shape {tuple(target.shape)} where one class number per output, {shape}, is expected"
        found.append(Finding("labels", "labels", what, f"Use labels.reshape({shape})"))
        labels = labels.reshape(shape)
    if labels.shape == shape and labels.dtype not in (np.int64, np.uint8):
        what = f"the target's dtype is {target.dtype} where class numbers, int64, are expected"
        found.append(Finding("labels", "labels", what, "Convert them: labels.long()"))
        labels = labels.astype(np.int64)
    if labels.shape == shape and labels.size:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= C:
            what = f"labels from {low} to {high} for {C} classes, which are numbered 0 to {C - 1}"
            from_one = low == 1 and high == C
            remedy = "Subtract 1 from the labels" if from_one else f"The last layer needs {high + 1} outputs"
            if low < 0:
                remedy = "Mark labels that shall not count by ignore_index, and use it in the loss"
            found.append(Finding("labels", "labels", what, remedy))
            labels = labels.clip(0, C - 1)
    fixed = target.detach()
    fixed._array, fixed._version = labels.astype(np.int64), None
    return found, fixed


def inputs(run: Run) -> Iterator[Finding]:
    """Pixels that were not scaled, and numbers that are none."""
    x, source = run.trace.image._array, run.trace.source
    if source is None or not x.size:
        return
    if not np.isfinite(x).all():
        bad = int(x.size - np.isfinite(x).sum())
        yield Finding("not finite", "input", f"{bad} numbers are NaN or infinite", "Clean the data")
        return
    high = float(x.max())
    raw = readers_of(source, run.trace.nodes())
    if high > LARGEST_PIXEL and x.min() >= 0 and any(isinstance(n, conv.Conv2d | linear.Linear) for n in raw):
        yield Finding(
            "inputs not scaled",
            "input",
            f"values from {x.min():g} to {high:g} go into the first layer as they are",
            f"Divide by {255 if 100 < high <= 255 else f'{high:g}'}, or subtract the mean and divide by the standard "
            "deviation of the training set",
        )


# ---------------------------------------------------------------- modes


def modes(seen: Mapping[str, tuple[Module, bool]]) -> Iterator[Finding]:
    """Dropout and batch normalisation that are trained in evaluation mode.

    Args:
        seen: by path the module and whether it was in training mode when the training step called it.
    """
    for path, (module, training) in seen.items():
        if training or not isinstance(module, Dropout | BatchNorm1d | BatchNorm2d):
            continue
        own = list(module.parameters())
        if own and not any(p.requires_grad for p in own):
            continue  # a frozen layer of a network that is fine-tuned: on purpose
        what = "drops nothing" if isinstance(module, Dropout) else "uses the running statistics and never updates them"
        yield Finding(
            "evaluation mode",
            f"{path} {type(module).__name__}",
            f"it is trained in evaluation mode, in which it {what}",
            "Call model.train() before training, and again after every model.eval()",
        )


def modes_in_evaluation(trace: Trace) -> Iterator[Finding]:
    """Dropout and batch normalisation that go on as in training though the network is in evaluation mode."""
    run = Run(trace, trace.output)
    for node in trace.nodes():
        call = run.call_of(node)
        if isinstance(node, dropping.Dropout):
            yield Finding(
                "training mode",
                run.place(node),
                "it drops numbers even after model.eval(), so predictions are random",
                "Pass training=self.training to F.dropout, or use an nn.Dropout layer",
            )
        elif isinstance(node, norm.BatchNorm) and call and not isinstance(call.module, BatchNorm1d | BatchNorm2d):
            yield Finding(
                "training mode",
                run.place(node),
                "it uses the batch's statistics even after model.eval(), so a prediction depends on the other images",
                "Pass training=self.training to F.batch_norm, or use an nn.BatchNorm2d layer",
            )
