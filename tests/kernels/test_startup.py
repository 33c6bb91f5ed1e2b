"""What a start imports and loads: nothing that it does not need."""

from __future__ import annotations

from pathlib import Path

from tests.kernels.test_conv_kernels import python

STEP = (
    "import sys\n"
    "import tinygrad_cnn\n"
    "from tinygrad_cnn import kernels, nn\n"
    "from tinygrad_cnn.nn import functional as F\n"
    "compiled = []\n"
    "kernels._jit.on_compile.append(compiled.append)\n"
    "model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 3))\n"
    "optimizer = tinygrad_cnn.optim.Adam(model.parameters())\n"
    "F.cross_entropy(model(tinygrad_cnn.ones(2, 1, 8, 8)), tinygrad_cnn.tensor([0, 2])).backward()\n"
    "optimizer.step()\n"
    "print(len(compiled), *sorted(sys.modules))\n"
)
"""A training step; prints how many kernels were compiled for it, and what was imported."""


def test_importing_the_package_imports_no_numba_and_nothing_optional() -> None:
    imported = python("import sys, tinygrad_cnn\nprint(*sorted(sys.modules))").split()
    assert "tinygrad_cnn.ops.conv" in imported
    for name in ("numba", "llvmlite", "safetensors", "matplotlib", "scipy", "hypothesis", "tqdm", "torch"):
        assert name not in imported


def test_a_step_with_a_warm_cache_imports_no_compiler(tmp_path: Path) -> None:
    """Numba's implementations of Python's and NumPy's functions are for compiling; they import SciPy, too.

    They are found again for what is not in the cache: here, a kernel in a new file.
    """
    file = tmp_path / "doubling.py"
    file.write_text(
        "from numba import prange\n"
        "from tinygrad_cnn.kernels._jit import kernel\n"
        "@kernel\n"
        "def double(x):\n"
        "    for i in prange(x.size):\n"
        "        x[i] = 2 * max(x[i], 0)\n"
    )
    compiling = (
        "import runpy\n"
        f"double = runpy.run_path({str(file)!r})['double']\n"
        "x = tinygrad_cnn.ones(3).numpy()\n"
        "double(x)\n"
        "assert x.tolist() == [2, 2, 2]\n"
        "print(len(compiled), *sorted(sys.modules))\n"
    )
    python(STEP)  # fills the cache
    warm, after = python(STEP + compiling).splitlines()
    compiled, *modules = warm.split()
    assert int(compiled) == 0
    compiled, *modules_after = after.split()
    assert int(compiled) == 1
    for name in ("numba.np.linalg", "numba.cpython.unicode"):
        assert name not in modules
        assert name in modules_after
