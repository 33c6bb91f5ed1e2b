"""Hypothesis profiles, and kernels compiled before the first test.

Examples have no deadline: the first call of a kernel compiles it. There are many more of them in CI; ``few``, always
the same ones, are for counting which branches the table of operations reaches.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read by kernels: test processes compete for the cores
os.environ.setdefault("TINYGRAD_CNN_COMPILERS", "0")  # likewise

import pytest
from hypothesis import HealthCheck, settings

from tests.slow import IN_CI

settings.register_profile("default", deadline=None, max_examples=2, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), max_examples=50)
settings.register_profile("few", settings.get_profile("default"), max_examples=3, derandomize=True)
settings.load_profile("ci" if IN_CI else "default")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Processes that share the tests out share out the compiling, too, or each would compile nearly every kernel."""
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.getoption("cov_source", None):  # what runs here would count as tested
        return
    from tinygrad_cnn.warmup import warmup

    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    warmup(lambda jobs: [job for i, job in enumerate(jobs) if i // 2 % count == number])  # pairs have one dtype
