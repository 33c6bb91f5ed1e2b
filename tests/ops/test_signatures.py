"""Functions and methods have PyTorch's argument names and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

# What PyTorch's table of overridable functions, whose names are compared, has beside the real arguments.
MEANINGLESS = {"out", "names", "layout", "pin_memory", "sparse_grad", "input", "self", "_stacklevel"}
LEFT_OUT = {
    "deprecated": {"size_average", "reduce"},
    "for other devices": {"out_dtype", "cudnn_enabled", "non_blocking"},
    "second names": {"axis0", "axis1", "dim0", "dim1", "x", "y", "train"},
    "new, and not here": {"weight", "descending"},
    # The table's own names, which PyTorch's functions do not take.
    "not its names": {"tensor", "other", "dim", "inplace", "size", "split_size_or_sections"},
}
NOT_THE_TABLES = [("dim", ()), ("value", None)]  # of amax, amin and pad: PyTorch's defaults, the table has others
IGNORED = MEANINGLESS | {name for names in LEFT_OUT.values() for name in names}


def theirs() -> dict[Callable[..., Any], Callable[..., Any]]:
    """PyTorch's functions with stand-ins whose signatures can be read."""
    return pytest.importorskip("torch").overrides.get_testing_overrides()


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def differences(ours: Callable[..., Any], right: Callable[..., Any]) -> list[str]:
    """Arguments of PyTorch's that ours does not take, and defaults that are not the same."""
    have = parameters(ours)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in have.values())
    found = []
    for name, parameter in parameters(right).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in MEANINGLESS:
            continue
        if name not in have:
            found += [] if takes_any or name in IGNORED else [f"{name} is missing"]
        elif parameter.default is not parameter.empty and have[name].default is not inspect.Parameter.empty:
            mine, right_one = have[name].default, parameter.default
            same = mine == right_one or str(mine).replace("tinygrad_cnn.", "torch.") == str(right_one)
            if not same and (name, mine) not in NOT_THE_TABLES:
                found.append(f"{name}={mine}, PyTorch has {right_one}")
    return found


def test_names_and_defaults():
    torch = pytest.importorskip("torch")
    known = theirs()
    compared, wrong = 0, {}
    for ours, right in ((tg, torch), (tg.Tensor, torch.Tensor), (F, torch.nn.functional)):
        for name, function in vars(ours).items():
            counterpart = getattr(right, name, None)
            if name.startswith("_") or not inspect.isfunction(function) or counterpart not in known:
                continue
            compared += 1
            found = differences(function, known[counterpart])
            if found:
                wrong[f"{ours.__name__}.{name}"] = found
    assert not wrong
    assert compared > 300


def test_a_difference_is_found():
    assert differences(lambda a, b=1: None, lambda a, b=2, c=3: None) == ["b=1, PyTorch has 2", "c is missing"]


FUNCTIONS = """
tensor zeros ones full empty arange linspace eye rand randn randint randperm zeros_like ones_like full_like empty_like
rand_like randn_like randint_like from_numpy as_tensor from_dlpack
pow sqrt rsqrt square reciprocal neg exp log log1p expm1 sin cos tanh sigmoid relu softmax log_softmax erf abs sign
floor ceil round clamp where maximum minimum eq ne lt le gt ge isnan isinf isfinite allclose equal nonzero
sum mean var std max min amax amin argmax argmin prod all any cumsum logsumexp norm topk sort
matmul bmm einsum outer dot mm addmm baddbmm
reshape flatten unflatten squeeze unsqueeze transpose permute t broadcast_to repeat_interleave cat stack split chunk
unbind flip roll tril triu gather scatter scatter_add index_select masked_select
is_grad_enabled no_grad enable_grad inference_mode set_grad_enabled Size float32 float64 int64 int32 uint8 bool
"""
METHODS = """
reshape view view_as flatten unflatten squeeze unsqueeze transpose permute t T mT expand expand_as broadcast_to repeat
repeat_interleave split chunk unbind flip roll tril triu gather scatter scatter_add index_select masked_select
masked_fill unfold add_ mul_ sub_ div_ zero_ fill_ copy_ clamp_ normal_ uniform_ bernoulli_
clone detach detach_ requires_grad_ to type float double long bool cpu item tolist numpy size dim numel element_size
stride is_contiguous contiguous new_zeros new_ones new_tensor
backward grad grad_fn is_leaf retain_grad register_hook requires_grad shape dtype ndim data device
"""


@pytest.mark.parametrize("name", FUNCTIONS.split())
def test_function_is_there(name):
    assert hasattr(tg, name)
    assert hasattr(pytest.importorskip("torch"), name), f"PyTorch has no torch.{name}"


@pytest.mark.parametrize("name", METHODS.split())
def test_method_is_there(name):
    assert hasattr(tg.Tensor, name)
    assert hasattr(pytest.importorskip("torch").Tensor, name), f"PyTorch has no Tensor.{name}"
