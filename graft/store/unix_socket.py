"""Sockets of the file system, of the collector and of the daemon."""

from __future__ import annotations

import os
import socket


def connected_socket(path: str, seconds: float | None = None) -> socket.socket:
    """A connection to the process that listens at a path.

    Args:
        path: the socket; it may be longer than the 107 bytes of a socket's address.
        seconds: the longest wait of each call; None: for ever.

    Raises:
        OSError: nothing listens there, or the place cannot be looked at.
    """
    place, name = os.path.split(path)
    directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(f"/proc/self/fd/{directory}/{name}")
        except BaseException:
            connection.close()
            raise
    finally:
        os.close(directory)
    return connection
