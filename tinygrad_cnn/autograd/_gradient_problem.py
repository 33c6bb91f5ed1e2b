"""The function under a gradient check, as differences and backward see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError, GraphError
from ._differences import EPS
from .engine import grad
from .grad_mode import enable_grad
from .tensor import Tensor, wrap

ROWS = 24  # up to so many output elements each one gets its own upstream gradient


class Problem:
    """``func`` at fixed inputs, read as a function from arrays to K projections of its outputs.

    A projection is the product of the outputs with one upstream gradient: random ones always, and where the outputs
    are few the unit vectors before them, which gives every element of the Jacobian.

    Attributes:
        inputs: what func is called with.
        checked: the positions of the inputs that require grad.
        arrays: their values.
        outputs: the values of the floating-point outputs, and ``output_positions`` where they stand.
        upstream: (R, M) the random upstream gradients for all M output elements, one after the other.
        unit: whether the M unit vectors are projected on too.
    """

    def __init__(self, func: Callable[..., Any], inputs: Any, name: str, rng: np.random.Generator, fast: bool) -> None:
        self.func, self.name = func, name
        self.inputs: tuple[Any, ...] = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        self.checked = [i for i, t in enumerate(self.inputs) if isinstance(t, Tensor) and t.requires_grad]
        if not self.checked:
            raise GraphError(f"{name}: none of the {len(self.inputs)} inputs is a Tensor that requires grad")
        for i in self.checked:
            if self.inputs[i]._array.dtype != np.float64:
                raise DTypeError(
                    f"{name}: inputs[{i}] is {self.inputs[i].dtype}, and differences mean something only in float64; "
                    "convert it with .double()"
                )
        self.arrays = [self.inputs[i]._array for i in self.checked]
        self.outputs, self.output_positions = self._outputs(self.arrays)
        self.size = sum(out.size for out in self.outputs)
        self.unit = not fast and self.size <= ROWS
        self.upstream = rng.standard_normal((1 if self.unit else 2, self.size))

    # ------------------------------------------------------------------ values

    def _call(self, arrays: Sequence[np.ndarray]) -> tuple[list[Tensor], list[Tensor], list[int]]:
        """Call func on Tensors with these arrays: (those Tensors, the floating-point outputs, their positions)."""
        leaves = [wrap(array).requires_grad_() for array in arrays]
        arguments = list(self.inputs)
        for position, leaf in zip(self.checked, leaves):
            arguments[position] = leaf
        with enable_grad():
            result = self.func(*arguments)
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        for i, out in enumerate(results):
            if not isinstance(out, Tensor):
                raise DTypeError(f"{self.name}: func must return Tensors, output {i} is a {type(out).__name__}")
        positions = [i for i, out in enumerate(results) if out._array.dtype.kind == "f"]
        return leaves, [results[i] for i in positions], positions

    def _outputs(self, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
        _, outs, positions = self._call(arrays)
        return [np.array(out._array, np.float64) for out in outs], positions

    def flat(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """(M,) all floating-point output elements."""
        outs = self._call(arrays)[1]
        if [out._array.shape for out in outs] != [out.shape for out in self.outputs]:
            raise GraphError(f"{self.name}: func returns other shapes when only the values of its inputs change")
        return np.concatenate([out._array.ravel() for out in outs]) if outs else np.zeros(0)

    def project(self, flat: np.ndarray) -> np.ndarray:
        """(K,) the products with the upstream gradients."""
        random = self.upstream @ flat
        return np.concatenate([flat, random]) if self.unit else random

    def upstream_sizes(self) -> np.ndarray:
        """(K,) the sizes of the upstream gradients that are projected on."""
        random = np.sqrt((self.upstream**2).sum(axis=1))
        return np.concatenate([np.ones(self.size), random]) if self.unit else random

    def moved(self, which: int, change: np.ndarray) -> np.ndarray:
        """(K,) the projections with ``change``, of the input's shape, added to one input."""
        arrays = list(self.arrays)
        arrays[which] = arrays[which] + change
        return self.project(self.flat(arrays))

    def noise_floor(self, flat: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        """(K,) rounding errors that a sum of these outputs, or of x times its gradient, cannot avoid."""
        random = np.sqrt((self.upstream**2) @ (flat**2))
        floor = np.concatenate([np.abs(flat), random]) if self.unit else random
        for array, gradient in zip(self.arrays, gradients):
            with np.errstate(all="ignore"):
                reach = np.maximum(np.abs(array.ravel()), 1.0)  # where x is 0, a step of up to 1 is what gets rounded
                own = np.sqrt((gradient**2) @ (reach**2))
            floor = floor + np.where(np.isfinite(own), own, 0.0)
        # Where nothing but rounding errors is left, terms of the inputs' size have cancelled (loss of a single class).
        sizes = self.upstream_sizes()
        inputs = max(1.0, *(float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a))) for a in self.arrays))
        return EPS * np.where(floor < 4 * EPS * sizes, sizes * inputs, floor)

    # ------------------------------------------------------------------ gradients

    def gradients(self, rows: np.ndarray | None = None, arrays: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Per checked input the (K, n) gradients that backward gives for the upstream gradients in ``rows``, (K, M).

        Default rows: the unit vectors if ``unit``, then ``upstream``.
        """
        if rows is None:
            rows = np.concatenate([np.eye(self.size), self.upstream]) if self.unit else self.upstream
        leaves, outs, _ = self._call(self.arrays if arrays is None else arrays)
        found: list[list[np.ndarray]] = [[] for _ in leaves]
        for row in rows:
            for place, gradient in zip(found, self._backward(leaves, outs, row)):
                place.append(gradient)
        return [np.array(place).reshape(len(rows), leaf._array.size) for place, leaf in zip(found, leaves)]

    def _backward(self, leaves: list[Tensor], outs: list[Tensor], row: np.ndarray) -> list[np.ndarray]:
        upstream, roots, start = [], [], 0
        for out in outs:
            part = row[start : start + out._array.size].reshape(out._array.shape)
            start += out._array.size
            if out.requires_grad:
                roots.append(out)
                upstream.append(wrap(part.astype(out._array.dtype)))
        if not roots:
            return [np.zeros(leaf._array.size) for leaf in leaves]
        results = grad(roots, leaves, upstream, retain_graph=True, allow_unused=True)
        return [np.zeros(x._array.size) if g is None else g._array.ravel() for x, g in zip(leaves, results)]

    def undefined_gradients(self, row: np.ndarray) -> list[tuple[int, list[np.ndarray], list[np.ndarray]]]:
        """Per output the gradients by all inputs with the other outputs' upstream left out, and with zeros there."""
        leaves, outs, positions = self._call(self.arrays)
        found, start = [], 0
        for i, out in enumerate(outs):
            stop = start + out._array.size
            if out.requires_grad:
                only = np.zeros_like(row)
                only[start:stop] = row[start:stop]
                alone = grad(
                    out, leaves, wrap(row[start:stop].reshape(out._array.shape)), retain_graph=True, allow_unused=True
                )
                left_out = [np.zeros(x._array.size) if g is None else g._array.ravel() for x, g in zip(leaves, alone)]
                found.append((positions[i], left_out, self._backward(leaves, outs, only)))
            start = stop
        return found

    # ------------------------------------------------------------------ names

    def projection_name(self, k: int) -> str:
        """What a projection is, for messages: an element of an output, or a random upstream gradient."""
        if not self.unit or k >= self.size:
            return "a random upstream gradient"
        for position, out in zip(self.output_positions, self.outputs):
            if k < out.size:
                index = tuple(int(i) for i in np.unravel_index(k, out.shape))
                return f"element {index} of output {position}, shape {out.shape}"
            k -= out.size
        raise AssertionError(k)
