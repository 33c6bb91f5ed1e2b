"""The checks of ``lint`` of parameters, gradients and the optimizer.

References:
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    for gradients that vanish or explode from layer to layer.
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, for how ReLU networks are initialised
    against both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nn import Module
from ..ops import activation
from ..optim import SGD, Adam, Optimizer
from .checks import RELUS
from .findings import Finding, Run

DEAD = 0.9
"""A layer is called dead if more than this part of its units is; of a healthy one's, initialised at random, up to half
may be zero for all images of a batch, because these are alike."""
VANISHING = 1e-5
"""A layer's gradient has vanished if its root mean square is below this part of the largest layer's."""
EXPLODING = 1e3
"""A layer's gradient has exploded if it is this many times larger than the weights."""


def without_gradient(run: Run) -> Iterator[Finding]:
    """Parameters that the loss does not depend on, layer by layer."""
    called = {call.path for call in run.trace.calls}
    for path, names in _by_layer(name for name, g in run.gradients.items() if g is None).items():
        module = run.model.get_submodule(path)
        if path not in called:
            what, remedy = "forward never calls it", "Call it in forward, or remove it"
        else:
            what = "the loss does not depend on it"
            remedy = "Look for an unused result, detach(), no_grad, item(), numpy() or argmax between it and the loss"
        yield Finding("no gradient", _layer(path, module), f"{_get(names)} no gradient: {what}", remedy)


def optimizer_parameters(model: Module, optimizer: Optimizer) -> Iterator[Finding]:
    """Trainable parameters that the optimizer does not have."""
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    missing = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in known]
    if missing and len(missing) == len(trainable):
        yield Finding(
            "not in the optimizer",
            "optimizer",
            "it has none of the network's parameters, so no step changes the network",
            "Make it from model.parameters() of this very network, after the network was made or copied",
        )
        return
    for path, names in _by_layer(missing).items():
        yield Finding(
            "not in the optimizer",
            _layer(path, model.get_submodule(path)),
            f"the optimizer does not have {' and '.join(names)}, so nothing changes there",
            "Make the optimizer from model.parameters() when all layers exist, or freeze it: requires_grad_(False)",
        )


def dead_relus(run: Run) -> Iterator[Finding]:
    """Layers whose ReLU gives zero for every example, and so passes no gradient."""
    for node in run.nodes:
        if not isinstance(node, RELUS) or not node.saved:
            continue
        kept = list(node.saved)[-1][0]  # type: ignore[index]
        passes = node.let_through(kept) if isinstance(node, activation.ReLUWithBits) else kept != 0
        if passes.ndim < 2 or not passes.size:
            continue
        alive = passes.any(axis=tuple(a for a in range(passes.ndim) if a != 1))
        if (~alive).sum() > DEAD * alive.size:
            yield Finding(
                "dead ReLU",
                run.place(node),
                f"{(~alive).sum()} of its {alive.size} units give 0 for every example of the batch, so nothing before "
                "them learns",
                "Lower the learning rate or start again: biases far below 0, a step that was too large, or inputs "
                "that were not scaled do this; nn.LeakyReLU does not die",
            )


def gradients(run: Run, dead: bool) -> Iterator[Finding]:
    """Layers whose weights get a vanishing or exploding gradient.

    Args:
        run: the run.
        dead: whether dead ReLUs were found, which explain gradients of 0.
    """
    weights = {n: p._array for n, p in run.model.named_parameters() if run.gradients.get(n) is not None and p.ndim > 1}
    sizes = {name: _rms(run.gradients[name]) for name in weights}
    bad = [name for name, size in sizes.items() if not np.isfinite(size)]
    if bad:
        path = bad[-1].rpartition(".")[0]  # the gradient went bad at the layer nearest to the loss
        where = _layer(path, run.model.get_submodule(path))
        what = f"the gradient of {len(bad)} of {len(sizes)} weights is NaN or infinite, seen from the loss first here"
        yield Finding("not finite", where, what, "Run it under autograd.detect_anomaly() to see the operation")
        return
    exploding = [n for n, size in sizes.items() if size > EXPLODING * _rms(weights[n]) > 0]
    for name in exploding:
        path, _, parameter = name.rpartition(".")
        size, times = sizes[name], sizes[name] / _rms(weights[name])
        yield Finding(
            "exploding gradient",
            _layer(path, run.model.get_submodule(path)),
            f"the gradient of {parameter} is {size:.1e} on average, {times:,.0f} times the weights",
            "Scale inputs and targets, start from smaller weights, or add batch normalisation",
        )
    if not exploding:  # next to a gradient that has exploded, every other one looks small
        yield from _vanishing(run, sizes, dead)


def _vanishing(run: Run, sizes: dict[str, float], dead: bool) -> Iterator[Finding]:
    largest = max(sizes.values(), default=0.0)
    # A block that starts at zero, as residual blocks may, gives zero gradients in its first step on purpose.
    scales = [p for name, p in run.model.named_parameters() if p.requires_grad and not name.endswith("bias")]
    explained = dead or any(not p._array.any() for p in scales)
    for name, size in sizes.items():
        path, _, parameter = name.rpartition(".")
        if size < VANISHING * largest and not (size == 0 and explained):
            yield Finding(
                "vanishing gradient",
                _layer(path, run.model.get_submodule(path)),
                f"the gradient of {parameter} is {size:.1e} on average, that of the strongest layer {largest:.1e}",
                "Use ReLU instead of sigmoid or tanh, batch normalisation, He initialisation or shortcuts",
            )


def learning_rate(run: Run, optimizer: Optimizer) -> Iterator[Finding]:
    """A learning rate of 0, or one whose first step is larger than the weights."""
    names = {id(p): name for name, p in run.model.named_parameters()}
    for number, group in enumerate(optimizer.param_groups):
        where = "optimizer" if len(optimizer.param_groups) == 1 else f"optimizer, group {number}"
        lr = float(group["lr"]) if "lr" in group else None
        if lr is None:
            continue
        if lr == 0:
            yield Finding("learning rate", where, "the learning rate is 0, so nothing is learned", "Start with 1e-3")
            continue
        steps = {}
        for p in group["params"]:
            name, weight = names.get(id(p)), _rms(p._array)
            gradient = run.gradients.get(name) if name is not None else None
            if gradient is None or p.ndim < 2 or not weight:
                continue
            if isinstance(optimizer, SGD):
                steps[name] = lr * _rms(gradient) / weight
            elif isinstance(optimizer, Adam):  # its first step changes every number by about lr
                steps[name] = lr / weight / 10
        name = max(steps, key=steps.__getitem__, default=None)
        if name is not None and steps[name] > 1:
            yield Finding(
                "learning rate",
                where,
                f"with lr={lr:g} one step changes {name} by more than its own size",
                "Divide the learning rate by 10 until the loss falls from the first step on",
            )


def _rms(array: Any) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0


def _by_layer(names: Any) -> dict[str, list[str]]:
    """Names of parameters, those of one layer together."""
    layers: dict[str, list[str]] = {}
    for name in names:
        path, _, parameter = name.rpartition(".")
        layers.setdefault(path, []).append(parameter)
    return layers


def _get(names: list[str]) -> str:
    """``weight gets``, ``weight and bias get``."""
    return f"{' and '.join(names)} {'gets' if len(names) == 1 else 'get'}"


def _layer(path: str, module: Module) -> str:
    return f"{path} {type(module).__name__}".strip()
