"""The executable specification of the matcher: the definition of a hit, and its replacement.

A hit is the 32 characters of a wanted hash part, at any offset, with 0, 1 or 3 NUL bytes between
each two: ASCII, UTF-16 and UTF-32, in either byte order. Replacement is simultaneous: hits are
sought in the original bytes only. Every other matcher of graft must give the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graft.errors import BadTableError
from graft.formats.hashing import NIX32_ALPHABET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer as Buffer
    from _typeshed import WriteableBuffer

HASH_LENGTH = 32
"""Characters of a hash part."""

ENCODINGS = {1: "ascii", 2: "utf-16", 4: "utf-32"}
"""The name of an encoding, by the bytes a character takes in it."""

STRIDES = (1, 2, 4)
"""Bytes a character in ASCII, UTF-16 and UTF-32."""

_SET = b"[%b]" % NIX32_ALPHABET.encode()
_BASE_NAME = re.compile(rb"%b{32}(?:-.+)?" % _SET, re.DOTALL)
# 32 characters from every offset on: a lookahead consumes nothing, so windows may overlap.
_WINDOWS = {
    stride: re.compile(rb"(?=(%b(?:\0{%d}%b){31}))" % (_SET, stride - 1, _SET))
    for stride in STRIDES
}


class Hit(NamedTuple):
    """A place where a wanted hash part stands.

    Attributes:
        offset: the place of the first character, in bytes from the start of the buffer.
        length: bytes from the first character to the last, the name's if the name follows.
        index: the entry's index in the table.
        stride: bytes a character: 1, 2 or 4.
        bare: the entry's name does not follow, or it has no name: only the hash part is replaced.
        overlapped: begins inside bytes an earlier hit has taken: takes no bytes, is not replaced.
    """

    offset: int
    length: int
    index: int  # type: ignore[assignment]  # not the method of tuples
    stride: int
    bare: bool
    overlapped: bool


class Table:
    """The wanted hash parts and their replacements.

    Args:
        entries: pairs of an old base name (`hash-name`) or hash part and a new one of the same form
            and length. The new one is None if the old one is only looked for.

    Attributes:
        span: the longest entry in UTF-32, in bytes from its first character to its last; 0 if the
            table is empty.

    Raises:
        BadTableError: as `checked` does.
    """

    __slots__ = ("_entries", "_indices", "span")

    def __init__(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._entries = checked(entries)
        self._indices = {old[:HASH_LENGTH]: index for index, (old, _) in enumerate(self._entries)}
        self.span = max((4 * len(old) - 3 for old, _ in self._entries), default=0)

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def hash_part(self, index: int) -> str:
        """The old hash part of an entry."""
        return self._entries[index][0][:HASH_LENGTH].decode()

    def find(self, data: Buffer, final: bool = True) -> tuple[list[Hit], int]:
        """Finds the hits that begin before the cut.

        Args:
            data: the bytes to search: any contiguous buffer.
            final: nothing follows them; else the search goes on with `data[cut:]` and the bytes
                that follow.

        Returns:
            The hits in ascending order of offset, and the cut, in bytes: all of `data` if it is
            final. Else no hit that takes bytes reaches over the cut, and less than `2 * span` bytes
            are behind it.
        """
        text = _contiguous(data)
        # Only a hit that begins before the limit can be judged: its name would end within the text.
        limit = len(text) if final or not self._entries else max(0, len(text) - self.span + 1)
        hits: list[Hit] = []
        taken = cut = 0
        for offset, stride, index in self._windows(text):
            if offset >= limit:
                break
            length, bare = self._extent(text, offset, stride, index)
            overlapped = offset < taken
            if not overlapped:
                taken = offset + length
                cut = offset
            hits.append(Hit(offset, length, index, stride, bare, overlapped))
        if taken <= limit:
            return hits, limit
        # The last hit that takes bytes reaches over the limit: it, and all that begins inside it,
        # is left for the next round. No other reaches so far, for taken bytes are disjoint.
        return [hit for hit in hits if hit.offset < cut], cut

    def rewrite(self, data: Buffer, final: bool = True) -> tuple[bytes, list[Hit], int]:
        """Replaces the hits that begin before the cut.

        Args:
            data: as for `find`.
            final: as for `find`.

        Returns:
            The bytes before the cut with the hits replaced, the hits, and the cut.
        """
        text = _contiguous(data)
        hits, cut = self.find(text, final)
        result = bytearray(text[:cut])
        for offset, length, index, stride, bare, overlapped in hits:
            new = self._entries[index][1]
            if new is not None and not overlapped:
                characters = new[:HASH_LENGTH] if bare else new
                result[offset : offset + length : stride] = characters
        return bytes(result), hits, cut

    def rewrite_in_place(
        self, data: WriteableBuffer, final: bool = True
    ) -> tuple[int, int, int, int]:
        """Replaces the hits that begin before the cut where they stand.

        Args:
            data: as for `find`, and writable. The bytes behind the cut stay unchanged, for the next
                call.
            final: as for `find`.

        Returns:
            The cut, and how many hits took bytes, how many of these were bare, and how many hits
            were overlapped.
        """
        with memoryview(data) as whole:
            if whole.readonly:
                raise BufferError("the buffer cannot be written to")
            result, hits, cut = self.rewrite(whole, final)
            with whole.cast("B") as view:
                view[:cut] = result
        taking = [hit for hit in hits if not hit.overlapped]
        return cut, len(taking), sum(hit.bare for hit in taking), len(hits) - len(taking)

    def _windows(self, text: bytes) -> list[tuple[int, int, int]]:
        """Offset, stride and index of every wanted hash part, in ascending order.

        No two have one offset: the byte after the first character tells the stride.
        """
        return sorted(
            (match.start(), stride, self._indices[characters])
            for stride, pattern in _WINDOWS.items()
            for match in pattern.finditer(text)
            if (characters := match[1][::stride]) in self._indices
        )

    def _extent(self, text: bytes, offset: int, stride: int, index: int) -> tuple[int, bool]:
        """The length in bytes of the hit at `offset`, and whether it is bare."""
        old = self._entries[index][0]
        encoded = bytearray(stride * (len(old) - 1) + 1)
        encoded[::stride] = old
        if len(old) > HASH_LENGTH and text.startswith(encoded, offset):
            return len(encoded), False
        return stride * (HASH_LENGTH - 1) + 1, True


def checked(
    entries: Iterable[tuple[bytes, bytes | None]],
) -> tuple[tuple[bytes, bytes | None], ...]:
    """The entries, if they make a table; every kernel's entries are checked here.

    Raises:
        BadTableError: an old or new one is no base name or hash part; or the lengths of an entry
            differ; or two entries have one old hash part.
    """
    pairs = tuple(entries)
    seen: dict[bytes, bytes] = {}
    for old, new in pairs:
        for base in (old, new):
            if base is not None and not _BASE_NAME.fullmatch(base):
                raise BadTableError(
                    f"'{_shown(base)}' is neither a hash part nor one with a dash and a name",
                    entry=_shown(base),
                )
        if new is not None and len(new) != len(old):
            raise BadTableError(
                f"'{_shown(old)}' and '{_shown(new)}' differ in length",
                entry=_shown(old),
                replacement=_shown(new),
            )
        hash_part = old[:HASH_LENGTH]
        if hash_part in seen:
            raise BadTableError(
                f"'{_shown(old)}' has the hash part of '{_shown(seen[hash_part])}'",
                entry=_shown(old),
            )
        seen[hash_part] = old
    return pairs


def _shown(base: bytes) -> str:
    return base.decode("utf-8", "backslashreplace")


def _contiguous(data: Buffer) -> bytes:
    """The bytes of a buffer; BufferError if they lie apart, as in every kernel."""
    if isinstance(data, bytes):
        return data
    with memoryview(data) as view:
        if not view.c_contiguous:
            raise BufferError("the buffer is not contiguous")
        return bytes(view)
