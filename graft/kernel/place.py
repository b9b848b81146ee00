"""Where a hash part stands: the one record of it, from the walk over a tree up to the proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from graft.kernel.reference import ENCODINGS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from graft.kernel import Table

FRAGMENT: Final = "fragment"
"""The encoding of a hash part that a compiler has cut up."""

Where = Literal["contents", "target", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place of a tree where a hash part stands.

    Attributes:
        file: relative to the tree's top, empty for the top itself; as the file system has it.
        container: the files inside files that lead to the place, outermost first: `gzip`,
            `tar:usr/bin/a`. Empty: it is in the file itself.
        where: in the contents, in the target of a symlink, or in a name.
        offset: the place of the first character in these, in bytes.
        encoding: `ascii`, `utf-16`, `utf-32`, FRAGMENT or a form of graft.objects.spellings.
        hash_part: 32 characters.
    """

    file: bytes
    container: tuple[str, ...] = ()
    where: Where
    offset: int
    encoding: str
    hash_part: str

    @property
    def is_spelled(self) -> bool:
        """Whether the hash part is spelled otherwise there: then no graft rewrites it."""
        return self.encoding != FRAGMENT and self.encoding not in ENCODINGS.values()


class Site(NamedTuple):
    """A text of a tree that is searched by itself; the attributes are a Place's.

    Attributes:
        file: whose it is.
        where: which text of the file.
        container: the files inside files that lead to it.
    """

    file: bytes
    where: Where
    container: tuple[str, ...] = ()

    def place(self, offset: int, encoding: str, hash_part: str) -> Place:
        """A place in the text."""
        return Place(
            file=self.file,
            container=self.container,
            where=self.where,
            offset=offset,
            encoding=encoding,
            hash_part=hash_part,
        )

    def places(self, table: Table, data: Buffer) -> Iterator[Place]:
        """The places where hash parts of a table stand in the open.

        Args:
            data: the whole text.
        """
        for hit in table.find(data)[0]:
            yield self.place(hit.offset, ENCODINGS[hit.stride], table.hash_part(hit.index))
