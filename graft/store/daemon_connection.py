"""A connection to Nix's daemon that keeps paths from the garbage collector for as long as it lasts.

Source: the worker protocol, src/libstore/worker-protocol.hh, daemon.cc and remote-store.cc of Nix.
Numbers are little-endian and of 64 bits; a string is its length and its bytes, and zeros up to a
multiple of eight. Every daemon since Nix 2.8 speaks protocol 1.34.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from graft.errors import DaemonError

_HELLO: Final = 0x6E697863
_ANSWER: Final = 0x6478696F
_PROTOCOL: Final = 0x122  # 1.34
_OLDEST: Final = 0x115  # 1.21, of Nix 2.0: the messages below are the same since
_WITH_VERSION: Final = 0x121  # from 1.33 on the daemon tells the version of its Nix
_WITH_ERROR_INFO: Final = 0x11A  # from 1.26 on an error has parts

_ADD_TEMPORARY_ROOT: Final = 11

_LAST: Final = 0x616C7473
_ERROR: Final = 0x63787470
_NEXT: Final = 0x6F6C6D67
_START_ACTIVITY: Final = 0x53545254
_STOP_ACTIVITY: Final = 0x53544F50
_RESULT: Final = 0x52534C54

_MOST_STRING: Final = 1 << 20  # bytes; what the daemon says here are messages
_PATIENCE_SECONDS: Final = 600.0  # a collector answers each new root when it is safe


class DaemonConnection:
    """One conversation with a daemon.

    Args:
        path: the socket that the daemon listens at.

    Attributes:
        nix_version: the version of the daemon's Nix; None of a daemon before 2.7.

    Raises:
        DaemonError: nothing listens there, or it does not speak the protocol.
    """

    nix_version: str | None = None

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_PATIENCE_SECONDS)
            self._connect()
            self._stream = self._socket.makefile("rb")
            self._greet()
        except OSError as error:
            self._socket.close()
            raise self._error(error.strerror or str(error)) from error
        except BaseException:
            self._socket.close()
            raise

    def _connect(self) -> None:
        # The name of a socket has at most 107 bytes, a state directory may be longer.
        directory = os.open(os.path.dirname(self._path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = os.path.basename(self._path)
            self._socket.connect(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.close(directory)

    def close(self) -> None:
        """Ends the conversation: the daemon gives up the roots."""
        self._stream.close()
        self._socket.close()

    def add_temporary_roots(self, paths: Iterable[str]) -> None:
        """Returns when no collector will delete the paths, which need not be valid.

        A collector that is at work is told of each, also of one that the daemon knows already.

        Args:
            paths: full store paths.

        Raises:
            DaemonError: the daemon refuses one, or has ended.
        """
        try:
            for path in paths:
                self._send(_number(_ADD_TEMPORARY_ROOT) + _string(path))
                self._read_log()
                self._read_number()
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def _greet(self) -> None:
        self._send(_number(_HELLO))
        if self._read_number() != _ANSWER:
            raise self._error("no daemon of Nix answers")
        self._protocol = min(self._read_number(), _PROTOCOL)
        if self._protocol < _OLDEST:
            raise self._error("its protocol is older than Nix 2.0")
        # The version; no affinity to a processor; no room reserved on the disk.
        self._send(_number(_PROTOCOL) + _number(0) + _number(0))
        if self._protocol >= _WITH_VERSION:
            self.nix_version = self._read_string()
        self._read_log()

    def _read_log(self) -> None:
        """Reads the daemon's messages up to the last one, behind which the result stands.

        Raises:
            DaemonError: the last message is an error.
        """
        while (kind := self._read_number()) != _LAST:
            match kind:
                case x if x == _NEXT:
                    self._read_string()
                case x if x == _START_ACTIVITY:
                    for _ in range(3):  # its number, level and type
                        self._read_number()
                    self._read_string()
                    self._read_fields()
                    self._read_number()  # its parent
                case x if x == _STOP_ACTIVITY:
                    self._read_number()
                case x if x == _RESULT:
                    self._read_number()
                    self._read_number()
                    self._read_fields()
                case x if x == _ERROR:
                    raise self._error(self._read_error())
                case _:
                    raise self._error(f"it sends the unknown message {kind:#x}")

    def _read_fields(self) -> None:
        for _ in range(self._read_number()):
            if self._read_number() == 0:
                self._read_number()
            else:
                self._read_string()

    def _read_error(self) -> str:
        if self._protocol < _WITH_ERROR_INFO:
            return self._read_string()
        self._read_string()  # "Error"
        self._read_number()  # its level
        self._read_string()  # a name that is not used any more
        return self._read_string()

    def _send(self, message: bytes) -> None:
        self._socket.sendall(message)

    def _read(self, size: int) -> bytes:
        found = self._stream.read(size)
        if len(found) != size:
            raise self._error("it has ended the connection")
        return found

    def _read_number(self) -> int:
        (number,) = struct.unpack("<Q", self._read(8))
        return int(number)

    def _read_string(self) -> str:
        size = self._read_number()
        if size > _MOST_STRING:
            raise self._error(f"it sends a text of {size} bytes")
        return self._read(size + -size % 8)[:size].decode(errors="replace")

    def _error(self, reason: str) -> DaemonError:
        return DaemonError(
            f"cannot speak with the Nix daemon at '{self._path}': {reason}", program="nix-daemon"
        )


def _number(number: int) -> bytes:
    return struct.pack("<Q", number)


def _string(text: str) -> bytes:
    data = os.fsencode(text)
    return _number(len(data)) + data + bytes(-len(data) % 8)
