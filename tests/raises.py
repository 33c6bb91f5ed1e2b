"""Which ``raise`` statements of the package a table of error cases passes."""

from __future__ import annotations

import ast
import pathlib
import traceback
from collections.abc import Callable
from typing import Any

import tinygrad_cnn

PACKAGE = pathlib.Path(tinygrad_cnn.__file__).parent


def raised_by(call: Callable[[], Any]) -> set[tuple[str, int]]:
    """(file, line) of everything that an error has passed on its way out."""
    try:
        call()
    except Exception as error:
        return {(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)}
    raise AssertionError("nothing was raised")


def raises_in(module: str) -> set[tuple[str, int]]:
    """(file, line) of every ``raise`` of a new error in a module such as ``"ops/conv"``."""
    path = PACKAGE / f"{module}.py"
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {(str(path), node.lineno) for node in nodes if isinstance(node, ast.Raise) and node.exc is not None}
