"""``python -m tinygrad_cnn``: warmup leaves no kernel uncompiled, doctor says what is in use."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_cnn import kernels
from tinygrad_cnn.__main__ import main
from tinygrad_cnn.diagnostics import examine
from tinygrad_cnn.warmup import warmup

ONLY_FLOAT32 = {"conv_winograd", "conv_winograd_weight"}
ONLY_SERIAL = {"random.bernoulli"}


def test_warmup_compiles_every_kernel_in_every_version():
    warmup()
    task_kernels = 0
    for name in kernels.module_names():
        module = getattr(kernels, name)
        for kernel in kernels._jit.kernels_in(module):
            compiled = kernel.compiled()
            versions = ["serial"] if kernel.name in ONLY_SERIAL else ["serial", "parallel"]
            for version in versions:
                assert compiled[version], f"{kernel.name}: no {version} version"
        for value in vars(module).values():
            if isinstance(value, kernels._tasks.TaskKernel) and value.function.__module__ == module.__name__:
                task_kernels += 1
                wanted = {np.dtype(np.float32)} | (set() if name in ONLY_FLOAT32 else {np.dtype(np.float64)})
                assert wanted <= set(value.compiled()), f"{value.name}: not compiled for {wanted}"
    assert task_kernels > 5


def test_the_command_shows_a_progress_bar(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    done = []
    monkeypatch.setattr("tinygrad_cnn.warmup.JOBS", (done.append,))
    assert main(["warmup"]) == 0
    assert done == [np.float32, np.float32, np.float64, np.float64]
    assert "4/4" in capsys.readouterr().err


def test_the_threshold_is_restored_when_a_job_fails():
    before = kernels._jit.SERIAL_WORK
    try:
        with kernels._jit.serial_below(0):
            raise ValueError
    except ValueError:
        pass
    assert before == kernels._jit.SERIAL_WORK


def test_doctor_reports_every_topic():
    topics = [topic for topic, _ in examine().facts]
    assert topics == [
        *("tinygrad_cnn", "Python", "packages", "processor"),
        *("threads", "threading layer", "BLAS", "kernel cache"),
    ]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tinygrad_cnn", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_doctor_names_a_setting_that_slows_kernels_down():
    done = run("doctor", NUMBA_OPT="1")
    assert done.returncode == 1
    assert "$NUMBA_OPT=1" in done.stdout
    assert "no problems found" not in done.stdout


def test_an_unknown_command_is_refused():
    done = run("cure")
    assert done.returncode == 2
    assert "doctor" in done.stderr
    assert "Traceback" not in done.stderr
