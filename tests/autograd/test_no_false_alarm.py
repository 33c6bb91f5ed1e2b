"""No false alarm: clean runs over every row of the table of operations, 1,000 of them in CI."""

from __future__ import annotations

import os
import warnings

import pytest

from tinygrad_cnn.autograd.gradcheck import KinkWarning, gradcheck, gradgradcheck
from tinygrad_cnn.testing.cases import is_float, tensors_of

from ..ops.drawn import drawn
from ..ops.table import all_samples

ROWS = [sample for sample in all_samples() if not sample.value_only]
RUNS = 1000 if os.environ.get("TINYGRAD_CNN_CI") else 60
EACH = -(-RUNS // len(ROWS))
FIRST_SEED = 20_000  # other cases than those the table's own tests begin with


def test_there_are_enough_runs():
    assert EACH * len(ROWS) >= RUNS


@pytest.mark.parametrize("sample", ROWS, ids=lambda sample: sample.name)
def test_clean_runs(sample):
    """Neither a wrong gradient nor a kink is reported where all is well."""
    for case in drawn(sample, EACH, FIRST_SEED):
        if not any(map(is_float, case.arrays)):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", KinkWarning)
            assert gradcheck(lambda *t, case=case: sample.function(*t, **case.kwargs), tensors_of(case))
            if sample.order > 1:
                assert gradgradcheck(lambda *t, case=case: sample.function(*t, **case.kwargs), tensors_of(case))
