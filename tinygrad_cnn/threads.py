"""How many threads the kernels run on, and NumPy's BLAS with them.

The kernels run on Numba's threads, ``Tensor.matmul`` outside layers on the BLAS that NumPy brings.  One number governs
both, so that after ``set_num_threads(1)`` no worker thread of either is used.
"""

from __future__ import annotations

import ctypes
import functools
import pathlib
from collections.abc import Callable

import numpy as np

from . import kernels

_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def get_num_threads() -> int:
    """The number of threads that kernels run on: at first the cores this process may use."""
    return kernels._jit.get_num_threads()


def set_num_threads(count: int) -> None:
    """Run kernels and NumPy's BLAS on ``count`` threads, in every Python thread.

    Args:
        count: from 1 to the cores of this machine (or ``$NUMBA_NUM_THREADS``).  Results do not depend on it.

    Raises:
        TypeError: ``count`` is not an int.
        ValueError: ``count`` is out of range.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: count must be an int, got {type(count).__name__}")
    kernels._jit.set_num_threads(count)
    library = openblas()
    if library is not None:
        library(count)


@functools.cache
def openblas() -> Callable[[int], None] | None:
    """OpenBLAS's own function to set the number of threads, None where NumPy was built with another BLAS."""
    # The wheels keep it beside the package (Linux, Windows) or inside it (macOS); it is loaded already.
    package = pathlib.Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            for name in _SETTERS:
                if hasattr(library, name):
                    setter = getattr(library, name)
                    setter.argtypes, setter.restype = [ctypes.c_int], None
                    return setter
    return None
