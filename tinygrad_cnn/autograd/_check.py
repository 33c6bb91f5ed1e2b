"""One gradient check: backward against differences, input by input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._diagnosis import diagnose, upstream_fault
from ._differences import EPS, STEP, Estimate, differentiate
from ._gradient_problem import Problem
from ._gradient_report import GradientReport, Kink, Mismatch
from ._linearity import ExactCheck, is_linear, locate

ELEMENTS = 256  # up to so many elements of an input each one is moved by itself
DIRECTIONS = 4  # otherwise all move together, along so many random directions
SAMPLED = 128  # elements moved by themselves where a random direction runs into a kink
_ROUNDING = 64 * EPS  # of the largest derivative: what backward may round away where terms cancel, as in 1 - Σ softmax
_SEED = 20130528  # every check draws the same numbers, so a failure comes again


@dataclass(frozen=True)
class Options:
    """See ``gradcheck``; ``input_name`` gives the name of an input for messages."""

    name: str
    input_name: Callable[[int], str]
    eps: float | None = None
    atol: float = 0.0
    rtol: float = 0.0
    nondet_tol: float = 0.0
    check_undefined_grad: bool = True
    fast_mode: bool = False


class Check:
    """Runs a check and collects its report."""

    def __init__(self, func: Callable[..., Any], inputs: Any, options: Options) -> None:
        self.options = options
        self.rng = np.random.default_rng(_SEED)
        self.problem = Problem(func, inputs, options.name, self.rng, options.fast_mode)
        self.report = GradientReport(options.name)

    def run(self) -> GradientReport:
        problem, report = self.problem, self.report
        flat = problem.flat(problem.arrays)
        if not np.isfinite(flat).all():
            report.other.append(f"func gives {flat[~np.isfinite(flat)][0]} at these inputs, where no gradient exists")
            return report
        self.gradients = problem.gradients()
        self._determinism(flat)
        if report.other:
            return report  # differences of what changes by itself mean nothing
        if self.options.check_undefined_grad:
            self._undefined()
        self.base = problem.project(flat)
        self.floor = problem.noise_floor(flat, [g[-1] for g in self.gradients])
        linear = [w for w in range(len(problem.arrays)) if is_linear(problem, w, self.rng)]
        for which in range(len(problem.arrays)):
            if problem.arrays[which].size:
                self._input(which, which in linear)
        report.linear = [problem.checked[w] for w in linear]
        if linear and problem.size:
            self._exact(linear)
        nothing = report.compared == 0 and not report.kinks and report.ok
        if nothing and problem.size and any(a.size for a in problem.arrays):
            report.other.append("no derivative could be found by differences: func is not smooth near these inputs")
        return report

    # ------------------------------------------------------------------ the parts

    def _determinism(self, flat: np.ndarray) -> None:
        again = self.problem.flat(self.problem.arrays)
        if not _same(flat, again, self.options.nondet_tol):
            self.report.other.append(
                f"func is not deterministic: two calls with equal inputs differ by {np.max(np.abs(flat - again)):.3g}"
            )
        row = self.problem.upstream[-1:]
        for which, gradient in enumerate(self.problem.gradients(row)):
            before = self.gradients[which][-1]
            if not _same(before, gradient[0], self.options.nondet_tol):
                self.report.other.append(
                    f"backward is not deterministic: two calls differ by {np.max(np.abs(before - gradient[0])):.3g} in "
                    f"the gradient of {self.options.input_name(self.problem.checked[which])}"
                )

    def _undefined(self) -> None:
        if len(self.problem.outputs) < 2:
            return
        for position, left_out, zeros in self.problem.undefined_gradients(self.problem.upstream[-1]):
            for which, (a, b) in enumerate(zip(left_out, zeros)):
                if not np.allclose(a, b, rtol=1e-12, atol=1e-14):
                    self.report.other.append(
                        f"backward treats an absent upstream gradient unlike zeros: with only that of output "
                        f"{position} the gradient of {self.options.input_name(self.problem.checked[which])} differs"
                    )

    def _input(self, which: int, linear: bool) -> None:
        """Compare the gradient by one input along its elements, or along random directions if they are too many."""
        size = self.problem.arrays[which].size
        if size <= ELEMENTS and not (self.options.fast_mode and size > 2 * DIRECTIONS):
            self._elements(which, np.arange(size), linear)
            return
        directions = self.rng.uniform(0.5, 1.5, (DIRECTIONS, size)) * self.rng.choice([-1.0, 1.0], (DIRECTIONS, size))
        estimate = self._differences(which, directions, linear)
        if (estimate.kink | estimate.undefined).any():
            elements = self._some(size)
            if estimate.kink.any():
                row, at = (int(i) for i in np.argwhere(estimate.kink)[0])
                kink = self._locate(which, directions[row], linear, lambda e, _: float(np.abs(e.right - e.left)[0, at]))
                elements = np.union1d(elements, kink)
            self._elements(which, elements, linear)
        backward = directions @ self.gradients[which].T
        usable = ~(estimate.kink | estimate.undefined)
        excess = self._excess(backward, estimate)
        if (excess[usable] > 0).any() and not self._has_mismatch(which):
            d, k = np.unravel_index(np.argmax(np.where(usable, excess, -np.inf)), excess.shape)
            self._narrow(which, directions[d], int(k), linear)
        self._count(estimate, usable)

    def _elements(self, which: int, elements: np.ndarray, linear: bool) -> None:
        """Move chosen elements one by one."""
        size = self.problem.arrays[which].size
        units = np.zeros((len(elements), size))
        units[np.arange(len(elements)), elements] = 1.0
        estimate = self._differences(which, units, linear)
        backward = self.gradients[which].T[elements]
        usable = ~(estimate.kink | estimate.undefined)
        self._kinks(which, elements, backward, estimate)
        excess = np.where(usable, self._excess(backward, estimate), -np.inf)
        if (excess > 0).any():
            row, k = (int(i) for i in np.unravel_index(np.argmax(excess), excess.shape))
            tolerance = np.where(usable, self._allowed(estimate), np.inf)
            shape = self.problem.arrays[which].shape
            if len(elements) == size:
                fault = diagnose(self.problem, which, backward, estimate.value, tolerance)
            else:
                fault = upstream_fault(self.problem, which) or self._factor(backward[row, k], estimate.value[row, k])
            self._mismatch(
                which, np.unravel_index(int(elements[row]), shape), backward[row, k], estimate.value[row, k],
                tolerance[row, k], k, fault,
            )  # fmt: skip
        self._count(estimate, usable)

    def _narrow(self, which: int, direction: np.ndarray, k: int, linear: bool) -> None:
        """Look at one element that is wrong along a direction, found by halving."""

        def excess(estimate: Estimate, part: np.ndarray) -> float:
            return float(self._excess(part[None] @ self.gradients[which].T, estimate)[0, k])

        self._elements(which, np.array([self._locate(which, direction, linear, excess)]), linear)
        if not self._has_mismatch(which):  # the sum of many small errors: any of them will do
            self._elements(which, self._some(direction.size), linear)

    def _locate(
        self, which: int, direction: np.ndarray, linear: bool, measure: Callable[[Estimate, np.ndarray], float]
    ) -> int:
        """The element of a direction at which ``measure(estimate, part of the direction)`` is largest, by halving."""

        def measured(part: np.ndarray) -> float:
            only = np.zeros_like(direction)
            only[part] = direction[part]
            return measure(self._differences(which, only[None], linear), only)

        return locate(measured, np.flatnonzero(direction))

    def _some(self, size: int) -> np.ndarray:
        return np.sort(self.rng.choice(size, min(size, SAMPLED), replace=False))

    @staticmethod
    def _factor(backward: float, differences: float) -> str:
        if backward == 0:
            return "a missing term at this element, perhaps at others"
        if differences == 0:
            return "an extra term at this element, perhaps at others"
        return f"this element, perhaps others, is wrong by a factor of {backward / differences:.8g}"

    def _exact(self, linear: list[int]) -> None:
        exact = ExactCheck(self.problem, linear, self.rng)
        self.report.exact = [self.problem.checked[w] for w in exact.exact]
        for which, element, backward, right in exact.failures:
            accepted = abs(backward - right) <= self.options.atol + self.options.rtol * abs(right)
            if not accepted and not self._has_mismatch(which):
                index = np.unravel_index(element, self.problem.arrays[which].shape)
                fault = upstream_fault(self.problem, which) or self._factor(backward, right)
                self._mismatch(which, index, backward, right, 0.0, None, fault)

    # ------------------------------------------------------------------ numbers

    def _differences(self, which: int, directions: np.ndarray, linear: bool) -> Estimate:
        x = self.problem.arrays[which]
        flat = np.abs(x.ravel())

        def evaluate(d: int, t: float) -> np.ndarray:
            return self.problem.moved(which, (t * directions[d]).reshape(x.shape))

        reach = np.array([np.max(flat[u != 0], initial=1.0) for u in directions])
        scale = 2.0 ** np.floor(np.log2(np.where(np.isfinite(reach), reach, 1.0)))
        steps = np.full(len(directions), self.options.eps) if self.options.eps else scale * (1.0 if linear else STEP)
        spacings = np.minimum(steps, STEP) / 32
        many = len(directions) > 0 and np.count_nonzero(directions[0]) > 1
        if not many:  # near 0, where there may be a pole, less
            near = np.array([np.max(flat[u != 0], initial=0.0) for u in directions])
            spacings = np.where(near > 0, np.minimum(spacings, near / 1024), spacings)
        return differentiate(evaluate, self.base, steps, spacings, self.floor, levels=3 if many and not linear else 0)

    def _allowed(self, estimate: Estimate) -> np.ndarray:
        largest = np.max(np.abs(estimate.value), axis=0, initial=0.0, where=np.isfinite(estimate.value))
        # Where everything is 0, terms of the size of the upstream gradient have cancelled.
        rounding = _ROUNDING * np.where(largest > 0, largest, self.problem.upstream_sizes())
        asked = self.options.atol + self.options.rtol * np.abs(estimate.value)
        return np.maximum(np.maximum(estimate.tolerance, rounding), asked)

    def _excess(self, backward: np.ndarray, estimate: Estimate) -> np.ndarray:
        error = np.abs(backward - estimate.value)
        return np.where(np.isfinite(backward), error, np.inf) - self._allowed(estimate)

    def _kinks(self, which: int, elements: np.ndarray, backward: np.ndarray, estimate: Estimate) -> None:
        """Report kinks and elements without derivative; a value of backward's not between the slopes is a mismatch."""
        shape, position = self.problem.arrays[which].shape, self.problem.checked[which]
        for row in np.flatnonzero(estimate.undefined.any(axis=1)):
            index = tuple(int(i) for i in np.unravel_index(int(elements[row]), shape))
            self.report.undefined.append(f"{self.options.input_name(position)}, index {index}")
        low = np.minimum(estimate.left, estimate.right) - self._allowed(estimate)
        high = np.maximum(estimate.left, estimate.right) + self._allowed(estimate)
        for row, k in np.argwhere(estimate.kink):
            if estimate.kink[row, :k].any():
                continue  # one report per element
            index = tuple(int(i) for i in np.unravel_index(int(elements[row]), shape))
            left, right, value = estimate.left[row, k], estimate.right[row, k], backward[row, k]
            if not low[row, k] <= value <= high[row, k]:
                fault = f"at a kink the gradient must lie between the slopes {left:.6g} and {right:.6g}"
                self._mismatch(which, index, value, (left + right) / 2, abs(right - left) / 2, k, fault)
            else:
                name = self.options.input_name(position)
                self.report.kinks.append(Kink(position, index, float(left), float(right), float(value), name))

    def _has_mismatch(self, which: int) -> bool:
        return any(m.input == self.problem.checked[which] for m in self.report.mismatches)

    def _mismatch(
        self, which: int, index: Any, backward: float, differences: float, tolerance: float, k: int | None, fault: str
    ) -> None:
        position = self.problem.checked[which]
        if self._has_mismatch(which):
            return
        upstream = "integers, where nothing is rounded" if k is None else self.problem.projection_name(k)
        self.report.mismatches.append(
            Mismatch(
                position,
                tuple(int(i) for i in index),
                self.problem.arrays[which].shape,
                float(backward),
                float(differences),
                float(tolerance),
                upstream,
                fault,
                self.options.input_name(position),
            )
        )

    def _count(self, estimate: Estimate, usable: np.ndarray) -> None:
        self.report.compared += int(usable.sum())
        largest = float(np.max(np.abs(estimate.value), initial=0.0, where=usable))
        loosest = float(np.max(self._allowed(estimate), initial=0.0, where=usable))
        if largest > 0:
            self.report.largest_tolerance = max(self.report.largest_tolerance, loosest / largest)


def _same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return bool((np.abs(a - b) <= tolerance).all()) if tolerance else bool(np.array_equal(a, b, equal_nan=True))
