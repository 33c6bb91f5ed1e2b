"""Rows for ``ops/norm.py``: in training (without running statistics, which a call changes) and with given ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

from ..reference import norm as reference
from . import draw
from .samples_loss import torch_tensor
from .table import Case, OpSample, torch_function

torch_batch_norm = torch_function("nn.functional.batch_norm")


def training(batch_norm: Any) -> Any:
    def call(x: Any, weight: Any = None, bias: Any = None) -> Any:
        return batch_norm(x, None, None, weight, bias, training=True, eps=0.1)

    return call


def evaluation(batch_norm: Any, tensor: Any) -> Any:
    def call(x: Any, weight: Any = None, bias: Any = None, *, mean: Any, var: Any) -> Any:
        return batch_norm(x, tensor(mean, dtype=x.dtype), tensor(var, dtype=x.dtype), weight, bias, eps=0.1)

    return call


@st.composite
def batches(draw_: st.DrawFn, running: bool) -> Case:
    shape = (draw_(st.integers(2, 4)), *draw_(draw.shapes(min_dims=1, max_dims=3, max_side=3)))
    seed = draw_(draw.seeds)
    arrays = [draw.normal(seed, shape)]
    if draw_(st.booleans()):
        arrays += [draw.uniform(seed + 1, shape[1:2], 0.5, 2), draw.normal(seed + 2, shape[1:2])]
    if not running:
        return Case(tuple(arrays))
    mean, var = draw.normal(seed + 3, shape[1:2]), draw.uniform(seed + 4, shape[1:2], 0.5, 2)
    return Case(tuple(arrays), {"mean": mean.tolist(), "var": var.tolist()})


SAMPLES = [
    OpSample(
        "batch_norm/training",
        training(F.batch_norm),
        batches(running=False),
        training(reference.batch_norm),
        training(torch_batch_norm),
    ),
    OpSample(
        "batch_norm/evaluation",
        evaluation(F.batch_norm, tg.tensor),
        batches(running=True),
        evaluation(reference.batch_norm, np.array),
        evaluation(torch_batch_norm, torch_tensor),
    ),
]
