"""Sockets of Nix's daemons, wherever they are."""

from __future__ import annotations

import os
import socket


def connect_to(place: str) -> socket.socket:
    """Connects to a Unix socket by its path, of any length.

    Raises:
        OSError: that failed.
    """
    # The name of a socket has at most 107 bytes, that of its directory may be longer.
    directory, name = os.path.split(place)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}/{name}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(descriptor)
    return connection
