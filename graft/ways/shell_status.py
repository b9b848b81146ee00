"""The exit statuses of programs as shells have them."""

from __future__ import annotations

from typing import Final

CANNOT_START: Final = 126
"""There is such a program, but it cannot be executed."""

NOT_FOUND: Final = 127
"""There is no such program."""


def status_of(returncode: int) -> int:
    """The status that a shell gives for a program that has ended.

    Args:
        returncode: its exit status, or the negative number of the signal that has ended it.

    Returns:
        The exit status; 128 and the signal's number if a signal has ended it.
    """
    return returncode if returncode >= 0 else 128 - returncode
