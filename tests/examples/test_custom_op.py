"""The example of an operation of one's own: short, quick, and it says what it promises."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "custom_op.py"


def test_it_is_shorter_than_60_lines():
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < 60


def test_it_checks_finds_the_fault_and_trains():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"^gradcheck: +True$", done.stdout, re.MULTILINE)
    assert re.search(r"^gradgradcheck: +True$", done.stdout, re.MULTILINE)
    assert re.search(r"^check_op: +value, gradients, memory and graph are right", done.stdout, re.MULTILINE)
    assert "gradcheck: the gradient is wrong\ninputs[0], shape (4, 3), index" in done.stdout
    assert "Likely fault: a missing or an extra term" in done.stdout
    losses = [float(loss) for loss in re.findall(r"^step \d: loss (\d+\.\d+)$", done.stdout, re.MULTILINE)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
