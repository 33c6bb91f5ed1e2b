"""What a gradient check found, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass, field


class KinkWarning(UserWarning):
    """The function has a kink at the very point of the check, where no difference can confirm a gradient."""


@dataclass(frozen=True)
class Mismatch:
    """One input whose gradient is wrong.

    Attributes:
        input: its position; ``index`` the element with the largest error; ``shape`` the input's shape.
        backward, differences, tolerance: the two numbers there, and how exact the second one is.
        upstream: which upstream gradient they belong to.
        fault: the likely kind of fault.
        name: the input's name in messages.
    """

    input: int
    index: tuple[int, ...]
    shape: tuple[int, ...]
    backward: float
    differences: float
    tolerance: float
    upstream: str
    fault: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.name}, shape {self.shape}, index {self.index}: backward gives {self.backward:.12g}, differences "
            f"give {self.differences:.12g} (exact to {self.tolerance:.1g}), for {self.upstream}.\n"
            f"  Likely fault: {self.fault}."
        )


@dataclass(frozen=True)
class Kink:
    """A corner of the function at the point of the check: left and right slope converge to different numbers."""

    input: int
    index: tuple[int, ...]
    left: float
    right: float
    backward: float
    name: str

    def __str__(self) -> str:
        return (
            f"{self.name}, index {self.index}: the slope is {self.left:.6g} on the left and {self.right:.6g} "
            f"on the right; backward gives {self.backward:.6g}"
        )


@dataclass
class GradientReport:
    """What a gradient check found.

    Attributes:
        mismatches: wrong gradients, at most one per input.
        kinks: elements where the function has a corner and backward's value lies between the slopes.
        undefined: elements where differences found no derivative: a jump, an infinite slope, the edge of a domain.
        other: other faults (results that change from call to call ...), as sentences.
        linear, exact: positions of the inputs in which the function is linear, and that were checked to the last bit.
        compared: how many numbers were compared.
        largest_tolerance: the loosest of their tolerances, relative to the largest derivative.
    """

    name: str
    mismatches: list[Mismatch] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    undefined: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    linear: list[int] = field(default_factory=list)
    exact: list[int] = field(default_factory=list)
    compared: int = 0
    largest_tolerance: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.mismatches and not self.other

    def __str__(self) -> str:
        if self.ok:
            return f"{self.name}: {self.compared} derivatives agree"
        return "\n".join([f"{self.name}: the gradient is wrong", *self.other, *map(str, self.mismatches)])
