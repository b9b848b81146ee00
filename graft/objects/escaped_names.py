"""Names of paths that follow a hash part in an escaped spelling, as in regular expressions.

A hash part alone says which path is meant, so plain rewriting changes it, with any text behind it.
If the name follows in an escaped spelling, NEW's hash part would stand before OLD's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from graft.kernel import HASH_LENGTH, Table
from graft.objects.spellings.breaks import BREAK

_NUMBERS: Final = (
    *("\\x{:02x}", "\\x{:02X}", "\\\\x{:02x}", "%{:02x}", "%{:02X}", "={:02X}", "&#{:d};"),
    *("&#x{:x};", "&#x{:X};", "\\u{:04x}", "\\u{:04X}", "\\{:03o}"),
)
"""Escapes that any character can have."""

_END: Final = rb"=?\r?\n"

_SIGNS: Final = ("\\{}", "\\\\{}", "\\\\\\\\{}", "[{}]")
"""Escapes of a character that is no letter and no digit."""


@dataclass(frozen=True, slots=True)
class EscapedNames:
    """The escaped names in a file behind hash parts that plain rewriting changes.

    Attributes:
        offsets: the offsets of their hash parts.
        contents: the file with hash parts and names changed; None: not all of it can be.
    """

    offsets: tuple[int, ...]
    contents: bytes | None


class NamePattern:
    """How the name of one path is written in every spelling.

    Args:
        old: the name, from its `-` on.
        new: the one that takes its place, of the same length.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old, self._new = old.decode(), new.decode()
        # A margin may begin with a sign, which after a plain end of line is the name's own.
        between = b"((?:%b|%b)?)" % (_END, BREAK)
        self._pattern = re.compile(between + between.join(map(_spelled, self._old)), re.DOTALL)

    def match(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """The name at a place, if it stands there in another spelling than its own."""
        found = self._pattern.match(data, at)
        return None if found is None or found[0] == self._old.encode() else found

    def renamed(self, found: re.Match[bytes]) -> bytes | None:
        """The new name in the spelling of a match; None: it has another length, or is not known."""
        parts: list[bytes] = []
        for index, (old, new) in enumerate(zip(self._old, self._new, strict=True)):
            spelled = found[2 * index + 2]
            made = spelled if old == new else _respelled(spelled, old, new)
            if made is None or len(made) != len(spelled):
                return None
            parts += [found[2 * index + 1], made]
        return b"".join(parts)


class NameFinder:
    """Finds escaped names; made once for a rewrite.

    Args:
        table: the references that are rewritten.
        entries: the same, old and new base names.
    """

    def __init__(self, table: Table, entries: Iterable[tuple[bytes, bytes]]) -> None:
        self._table = table
        self._patterns = [
            NamePattern(old[HASH_LENGTH:], new[HASH_LENGTH:])
            if old[HASH_LENGTH:] != new[HASH_LENGTH:]
            else None
            for old, new in entries
        ]

    def find(self, data: bytes) -> EscapedNames | None:
        """The escaped names in a whole file; None for a file without any."""
        offsets: list[int] = []
        new: bytearray | None = bytearray(self._table.rewrite(data)[0])
        for hit in self._table.find(data)[0]:
            pattern = self._patterns[hit.index]
            if pattern is None or not hit.bare or hit.overlapped or hit.stride != 1:
                continue
            end = hit.offset + HASH_LENGTH
            found = pattern.match(data, end)
            if found is None:
                continue
            offsets.append(hit.offset)
            name = pattern.renamed(found) if b"\0" not in data else None
            if new is not None and name is not None and new[end : found.end()] == found[0]:
                new[end : found.end()] = name
            else:
                new = None
        if not offsets:
            return None
        return EscapedNames(tuple(offsets), None if new is None else bytes(new))


def _spelled(character: str) -> bytes:
    forms = [form.format(ord(character)) for form in _NUMBERS]
    if not character.isalnum():
        forms += [form.format(character) for form in _SIGNS]
    forms.append(character)
    return b"(%b)" % b"|".join(re.escape(form.encode()) for form in forms)


def _respelled(spelled: bytes, old: str, new: str) -> bytes | None:
    """Another character in the spelling of one; None: its need of an escape is not known."""
    if spelled == old.encode():
        return new.encode() if new.isalnum() else None
    for form in _NUMBERS:
        if spelled == form.format(ord(old)).encode():
            return form.format(ord(new)).encode()
    if new.isalnum():
        return None
    for form in _SIGNS:
        if spelled == form.format(old).encode():
            return form.format(new).encode()
    return None
