"""Fetching a file from several mirrors into a cache folder: verified, within a time budget, never half-written.

A file is downloaded into a temporary folder beside its destination, its decompressed content is compared with a
known checksum (so it does not matter who compressed it, and how), and only then it is moved into place in one step.  A
lock keeps a second process from doing the same work at the same time.

The budget covers everything: a name server that never answers, a connection that is never accepted, a server that
sends one byte a second.  The transfer runs in a thread of its own; when the time is up, the caller goes on, and the
thread finds out at its next byte.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError

ATTEMPTS = 2  # per mirror
SILENCE = 20.0  # seconds without an answer after which a server is given up
_PIECE = 1 << 20
_NO_TIME = "no complete answer within the time allowed"


class DownloadError(DataError):
    """No mirror gave the file; the message names each address with its reason."""


class _OutOfTime(Exception):
    pass


def download(
    urls: Sequence[str], md5: str, destination: Path, budget: float | None = None, progress: bool = True
) -> None:
    """Fetch a gzip-compressed file unless it is there already.

    Args:
        urls: the mirrors, tried in order, ``ATTEMPTS`` times over.
        md5: hexadecimal MD5 of the *decompressed* content.
        destination: where the compressed file goes; its folder is made.
        budget: seconds for everything.  Default: no limit but ``SILENCE`` per wait.
        progress: show a bar.

    Raises:
        DownloadError: no mirror gave the right content in time, or the folder cannot be written to.
        ImportError: pooch, tqdm or filelock is not installed; the message names the extra.
    """
    filelock = _import_libraries()
    deadline = None if budget is None else time.monotonic() + budget
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(destination.with_name(destination.name + ".lock"))
        with lock.acquire(timeout=-1 if budget is None else max(0.0, budget)):
            if not destination.exists():  # another process may have fetched it while we waited
                _fetch(urls, md5, destination, deadline, progress)
    except filelock.Timeout:
        raise DownloadError(f"{destination.name}: another process held the lock for all of {budget:.1f} s") from None
    except OSError as error:
        raise DownloadError(f"{destination.parent} cannot be written to ({error.strerror or error})") from None


def _import_libraries() -> Any:
    try:
        import filelock
        import pooch  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(f"downloading needs {error.name}: pip install 'tinygrad_cnn[examples]'") from None
    return filelock


def _fetch(urls: Sequence[str], md5: str, destination: Path, deadline: float | None, progress: bool) -> None:
    prefix = f".download-{destination.name}-"
    for leftover in destination.parent.glob(f"{prefix}*"):  # of a process that was killed, for the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    reasons: dict[str, str | None] = dict.fromkeys(urls, "not tried, the time was up")
    attempts = [*urls] * ATTEMPTS
    for number, url in enumerate(attempts):
        silence = SILENCE
        if deadline is not None:  # a server that never answers must leave time for the others
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            silence = min(SILENCE, remaining / (len(attempts) - number))
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=prefix, ignore_cleanup_errors=True) as folder:
            part = Path(folder) / destination.name
            reasons[url] = _transfer(url, part, silence, deadline, progress) or _difference(part, md5)
            if reasons[url] is None:
                os.replace(part, destination)
                return
    raise DownloadError(
        f"{destination.name} could not be downloaded ({'; '.join(f'{url}: {why}' for url, why in reasons.items())}); "
        f"place the file in {destination.parent} by hand"
    )


def _transfer(url: str, part: Path, silence: float, deadline: float | None, progress: bool) -> str | None:
    """Download into ``part``; returns why it failed, None if it did not."""
    outcome: list[str | None] = []
    meter = _Meter(url, deadline, progress)
    thread = threading.Thread(target=_run, args=(url, part, silence, meter, outcome), daemon=True)
    thread.start()
    try:
        thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
    finally:  # also after Ctrl-C: the thread must not go on writing
        meter.cancelled = True
        meter.close()
    return outcome[0] if outcome else _NO_TIME


def _run(url: str, part: Path, silence: float, meter: _Meter, outcome: list[str | None]) -> None:
    import pooch

    headers = {"Accept-Encoding": "identity"}  # else a server may say "gzip" of a .gz file, and it arrives unpacked
    try:
        pooch.HTTPDownloader(progressbar=meter, timeout=silence, headers=headers)(url, str(part), None)
    except _OutOfTime:
        outcome.append(_NO_TIME)
    except Exception as error:  # requests, urllib3 and the socket layer raise many kinds
        outcome.append(_first_line(error))
    else:
        outcome.append(None)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


class _Meter:
    """The progress bar that pooch drives, and the place where a transfer learns that it is to stop."""

    def __init__(self, url: str, deadline: float | None, visible: bool) -> None:
        from tqdm import tqdm

        self.deadline = deadline
        self.cancelled = False
        self._bar = tqdm(
            desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, leave=False, disable=None if visible else True
        )

    @property
    def total(self) -> int | None:
        return self._bar.total

    @total.setter
    def total(self, value: int | None) -> None:
        self._bar.total = value

    def update(self, count: int) -> None:
        if self.cancelled or (self.deadline is not None and time.monotonic() > self.deadline):
            raise _OutOfTime
        self._bar.update(count)

    def reset(self) -> None:
        self._bar.reset()

    def close(self) -> None:
        self._bar.close()


def _difference(path: Path, md5: str) -> str | None:
    """Why a compressed file is not the one wanted, None if it is."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except (OSError, EOFError, zlib.error) as error:
        return f"not a whole gzip file ({error})"
    if digest.hexdigest() != md5:
        return f"wrong content: MD5 {digest.hexdigest()} after decompression, expected {md5}"
    return None
