"""No function is exported without a row in the table of operations or, if it is no operation, in that of calls."""

from __future__ import annotations

import types

import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

from .table import all_samples, modules_named

NO_GRADIENT = {
    "creation: no Tensor goes in": (
        "arange as_tensor empty empty_like eye from_dlpack from_numpy full full_like linspace ones ones_like tensor "
        "zeros zeros_like"
    ),
    "random": "bernoulli normal rand rand_like randint randint_like randn randn_like randperm",
    "gives a Python value": ("allclose can_cast equal is_floating_point is_tensor numel promote_types result_type"),
    "says how precise a convolution is": "set_float32_matmul_precision",
}
NO_ROW = {
    "state of the library": (
        "get_default_dtype get_num_threads get_rng_state initial_seed is_anomaly_check_nan_enabled is_anomaly_enabled "
        "is_grad_enabled is_inference_mode_enabled manual_seed seed set_default_dtype set_num_threads "
        "set_printoptions set_rng_state"
    ),
    "called in the row of its setter": "get_float32_matmul_precision",
    "files": "load save",
    "tests/test_captured.py": "capture",
}
CALLED = {name for names in NO_GRADIENT.values() for name in names.split()}
SKIPPED = {name for names in NO_ROW.values() for name in names.split()}


def exported() -> dict[types.FunctionType, list[str]]:
    """The public functions with all their names: two names of one function are aliases."""
    found: dict[types.FunctionType, list[str]] = {}
    for module in (tg, F):
        for name, value in vars(module).items():
            if isinstance(value, types.FunctionType) and not name.startswith("_"):
                found.setdefault(value, []).append(name)
    return found


ROWS = {sample.name.split("/")[0] for sample in all_samples()}
CALLS = {row.name.split("/")[0] for module in modules_named("calls_") for row in module.CALLS}


@pytest.mark.parametrize("names", [pytest.param(names, id=names[0]) for names in exported().values()])
def test_function_has_a_row(names):
    same = set(names)
    if same & (SKIPPED | CALLED):
        assert not ROWS & same, f"{names[0]} has a row; take it off the list of exceptions"
        assert same & SKIPPED or same & CALLS, f"{names[0]} is exported without a row in tests/ops/calls_*.py"
        return
    assert ROWS & same, f"{' = '.join(sorted(same))} is exported without a row in tests/ops/samples_*.py"


def test_the_exceptions_exist():
    names = {name for names in exported().values() for name in names}
    assert names >= SKIPPED | CALLED, f"not exported any more: {sorted((SKIPPED | CALLED) - names)}"
