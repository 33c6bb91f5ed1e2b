"""Web servers on this machine that behave well or badly."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

LONG = 60.0  # seconds: a badly behaved server becomes a good one after this, so what waits for it is found out


class Server(NamedTuple):
    """A running server: its address with a slash at the end, the paths asked for so far, and what ends its waits."""

    address: str
    asked: list[str]
    released: threading.Event


@contextlib.contextmanager
def serve(answer: Callable[[BaseHTTPRequestHandler, threading.Event], None]) -> Iterator[Server]:
    """Run a server whose answer to every request is ``answer(handler, released)``."""
    asked: list[str] = []
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            with contextlib.suppress(ConnectionError):
                answer(self, released)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}/", asked, released)
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def good(body: bytes):
    """The body, at once."""
    return lambda handler, released: send(handler, body)


def status(code: int):
    """Nothing but a status, such as 404."""
    return lambda handler, released: handler.send_error(code)


def cut(body: bytes):
    """Half of the body that the header announces, then the connection ends."""
    return lambda handler, released: send(handler, body[: len(body) // 2], len(body))


def cut_silently(body: bytes):
    """Half of the body, and a header that says that this is all."""
    return lambda handler, released: send(handler, body[: len(body) // 2])


def silent(body: bytes):
    """No answer for a long time."""

    def answer(handler, released):
        if not released.wait(LONG):
            send(handler, body)

    return answer


def trickling(body: bytes):
    """The right body, so slowly that it takes a long time, but never silent."""

    def answer(handler, released):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for place in range(len(body)):
            handler.wfile.write(body[place : place + 1])
            if released.wait(LONG / len(body)):
                return

    return answer


def encoding(body: bytes):
    """A server that calls a compressed file an encoding of its content, if the client lets it."""

    def answer(handler, released):
        handler.send_response(200)
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def files(contents: dict[str, bytes]):
    """The compressed files of a data set."""

    def answer(handler, released):
        name = handler.path.rsplit("/", 1)[-1].removesuffix(".gz")
        if name in contents:
            send(handler, gzip.compress(contents[name]))
        else:
            handler.send_error(404)

    return answer


def nobody() -> str:
    """An address where no server is."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"
