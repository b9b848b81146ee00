"""Whether somebody holds a lock."""

from __future__ import annotations

import fcntl
from pathlib import Path


def is_locked(file: Path) -> bool:
    """Whether a file could not be locked exclusively now, because somebody holds a lock on it."""
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
