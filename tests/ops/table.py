"""The table of operations: one row per differentiable function, in every module ``samples_*.py`` of this folder.

A row says what the function is called, how to draw inputs for it, what a slow and obvious reference gives, and what
PyTorch calls it.  Every property of ``tinygrad_cnn.testing.properties`` holds for every row (``test_table.py``).
"""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

from tinygrad_cnn.testing import Case, OpSample, torch_function

__all__ = ["Case", "OpSample", "all_samples", "modules_named", "torch_function"]


def modules_named(prefix: str) -> list[Any]:
    """The modules of this folder whose names begin so, imported."""
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob(f"{prefix}*.py"))
    return [importlib.import_module(f"{__package__}.{name}") for name in names]


def all_samples() -> list[OpSample]:
    """Every row."""
    return [sample for module in modules_named("samples_") for sample in module.SAMPLES]
