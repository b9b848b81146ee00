"""Files of no other type that keep a sum of their own bytes: `graft.fixups.guards` at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.guards import LIMIT, Guard, find_guards, renewed, tail_sum
from graft.fixups.text import is_text
from graft.fixups.text_guards import SIGNED, TextGuard, find_text_guards


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
        if new is data:
            return new
        guards: Sequence[Guard | TextGuard]
        if is_text(data) and tail_sum(data) is None:
            if SIGNED.search(data):
                raise LeftAloneError("it is signed: only the owner of the key can sign it again")
            guards = find_text_guards(data, _changed(data, new))
        else:
            guards = find_guards(data)
        if not guards:
            return new
        made = renewed(guards, new)
        if made is None:
            names = ", ".join(dict.fromkeys(guard.algorithm for guard in guards))
            raise LeftAloneError(
                f"it keeps sums of its own bytes that depend on each other: {names}"
            )
        return made


def _changed(data: bytes, new: bytes) -> list[tuple[int, int]]:
    """Begin and end of the lines of some bytes that differ from others of equal length."""
    found, at = [], 0
    if len(new) != len(data):
        return [(0, len(data))]
    for line in data.splitlines(keepends=True):
        end = at + len(line)
        if new[at:end] != line:
            first = next(index for index in range(at, end) if new[index] != data[index])
            last = next(index for index in range(end, at, -1) if new[index - 1] != data[index - 1])
            found.append((first, last))
        at = end
    return found


GUARDED: Final = Guarded()
GUARDED_SIZE: Final = LIMIT
"""Bytes of the largest file that is looked at."""
