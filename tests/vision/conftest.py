"""No test here leaves the machine, or sees the user's own cache folder and data."""

import socket

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.delenv("TINYGRAD_CNN_DATA", raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "*")
    look_up = socket.getaddrinfo

    def look_up_here(host, *arguments, **options):
        if host not in ("127.0.0.1", "localhost"):
            raise OSError(f"{host}: no test may leave this machine")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)
