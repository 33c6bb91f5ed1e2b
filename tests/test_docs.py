"""Every block of Python in the documents runs, those after ``<!-- not run -->`` aside."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = ("README.md", "docs/custom-ops.md", "docs/gradient-checking.md")
_BLOCK = re.compile(r"(<!-- not run -->\n)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def program(path: pathlib.Path) -> str:
    """All blocks of a document as one program, with the lines where they stand in the document; tests are called."""
    text = path.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for block in _BLOCK.finditer(text):
        if block[1] is None:
            first = text.count("\n", 0, block.start(2))
            code = block[2].splitlines()
            lines[first : first + len(code)] = code
    tests = re.findall(r"^def (test_\w+)\(\)", "\n".join(lines), re.MULTILINE)
    return "\n".join([*lines, *(f"{name}()" for name in tests)])


@pytest.mark.parametrize("file", FILES)
def test_python_blocks_run(file, tmp_path):
    code = program(ROOT / file).replace("for epoch in range(10)", "for epoch in range(2)")  # README's training
    assert code.strip(), f"no block of Python in {file}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{file}:\n{done.stderr}"


def test_links_lead_somewhere():
    for file in (*FILES, "docs/ARCHITECTURE.md", "CONTRIBUTING.md"):
        path = ROOT / file
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{file} links to {target}"
