"""The words by which a walk suspects a longer pattern in the bytes it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from graft.kernel.anchors import WORD

if TYPE_CHECKING:
    from graft.kernel.anchors import Anchors

MOST: Final = 4
"""Suspicions of one walk."""


class Suspicion(NamedTuple):
    """Words that are looked for in the result: contents, names and symlinks' targets.

    Attributes:
        anchors: the words, and at which steps they are looked for.
        magics: if there are any, only contents are looked at that begin with one of these, each
            of a word's length at most.
    """

    anchors: Anchors
    magics: tuple[bytes, ...] = ()

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
        self._anchors = [
            suspicion.anchors
            for suspicion in suspicions
            if not suspicion.magics or head.startswith(suspicion.magics)
        ]
        self._next = [0 for _ in self._anchors]  # where a word may stand
        self._passed = 0
        self._carry = b""
        self.suspected = False

    def more(self, data: bytes) -> bool:
        """Looks through the bytes that come next; True if now there is a word, and never again."""
        if self.suspected or not self._anchors:
            return False
        text = self._carry + data
        start = self._passed - len(self._carry)
        self._passed += len(data)
        for which, anchors in enumerate(self._anchors):
            at = self._next[which]
            if at + WORD <= self._passed:
                self.suspected = bool(anchors.find(text[at - start :]))
                if self.suspected:
                    return True
                self._next[which] += ((self._passed - at - WORD) // anchors.step + 1) * anchors.step
        self._carry = text[-(WORD - 1) :]
        return False
