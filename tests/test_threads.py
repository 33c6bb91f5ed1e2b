"""One number of threads for the kernels and for NumPy's BLAS."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tinygrad_cnn
from tinygrad_cnn.threads import openblas

SCRIPT = """
import pathlib, threading, time
import tinygrad_cnn as tg
from tinygrad_cnn.nn import functional as F

def ticks_of_workers():
    # utime and stime of every thread but this one, in hundredths of a second
    found = 0
    for path in pathlib.Path("/proc/self/task").iterdir():
        if int(path.name) != threading.get_native_id():
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            found += int(fields[11]) + int(fields[12])
    return found

matrix, image, weight = tg.randn(1200, 1200), tg.randn(16, 32, 40, 40), tg.randn(64, 32, 3, 3)

def work(threads):
    tg.set_num_threads(threads)
    time.sleep(0.5)  # workers that wait actively come to rest
    before = ticks_of_workers()
    for _ in range(8):
        matrix @ matrix
        F.conv2d(image, weight)
    return ticks_of_workers() - before

print(work(2), work(1))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or (os.cpu_count() or 1) < 2, reason="needs /proc and 2 cores")
@pytest.mark.skipif(openblas() is None, reason="NumPy has another BLAS")
def test_no_worker_runs_after_set_num_threads_1():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    with_two, with_one = map(int, done.stdout.split())
    assert with_two > 2
    assert with_one <= 1


def test_the_number_is_what_was_set():
    before = tinygrad_cnn.get_num_threads()
    try:
        tinygrad_cnn.set_num_threads(1)
        assert tinygrad_cnn.get_num_threads() == 1
    finally:
        tinygrad_cnn.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (100_000, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_a_number_that_is_none_is_refused(count, error):
    with pytest.raises(error, match=r"set_num_threads: count must be"):
        tinygrad_cnn.set_num_threads(count)
