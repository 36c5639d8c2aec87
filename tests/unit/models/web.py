"""A publisher on this machine: a web server whose answers are scripted, one callable a request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with what the script holds next, and with the last of it ever after."""

    server: Server

    def do_GET(self) -> None:  # the base class looks it up by this name
        self.server.requests.append((self.path, dict(self.headers.items())))
        script = self.server.script
        answer = script.pop(0) if len(script) > 1 else script[0]
        answer(self)

    def start(self, code: int, **headers: object) -> None:
        """Send status and headers; underscores stand for hyphens."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server in a thread, with what it was asked."""

    daemon_threads = True

    def __init__(self, script: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        """Set when the test is over: answers that stall wait for it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(*script: Answer) -> Iterator[Server]:
    """Serve while the block runs."""
    server = Server(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def whole(content: bytes, **headers: object) -> Answer:
    """Answer with all of it, whatever was asked for."""

    def answer(handler: Handler) -> None:
        handler.start(200, Content_Length=len(content), **headers)
        handler.wfile.write(content)

    return answer


def truncated(content: bytes, at: int, **headers: object) -> Answer:
    """Promise all of it and hang up early."""

    def answer(handler: Handler) -> None:
        handler.start(200, Content_Length=len(content), **headers)
        handler.wfile.write(content[:at])

    return answer


def stalled(content: bytes, at: int) -> Answer:
    """Promise all of it, and stop sending without hanging up."""

    def answer(handler: Handler) -> None:
        truncated(content, at)(handler)
        handler.wfile.flush()
        handler.server.released.wait()

    return answer


def ranged(content: bytes, tag: str = "") -> Answer:
    """Answer as a good server does: the range that was asked for, unless the file is another one by now."""

    def answer(handler: Handler) -> None:
        asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        extra = {"ETag": tag} if tag else {}
        if asked is None or (condition is not None and condition != tag):
            whole(content, **extra)(handler)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(content):
            handler.start(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        span = f"bytes {first}-{len(content) - 1}/{len(content)}"
        handler.start(206, Content_Length=len(content) - first, Content_Range=span, **extra)
        handler.wfile.write(content[first:])

    return answer


def redirect(url: str) -> Answer:
    """Lead elsewhere."""
    return lambda handler: handler.start(302, Location=url, Content_Length=0)


def failing(code: int) -> Answer:
    """Answer with an error."""
    return lambda handler: handler.start(code, Content_Length=0)
