"""The pages of an SQLite database file, and the payloads that go on in overflow pages.

Source: the Database File Format of SQLite, sections 1.3, 1.6 and 2.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from graft.errors import BadFormatError

MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE = 2, 5, 10, 13
_ROOT_PAGE: Final = 3  # the column of sqlite_schema that has a tree's first page
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes, by serial type
_DEEPEST: Final = 64  # a tree of SQLite has 20 levels at most


class Span(NamedTuple):
    """A piece of a payload: where it begins and ends in the file."""

    start: int
    end: int


class Payload(NamedTuple):
    """A payload in more than one piece.

    Attributes:
        page: the number of the page in which it begins, from 1.
        spans: its pieces, in order.
    """

    page: int
    spans: tuple[Span, ...]


class DatabaseFile:
    """A database file.

    Args:
        data: all of it.

    Raises:
        BadFormatError: it is no SQLite database, or cut.
    """

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC) or len(data) < _HEADER:
            raise BadFormatError("no SQLite database")
        size = int.from_bytes(data[16:18])
        self._data = data
        self._page_size = 1 << 16 if size == 1 else size
        self._usable = self._page_size - data[20]
        if self._page_size < 512 or self._usable < 480:
            raise BadFormatError(f"an SQLite database with pages of {self._page_size} bytes")
        self._pages = len(data) // self._page_size
        self._visited: set[int] = set()

    def overflowing(self) -> Iterator[Payload]:
        """The payloads of all its tables and indexes that go on in overflow pages.

        Raises:
            BadFormatError: its pages are not the pages of a database.
        """
        # An overflow page begins with a page's number, of which the first byte is 0; no other page
        # of a tree begins so.
        if self._pages < 1 << 24 and not self._data[self._page_size :: self._page_size].count(0):
            return
        roots = [1]
        for payload in self._cells(1, 0):
            root = self._root(payload)
            roots += [root] if root else []
            if len(payload) > 1:
                yield Payload(1, tuple(payload))
        for root in dict.fromkeys(roots[1:]):
            for payload in self._cells(root, 0):
                if len(payload) > 1:
                    yield Payload(root, tuple(payload))

    def _root(self, spans: list[Span]) -> int:
        """The first page of the tree of a row of sqlite_schema; 0 for a row without a tree."""
        record = b"".join(self._data[span.start : span.end] for span in spans)
        header, at = _varint(record, 0)
        types = []
        while at < header:
            kind, at = _varint(record, at)
            types.append(kind)
        if len(types) <= _ROOT_PAGE:
            raise BadFormatError("a table of tables with rows that are too short")
        at = header + sum(_length(kind) for kind in types[:_ROOT_PAGE])
        kind = types[_ROOT_PAGE]
        return 1 if kind == 9 else int.from_bytes(record[at : at + _INTEGERS.get(kind, 0)])

    def _cells(self, page: int, depth: int) -> Iterator[list[Span]]:
        """The pieces of every payload of a tree."""
        if not 1 <= page <= self._pages or depth > _DEEPEST or page in self._visited:
            raise BadFormatError(f"a tree leads to page {page}, and the page is not in this tree")
        self._visited.add(page)
        data, base = self._data, (page - 1) * self._page_size
        at = base + (_HEADER if page == 1 else 0)
        kind, count = data[at], int.from_bytes(data[at + 3 : at + 5])
        if kind not in (_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE):
            raise BadFormatError(f"page {page} is not a page of a tree")
        interior = kind in (_INTERIOR_INDEX, _INTERIOR_TABLE)
        pointers = at + (12 if interior else 8)
        end = base + self._page_size
        for index in range(count):
            pointer = pointers + 2 * index
            cell = base + int.from_bytes(data[pointer : pointer + 2])
            if interior:
                yield from self._cells(int.from_bytes(data[cell : cell + 4]), depth + 1)
                cell += 4
            if kind != _INTERIOR_TABLE:
                size, cell = _varint(data, cell)
                if kind == _LEAF_TABLE:
                    cell = _varint(data, cell)[1]
                if cell > end:
                    raise BadFormatError(f"a cell of page {page} lies outside of it")
                yield self._payload(size, cell, table=kind == _LEAF_TABLE)
        if interior:
            yield from self._cells(int.from_bytes(data[at + 8 : at + 12]), depth + 1)

    def _payload(self, size: int, start: int, *, table: bool) -> list[Span]:
        usable, data = self._usable, self._data
        most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return [Span(start, start + size)]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
        spans, left = [Span(start, start + local)], size - local
        page = int.from_bytes(data[start + local : start + local + 4])
        while left > 0:
            if not 1 <= page <= self._pages or page in self._visited:
                raise BadFormatError(
                    f"a payload leads to page {page}, and the page is not in this payload"
                )
            self._visited.add(page)
            at = (page - 1) * self._page_size
            piece = min(left, usable - 4)
            spans.append(Span(at + 4, at + 4 + piece))
            left -= piece
            page = int.from_bytes(data[at : at + 4])
        return spans


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the offset behind it."""
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + index + 1
    raise AssertionError


def _length(kind: int) -> int:
    """Bytes of a value of a serial type."""
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else _INTEGERS.get(kind, 0)
