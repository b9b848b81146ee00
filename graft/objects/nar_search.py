"""The search in a NAR that passes: references in the open, and hidden ones."""

from __future__ import annotations

from collections.abc import Iterable

from graft.kernel import HASH_LENGTH, Hit, Table
from graft.kernel.place import Place, Where
from graft.kernel.reference import ENCODINGS
from graft.objects.search import Findings, PassingFile


class NarSearch:
    """Looks for the wanted references in the bytes of a NAR that will not change any more.

    Args:
        wanted: the references that are looked for as they stand.
        findings: takes the hidden references.
        places: list the places found, not only which of `wanted` were.

    Attributes:
        names: the names that lead to the current entry.
        seen: indices of the wanted entries that stand anywhere.
        found: where they stand, if that was asked for.
    """

    def __init__(self, wanted: Table | None, findings: Findings | None, *, places: bool) -> None:
        self.names: list[bytes] = []
        self.seen: set[int] = set()
        self.found: list[Place] = []
        self._findings = findings
        self._passing: PassingFile | None = None  # the current file
        self._wanted = wanted or None
        self._places = places
        self._unsearched = b""  # contents in which a wanted reference may still begin
        self._position = 0  # in the contents, behind these bytes

    def enter(self, name: bytes) -> None:
        """An entry begins."""
        self.names.append(name)
        self.text(name, "name")

    def leave(self) -> None:
        """The entry is over."""
        if self.names:
            self.names.pop()

    def regular(self, size: int) -> None:
        """A file begins."""
        if self._findings is not None:
            name = self.names[-1] if self.names else b""
            self._passing = self._findings.passing_file(b"/".join(self.names), name, size)

    def text(self, text: bytes | memoryview, where: Where) -> None:
        """Looks through a name or a symlink's target."""
        if self._findings is not None and len(text) >= HASH_LENGTH:
            self._findings.text(b"/".join(self.names), where, bytes(text))
        if self._wanted is not None and len(text) >= HASH_LENGTH:
            self._note(self._wanted, self._wanted.find(text)[0], where, 0)

    def contents(self, data: memoryview, *, final: bool) -> None:
        """Looks through the next bytes of a file's contents."""
        if self._passing is not None:
            self._passing.more(data, final=final)
        if self._wanted is not None:
            base = self._position - len(self._unsearched)
            text = self._unsearched + data if self._unsearched else data
            hits, cut = self._wanted.find(text, final)
            self._note(self._wanted, hits, "contents", base)
            self._unsearched = b"" if final else bytes(text[cut:])
            self._position = 0 if final else self._position + len(data)

    def _note(self, wanted: Table, hits: Iterable[Hit], where: Where, base: int) -> None:
        for hit in hits:
            self.seen.add(hit.index)
            if self._places:
                self.found.append(
                    Place(
                        file=b"/".join(self.names),
                        where=where,
                        offset=base + hit.offset,
                        encoding=ENCODINGS[hit.stride],
                        hash_part=wanted.hash_part(hit.index),
                    )
                )
