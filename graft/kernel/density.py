"""Density: whether bytes are packed or encrypted, so that nothing in them can be seen.

In packed data two bytes are equal once in 256 times; in text, code and tables far more often.
Windows of the bytes are counted, and of large data only some. `ReferenceDensity` is the
specification of graft/kernel/native/density.c.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from graft import kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

WINDOW: Final = 256
"""Bytes that are counted together."""

LEAST: Final = 64
"""Bytes of a last window that counts."""

SHORT_LEAST: Final = 40
"""Bytes of the shortest data that can be dense."""

_WIDE: Final = 2048  # stride in large data
_WIDE_FROM: Final = 1 << 20
_MANY, _FEW = 192, 512
_SHORT_MANY, _SHORT_FEW = 112, 2048  # in data shorter than a window: chance weighs more
_RUN, _SHARE = 4, 16  # of dense windows
_WIDE_RUN, _WIDE_SHARE = 32, 64


def is_dense(data: Buffer, *, mostly: bool = False) -> bool:
    """Whether a part of some bytes is packed or encrypted, by the kernel in use.

    Args:
        data: the whole of them.
        mostly: whether most of them must be.
    """
    if kernel.native is None:
        return ReferenceDensity(bytes(data)).is_dense(mostly=mostly)
    dense: bool = kernel.native.is_dense(data, mostly)
    return dense


class ReferenceDensity:
    """The dense windows of some bytes, in plain Python.

    Args:
        data: the whole of them.
    """

    def __init__(self, data: bytes) -> None:
        self._wide = len(data) > _WIDE_FROM
        stride = _WIDE if self._wide else WINDOW
        pieces = (data[at : at + WINDOW] for at in range(0, len(data), stride))
        if SHORT_LEAST <= len(data) < WINDOW:
            self._windows = [_is_dense(data, _SHORT_MANY, _SHORT_FEW)]
        else:
            self._windows = [_is_dense(piece) for piece in pieces if len(piece) >= LEAST]

    def is_dense(self, *, mostly: bool = False) -> bool:
        """Whether enough of the windows are dense."""
        dense, count = sum(self._windows), len(self._windows)
        if mostly:
            return dense > 0 and dense * 4 >= count * 3
        run, share = (_WIDE_RUN, _WIDE_SHARE) if self._wide else (_RUN, _SHARE)
        return self._longest() >= run or (dense > 0 and dense * share >= count)

    def _longest(self) -> int:
        longest = run = 0
        for dense in self._windows:
            run = run + 1 if dense else 0
            longest = max(longest, run)
        return longest


def _is_dense(window: bytes, many: int = _MANY, few: int = _FEW) -> bool:
    pairs = sum(count * (count - 1) // 2 for count in Counter(window).values())
    size = len(window) * (len(window) - 1) // 2
    return pairs * many < size < pairs * few
