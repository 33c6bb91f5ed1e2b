"""All benchmarks, one after the other, and their tables in the Markdown files: ``python -m benchmarks``."""

from __future__ import annotations

import subprocess
import sys

NETWORKS_AND_LAYERS = ("networks", "convolution", "tricks", "layers")
FRAMEWORK = ("overhead", "memory", "startup", "growth", "others")

for name in (*NETWORKS_AND_LAYERS, *FRAMEWORK, "tables"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
