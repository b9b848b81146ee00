"""The words by which a walk suspects a longer pattern in the bytes it passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from graft.kernel.anchors import WORD
from graft.kernel.density import ReferenceDensity
from graft.kernel.streams import find_streams
from graft.kernel.tree.state import IN_CONTENTS, IN_DENSITY, IN_STREAMS

if TYPE_CHECKING:
    from graft.kernel.anchors import Anchors

MOST: Final = 6
"""Suspicions of one walk."""


class Suspicion(NamedTuple):
    """Words that are looked for in the result: contents, names and symlinks' targets.

    Attributes:
        anchors: the words, and at which steps they are looked for; None: beginnings of streams
            (`graft.kernel.streams`), in contents only.
        magics: if there are any, only contents are looked at that begin with one of these, each
            of a word's length at most. With density, such contents must be dense for the most part.
        density: dense contents are looked for (`graft.kernel.density`) instead.
    """

    anchors: Anchors | None
    magics: tuple[bytes, ...] = ()
    density: bool = False

    @property
    def possible(self) -> bool:
        """Whether every magic is of some bytes, and no more than a word."""
        return all(0 < len(magic) <= WORD for magic in self.magics)


class Watch:
    """One file's contents as the words of suspicions are looked for in them.

    Args:
        head: the first bytes, `WORD` of them if there are as many.
    """

    def __init__(self, suspicions: tuple[Suspicion, ...], head: bytes) -> None:
        asked = [
            each
            for each in suspicions
            if not each.density and (not each.magics or head.startswith(each.magics))
        ]
        self._anchors = [each.anchors for each in asked if each.anchors is not None]
        self._streams = any(each.anchors is None for each in asked)
        density = [each for each in suspicions if each.density]
        self._mostly = any(head.startswith(each.magics) for each in density if each.magics)
        self._whole = bytearray() if density else None  # of the contents
        self._next = [0 for _ in self._anchors]  # where a word may stand
        self._passed = 0
        self._carry = b""

    def more(self, data: bytes, *, final: bool) -> Iterator[int]:
        """Looks through the bytes that come next.

        Args:
            final: no bytes follow.

        Yields:
            IN_CONTENTS where now a word stands, IN_STREAMS where a stream begins, IN_DENSITY at the
            end of dense contents; each once.
        """
        if self._whole is not None:
            self._whole += data
            if final and ReferenceDensity(bytes(self._whole)).is_dense(mostly=self._mostly):
                yield IN_DENSITY
        if not (self._anchors or self._streams):
            return
        text = self._carry + data
        start = self._passed - len(self._carry)
        self._passed += len(data)
        if self._streams and self._begins(text, final=final):
            self._streams = False
            yield IN_STREAMS
        for which, anchors in enumerate(self._anchors):
            at = self._next[which]
            if at + WORD <= self._passed:
                if anchors.find(text[at - start :]):
                    self._anchors = []  # one word is enough
                    yield IN_CONTENTS
                    break
                self._next[which] += ((self._passed - at - WORD) // anchors.step + 1) * anchors.step
        self._carry = text[-(WORD - 1) :]

    @staticmethod
    def _begins(text: bytes, *, final: bool) -> bool:
        """Whether a stream begins in the text: at its end, that is for the bytes that follow."""
        last = len(text) if final else len(text) - (WORD - 1)
        return any(found.offset < last for found in find_streams(text, final=final))
