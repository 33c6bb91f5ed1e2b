"""Cases of a row as a list, for tests that need to hold several at once."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings

from .table import Case, OpSample


def drawn(sample: OpSample, count: int, first_seed: int = 0) -> list[Case]:
    """``count`` cases of the row, the same ones every time."""
    found: list[Case] = []

    @given(sample.cases)
    def collect(case: Case) -> None:
        found.append(case)

    quiet = settings(
        max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    number = first_seed
    while len(found) < count:  # a strategy with few different cases ends early
        seed(number)(quiet(collect))()
        number += 1
    return found[:count]
