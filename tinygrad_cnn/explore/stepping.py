"""The user's training step, run twice and taken back: are old gradients forgotten, are parameters changed?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Tensor, is_grad_enabled
from ..nn import Module
from ..optim import Optimizer
from .findings import Finding
from .trace import unchanged

Step = Callable[[Tensor, Tensor], Any]
Modes = dict[str, tuple[Module, bool]]


def watch_step(
    model: Module, optimizer: Optimizer, step: Step, batch: tuple[Tensor, Tensor]
) -> tuple[list[Finding], Modes]:
    """Run a training step twice, take everything back, and say what it does wrong.

    Returns:
        The findings, and by path every module that was called while recording, and whether it was in training mode.
    """
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    seen: Modes = {}
    passes = []
    with restored(model, optimizer), _noting_modes(model, seen):
        for _ in range(2):
            before = {p: p._array.copy() for p in names}
            arrived: dict[Tensor, bool] = {}
            handles = [p.register_hook(_noting_old_gradient(p, arrived)) for p in names]
            try:
                step(*batch)
            finally:
                for handle in handles:
                    handle.remove()
            changed = any(not np.array_equal(p._array, before[p], equal_nan=True) for p in names)
            passes.append((arrived, changed))
        forgotten = any(p.grad is not None for p in names)
    return list(_findings(names, passes, forgotten)), seen


def _noting_old_gradient(p: Tensor, arrived: dict[Tensor, bool]) -> Callable[[Tensor], None]:
    """A hook that notes, when a step's first gradient arrives, whether the one of an earlier step is still there.

    Only the first: a step may add up the gradients of several parts of its batch on purpose.
    """

    def note(gradient: Tensor) -> None:
        arrived.setdefault(p, p.grad is not None and bool(p.grad._array.any()))

    return note


def _findings(names: dict[Any, str], passes: list[tuple[dict[Tensor, bool], bool]], kept: bool) -> Iterator[Finding]:
    (first, first_changed), (second, second_changed) = passes
    if not first and not second:
        yield Finding(
            "no backward",
            "step",
            "no gradient reached a parameter of this network",
            "Call loss.backward() between zero_grad() and step(), on a loss computed by this very network",
        )
    elif not first_changed and not second_changed:
        yield Finding(
            "no update",
            "step",
            "two steps computed gradients but changed no parameter",
            "Call optimizer.step() after loss.backward()"
            if kept
            else "Call zero_grad() before loss.backward() or after optimizer.step(), not between the two",
        )
    elif first_changed and any(second.values()):
        # Gradients that were used for an update and are still there when the next step begins are added a second time.
        old = [names[p] for p, is_old in second.items() if is_old]
        yield Finding(
            "zero_grad forgotten",
            "step",
            f"the gradients of the step before are still there and are added to the new ones ({len(old)} of "
            f"{len(second)} parameters, such as {old[0]})",
            "Call optimizer.zero_grad() before loss.backward()",
        )


@contextmanager
def _noting_modes(model: Module, seen: Modes) -> Iterator[None]:
    def note(path: str) -> Any:
        def hook(module: Module, args: Any) -> None:
            if is_grad_enabled() and seen.get(path, (module, True))[1]:
                seen[path] = (module, module.training)

        return hook

    handles = [module.register_forward_pre_hook(note(path)) for path, module in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def same_modes(model: Module) -> Iterator[None]:
    """Put every module back into the mode it was in, also after an exception."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def restored(model: Module, optimizer: Optimizer) -> Iterator[None]:
    """Put parameters, gradients, buffers, modes, the random state and the optimizer back, also after an exception.

    Inside, parameters begin without gradients.
    """
    parameters: dict[int, Tensor] = {id(p): p for p in model.parameters()}
    parameters.update({id(p): p for group in optimizer.param_groups for p in group["params"]})
    values = [(p, p._array, p._array.copy(order="K"), p._grad, p._requires_grad) for p in parameters.values()]
    groups = [(group, dict(group), list(group["params"])) for group in optimizer.param_groups]
    states = [(p, state, dict(state), copy.deepcopy(dict(state))) for p, state in optimizer.state.items()]
    with unchanged(model), same_modes(model):
        try:
            for p in parameters.values():
                p._grad = None
            yield
        finally:
            for p, array, value, grad, requires_grad in values:
                p._array, p._grad, p._requires_grad = array, grad, requires_grad
                if array.tobytes() != value.tobytes():
                    np.copyto(array, value)
                    p._mark_written()
            for group, settings, params in groups:
                group.clear()
                group.update({**settings, "params": params})
            optimizer.param_groups[:] = [group for group, _, _ in groups]
            _restore_states(optimizer, states)


def _restore_states(optimizer: Optimizer, states: list[tuple[Tensor, dict[str, Any], dict[str, Any], Any]]) -> None:
    """Put back what is remembered about parameters: per parameter its dictionary, the values in it, and copies."""
    optimizer.state.clear()
    for p, state, entries, copies in states:
        state.clear()
        for name, value in entries.items():
            if isinstance(value, Tensor):  # the Tensor itself stays: somebody may hold it
                np.copyto(value._array, copies[name]._array)
            state[name] = value if isinstance(value, Tensor) else copies[name]
        optimizer.state[p] = state
