"""Adam, and AdamW, which is Adam with decoupled weight decay."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, get_default_dtype, wrap
from .optimizer import Optimizer, Params, check_at_least


class Adam(Optimizer):
    """Steps of about the same size for every parameter, as ``torch.optim.Adam``.

    For a parameter p with gradient g (−g with maximize), at its step number t::

        g = g + weight_decay · p
        m = beta1 · m + (1 − beta1) · g
        v = beta2 · v + (1 − beta2) · g²
        p = p − lr · m / (1 − beta1^t) / (√(v / (1 − beta2^t)) + eps)

    Args:
        params: see ``Optimizer``.
        lr: learning rate.
        betas: beta1 and beta2, how slowly the averages m and v of g and g² follow.
        eps: keeps the divisor away from 0.
        weight_decay: strength of the pull towards 0.
        amsgrad: divide by the largest v so far.
        maximize: go up instead of down.
        decoupled_weight_decay: shrink p by lr · weight_decay · p instead of adding to g (AdamW).

    Raises:
        ValueError: a negative setting; a beta outside [0, 1).

    Reference:
        Kingma, Ba: Adam: a method for stochastic optimization.  ICLR 2015.
        Reddi, Kale, Kumar: On the convergence of Adam and beyond.  ICLR 2018 (amsgrad).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        self._counts: list[tuple[list[Tensor], np.ndarray]] = []
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _check_settings(self, group: dict[str, Any]) -> None:
        owner = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_at_least(owner, name, group[name])
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{owner}: betas must be two numbers of at least 0 and below 1, got {betas}")

    def _update(
        self, arrays: list[np.ndarray], grads: list[np.ndarray], states: list[dict[str, Any]], group: dict[str, Any]
    ) -> None:
        names = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"][: 3 if group["amsgrad"] else 2]
        for state, array in zip(states, arrays):
            if not state:
                state["step"] = wrap(np.zeros((), get_default_dtype().numpy_dtype))
                state.update({name: wrap(np.zeros_like(array)) for name in names})
        beta1, beta2 = group["betas"]
        kernels.optim.adam(
            self._batch(arrays, *([state[name]._array for state in states] for name in names)),
            grads,
            steps=self._counted([state["step"] for state in states]),
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled=bool(group["decoupled_weight_decay"]),
            amsgrad=bool(group["amsgrad"]),
            maximize=bool(group["maximize"]),
        )

    def _counted(self, steps: list[Tensor]) -> np.ndarray:
        """(P,) the numbers of this step: those of the last step and 1, which the Tensors are set to.

        They are made views of one array, which is counted up at once.
        """
        for tensors, counts in self._counts:
            same = len(tensors) == len(steps) and all(map(operator.is_, tensors, steps))
            if same and all([step._array.base is counts for step in steps]):
                counts += 1
                return counts
        counts = np.array([step._array for step in steps]) + 1
        for number, step in enumerate(steps):
            step._array = counts[number, ...]
        self._counts = [(steps, counts), *self._counts[: len(self.param_groups)]]
        return counts


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``: p shrinks by lr · weight_decay · p before the step.

    Args:
        params, lr, betas, eps, amsgrad, maximize: see ``Adam``.
        weight_decay: strength of the pull towards 0.

    Reference:
        Loshchilov, Hutter: Decoupled weight decay regularization.  ICLR 2019.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
