"""The mistake finder: looks for what is usually wrong when a network does not learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, enable_grad, grad, inference_mode, wrap
from ..errors import DimError, DTypeError, ShapeError
from ..nn import Module
from ..optim import Optimizer
from . import checks, gradient_checks
from .explain import checked_batch
from .findings import Finding, Run, nodes_of
from .plan import check_model, traced
from .stepping import Modes, Step, same_modes, watch_step
from .trace import Trace, evaluation, unchanged


def lint(
    model: Module,
    loss_fn: Callable[..., Tensor],
    batch: Sequence[Any],
    optimizer: Optimizer | None = None,
    step: Step | None = None,
) -> list[Finding]:
    """Find the usual mistakes of a training script, from one forward and backward on one batch.

    It looks for: softmax before cross-entropy; log_softmax missing before nll_loss; an activation on the scores;
    dropout or batch normalisation in the wrong mode; parameters without gradient; labels of the wrong dtype, shape or
    range; inputs that were not scaled; targets that are broadcast; dead ReLUs; vanishing, exploding and non-finite
    gradients.  With an optimizer: parameters it does not have, a learning rate of 0 or far too large.  With a step: old
    gradients that are not forgotten, steps that change nothing.

    Parameters, gradients, running statistics, modes, hooks, the default generator's state and the optimizer's state are
    afterwards as they were, also after an exception.

    Args:
        model: the network.
        loss_fn: called as ``loss_fn(model(input), target)``.
        batch: the pair (input, target), such as the script trains with; not a batch of one.
        optimizer: the script's.
        step: one whole training step, called as ``step(input, target)``: it computes the loss, calls ``backward`` and
            changes ``model`` by ``optimizer``, which must then be given too.  It runs twice; what it changes besides
            the two (counters, log files) stays changed.

    Returns:
        The findings, those about data first; an empty list if nothing is wrong.  Print them one by one.

    Raises:
        TypeError: model is no Module, loss_fn or step can't be called, optimizer is no Optimizer, batch is no pair, or
            there is a step without an optimizer.
        DTypeError: input or target is no Tensor.
        ShapeError: a layer cannot take the shape that reaches it, as in ``plan``.

    Example::

        for finding in lint(model, F.cross_entropy, (images, labels), optimizer):
            print(finding)
    """
    check_model("lint", model)
    inputs, target = checked_batch("lint", batch)
    _check_callables(loss_fn, optimizer, step)
    with inference_mode(False), enable_grad(), unchanged(model), same_modes(model):
        findings, inputs, trace = _forward(model, inputs)
        loss, found, target = _loss(trace, loss_fn, target)
        data_is_fine = not findings and not any(f.kind == "labels" for f in found)
        findings += found
        seen: Modes = {path: (module, module.training) for path, module in model.named_modules()}
        of_step: list[Finding] = []
        if step is not None and optimizer is not None and data_is_fine:
            of_step, seen = watch_step(model, optimizer, step, (inputs, target))
            for module, training in seen.values():  # the step may change the mode; the run to look at is one in its
                module.training = training
            trace = traced(model, inputs)
            loss, _, _ = _loss(trace, loss_fn, target)
        run = Run(trace, loss)
        findings += [*_checked_loss(loss), *checks.inputs(run), *_checked_run(run, optimizer)]
        at_rest = any(f.kind == "learning rate" for f in findings)
        findings += [f for f in of_step if not (f.kind == "no update" and at_rest)]
        findings += checks.modes(seen)
        with evaluation(model):
            findings += checks.modes_in_evaluation(traced(model, inputs))
    return findings


def _check_callables(loss_fn: Any, optimizer: Any, step: Any) -> None:
    for name, value in (("loss_fn", loss_fn), ("step", step)):
        if not callable(value) and not (value is None and name == "step"):
            raise TypeError(f"lint: {name} must be a function, got {type(value).__name__}")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"lint: optimizer must be an Optimizer, got {type(optimizer).__name__}")
    if step is not None and optimizer is None:
        raise TypeError("lint: step needs optimizer too, so that what the step does to it can be taken back")


def _forward(model: Module, inputs: Tensor) -> tuple[list[Finding], Tensor, Trace]:
    """The network's run, on inputs of another dtype if it cannot take theirs."""
    try:
        return [], inputs, traced(model, inputs)
    except DTypeError:
        dtype = next((p._array.dtype for p in model.parameters() if p._array.dtype.kind == "f"), None)
        array = inputs._array
        if dtype is None or array.dtype == dtype:
            raise
    whole = array.dtype.kind in "iub"
    high = float(array.max()) if array.size else 1.0
    what = f"the input's dtype is {inputs.dtype}, the network's {dtype}"
    remedy = "Convert and scale it: images.float() / 255" if whole and high > 1 else "Convert it: input.float()"
    if not whole and dtype == np.float64:
        remedy = "Convert it: input.double(), or the network: model.float()"
    converted = wrap((array / (max(high, 1.0) if whole else 1.0)).astype(dtype))
    return [Finding("input dtype", "input", what, remedy)], converted, traced(model, converted)


def _loss(trace: Trace, loss_fn: Callable[..., Any], target: Tensor) -> tuple[Tensor, list[Finding], Tensor]:
    """The loss, findings about labels and shapes, and the target it could be computed with."""
    findings: list[Finding] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loss = loss_fn(trace.output, target)
        except (DTypeError, DimError, ShapeError):
            findings, target = checks.bad_labels(trace.output, target)
            if not findings:
                raise
            loss = loss_fn(trace.output, target)
    if not isinstance(loss, Tensor):
        raise DTypeError(f"lint: loss_fn must return a Tensor, got {type(loss).__name__}")
    findings += checks.broadcasts(caught, trace.output, target)
    return loss, findings, target


def _checked_loss(loss: Tensor) -> list[Finding]:
    """Findings about the loss's shape and value."""
    if loss.numel() != 1:
        what = f"the loss has shape {tuple(loss.shape)}, but backward() needs one number"
        return [Finding("loss is no number", "loss_fn", what, 'Use reduction="mean", or loss.mean()')]
    if not np.isfinite(loss._array).all():
        what, remedy = f"the loss is {loss.item():g}", "Run it under autograd.detect_anomaly() to see the operation"
        return [Finding("not finite", "loss_fn", what, remedy)]
    return []


def _checked_run(run: Run, optimizer: Optimizer | None) -> list[Finding]:
    """Findings about the recorded operations and the gradients."""
    named = {name: p for name, p in run.model.named_parameters() if p.requires_grad}
    if not named or not run.loss.requires_grad or not run.loss.numel():
        what, remedy = "no parameter requires a gradient", "Unfreeze a layer: layer.requires_grad_(True)"
        if named:
            what = "the loss does not depend on any parameter by recorded operations"
            remedy = "Look for detach(), no_grad, item(), numpy() or argmax"
        return [Finding("no gradient", "loss_fn", what, remedy)]
    run.nodes = nodes_of(run.loss)
    ones = wrap(np.ones_like(run.loss._array))
    # The saved arrays are read below, so the graph is kept.
    found = grad(run.loss, list(named.values()), ones, retain_graph=True, allow_unused=True)
    run.gradients = {name: None if g is None else g._array for name, g in zip(named, found)}
    dead = list(gradient_checks.dead_relus(run))
    findings = [*checks.loss_inputs(run), *gradient_checks.without_gradient(run), *dead]
    findings += gradient_checks.gradients(run, bool(dead))
    if optimizer is not None:
        findings += gradient_checks.optimizer_parameters(run.model, optimizer)
        findings += gradient_checks.learning_rate(run, optimizer)
    return findings
