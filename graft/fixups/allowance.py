"""How much the containers in one file may expand to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from graft.fixups.api import LimitError, Limits

_PIECE: Final = 1 << 20  # bytes expanded at a time


class Allowance:
    """The rest of the limits of one file, over all its contents."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spent = 0  # bytes that containers were expanded to

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """The expanded contents of a compressed file.

        Args:
            read: gives at most so many bytes more, and no bytes at the end.
            compressed: bytes of the file.

        Raises:
            LimitError: it is more than may be.
        """
        limits = self._limits
        most = min(limits.size - self._spent, max(limits.free, limits.ratio * compressed))
        pieces, size = [], 0
        while piece := read(min(_PIECE, most - size + 1)):
            size += len(piece)
            if size > most:
                raise LimitError(
                    f"it expands to more than {most} bytes, which is not worth the risk"
                )
            pieces.append(piece)
        self._spent += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
