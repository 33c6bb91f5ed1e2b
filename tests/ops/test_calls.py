"""Every row of the table of calls gives what PyTorch gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from .calls import Call, check
from .table import modules_named

MODULES = modules_named("calls_")
CALLS: list[Call] = [row for module in MODULES for row in module.CALLS]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in CALLS])
def test_call(row):
    pytest.importorskip("torch")
    check(row)


def test_every_module_of_calls_has_rows():
    for module in MODULES:
        assert module.CALLS, f"{module.__name__} has no rows"


def test_names_are_unique():
    twice = [name for name, count in Counter(row.name for row in CALLS).items() if count > 1]
    assert not twice


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda lib: lib.zeros(2), lambda lib: lib.zeros(2, dtype=lib.float64)),
        (lambda lib: lib.zeros(2), lambda lib: lib.zeros(1, 2)),
        (lambda lib: lib.zeros(2), lambda lib: lib.tensor([0.0, 1e-7])),
        (lambda lib: lib.zeros(2), lambda lib: lib.zeros(2, requires_grad=True)),
        (lambda lib: lib.zeros(2), lambda lib: [0.0, 0.0]),
        (lambda lib: True, lambda lib: 1),
        (lambda lib: [1, 2], lambda lib: [1]),
        (lambda lib: "a", lambda lib: "b"),
        (lambda lib: lib.zeros(1).numpy(), lambda lib: lib.zeros(1).double().numpy()),
    ],
)
def test_a_difference_is_found(ours, theirs):
    torch = pytest.importorskip("torch")
    with pytest.raises(AssertionError):
        check(Call("different", lambda lib: (theirs if lib is torch else ours)(lib)))


def test_a_wrong_gradient_is_found():
    torch = pytest.importorskip("torch")
    x = np.ones(2)
    with pytest.raises(AssertionError):
        check(Call("different", lambda lib, x: x * 2 - (x if lib is torch else x.detach()), (x,)))
    with pytest.raises(AssertionError):
        check(Call("none", lambda lib, x: (x if lib is torch else x.detach()) * 2, (x,)))
