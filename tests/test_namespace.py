"""The flat namespace: its constants, and the warnings of NumPy that it silences."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

import tinygrad_cnn as tg


def warned(code: str) -> str:
    """What a fresh interpreter that shows every warning once per place prints to stderr."""
    program = f"import numpy as np\nimport tinygrad_cnn as tg\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stderr


def test_constants_are_pytorchs():
    assert (tg.inf, tg.pi, tg.e, tg.newaxis) == (math.inf, math.pi, math.e, None)
    assert math.isnan(tg.nan)
    assert tg.ones(3)[:, tg.newaxis].shape == (3, 1)


@pytest.mark.parametrize("name", ["inf", "pi", "e", "newaxis"])
def test_constants_against_torch(name):
    assert getattr(tg, name) == getattr(pytest.importorskip("torch"), name)


def test_operations_do_not_warn_where_pytorch_is_silent():
    code = """
x = tg.tensor([float("inf"), float("-inf"), 1e38, 0.0, -1.0], requires_grad=True)
one = tg.ones(1, requires_grad=True)
results = [
    tg.tensor(float("inf")) - float("inf"), x - tg.inf, x * 0, x * 1e30, 1 / x, x.log(), x.exp(), x.sqrt(), x.sin(),
    x**0.5, x.sum(), x.mean(), x.std(), x.prod(), x.cumsum(0), x.cumprod(0), x.softmax(0), x @ x, x + one, x * one,
]
assert all(not result.isfinite().all() for result in results)
for result in results:
    if result.requires_grad:
        result.backward(tg.full_like(result, tg.inf), retain_graph=True)
"""
    assert warned(code) == ""


def test_the_users_own_numpy_code_still_warns():
    assert "RuntimeWarning: invalid value" in warned("np.float32(np.inf) - np.array(np.inf)")
    assert "RuntimeWarning: overflow" in warned("np.exp(tg.tensor([1000.0]).numpy())")


def test_warnings_of_our_own_are_shown():
    assert "UserWarning: std: degrees of freedom" in warned("tg.ones(1).std()")
