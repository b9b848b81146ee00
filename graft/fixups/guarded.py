"""Files of no other type that keep a sum of their own bytes: `graft.fixups.guards` at work."""

from __future__ import annotations

from typing import Final

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.guards import LIMIT, find_guards, renewed
from graft.fixups.text import is_text


class Guarded(Fixup):
    """No file type of its own: it has the changed files that no fix-up recognises."""

    name = "guards"
    opens = False
    searched = False

    def recognises(self, head: bytes, name: bytes) -> bool:
        """Never."""
        del head, name
        return False

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file as plain rewriting makes it, its sums made anew."""
        del name
        new = inside.plain(data)
        if new is data or is_text(data):
            return new
        guards = find_guards(data)
        if not guards:
            return new
        made = renewed(guards, new)
        if made is None:
            sums = ", ".join(dict.fromkeys(guard.algorithm for guard in guards))
            raise LeftAloneError(
                f"it keeps sums of its own bytes that depend on each other: {sums}"
            )
        return made


GUARDED: Final = Guarded()
GUARDED_SIZE: Final = LIMIT
"""Bytes of the largest file that is looked at."""
