"""The checker finds every planted fault, says what kind it is, and finds nothing where there is no fault."""

from __future__ import annotations

import os
import pathlib
import re
import warnings

import pytest

from tinygrad_cnn.autograd.gradcheck import GradcheckError, KinkWarning, gradcheck, gradgradcheck

from .planted_faults import FAULTS

SEEDS = range(10 if os.environ.get("TINYGRAD_CNN_CI") else 1)
DOCS = pathlib.Path(__file__).parents[2] / "docs" / "gradient-checking.md"

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def check(fault, order, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error", KinkWarning)
        return (gradcheck, gradgradcheck)[order - 1](fault.function, fault.inputs(seed))


@pytest.mark.parametrize("seed", SEEDS)
@each_fault
def test_fault_is_caught_and_named(fault, seed, monkeypatch):
    assert check(fault, fault.order, seed), "without the fault"
    monkeypatch.setattr(fault.op, fault.method, fault.wrong)
    with pytest.raises(GradcheckError, match=fault.says) as caught:
        check(fault, fault.order, seed)
    if fault.order == 2:
        assert check(fault, 1, seed), "the first derivative is right"
    if seed == 0:
        assert documented()[fault.name] in str(caught.value)


def documented() -> dict[str, str]:
    """What the docs say that the checker says, by the names of the faults."""
    rows = re.findall(r"^\| (\w+[^|]*: [^|]*) \| ([^|]*) \|$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(rows)


def test_docs_list_these_faults():
    assert list(documented()) == [fault.name for fault in FAULTS]


def test_there_are_twenty_faults_and_more_with_different_names():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20
