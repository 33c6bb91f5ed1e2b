"""Compiled kernels on disk: found again by the next process, never stale, never in the way.

Numba's own cache asks one question, "has *this file* changed?", so a kernel that calls a helper or an intrinsic of
another file would go on running yesterday's code. Here the folder itself carries the answer: its name is a hash of
every kernel file, of the versions of Numba, llvmlite and Python, and of the CPU. Anything else is another folder, and
all but the last few folders used are deleted.

A cache must not turn into a failure: a truncated file, a full disk, a home that can't be written or belongs to
someone else each give one warning, and the kernel is compiled and runs without the cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import stat
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from ..folders import cache_folder

FOLDERS_KEPT = 8

_config: Any = numba.config
_lock = threading.Lock()
_warned = False


class CacheWarning(UserWarning):
    """The cache of compiled kernels can't be used; everything works, but the next start compiles again."""


def attach(dispatcher: Any, version: str, function: Any, on_miss: Callable[[], bool] | None = None) -> None:
    """Let a Numba dispatcher or callback keep the machine code of ``function`` under `folder`\\ ``/version``.

    The two versions of a kernel need two folders: Numba's file names and index don't tell them apart.

    Args:
        dispatcher: what compiles.
        version: the folder's name.
        function: the kernel in Python.
        on_miss: called when the machine code is not there; returns whether to look again.
    """
    try:
        path = folder() / version
        with _lock:
            # Numba reads this setting once, while the cache object is made.
            before, _config.CACHE_DIR = _config.CACHE_DIR, str(path)
            try:
                cache = _ForgivingCache(function)
                cache.on_miss = on_miss
            finally:
                _config.CACHE_DIR = before
        if not Path(cache.cache_path).is_relative_to(path):
            raise OSError(f"{path} can't be written to")  # Numba would fall back to __pycache__, which goes stale
        dispatcher._cache = cache
    except Exception as error:  # whatever the file system or a future Numba raises, kernels still compile
        _warn(error)


def root() -> Path:
    """The folder of all our caches: ``$NUMBA_CACHE_DIR/tinygrad_cnn`` or that in the user's cache folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) / "tinygrad_cnn" if chosen else cache_folder()


@functools.cache
def folder() -> Path:
    """This version's folder, made on first use with mode 0700; older siblings are pruned.

    Raises:
        OSError: If it can't be made or written to.
        PermissionError: If it belongs to another user or others may write to it: what is unpickled from there is run.
    """
    path = root() / "kernels" / key()  # pruning must never see the data sets in our cache folder
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        status = path.stat()
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError(f"{path} belongs to another user or others may write to it")
    os.utime(path)  # "last used" is what pruning goes by
    _prune(path.parent)
    return path


def key() -> str:
    """Hash of all that decides what machine code a kernel becomes."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    host = llvmlite.binding
    cpu = _config.CPU_NAME or host.get_host_cpu_name()
    features = _config.CPU_FEATURES  # empty: no more than the named processor has; None: this one's, whatever the name
    if features is None:
        features = host.get_host_cpu_features().flatten()
    parts = [
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        platform.machine(),
        cpu,
        features,
    ]
    parts += [str(_config.OPT), str(_config.BOUNDSCHECK)]
    digest.update("\0".join(map(str, parts)).encode())
    return digest.hexdigest()[:32]


def _prune(parent: Path) -> None:
    """Delete all but the `FOLDERS_KEPT` folders used last."""
    used = []
    for entry in parent.iterdir():
        try:
            if entry.is_dir() and not entry.is_symlink():
                used.append((entry.stat().st_mtime, entry))
        except FileNotFoundError:  # another process pruned it
            continue
    for _, entry in sorted(used, reverse=True)[FOLDERS_KEPT:]:
        shutil.rmtree(entry, ignore_errors=True)


class _ForgivingCache(FunctionCache):
    """Numba's cache of one function, with every fault turned into a miss and one warning."""

    on_miss: Callable[[], bool] | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._load_or_forget(sig, target_context)
        if found is None and self.on_miss is not None and self.on_miss():
            found = self._load_or_forget(sig, target_context)
        return found

    def _load_or_forget(self, sig: Any, target_context: Any) -> Any:
        try:
            # Numba's own load_overload first makes all that compiling needs, which imports half of Numba, and SciPy
            # where it is installed: 0.35 s of a first training step's 0.5 s. Machine code needs the runtime only, and
            # a compilation later on makes the rest by itself.
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
            return None
        except Exception as error:  # unpickling damaged bytes may raise anything
            _warn(error)
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn(error)

    def _forget(self) -> None:
        """Empty a damaged index, so that this compilation is saved and the next process finds it."""
        try:
            self.flush()
        except OSError:
            self.disable()


def _warn(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"compiled kernels can't be cached ({type(error).__name__}: {error}); going on without, "
            "so the next start compiles again",
            CacheWarning,
            stacklevel=2,
        )
