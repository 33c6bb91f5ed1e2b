"""The heavy loops: Numba kernels over plain NumPy arrays that know nothing of Tensors.

One module per family, called as ``kernels.layout.prepare(...)(x, out)``: what depends on shapes is worked out first.
The package is lazy (PEP 562): Numba, which takes 0.3 s to import, is loaded when the first kernel module is touched, so
``import tinygrad_cnn`` stays quick and a program that never convolves never pays.

The contract of every kernel: input arrays first, then integers, then output arrays; the caller allocates, the kernel
writes every element of its outputs, allocates nothing and raises nothing. Arrays are C-contiguous and aligned, those
of floats of one dtype, float32 or float64. The bits of a result do not depend on the number of threads.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name.startswith("__") or name not in module_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *module_names()])


def module_names() -> list[str]:
    """The names of the kernel modules, found without importing them (and so without importing Numba)."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def announce(callback: Callable[[str], None]) -> AbstractContextManager[None]:
    """A context inside which ``callback(name)`` is called for every kernel whose compilation begins."""
    from ._jit import announce

    return announce(callback)
