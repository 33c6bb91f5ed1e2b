"""Who may import whom: every import of the package is read and held against the table of docs/ARCHITECTURE.md."""

from __future__ import annotations

import ast
import pathlib

import pytest

import tinygrad_cnn

ROOT = pathlib.Path(tinygrad_cnn.__file__).parent

BASE = {"errors", "folders", "tracing", "_version"}
MAY_IMPORT = {
    "errors": set(),
    "folders": set(),
    "_version": set(),
    "tracing": {"errors"},
    "kernels": {"folders", "tracing"},
    "threads": {"kernels"},
    "autograd": {"errors", "tracing"},
    "ops": {"autograd", "kernels", "errors", "tracing"},
    "nn": {"ops", "autograd", "errors"},
    "optim": {"kernels", "autograd", "errors", "tracing"},
    "captured": {"ops", "kernels", "autograd", "errors", "tracing"},
    "serialization": {"autograd", "errors"},
    "data": {"autograd", "errors"},
    "vision": {"data", "autograd", "errors", "folders"},
    "utils": {"autograd", "data", "errors"},
}
TOP = {"testing", "explore", "diagnostics", "warmup", "__main__", "__init__"}  # these may import everything below


def layer_of(path: pathlib.Path) -> str:
    """The first folder below the package, or the file's name."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: pathlib.Path) -> list[tuple[int, str]]:
    """(line, layer) of everything of ours that a file imports, those under TYPE_CHECKING aside."""
    package = ("tinygrad_cnn", *path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found += [(node.lineno, name[1]) for name in names if name[0] == "tinygrad_cnn" and len(name) > 1]
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in FILES])
def test_imports(path):
    layer = layer_of(path)
    if layer in TOP:
        return
    assert layer in MAY_IMPORT, f"{layer} has no row in the table of layers"
    for line, imported in imports(path):
        allowed = imported == layer or imported in MAY_IMPORT[layer]
        assert allowed, f"{path.relative_to(ROOT)}:{line}: {layer} must not import {imported}"


def test_nothing_below_imports_the_top():
    below = [path for path in FILES if layer_of(path) not in TOP]
    assert below
    for path in below:
        assert not {name for _, name in imports(path)} & TOP, path


def test_only_kernels_import_numba():
    for path in FILES:
        if layer_of(path) in {"kernels", "diagnostics"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(name.split(".")[0] in ("numba", "llvmlite") for name in names), path


def test_the_reader_of_imports_sees_relative_and_absolute_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "ops").mkdir()
    file = tmp_path / "ops" / "a.py"
    file.write_text("from ..nn import x\nfrom .. import optim\nimport tinygrad_cnn.data\nfrom . import b\n")
    assert imports(file) == [(1, "nn"), (2, "optim"), (3, "data"), (4, "ops")]
