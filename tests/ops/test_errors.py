"""Bad input: every row of every ``errors_*.py`` raises the error it names, with a message that names the values."""

from __future__ import annotations

from collections import Counter

import pytest

from .table import modules_named

MODULES = modules_named("errors_")
ERRORS = [row for module in MODULES for row in module.ERRORS]


@pytest.mark.parametrize(("call", "error", "message"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_module_of_errors_has_rows():
    for module in MODULES:
        assert module.ERRORS, f"{module.__name__} has no rows"


def test_ids_are_unique():
    twice = [name for name, count in Counter(row[0] for row in ERRORS).items() if count > 1]
    assert not twice
