"""References that no search for hash parts sees: cut up by a compiler, or spelled otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from graft.contents import regular_files, search_file, texts
from graft.errors import TreeError
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.fragments import FragmentFinder, Seed
from graft.reading import as_tree
from graft.spellings import Spelled, SpellingFinder
from graft.store.objects import StoreObject
from graft.tree.report import Where

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

FRAGMENT: Final = "fragment"
"""What the encoding of a fragment is called; those of graft.spellings have names of their own."""

_ELF_HEAD: Final = 20


class Place(NamedTuple):
    """A place in some bytes.

    Attributes:
        offset: of its first byte.
        encoding: `fragment`, or a name of graft.spellings.
        hash_part: the 32 characters that it stands for.
    """

    offset: int
    encoding: str
    hash_part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReference:
    """A place in an object where a hash part stands, but not as such.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        offset: of the first byte in the contents, target or name.
        where: which of the three.
        encoding: as that of a Place.
        hash_part: 32 characters.
        path: whose hash part it is, if that is known.
    """

    file: bytes
    offset: int
    where: Where
    encoding: str
    hash_part: str
    path: StorePath | None


class DeepFinder:
    """Finds such references; made once and used by all threads.

    Args:
        paths: whose hash parts are looked for.
        hash_parts: more of them, of unknown paths.
    """

    def __init__(self, paths: Iterable[StorePath], hash_parts: Iterable[str] = ()) -> None:
        self._paths = {path.hash_part: path for path in paths}
        self._hash_parts = sorted({*hash_parts, *self._paths})
        encoded = [hash_part.encode() for hash_part in self._hash_parts]
        self._spellings = SpellingFinder(encoded)
        self._fragments = FragmentFinder((hash_part, None) for hash_part in encoded)

    def in_object(
        self, item: StoreObject, on_bytes: Callable[[int], object] = lambda _: None
    ) -> Iterator[DeepReference]:
        """Every place in an object; one that is a NAR lies in the temporary directory meanwhile.

        Args:
            on_bytes: called with the number of bytes read since the last call.

        Raises:
            TreeError, CacheError, CorruptCacheError: something cannot be read.
        """
        with as_tree(item) as tree:
            top = os.fsencode(tree.tree)
            for text in texts(top):
                for place in self.in_bytes(text.data):
                    yield self._reference(text.file, text.where, place)
            for file in regular_files(top):
                path = os.path.join(top, file) if file else top
                for place in self.in_file(path, on_bytes):
                    yield self._reference(file, "contents", place)

    def in_file(
        self, path: bytes, on_bytes: Callable[[int], object] = lambda _: None
    ) -> list[Place]:
        """Every place in a file, ascending. Only code that has fragments is in memory as a whole.

        Raises:
            TreeError: it cannot be read.
        """
        head = _read(path, _ELF_HEAD)
        seeds: list[Seed] = []
        places: list[Place] = []
        elf = self._fragments.is_elf(head)

        def find(view: memoryview) -> Iterator[Spelled | Seed]:
            spelled = self._spellings.find(view)
            return chain(spelled, self._fragments.seeds(view)) if elf else spelled

        for base, found in search_file(path, find, self._spellings.longest, on_bytes):
            if isinstance(found, Seed):
                seeds.append(found._replace(offset=base + found.offset))
            else:
                places.append(self._spelled(base, found))
        if self._fragments.is_promising(head, seeds):
            places += self._cut_up(_read(path))
        return sorted(places)

    def in_bytes(self, data: Buffer) -> list[Place]:
        """Every place in the contents of a file, or in any bytes, ascending."""
        with memoryview(data) as view:
            places = [self._spelled(0, found) for found in self._spellings.find(view)]
            if self._fragments.is_elf(bytes(view[:_ELF_HEAD])):
                places += self._cut_up(bytes(view))
        return sorted(places)

    def _spelled(self, base: int, found: Spelled) -> Place:
        return Place(base + found.offset, found.encoding, self._hash_parts[found.index])

    def _cut_up(self, data: bytes) -> Iterator[Place]:
        for found in self._fragments.find(data):
            yield Place(found.offset, FRAGMENT, self._hash_parts[found.index])

    def _reference(self, file: bytes, where: Where, place: Place) -> DeepReference:
        return DeepReference(
            file=file,
            offset=place.offset,
            where=where,
            encoding=place.encoding,
            hash_part=place.hash_part,
            path=self._paths.get(place.hash_part),
        )


def _read(path: bytes, size: int = -1) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(size)
    except OSError as error:
        shown = printable(path)
        raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error
