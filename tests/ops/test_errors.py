"""Bad input: every row of every ``errors_*.py`` raises the error it names, with a message that names the values."""

from __future__ import annotations

from collections import Counter

import pytest

from ..raises import PACKAGE, raised_by, raises_in
from .table import modules_named

MODULES = modules_named("errors_")
ERRORS = [row for module in MODULES for row in module.ERRORS]


@pytest.mark.parametrize(("call", "error", "message"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


OPERATIONS = sorted(f"ops/{path.stem}" for path in (PACKAGE / "ops").glob("*.py"))


@pytest.fixture(scope="module")
def passed():
    """The lines that the errors of all rows have passed."""
    return set().union(*(raised_by(row[1]) for row in ERRORS))


@pytest.mark.parametrize("module", OPERATIONS)
def test_every_raise_has_a_row(module, passed):
    missing = sorted(line for _, line in raises_in(module) - passed)
    assert not missing, f"{module}.py raises in these lines, and no row of tests/ops/errors_*.py gets there: {missing}"


def test_the_finder_of_raises_sees_them():
    assert len(OPERATIONS) > 30
    assert sum(len(raises_in(module)) for module in OPERATIONS) > 150


def test_every_module_of_errors_has_rows():
    for module in MODULES:
        assert module.ERRORS, f"{module.__name__} has no rows"


def test_ids_are_unique():
    twice = [name for name, count in Counter(row[0] for row in ERRORS).items() if count > 1]
    assert not twice
