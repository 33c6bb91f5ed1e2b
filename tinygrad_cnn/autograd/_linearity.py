"""Is a function linear in one of its inputs?  Found by trying, and then checked to the last bit.

Along an input in which the function is linear (or affine: linear plus a constant) there is no truncation error, so
differences may take large steps.  And where integers stay integers, nothing is rounded at all: with integer-valued
inputs and upstream gradient, ``<v, f(x + y) - f(x)>`` and ``<backward(v), y>`` must be the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ._differences import EPS
from ._gradient_problem import Problem

_PROBES = (-2.0, 0.5, -0.25, 10.0, -30.0)  # short binary fractions: integers times them are exact too
_ODD_PROBES = (0.6180339887, -7.3890561)  # where a little may be rounded: all multiples above of 32 are whole numbers,
# and steps of a whole number look linear to a function that rounds
_LEAVES_ITS_DOMAIN = (ArithmeticError, ValueError, TypeError, IndexError, RuntimeError)


def is_linear(problem: Problem, which: int, rng: np.random.Generator) -> bool:
    """Whether f(a x + b y) = a f(x) + b f(y) for a + b = 1, as far as a few random y can tell, in one input."""
    x = problem.arrays[which]
    if not x.size:
        return False
    scale = max(1.0, float(np.max(np.abs(x))))
    y = rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape) * scale
    return _affine(lambda t: problem.moved(which, t * y), 64 * EPS)


def _affine(along: Callable[[float], np.ndarray], tolerance: float) -> bool:
    """Whether the values at t = 0, 1 and the probes lie on a line, up to a part of their sizes."""
    try:
        with np.errstate(all="ignore"):
            base, one = along(0.0), along(1.0)
            for t in _PROBES if tolerance == 0 else (*_PROBES, *_ODD_PROBES):
                value = along(t)
                size = np.abs(value) + abs(t) * (np.abs(one) + np.abs(base))
                error = np.abs((value - base) - t * (one - base))
                if not (error <= tolerance * (size + np.max(size, initial=0.0))).all():
                    return False
    except _LEAVES_ITS_DOMAIN:  # the probe need not be where the user's function is defined
        return False
    return True


class ExactCheck:
    """The function on integer-valued data, if it gives exact results there.

    Attributes:
        applies: nothing was rounded, so backward has to agree exactly.
        failures: (position among the checked inputs, flat index, backward's number, the exact one).
    """

    def __init__(self, problem: Problem, linear: Sequence[int], rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self.arrays = [_integers(rng, array.shape) for array in problem.arrays]
        self.row = _integers(rng, (problem.size,))
        self.exact: list[int] = []
        self.failures: list[tuple[int, int, float, float]] = []
        directions = {which: _integers(rng, self.arrays[which].shape) for which in linear}
        affine = [which for which in linear if self._affine(which, directions[which])]
        if not affine:
            return
        try:
            with np.errstate(all="ignore"):
                self.gradients = problem.gradients(self.row[None], self.arrays)
        except _LEAVES_ITS_DOMAIN:
            return
        for which in affine:
            self._check(which, directions[which])

    def _affine(self, which: int, direction: np.ndarray, tolerance: float = 0.0) -> bool:
        """Whether the function is linear along this direction, by default to the last bit."""
        shaped = direction.reshape(self.arrays[which].shape)
        return _affine(lambda t: self._moved(which, t * shaped), tolerance)

    def _confirmed(self, which: int, unit: np.ndarray) -> bool:
        """Whether backward is wrong beside the integers, too: where some are equal, there may be a kink.

        With min = x = max, for example, clamp(x, min, max) does not depend on x, and its gradient by x is 1.
        """
        integers, gradients = self.arrays, self.gradients
        error = self._error(which, unit)
        self.arrays = [array + self.rng.integers(1, 1024, array.shape) / 1024 for array in integers]
        try:
            with np.errstate(all="ignore"):
                self.gradients = self.problem.gradients(self.row[None], self.arrays)
            return self._affine(which, unit, 64 * EPS) and self._error(which, unit) > 1e-3 * error
        except _LEAVES_ITS_DOMAIN:
            return True
        finally:
            self.arrays, self.gradients = integers, gradients

    def _moved(self, which: int, change: np.ndarray) -> np.ndarray:
        arrays = list(self.arrays)
        arrays[which] = arrays[which] + change
        return self.problem.flat(arrays)

    def _check(self, which: int, direction: np.ndarray) -> None:
        flat = direction.ravel()
        if self._excess(which, flat) > 0:
            everything = np.arange(flat.size)
            index = locate(lambda part: self._excess(which, _only(flat, part)), everything)
            unit = _only(np.ones_like(flat), np.array([index]))
            # a step function can look linear along one direction
            if self._affine(which, unit) and self._confirmed(which, unit):
                backward = float(self.gradients[which][0, index])
                self.failures.append((which, index, backward, self._exact(which, unit)[0]))
        elif self._exact(which, flat)[0] == float(self.gradients[which][0] @ flat):
            self.exact.append(which)

    def _exact(self, which: int, flat: np.ndarray) -> tuple[float, float]:
        """(<v, f(x + y) - f(x)>, the size of the terms in it)."""
        base = self._moved(which, np.zeros(self.arrays[which].shape))
        change = self._moved(which, flat.reshape(self.arrays[which].shape)) - base
        size = float(np.abs(self.row) @ (np.abs(base) + np.abs(change)))
        return float(self.row @ change), size or float(np.abs(self.row).sum() * np.abs(flat).sum())

    def _excess(self, which: int, flat: np.ndarray) -> float:
        """How much backward differs beyond the rounding of these few operations; negative if it does not."""
        _, size = self._exact(which, flat)
        terms = self.gradients[which][0] * flat
        return self._error(which, flat) - 16 * EPS * (size + float(np.abs(terms).sum()))

    def _error(self, which: int, flat: np.ndarray) -> float:
        """How much backward differs."""
        return abs(self._exact(which, flat)[0] - float((self.gradients[which][0] * flat).sum()))


def locate(excess: Callable[[np.ndarray], float], indices: np.ndarray) -> int:
    """One index among those whose sum is wrong, by halving: ``excess(part)`` says how wrong a part is."""
    while len(indices) > 1:
        half = len(indices) // 2
        first, second = indices[:half], indices[half:]
        indices = first if excess(first) >= excess(second) else second
    return int(indices[0])


def _only(flat: np.ndarray, part: np.ndarray) -> np.ndarray:
    out = np.zeros_like(flat)
    out[part] = flat[part]
    return out


def _integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers from ±1 to ±7 as float64."""
    return rng.integers(1, 8, shape) * rng.choice([-1.0, 1.0], shape)
