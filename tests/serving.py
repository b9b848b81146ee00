"""A real server of files on loopback, which can do what servers and networks do when they fail."""

from __future__ import annotations

import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Answer:
    """How one request is answered, before it is."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    """After how many bytes of the body the connection is closed."""


@dataclass
class Server:
    """A directory that is served.

    Attributes:
        requests: the path and the Range of each.
        headers: all that came with each.
        spoil: changes an answer.
        ranges: whether parts of files are sent.
    """

    directory: Path
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)
    spoil: Callable[[str, Answer], None] = lambda _name, _answer: None
    ranges: bool = True

    def answer(self, path: str, range_: str | None) -> Answer:
        self.requests.append((path, range_))
        file = self.directory / path.lstrip("/")
        if not file.is_file():
            answer = Answer(404, body=b"no such file\n")
        else:
            body = file.read_bytes()
            answer = Answer(headers={"ETag": f'"{file.stat().st_mtime_ns}"'}, body=body)
            found = re.fullmatch(r"bytes=(\d+)-", range_ or "")
            if found and self.ranges:
                start = int(found[1])
                answer.status = 206
                answer.headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                answer.body = body[start:]
        answer.headers["Content-Length"] = str(len(answer.body))
        self.spoil(path.lstrip("/"), answer)
        return answer


@contextmanager
def serving(directory: Path, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serves a directory while the block runs; over TLS if there is a context."""
    server = Server(directory)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.headers.append(self.headers)
            answer = server.answer(self.path, self.headers.get("Range"))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
            if answer.cut is not None:
                self.close_connection = True

        def do_HEAD(self) -> None:
            answer = server.answer(self.path, None)
            self.send_response(answer.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # clients may go when they like
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    with Quiet(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        if context is not None:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        scheme = "http" if context is None else "https"
        server.url = f"{scheme}://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
