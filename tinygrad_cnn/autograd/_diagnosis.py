"""What kind of fault makes backward's numbers wrong?  A guess from the pattern, to say where to look first."""

from __future__ import annotations

import itertools

import numpy as np

from ._gradient_problem import Problem


def diagnose(problem: Problem, which: int, backward: np.ndarray, differences: np.ndarray, tolerance: np.ndarray) -> str:
    """A sentence on the likely kind of fault.

    Args:
        problem: the function.
        which: position among the checked inputs.
        backward, differences, tolerance: (n, K) the gradients by all n elements for all K projections.

    Returns:
        The most specific of the explanations that fit all numbers.
    """
    wrong = np.abs(backward - differences) > tolerance
    return (
        upstream_fault(problem, which)
        or _rounding(backward, differences)
        or _scale(backward, differences, tolerance)
        or _places(backward, differences, tolerance, problem.arrays[which].shape)
        or _part(backward, differences, wrong, problem.arrays[which].shape)
        or "a missing or an extra term (the numbers are neither scaled nor in the wrong places)"
    )


def upstream_fault(problem: Problem, which: int) -> str | None:
    """A sentence if backward does not treat its upstream gradient as it must, linearly; else None."""
    row = problem.upstream[-1]
    other = row[::-1] + 0.5
    rows = np.stack([row, 2 * row, other, np.ones_like(row)])
    once, twice, another, ones = problem.gradients(rows)[which]
    if not np.isfinite(once).all():
        return "backward gives values that are not finite"
    if not once.any():
        return None
    if _close(once, another) and _close(once, twice):
        return "the upstream gradient is ignored: backward gives the same for every upstream gradient"
    if problem.size > 1 and _close(once, ones * row.mean()):
        return "the upstream gradient is averaged: backward uses it as if all its elements were equal"
    if not _close(2 * once, twice):
        return "the upstream gradient is not used linearly: twice as much of it does not give twice the gradient"
    return None


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12 * float(np.max(np.abs(a), initial=0.0))))


def _rounding(backward: np.ndarray, differences: np.ndarray) -> str | None:
    if (np.abs(backward - differences) > 4 * 2.0**-24 * np.abs(differences)).any():
        return None
    return "rounding: every number is right to single precision, so somewhere on the way there is a float32"


def _scale(backward: np.ndarray, differences: np.ndarray, tolerance: np.ndarray) -> str | None:
    """One factor for all elements, a missing gradient being the factor 0."""
    if not (np.abs(backward) > tolerance).any():
        return "a missing term: no gradient reaches this input (detached, not returned, or saved as a constant)"
    norm = float((differences * differences).sum())
    if norm == 0:
        return "an extra term: the function does not depend on this input at all"
    factor = float((backward * differences).sum()) / norm
    slack = (1 + abs(factor)) * tolerance + 1e-6 * abs(factor) * np.abs(differences)
    if (np.abs(backward - factor * differences) > slack).any() or np.count_nonzero(differences) < 2:
        return None
    return (
        "the wrong sign" if abs(factor + 1) < 1e-6 else f"the wrong scale: everything is {factor:.6g} times too large"
    )


def _places(backward: np.ndarray, differences: np.ndarray, tolerance: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """The right numbers in the wrong places."""
    got, right = backward[:, -1].reshape(shape), differences[:, -1].reshape(shape)
    slack = tolerance[:, -1].max()
    for a, b in itertools.combinations(range(len(shape)), 2):
        if shape[a] == shape[b] > 1 and (np.abs(got - right.swapaxes(a, b)) <= slack).all():
            return f"transposed: dimensions {a} and {b} of the gradient are exchanged"
    for axis in range(len(shape)):
        if (np.abs(got - np.flip(right, axis)) <= slack).all():
            return f"flipped: dimension {axis} of the gradient runs backwards"
        for shift in range(1, shape[axis]):
            if (np.abs(got - np.roll(right, shift, axis)) <= slack).all():
                return f"shifted: the gradient is moved by {shift} along dimension {axis}"
    if not (np.abs(np.sort(got, axis=None) - np.sort(right, axis=None)) <= slack).all():
        return None
    moved = int((np.abs(got - right) > slack).sum())
    if moved == 2:
        first, second = (tuple(map(int, i)) for i in np.argwhere(np.abs(got - right) > slack))
        return f"a swapped pair: elements {first} and {second} have each other's value"
    return f"permuted: {moved} elements have the right values in the wrong places"


def _part(backward: np.ndarray, differences: np.ndarray, wrong: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """Only some elements are wrong: which, and how."""
    bad = np.asarray(wrong.any(axis=1))
    count = int(bad.sum())
    if count == bad.size:
        return None
    where = f"only {count} of {bad.size} elements are wrong{_slab(bad.reshape(shape))}"
    if not backward[wrong].any():
        return f"a missing term: {where}, and there backward gives 0"
    if not differences[wrong].any():
        return f"an extra term: {where}, and there it should be 0"
    with np.errstate(all="ignore"):
        factors = backward[wrong] / differences[wrong]
    if np.ptp(factors) < 1e-3 * abs(factors.mean() - 1):
        return f"{where}, by a factor of {factors.mean():.8g}"
    return where


def _slab(bad: np.ndarray) -> str:
    """Whether the wrong elements are those of a few whole indices of one dimension (a border, a channel, a group)."""
    for axis, size in enumerate(bad.shape):
        by_index = np.moveaxis(bad, axis, 0).reshape(size, -1)
        whole = by_index.all(axis=1)
        if by_index.shape[1] > 1 and whole.any() and (by_index.any(axis=1) == whole).all():
            return f" (all those at index {', '.join(map(str, np.flatnonzero(whole)))} of dimension {axis})"
    return ""
