"""Derivatives by differences, each with the tolerance that its own noise and truncation justify.

Along a direction the function is read at 0, ±h/4, ±h/2 and ±h.  That gives three central differences and, by
Richardson's extrapolation, two values whose errors are of fourth order in h, so that a multiple of their difference is
a safe bound that still tells a gradient in double precision from one in single precision.  The second differences tell
a smooth function, where right and left slope approach each other as h shrinks, from a kink, where they do not.  Where
the first step is too coarse (a kink nearby, a pole, the edge of a domain) it shrinks.  Fourth differences of closely
spaced values on one side of x, where a kink at x does not matter, show the function's noise.

Reference:
    L. F. Richardson, "The approximate arithmetical solution by finite differences ...", Phil. Trans. A 210 (1911).
    J. J. Moré, S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): noise from differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVELS = 7
SHRINK = 8.0
STEP = 2.0**-10  # near the optimum of a fourth-order rule in double precision
EPS = 2.0**-52
_NOISE_SAMPLES = 6

_NOISE_SAFETY = 100.0  # the extrapolation multiplies noise by about 2; the rest is safety against a lucky small sample
_TRUNCATION_SAFETY = 4.0
_USELESS = 1e11  # rounding errors: more than the safety above and the finest step allow for

Evaluate = Callable[[int, float], np.ndarray]
"""``evaluate(d, t)``: the K projections of the function at x + t * direction[d], (K,) float64."""


@dataclass
class Estimate:
    """Directional derivatives of K projections along D directions.

    Attributes:
        value: (D, K) the extrapolated central difference.
        tolerance: (D, K) how far from the true derivative it may be.
        left, right: (D, K) the one-sided slopes, which differ at a kink.
        kink: (D, K) left and right converge to different numbers: the function has a corner here.
        undefined: (D, K) no derivative found: infinite slope, edge of the domain, jump.
    """

    value: np.ndarray
    tolerance: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    undefined: np.ndarray


class _Level:
    """What five values at one step size tell; arrays over directions and projections."""

    def __init__(self, values: np.ndarray, base: np.ndarray, step: Any) -> None:
        """values: (..., 6, K) at h, h/2, h/4, -h/4, -h/2, -h; base: (K,) at 0; step: h, a float or (..., 1)."""
        self.step = step
        far, near, nearest, nearest_left, near_left, far_left = (values[..., i, :] for i in range(6))
        coarse, fine = (far - far_left) / (2 * step), (near - near_left) / step
        finest = (nearest - nearest_left) / (step / 2)
        self.value = fine + (fine - coarse) / 3
        self.truncation = np.abs(finest + (finest - fine) / 3 - self.value)
        self.bend, self.bend_near = (far - 2 * base + far_left) / step, (near - 2 * base + near_left) / (step / 2)
        self.left, self.right = (base - near_left) / (step / 2), (near - base) / (step / 2)
        self.change = np.abs((base - far_left) / step - self.left) + np.abs((far - base) / step - self.right)
        self.finite = np.isfinite(values).all(axis=-2)

    def smooth(self, noise: np.ndarray) -> np.ndarray:
        """Right and left slope approach each other as the step halves (for a smooth function their gap halves)."""
        return self.finite & (np.abs(self.bend_near) <= 0.75 * np.abs(self.bend) + 40 * noise / self.step)

    def tolerance(self, noise: np.ndarray) -> np.ndarray:
        return _TRUNCATION_SAFETY * self.truncation + _NOISE_SAFETY * noise / self.step

    def kink(self, noise: np.ndarray) -> np.ndarray:
        """Both one-sided slopes have settled, on different numbers."""
        jump = np.abs(self.right - self.left)
        return self.finite & (jump > 40 * noise / self.step) & (self.change < 0.25 * jump)


def differentiate(
    evaluate: Evaluate, base: np.ndarray, steps: np.ndarray, spacings: np.ndarray, floor: np.ndarray, levels: int = 0
) -> Estimate:
    """The derivative of every projection along every direction.

    Args:
        evaluate: see ``Evaluate``.
        base: (K,) the projections at x.
        steps: (D,) the first step size per direction.
        spacings: (D,) a distance per direction over which the function hardly changes, to see its noise.
        floor: (K,) the least rounding noise to assume.
        levels: compare at least so many step sizes; needed along directions in which many elements move, because then
            many kinks may be near.  Default: one, as long as it looks right.

    Returns:
        The estimates, (D, K) each.
    """
    with np.errstate(all="ignore"):
        noise = np.maximum(floor, _noise(evaluate, base, spacings))
        values = np.stack([_read(evaluate, d, h) for d, h in enumerate(steps)])
        first = _Level(values, base, steps[:, None])
        smooth = first.smooth(noise)
        estimate = Estimate(
            first.value, first.tolerance(noise), first.left, first.right, np.zeros(smooth.shape, bool), ~smooth
        )
        largest = np.max(np.abs(first.value), axis=0, initial=0.0, where=smooth)
        again = ~smooth if levels == 0 else np.ones_like(smooth)
        for d in np.flatnonzero((again | _loose(first, noise, largest)).any(axis=1)):
            _refine(evaluate, int(d), base, float(steps[d]), noise, largest, levels, estimate)
        # A tolerance above the value itself, and not from rounding: every step was too coarse for this function.
        too_coarse = (estimate.tolerance > 0.5 * np.abs(estimate.value)) & (estimate.tolerance > 1e-3 * largest)
        estimate.undefined |= too_coarse & (estimate.tolerance > _USELESS * floor) & ~estimate.kink
    return estimate


def _loose(level: _Level, noise: np.ndarray, largest: Any) -> np.ndarray:
    """Where a smaller step would make the result more exact."""
    return level.truncation > 1e-8 * np.abs(level.value) + 1e-9 * largest + _NOISE_SAFETY * noise / level.step


def _read(evaluate: Evaluate, d: int, h: float) -> np.ndarray:
    return np.stack([evaluate(d, t * h) for t in (1, 0.5, 0.25, -0.25, -0.5, -1)])


def _noise(evaluate: Evaluate, base: np.ndarray, spacings: np.ndarray) -> np.ndarray:
    """(K,) the standard deviation of rounding errors, from fourth differences along a few directions."""
    chosen = np.unique(np.linspace(0, len(spacings) - 1, _NOISE_SAMPLES).astype(int))
    samples = []
    for d in chosen:
        values = [base, *(evaluate(int(d), i * float(spacings[d])) for i in range(1, 5))]
        difference = sum(c * v for c, v in zip((1, -4, 6, -4, 1), values))
        samples.append(np.abs(difference) / np.sqrt(70.0))  # 70 = 1 + 16 + 36 + 16 + 1
    finite = np.where(np.isfinite(samples), samples, 0.0)
    return 2 * np.quantile(finite, 0.75, axis=0)


def _refine(
    evaluate: Evaluate,
    d: int,
    base: np.ndarray,
    step: float,
    noise: np.ndarray,
    largest: np.ndarray,
    least_levels: int,
    estimate: Estimate,
) -> None:
    """Shrink the step along one direction and keep, for every projection, the level with the least tolerance.

    A level is believed only as far as all finer ones agree with it: many kinks within reach of a coarse step can look
    like a smooth curve.
    """
    levels: list[_Level] = []
    smooth: list[np.ndarray] = []
    while len(levels) < LEVELS:
        level = _Level(_read(evaluate, d, step), base, step)
        levels.append(level)
        smooth.append(level.smooth(noise))
        if len(levels) >= least_levels and smooth[-1].all() and not _loose(level, noise, largest).any():
            break
        step /= SHRINK
    value, tolerance = _choose(levels, smooth, noise)
    found = np.isfinite(tolerance)
    kink = ~found & level.kink(noise)
    estimate.value[d], estimate.kink[d], estimate.undefined[d] = value, kink, ~found & ~kink
    estimate.left[d], estimate.right[d] = level.left, level.right
    estimate.tolerance[d] = np.where(kink, level.change + level.tolerance(noise), tolerance)


def _choose(levels: list[_Level], smooth: list[np.ndarray], noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (K,) values with the least tolerances among the levels where the function is smooth; infinite where none."""
    best, least = levels[-1].value.copy(), np.full(noise.shape, np.inf)
    for i, level in enumerate(levels):
        error = level.truncation
        if i + 1 < len(levels):  # two extrapolated values bound the coarser one's error more sharply
            error = np.where(smooth[i + 1], np.minimum(error, np.abs(level.value - levels[i + 1].value)), error)
        tolerance = _TRUNCATION_SAFETY * error + _NOISE_SAFETY * noise / level.step
        for finer, fine in zip(levels[i + 1 :], smooth[i + 1 :]):
            apart = np.abs(level.value - finer.value) - _NOISE_SAFETY * noise / finer.step
            tolerance = np.maximum(tolerance, np.where(fine, 2 * apart, np.inf))
        better = smooth[i] & (tolerance < least)
        best, least = np.where(better, level.value, best), np.where(better, tolerance, least)
    return best, least
