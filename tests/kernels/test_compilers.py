"""Kernels that another process compiles: found by this one, and compiled here where that process fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.test_conv_kernels import python
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels import _cache, _compilers
from tinygrad_cnn.kernels._tasks import TaskKernel

FIRST, LATER = "_outer.sum_rows", "loss.logit_grads"  # quickly compiled
JOB = (LATER, "float32")

START = f"""
import os, subprocess, sys
import numpy as np
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels import _compilers

_compilers.NEEDED_LATER = {{{FIRST!r}: ({LATER!r},)}}
kernels._jit.on_compile.append(lambda name: print("needs", name, flush=True))
first, later, float32 = kernels._outer.sum_rows, kernels.loss.logit_grads, np.dtype(np.float32)
"""
"""The second kernel is what a helper compiles while this process compiles the first."""


def kernel_named(name: str) -> object:
    module, _, function = name.partition(".")
    return getattr(getattr(kernels, module), function, None)


@pytest.mark.parametrize("name", [*_compilers.NEEDED_LATER, *sum(_compilers.NEEDED_LATER.values(), ())])
def test_the_table_names_task_kernels(name: str) -> None:
    kernel = kernel_named(name)
    assert isinstance(kernel, TaskKernel)
    assert kernel.name == name


def test_a_helper_compiles_what_is_needed_later(tmp_path: Path) -> None:
    script = START + (
        "first.address(float32)\n"
        f"done = _compilers._begun.get({JOB})\n"
        "while done is None:\n"  # the helper starts slower than this process compiles
        f"    done = _compilers._begun.get({JOB})\n"
        "done.wait()\n"
        "assert later.address(float32)\n"
    )
    printed = python(script, NUMBA_CACHE_DIR=str(tmp_path), TINYGRAD_CNN_COMPILERS="1")
    assert printed.split("\n") == [f"needs {FIRST}", ""]  # the second one was there


def test_a_kernel_that_a_helper_has_begun_is_waited_for(tmp_path: Path) -> None:
    script = START + (
        "with _compilers._changed:\n"
        f"    _compilers._waiting.append({JOB})\n"
        "    _compilers._start_helpers()\n"
        f"while {JOB} not in _compilers._begun:\n"
        "    pass\n"
        "assert later.address(float32)\n"
        f"assert _compilers._begun[{JOB}].is_set()\n"
        "from tinygrad_cnn.kernels import _cache\n"
        "print(*(path.name.partition('-')[0] for path in _cache.folder().rglob('*.nbi')))\n"
    )
    printed = python(script, NUMBA_CACHE_DIR=str(tmp_path), TINYGRAD_CNN_COMPILERS="1")
    assert printed == f"needs {LATER}\n{LATER}\n"


FAILURES = {
    "can't be started": "def fails():\n    raise PermissionError('no processes here')\n",
    "dies while it compiles": "def fails():\n    return run('import sys; sys.stdin.readline(); sys.exit(1)')\n",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_without_its_helper_a_process_compiles_by_itself(failure: str, tmp_path: Path) -> None:
    script = START + (
        "def run(code):\n"
        "    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "    return subprocess.Popen([sys.executable, '-c', code], **pipes)\n"
        f"{FAILURES[failure]}"
        "_compilers._process = fails\n"
        "assert first.address(float32)\n"
        "while _compilers._helpers:\n"  # its thread has seen the failure then
        "    pass\n"
        "assert _compilers.helper_count() == 0\n"
        "assert later.address(float32)\n"
    )
    printed = python(script, NUMBA_CACHE_DIR=str(tmp_path), TINYGRAD_CNN_COMPILERS="1")
    assert printed == f"needs {FIRST}\nneeds {LATER}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_forked_child_compiles_by_itself(tmp_path: Path) -> None:
    script = START + (
        "first.address(float32)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    _compilers.NEEDED_LATER = {'loss.reduce_losses': ('conv_fold.fold',)}\n"
        "    assert kernels.loss.reduce_losses.address(float32)\n"
        "    os._exit(0 if _compilers.helper_count() == 0 else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    printed = python(script, NUMBA_CACHE_DIR=str(tmp_path), TINYGRAD_CNN_COMPILERS="1")
    assert printed == f"needs {FIRST}\nneeds loss.reduce_losses\n"


def helper(folder: str, lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from tinygrad_cnn.kernels._compilers import serve; serve()"
    return subprocess.run(
        [sys.executable, "-c", code, folder],
        env={**os.environ, **environment},
        input=lines,
        capture_output=True,
        text=True,
    )


def test_a_helper_says_what_it_has_compiled_and_ends_with_its_input() -> None:
    done = helper(str(_cache.folder()), f"{LATER} float32\n")
    assert (done.returncode, done.stdout) == (0, f"{LATER} float32\n")


def test_a_helper_with_other_files_or_settings_does_nothing() -> None:
    done = helper(str(_cache.folder()), f"{LATER} float32\n", NUMBA_OPT="1")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("setting", "count"), [("0", 0), ("2", 2), ("", None), ("many", None)])
def test_how_many_helpers(setting: str, count: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_COMPILERS", setting)
    by_default = min(kernels._jit.max_threads() - 1, _compilers.MOST_HELPERS)
    assert _compilers.helper_count() == (by_default if count is None else count)


def test_no_helper_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_COMPILERS", "2")
    assert _compilers.helper_count() == 2
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert _compilers.helper_count() == 0
    monkeypatch.delattr(sys, "frozen")
    monkeypatch.setattr(sys, "executable", None)
    assert _compilers.helper_count() == 0
