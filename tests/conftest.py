"""Hypothesis profiles: no deadline (the first call of a kernel compiles it), many more examples in CI.

``few``, always the same ones, are for counting which branches the table of operations reaches.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read by kernels: test processes compete for the cores

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), max_examples=50)
settings.register_profile("few", settings.get_profile("default"), max_examples=3, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") or os.environ.get("TINYGRAD_CNN_CI") else "default")
