"""A real S3 server process on loopback, and a proxy before it that cuts connections."""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class BucketServer:
    """A running server.

    Attributes:
        host: and port.
    """

    host: str

    def url(self, bucket: str, *parameters: str) -> str:
        """The URL of a cache in a bucket of the server."""
        query = "&".join([f"endpoint={self.host}", "scheme=http", *parameters])
        return f"s3://{bucket}?{query}"

    def make(self, bucket: str) -> None:
        """Makes a bucket, with which everybody may do what he likes."""
        self.request("PUT", f"/{bucket}")
        self.allow(bucket, "Allow", "s3:*")

    def allow(self, bucket: str, effect: str, *actions: str) -> None:
        """Allows or denies everybody something with the objects of a bucket."""
        statement = {
            "Effect": effect,
            "Principal": "*",
            "Action": actions,
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.request("PUT", f"/{bucket}?policy", json.dumps(policy).encode())

    def request(self, method: str, path: str, data: bytes = b"") -> bytes:
        """What the server answers to a request that is not signed."""
        kind = {"Content-Type": "application/octet-stream"}
        url = f"http://{self.host}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, data=data, headers=kind, method=method)
        ) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def bucket_server() -> Iterator[BucketServer]:
    """Runs moto's server in a process of its own while the block runs."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(1 << 30)},
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        found = next(match for line in lines if (match := re.search(r"http://([0-9.:]+)", line)))
        # Nobody reads its log; it must not stop for that.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield BucketServer(found[1])
        finally:
            process.terminate()
            drain.join()


def sign_in(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """Gives the process credentials, and nothing else of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")


@contextmanager
def cutting(host: str, cuts: list[int]) -> Iterator[str]:
    """The host of a proxy that cuts connections.

    Args:
        cuts: of each that carries more than a few KiB back, after how many bytes; those after the
            last are not cut.
    """
    name, port = host.split(":")
    running = threading.Event()
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.settimeout(0.02)

        def serve() -> None:
            while not running.is_set():
                try:
                    client, _ = listening.accept()
                except TimeoutError:
                    continue
                thread = threading.Thread(
                    target=_carry, args=(client, (name, int(port)), cuts, running)
                )
                thread.start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            running.set()
            thread.join()


def _carry(
    client: socket.socket, server: tuple[str, int], cuts: list[int], ended: threading.Event
) -> None:
    with client, socket.create_connection(server) as upstream, selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, upstream)
        ready.register(upstream, selectors.EVENT_READ, client)
        carried = 0
        while not ended.is_set():
            for key, _ in ready.select(0.05):
                with suppress(ConnectionError):
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    data = source.recv(4096)
                    if not data:
                        return
                    carried += len(data) if source is upstream else 0
                    if cuts and carried > max(cuts[0], 8192):
                        cuts.pop(0)
                        return
                    key.data.sendall(data)
