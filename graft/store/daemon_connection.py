"""A connection to Nix's daemon that keeps paths from the garbage collector for as long as it lasts.

Source: the worker protocol, src/libstore/worker-protocol.hh, daemon.cc and remote-store.cc of Nix.
Numbers are little-endian and of 64 bits; strings are written as in a NAR. Every daemon
since Nix 2.8 speaks protocol 1.34.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

from graft.errors import DaemonError
from graft.formats.nar import encode_string, padding
from graft.store.unix_socket import connected_socket

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
        try:
            with ExitStack() as opened:
                self._socket = opened.enter_context(connected_socket(path, _PATIENCE_SECONDS))
                self._stream = opened.enter_context(self._socket.makefile("rb"))
                self._greet()
                self._opened = opened.pop_all()
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def close(self) -> None:
        """Ends the conversation: the daemon gives up the roots."""
        self._opened.close()

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
                self._send(_number(_ADD_TEMPORARY_ROOT) + encode_string(os.fsencode(path)))
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
        return self._read(size + len(padding(size)))[:size].decode(errors="replace")

    def _error(self, reason: str) -> DaemonError:
        return DaemonError(
            f"cannot speak with the Nix daemon at '{self._path}': {reason}", program="nix-daemon"
        )


def _number(number: int) -> bytes:
    return struct.pack("<Q", number)
