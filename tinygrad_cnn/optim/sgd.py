"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import wrap
from .optimizer import Optimizer, Params, check_at_least


class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD``.

    For a parameter p with gradient g (−g with maximize)::

        g = g + weight_decay · p
        v = g at the first step, momentum · v + (1 − dampening) · g afterwards
        p = p − lr · (g without momentum, v with it, g + momentum · v with nesterov)

    Args:
        params: see ``Optimizer``.
        lr: learning rate.
        momentum: share of the last step's direction v that is kept.
        dampening: share of a new gradient that is left out of v.
        weight_decay: strength of the pull towards 0.
        nesterov: look one step ahead along v.
        maximize: go up instead of down.

    Raises:
        ValueError: a negative setting; nesterov without momentum or with dampening.

    Reference:
        Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning.
        ICML 2013.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _check_settings(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_at_least("SGD", name, group[name])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs momentum above 0 and dampening 0, "
                f"got momentum={group['momentum']}, dampening={group['dampening']}"
            )

    def _update(
        self, arrays: list[np.ndarray], grads: list[np.ndarray], states: list[dict[str, Any]], group: dict[str, Any]
    ) -> None:
        momentum = float(group["momentum"])
        first: list[bool] = []
        buffers: list[list[np.ndarray]] = []
        if momentum != 0:
            first = [state.get("momentum_buffer") is None for state in states]
            for state, array, beginning in zip(states, arrays, first):
                if beginning:
                    state["momentum_buffer"] = wrap(np.empty_like(array))
            buffers = [[state["momentum_buffer"]._array for state in states]]
        kernels.optim.sgd(
            self._batch(arrays, *buffers),
            grads,
            lr=float(group["lr"]),
            momentum=momentum,
            dampening=float(group["dampening"]),
            weight_decay=float(group["weight_decay"]),
            nesterov=bool(group["nesterov"]),
            maximize=bool(group["maximize"]),
            first=first,
        )
