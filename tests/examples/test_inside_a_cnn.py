"""The example that writes the report, run as a user runs it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.examples.test_train_mnist import environment

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("markdown_it")

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "inside_a_cnn.py"


def run(folder: pathlib.Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_it_trains_writes_one_file_and_says_which(tmp_path):
    options = ("--dataset", "digits", "--model", "mlp", "--epochs", 2, "--train-images", 200)
    done = run(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2: training loss" in done.stdout
    assert done.stdout.splitlines()[-1] == f"done: open {tmp_path / 'report.html'}"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "200 pictures of 14×14 pixels" in text
    assert "It took 2 epochs, which is 2 · 4 = 8 iterations" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "report.pdf"), "must end in .html or .md, got report.pdf"),
        (("--output", "nowhere/report.html"), "nowhere cannot be written to"),
        (("--output", "folder.html"), "that is a folder"),
        (("--epochs", "0"), "at least 1, got 0"),
    ],
)
def test_bad_options_are_refused_in_one_line_before_training(tmp_path, options, message):
    (tmp_path / "folder.html").mkdir()
    done = run(tmp_path, "--dataset", "digits", *options)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith("inside_a_cnn.py: ")
    assert message in lines[0]
    assert "epoch 1" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]
