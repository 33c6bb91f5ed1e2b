"""All benchmarks, one after the other, and their tables in the Markdown files: ``python -m benchmarks``."""

from __future__ import annotations

import subprocess
import sys

for name in ("networks", "convolution", "layers", "overhead", "memory", "startup", "growth", "others", "tables"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
