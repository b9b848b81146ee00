"""The conversation with Nix's daemon, the real one and ones that say something else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from graft.errors import DaemonError
from graft.store.daemon_connection import DaemonConnection

Handler = Callable[[socket.socket], object]

_GREETING = struct.pack("<QQ", 0x6478696F, 0x122)
_VERSION = struct.pack("<Q8s", 5, b"2.8.0")
_LAST = struct.pack("<Q", 0x616C7473)


@contextmanager
def _server(directory: Path, *answers: bytes) -> Iterator[str]:
    """A process's worth of daemon: an answer for each message, whatever the message says."""
    path = str(directory / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(4096):
                        return
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield path
        finally:
            serving.join(10)


def _say(directory: Path, *answers: bytes) -> str | None:
    with _server(directory, *answers) as path, closing(DaemonConnection(path)) as connection:
        connection.add_temporary_roots(["/nix/store/x"])
        return connection.nix_version


def test_messages_of_every_kind_before_an_answer_are_read_over(tmp_path: Path) -> None:
    text = struct.pack("<Q8s", 3, b"abc")
    fields = struct.pack("<QQQQ", 2, 0, 7, 1) + text
    said = struct.pack("<Q", 0x6F6C6D67) + text
    begun = struct.pack("<QQQQ", 0x53545254, 1, 3, 100) + text + fields + struct.pack("<Q", 0)
    ended = struct.pack("<QQ", 0x53544F50, 1)
    result = struct.pack("<QQQ", 0x52534C54, 1, 105) + fields
    one = struct.pack("<Q", 1)
    answer = said + begun + result + ended + _LAST + one
    assert _say(tmp_path, _GREETING, _VERSION + _LAST, answer) == "2.8.0"


def test_an_old_daemon_tells_no_version_and_its_error_is_a_text(tmp_path: Path) -> None:
    greeting = struct.pack("<QQ", 0x6478696F, 0x115)
    refused = struct.pack("<QQ8sQ", 0x63787470, 2, b"no", 1)
    with pytest.raises(DaemonError, match=r"cannot speak with the Nix daemon at '.*': no$"):
        _say(tmp_path, greeting, _LAST, refused)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((b"HTTP/1.1 400 Bad Request",), "no daemon of Nix answers"),
        ((struct.pack("<QQ", 0x6478696F, 0x10A),), "its protocol is older than Nix 2.0"),
        ((_GREETING, _VERSION[:9]), "it has ended the connection"),
        ((_GREETING, struct.pack("<Q", 1 << 40)), "it sends a text of"),
        ((_GREETING, _VERSION + struct.pack("<Q", 4711)), "it sends the unknown message 0x1267"),
        (
            (
                _GREETING,
                _VERSION + _LAST,
                struct.pack("<QQ8sQQ8sQ8s", 0x63787470, 5, b"Error", 0, 5, b"Error", 3, b"bad")
                + struct.pack("<QQ", 0, 0),
            ),
            "bad",
        ),
    ],
)
def test_a_daemon_that_says_something_else_is_an_error(
    tmp_path: Path, answers: tuple[bytes, ...], reason: str
) -> None:
    with pytest.raises(DaemonError, match=rf"at '{tmp_path}/socket': {reason}"):
        _say(tmp_path, *answers)


def test_a_socket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="No such file or directory"):
        DaemonConnection(str(tmp_path / "none" / "socket"))
    with pytest.raises(DaemonError, match="No such file or directory"):
        DaemonConnection(str(tmp_path / "socket"))
