"""A failing example is printed as code, and that code fails in the same way."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.testing import Case, OpSample, check_op, snippet, torch_function
from tinygrad_cnn.testing.strategies import tensors

from ..ops.drawn import drawn
from ..ops.table import all_samples

FAULTY = """
from tinygrad_cnn.autograd import Op

class Cube(Op):
    saves_inputs = (0,)

    def forward(self, x):
        return x**3

    def backward(self, grad, x):
        return (2 * grad * x * x,)
"""
ROOT = pathlib.Path(__file__).parents[2]


def run(code, folder):
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )


def split(text):
    """Our program and PyTorch's, if there is one."""
    ours, _, theirs = text.partition("# PyTorch\n")
    return ours.removeprefix("# tinygrad_cnn\n"), theirs


def test_printed_example_fails_in_the_same_way(tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import faulty  # type: ignore[import-not-found]

    with pytest.raises(AssertionError) as caught:
        check_op(faulty.Cube.apply, tensors())
    note = "\n".join(caught.value.__notes__)
    assert "Cube.apply: gradient_equals_differences does not hold" in note
    printed = note[note.index("# tinygrad_cnn") : note.index("\n\n", note.index("tg.autograd.gradgradcheck"))]
    result = run(split(printed)[0], tmp_path)
    numbers = r"index .*: backward gives \S+, differences give"
    assert result.returncode == 1
    assert "from faulty import Cube" in printed
    assert re.search(numbers, str(caught.value)).group() in result.stderr


def test_both_programs_print_the_same_numbers(tmp_path):
    pytest.importorskip("torch")
    case = Case((np.array([[1.5, -2.0]]), np.array([[0.25, 4.0]]), None))
    ours, theirs = split(
        snippet(OpSample("linear", F.linear, None, torch=torch_function("nn.functional.linear")), case)
    )
    printed = [run(program, tmp_path) for program in (ours, theirs)]
    assert [p.returncode for p in printed] == [0, 0], printed[0].stderr + printed[1].stderr
    numbers = [re.findall(r"-?\d+\.\d+", p.stdout) for p in printed]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 5  # one output, two gradients of two elements


def double(x, index=None, dtype=None):
    return x * 2


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case((np.zeros((0, 3)),)), "tg.zeros((0, 3), dtype=tg.float64, requires_grad=True)"),
        (Case((np.array([np.nan, -np.inf]),)), "tg.tensor([float('nan'), float('-inf')], dtype=tg.float64"),
        (Case((np.array(2),)), "tg.tensor(2, dtype=tg.int64)"),
        (Case((np.ones(1),), {"index": (np.array([1, 2]), slice(1, None), ...)}), "np.array([1, 2], dtype=np.int64)"),
        (Case((np.ones(1),), {"dtype": tg.float32}), "dtype=tg.float32)"),
    ],
)
def test_values_are_written_as_code(case, expected):
    text = snippet(OpSample("double", double, None), case)
    assert expected in text
    program = text[: text.index("tg.manual_seed")] if "tg.manual_seed" in text else text
    exec(compile(program, "snippet", "exec"), {})


@pytest.mark.parametrize("sample", all_samples()[::8], ids=lambda sample: sample.name)
def test_examples_of_rows_are_valid_code(sample):
    for program in split(snippet(sample, drawn(sample, 1)[0])):
        compile(program, "snippet", "exec")


def test_function_without_a_name_to_import():
    text = snippet(OpSample("mine", lambda x: x, None), Case((np.ones(1),)))
    assert "# put your function here" in text
    text = snippet(OpSample("mul/wrapped", lambda x: x, None), Case((np.ones(1),)))
    assert "out = tg.mul(x0)" in text
