"""No differentiable function is exported without a row in the table of operations."""

from __future__ import annotations

import types

import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

from .table import all_samples

NO_ROW = {
    "creation: no Tensor goes in": (
        "arange empty empty_like eye from_dlpack from_numpy full full_like linspace ones ones_like tensor "
        "as_tensor zeros zeros_like"
    ),
    "random: tested against PyTorch's stream in tests/ops": (
        "bernoulli normal rand rand_like randint randint_like randn randn_like randperm"
    ),
    "gives a Python value, tested in tests/ops": (
        "allclose can_cast equal is_floating_point is_tensor numel promote_types result_type"
    ),
    "state of the library": (
        "get_default_dtype get_float32_matmul_precision get_num_threads get_rng_state initial_seed "
        "is_anomaly_check_nan_enabled is_anomaly_enabled is_grad_enabled is_inference_mode_enabled manual_seed "
        "seed set_default_dtype set_float32_matmul_precision set_num_threads set_printoptions set_rng_state"
    ),
    "files": "load save",
}
SKIPPED = {name: reason for reason, names in NO_ROW.items() for name in names.split()}


def exported() -> dict[types.FunctionType, list[str]]:
    """The public functions with all their names: two names of one function are aliases."""
    found: dict[types.FunctionType, list[str]] = {}
    for module in (tg, F):
        for name, value in vars(module).items():
            if isinstance(value, types.FunctionType) and not name.startswith("_"):
                found.setdefault(value, []).append(name)
    return found


ROWS = {sample.name.split("/")[0] for sample in all_samples()}


@pytest.mark.parametrize("names", [pytest.param(names, id=names[0]) for names in exported().values()])
def test_function_has_a_row(names):
    if any(name in SKIPPED for name in names):
        assert not ROWS & set(names), f"{names[0]} has a row; take it off the list of exceptions"
        return
    assert ROWS & set(names), f"{' = '.join(sorted(set(names)))} is exported without a row in tests/ops/samples_*.py"


def test_the_exceptions_exist():
    names = {name for names in exported().values() for name in names}
    assert set(SKIPPED) <= names, f"not exported any more: {sorted(set(SKIPPED) - names)}"
