"""Optimizer: parameter groups, state and everything but the rule that changes a parameter."""

from __future__ import annotations

import copy
import operator
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, enable_grad, wrap
from ..autograd.engine import zero_grad
from ..errors import DTypeError, ShapeError
from ..kernels._memory import flat_views
from ..tracing import refuse_while_recording

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Optimizer:
    """Base class of the optimizers, as ``torch.optim.Optimizer``.

    A subclass defines ``_update(arrays, grads, states, group)``, which changes parameters of a group.

    Args:
        params: Tensors, pairs of name and Tensor, or dictionaries (*groups*) with the key "params" and settings of
            their own.
        defaults: the settings of groups that don't have their own.

    Attributes:
        param_groups: one dictionary per group: "params", a list of Tensors, and the settings.
        state: a dictionary per parameter: what the rule remembers about it.

    Raises:
        TypeError: params is a single Tensor, or contains something else than described.
        ValueError: no parameters, one that is not a leaf, one that occurs twice.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params must be an iterable of Tensors or dictionaries, got a single Tensor: put it in a list"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._batches: list[Any] = []
        self._gapless: list[list[np.ndarray]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("params: the optimizer got no parameters")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, for example newly unfrozen layers.

        Args:
            param_group: a dictionary with the key "params" and any of the optimizer's settings.

        Raises:
            TypeError, ValueError: as the constructor; the optimizer is then as it was.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dictionary, got {type(param_group).__name__}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in params if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
        if names and len(names) != len(params):
            raise ValueError(f"params: {len(names)} of {len(params)} parameters have names; name all of them or none")
        known = {param for group in self.param_groups for param in group["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"params must contain Tensors, got {type(param).__name__}")
            if param.grad_fn is not None:
                raise ValueError(
                    f"params: only leaves can be optimized, but {param.grad_fn.name()} computed one of them"
                )
            if param in known:
                raise ValueError(f"params: the parameter of shape {tuple(param.shape)} occurs twice")
            known.add(param)
        group = {**self.defaults, **param_group, "params": params}
        if names:
            group["param_names"] = names
        self._check_settings(group)
        self.param_groups.append(group)

    def _check_settings(self, group: dict[str, Any]) -> None:
        """Raise a ValueError unless a group's settings make sense; rules with settings define it."""

    # ---------------------------------------------------------------- training

    @abstractmethod
    def _update(
        self,
        arrays: list[np.ndarray],
        grads: list[np.ndarray],
        states: list[dict[str, Any]],
        group: dict[str, Any],
    ) -> None:
        """Change the values of some parameters of a group in place.

        Args:
            arrays: the parameters' values, of any shapes, without gaps in memory, of one dtype; at least one.
            grads: their gradients, of the same shapes and dtype.
            states: what is remembered about each parameter, empty at first.
            group: their group's settings.
        """
        raise NotImplementedError(f"{type(self).__name__}._update")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients again; called first, with recording switched on.

        Returns:
            What the closure returned, or None.

        Raises:
            ShapeError, DTypeError: a gradient that does not fit its parameter; then no parameter has been changed.
        """
        refuse_while_recording("step")
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        moving = []
        for group in self.param_groups:
            params = [param for param in group["params"] if param._grad is not None]
            _check_gradients(params)
            for dtype in {param._array.dtype for param in params}:
                moving.append(([param for param in params if param._array.dtype == dtype], group))
        for params, group in moving:
            self._move(params, group)
        return loss

    def _move(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """A step of parameters of one dtype that have gradients."""
        arrays = [param._array for param in params]
        values = self._without_gaps(arrays)
        grads = [param._grad._array for param in params if param._grad is not None]
        self._update(values, grads, [self.state[param] for param in params], group)
        for param, array, moved in zip(params, arrays, values):
            if moved is not array:
                array[...] = moved
            param._mark_written()

    def _without_gaps(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The arrays; where one is a view with gaps in memory, a copy for the rule to work on."""
        for known in self._gapless:  # looked at in an earlier step
            if len(known) == len(arrays) and all(map(operator.is_, known, arrays)):
                return arrays
        values = [a if a.flags.carray or flat_views(a) is not None else a.copy(order="K") for a in arrays]
        if all(map(operator.is_, values, arrays)):
            self._gapless = [arrays, *self._gapless[: len(self.param_groups)]]
        return values

    def _batch(self, arrays: list[np.ndarray], *states: list[np.ndarray]) -> Any:
        """Parameters and what a rule remembers about them as `kernels.optim` takes them, kept from step to step."""
        for batch in self._batches:
            if batch.holds(arrays, *states):
                return batch
        batch = kernels.optim.Batch(arrays, *states)
        self._batches = [batch, *self._batches[: len(self.param_groups)]]
        return batch

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or with ``set_to_none=False`` fill them with zeros."""
        for group in self.param_groups:
            zero_grad(group["params"], set_to_none)

    def minimize(self, loss: Tensor) -> None:
        """One whole training step after the loss was computed: ``zero_grad``, ``loss.backward()``, ``step``.

        Args:
            loss: the Tensor to make smaller, of one element, computed from this optimizer's parameters.
        """
        self.zero_grad()
        loss.backward()
        self.step()

    # ---------------------------------------------------------------- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """The settings and what is remembered, with parameters replaced by their numbers in the order of the groups.

        Returns:
            ``{"state": {number: {name: value}}, "param_groups": [{..., "params": [numbers]}]}``; Tensors share memory
            with the optimizer's.
        """
        numbers: dict[Tensor, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                numbers[param] = len(numbers)
            groups.append({**group, "params": [numbers[param] for param in group["params"]]})
        return {"state": {numbers[p]: dict(values) for p, values in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, for the same parameters in the same order.

        Args:
            state_dict: values are copied; Tensors are converted to their parameter's dtype.

        Raises:
            ValueError: another number of groups or of parameters in a group.
            ShapeError: a remembered Tensor has another shape than its parameter.  Nothing has been changed.
        """
        saved_groups, own_groups = state_dict["param_groups"], self.param_groups
        if len(saved_groups) != len(own_groups):
            raise ValueError(
                f"load_state_dict: {len(saved_groups)} parameter groups in the dictionary, {len(own_groups)} here"
            )
        params: dict[int, Tensor] = {}
        for i, (saved, own) in enumerate(zip(saved_groups, own_groups)):
            if len(saved["params"]) != len(own["params"]):
                raise ValueError(
                    f"load_state_dict: group {i} has {len(saved['params'])} parameters in the dictionary, "
                    f"{len(own['params'])} here"
                )
            params.update(zip(saved["params"], own["params"]))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            param = params[number]
            state[param] = {name: _restored(name, value, param) for name, value in values.items()}
        self.param_groups = [
            {**copy.deepcopy({k: v for k, v in saved.items() if k != "params"}), "params": own["params"]}
            for saved, own in zip(saved_groups, own_groups)
        ]
        self.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name not in ("params", "param_names")]
        return "\n".join([*lines, ")"])


def _check_gradients(params: list[Tensor]) -> None:
    """Raise unless every gradient has its parameter's shape and dtype."""
    for param in params:
        array, grad = param._array, param._grad._array  # type: ignore[union-attr]
        if grad.shape != array.shape:
            raise ShapeError(f"step: a gradient of shape {grad.shape} for a parameter of shape {array.shape}")
        if grad.dtype != array.dtype:
            raise DTypeError(f"step: a gradient of dtype {grad.dtype} for a parameter of dtype {array.dtype}")


def _restored(name: str, value: Any, param: Tensor) -> Any:
    """A copy of a remembered value, ordered in memory as its parameter."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if value._array.ndim == 0 or name == "step":
        return wrap(value._array.copy())
    if value._array.shape != param._array.shape:
        raise ShapeError(
            f"load_state_dict: {name} has shape {tuple(value.shape)} for a parameter of shape {tuple(param.shape)}"
        )
    restored = np.empty_like(param._array)
    np.copyto(restored, value._array, casting="same_kind")
    return wrap(restored)


def check_at_least(owner: str, name: str, value: Any, least: float = 0.0) -> None:
    """Raise a ValueError unless ``value >= least``; NaN is refused too."""
    if not value >= least:
        raise ValueError(f"{owner}: {name} must be at least {least:g}, got {value}")
