"""A download ends with the right file in place, or with an error and nothing in place, whatever the servers do."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn
from tinygrad_cnn.errors import DataError
from tinygrad_cnn.vision.datasets import DownloadError
from tinygrad_cnn.vision.datasets import download as download_module
from tinygrad_cnn.vision.datasets.download import download

from . import servers
from .servers import serve

filelock = pytest.importorskip("filelock")
pytest.importorskip("pooch")
pytest.importorskip("tqdm")

CONTENT = np.random.default_rng(0).bytes(10_000)  # no compression makes it short
BODY = gzip.compress(CONTENT, mtime=0)
MD5 = hashlib.md5(CONTENT).hexdigest()

BAD = {
    "missing": (servers.status(404), "404 Client Error"),
    "broken": (servers.status(500), "500 Server Error"),
    "cut": (servers.cut(BODY), "IncompleteRead|Connection broken"),
    "cut silently": (servers.cut_silently(BODY), "not a whole gzip file"),
    "empty": (servers.good(b""), "wrong content: MD5 d41d8cd98f00b204e9800998ecf8427e"),
    "a page instead": (servers.good(b"<html>please log in</html>"), "not a whole gzip file"),
    "other content": (servers.good(gzip.compress(b"other")), f"wrong content: MD5 .*expected {MD5}"),
    "silent": (servers.silent(BODY), "timed out"),
}


@pytest.fixture
def destination(tmp_path) -> Path:
    return tmp_path / "new" / "folder" / "file.gz"


@pytest.fixture(params=BAD)
def bad_answer(request, monkeypatch):
    """A server's bad answer, and the reason that is expected for it."""
    if request.param == "silent":
        monkeypatch.setattr(download_module, "SILENCE", 0.3)
    return BAD[request.param]


def get(destination: Path, *addresses: str, budget: float | None = None) -> None:
    download([f"{address}file.gz" for address in addresses], MD5, destination, budget, progress=False)


def left_behind(destination: Path) -> list[str]:
    """What lies in the folder, apart from the lock."""
    return [path.name for path in destination.parent.iterdir() if path.suffix != ".lock"]


def test_a_good_server(destination):
    with serve(servers.good(BODY)) as server:
        get(destination, server.address)
        get(destination, server.address)  # it is there already
    assert destination.read_bytes() == BODY
    assert left_behind(destination) == ["file.gz"]
    assert server.asked == ["/file.gz"]


def test_another_compression_of_the_same_content(destination):
    body = gzip.compress(CONTENT, compresslevel=1, mtime=123)
    assert body != BODY
    with serve(servers.good(body)) as server:
        get(destination, server.address)
    assert destination.read_bytes() == body


def test_a_server_that_calls_compression_an_encoding(destination):
    with serve(servers.encoding(BODY)) as server:
        get(destination, server.address)
    assert destination.read_bytes() == BODY


def test_the_second_mirror_after_a_bad_one(destination, bad_answer):
    with serve(bad_answer[0]) as bad, serve(servers.good(BODY)) as good:
        get(destination, bad.address, good.address)
    assert (bad.asked, good.asked) == (["/file.gz"], ["/file.gz"])
    assert destination.read_bytes() == BODY
    assert left_behind(destination) == ["file.gz"]


def test_bad_mirrors_only(destination, bad_answer):
    answer, reason = bad_answer
    absent = servers.nobody()
    with serve(answer) as bad, pytest.raises(DownloadError) as caught:
        get(destination, absent, bad.address)
    message = str(caught.value)
    assert isinstance(caught.value, DataError)
    assert f"({absent}file.gz: ConnectionError: " in message
    assert re.search(rf"; {bad.address}file\.gz: .*({reason}).*\); place", message)
    assert f"place the file in {destination.parent} by hand" in message
    assert bad.asked == ["/file.gz"] * download_module.ATTEMPTS
    assert left_behind(destination) == []


def test_a_server_that_is_good_the_second_time(destination):
    bodies = [BODY[:100], BODY]
    with serve(lambda handler, released: servers.send(handler, bodies.pop(0))) as server:
        get(destination, server.address)
    assert destination.read_bytes() == BODY


def test_the_budget_ends_a_trickle(destination):
    with serve(servers.trickling(BODY)) as server, pytest.raises(DownloadError) as caught:
        get(destination, server.address, servers.nobody(), budget=1.5)
    assert "no complete answer within the time allowed" in str(caught.value)
    assert "not tried, the time was up" in str(caught.value)
    assert server.asked == ["/file.gz"]
    assert left_behind(destination) == []


def test_the_budget_is_shared_with_mirrors_behind_a_silent_one(destination, monkeypatch):
    monkeypatch.setattr(download_module, "SILENCE", servers.LONG)
    with serve(servers.silent(BODY)) as silent, serve(servers.good(BODY)) as good:
        get(destination, silent.address, good.address, budget=2.0)
    assert destination.read_bytes() == BODY


def test_the_budget_covers_a_name_server_that_never_answers(destination, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: released.wait(servers.LONG))
    with pytest.raises(DownloadError, match="no complete answer within the time allowed"):
        get(destination, "http://mnist.invalid/", budget=0.3)
    released.set()
    assert left_behind(destination) == []


@pytest.mark.parametrize("budget", [0.0, -1.0])
def test_no_time_at_all(destination, budget):
    with serve(servers.good(BODY)) as server, pytest.raises(DownloadError, match="not tried, the time was up"):
        get(destination, server.address, budget=budget)
    assert server.asked == []


@pytest.mark.parametrize("budget", [0.1, 0.0, -1.0])
def test_a_lock_that_is_not_released(destination, budget):
    destination.parent.mkdir(parents=True)
    with (
        filelock.FileLock(f"{destination}.lock"),
        pytest.raises(DownloadError, match=r"file\.gz: another process held the lock"),
    ):
        get(destination, servers.nobody(), budget=budget)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(DownloadError, match=r"taken cannot be written to \("):
        get(tmp_path / "taken" / "file.gz", servers.nobody())


@pytest.mark.parametrize("library", ["pooch", "tqdm", "filelock"])
def test_a_library_that_is_not_installed(destination, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"downloading needs {library}: pip install 'tinygrad_cnn\[examples\]'"):
        get(destination, servers.nobody())


# ---------------------------------------------------------------- several processes


def start(destination: Path, address: str) -> subprocess.Popen:
    """A process that says "ready", then downloads."""
    program = (
        "from pathlib import Path\n"
        "from tinygrad_cnn.vision.datasets.download import download\n"
        "print('ready', flush=True)\n"
        f"download(['{address}file.gz'], '{MD5}', Path({str(destination)!r}), None, progress=False)\n"
    )
    folder = Path(tinygrad_cnn.__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_download_once(destination):
    both_started = threading.Event()

    def answer(handler, released):
        both_started.wait(servers.LONG)
        servers.send(handler, BODY)

    with serve(answer) as server:
        processes = [start(destination, server.address) for _ in range(2)]
        both_started.set()
        for process in processes:
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert server.asked == ["/file.gz"]
    assert destination.read_bytes() == BODY
    assert left_behind(destination) == ["file.gz"]


def test_a_process_that_is_killed_leaves_nothing_that_counts(destination):
    asked = threading.Event()

    def answer(handler, released):
        asked.set()
        servers.trickling(BODY)(handler, released)

    with serve(answer) as slow:
        process = start(destination, slow.address)
        assert asked.wait(servers.LONG)
        process.kill()
        process.communicate()
    assert not destination.exists()
    with serve(servers.good(BODY)) as good:
        get(destination, good.address)
    assert left_behind(destination) == ["file.gz"]
