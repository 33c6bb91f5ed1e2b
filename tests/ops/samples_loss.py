"""Rows for ``ops/loss.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

from ..reference import loss as reference
from . import draw
from .table import Case, OpSample, torch_function

reductions = st.sampled_from(["mean", "sum", "none"])


def with_class_weights(function: Any, tensor: Any) -> Any:
    """The same call with ``weight``, a list (the loss is not differentiable by it), made a tensor of input's dtype."""

    def call(input: Any, target: Any, weight: Any = None, **kwargs: Any) -> Any:
        if weight is not None:
            weight = tensor(weight, dtype=input.dtype)
        return function(input, target, weight=weight, **kwargs)

    return call


def torch_tensor(*args: Any, **kwargs: Any) -> Any:
    import torch

    return torch.tensor(*args, **kwargs)


def reference_weights(function: Any) -> Any:
    def call(input: Any, target: Any, weight: Any = None, **kwargs: Any) -> Any:
        return function(input, target, weight=None if weight is None else np.array(weight), **kwargs)

    return call


@st.composite
def labelled(draw_: st.DrawFn, smoothing: bool) -> Case:
    """Logits and class indices of 0 to 2 more dimensions, some of them ignored, but never all."""
    classes, seed = draw_(st.integers(1, 5)), draw_(draw.seeds)
    shape = draw_(draw.shapes(max_dims=3, max_side=3))
    logits = draw.normal(seed, (*shape[:1], classes, *shape[1:]))
    labels = np.random.default_rng(seed + 1).integers(0, classes, shape)
    kwargs: dict[str, Any] = {"reduction": draw_(reductions)}
    if labels.size > 1 and draw_(st.booleans()):
        kwargs["ignore_index"] = draw_(st.sampled_from([-100, -1, classes]))
        labels.reshape(-1)[0] = kwargs["ignore_index"]
    if draw_(st.booleans()):
        kwargs["weight"] = draw.uniform(seed + 2, (classes,), 0.5, 2).tolist()
    if smoothing:
        kwargs["label_smoothing"] = draw_(st.sampled_from([0.0, 0.1, 1.0]))
    return Case((logits, np.asarray(labels)), kwargs)


@st.composite
def distributed(draw_: st.DrawFn) -> Case:
    """Logits and a distribution over the classes for each of them."""
    classes, seed = draw_(st.integers(1, 4)), draw_(draw.seeds)
    shape = draw_(draw.shapes(max_dims=2, max_side=3))
    shape = (*shape[:1], classes, *shape[1:])
    kwargs: dict[str, Any] = {"reduction": draw_(reductions), "label_smoothing": draw_(st.sampled_from([0.0, 0.2]))}
    if draw_(st.booleans()):
        kwargs["weight"] = draw.uniform(seed + 2, (classes,), 0.5, 2).tolist()
    return Case((draw.normal(seed, shape), draw.uniform(seed + 1, shape, 0.1, 1)), kwargs)


@st.composite
def pairs(draw_: st.DrawFn) -> Case:
    """Two arrays that differ by at least 0.05 everywhere, because |x| has a kink at 0."""
    shape, seed = draw_(draw.shapes(max_dims=3)), draw_(draw.seeds)
    target = draw.normal(seed, shape)
    return Case((np.asarray(target + draw.distinct(seed + 1, shape)), target), {"reduction": draw_(reductions)})


SAMPLES = [
    OpSample(
        "cross_entropy",
        with_class_weights(F.cross_entropy, tg.tensor),
        labelled(smoothing=True),
        reference_weights(reference.cross_entropy),
        with_class_weights(torch_function("nn.functional.cross_entropy"), torch_tensor),
    ),
    OpSample(
        "cross_entropy/distributions",
        with_class_weights(F.cross_entropy, tg.tensor),
        distributed(),
        reference_weights(reference.cross_entropy),
        with_class_weights(torch_function("nn.functional.cross_entropy"), torch_tensor),
    ),
    OpSample(
        "nll_loss",
        with_class_weights(F.nll_loss, tg.tensor),
        labelled(smoothing=False),
        reference_weights(reference.nll_loss),
        with_class_weights(torch_function("nn.functional.nll_loss"), torch_tensor),
    ),
    OpSample("mse_loss", F.mse_loss, pairs(), reference.mse_loss, torch_function("nn.functional.mse_loss")),
    OpSample("l1_loss", F.l1_loss, pairs(), reference.l1_loss, torch_function("nn.functional.l1_loss")),
]
