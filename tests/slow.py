"""Tests that take so long that only CI runs them."""

from __future__ import annotations

import os

import pytest

IN_CI = bool(os.environ.get("CI") or os.environ.get("TINYGRAD_CNN_CI"))

only_in_ci = pytest.mark.skipif(not IN_CI, reason="takes long: only CI runs it")
