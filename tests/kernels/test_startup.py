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
    """Numba's implementations of Python's and NumPy's functions are for compiling; they import SciPy, too."""
    cold, *compiling = python(STEP, NUMBA_CACHE_DIR=str(tmp_path)).split()
    warm, *loading = python(STEP, NUMBA_CACHE_DIR=str(tmp_path)).split()
    assert int(cold) > 0
    assert int(warm) == 0
    for name in ("numba.np.linalg", "numba.cpython.unicode"):
        assert name in compiling
        assert name not in loading


def test_what_is_not_in_the_cache_compiles_after_what_was(tmp_path: Path) -> None:
    python(STEP, NUMBA_CACHE_DIR=str(tmp_path))
    more = STEP + (
        "x = tinygrad_cnn.ones(2, 3, 8, 8, dtype=tinygrad_cnn.float64, requires_grad=True)\n"
        "F.avg_pool2d(x, 2).sum().backward()\n"
        "assert (x.grad.numpy() == 0.25).all()\n"
        "print(len(compiled))\n"
    )
    assert int(python(more, NUMBA_CACHE_DIR=str(tmp_path)).split()[-1]) > 0
