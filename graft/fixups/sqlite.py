"""SQLite databases (the Database File Format): indexes over text that changes can be out of order.

A database whose order still holds is rewritten as it stands, together with the texts that go on in
overflow pages. SQLite could make other indexes anew (REINDEX), but the bytes it leaves in the
unused parts of their pages differ from version to version: 3.40 and 3.46 were seen to make
different files. So others are left alone.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from typing import Final

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.formats.sqlite import MAGIC, DatabaseFile, Payload

_WAL: Final = 2

_PATH: Final = re.compile(rb"[0-9a-df-np-sv-z]{32}(?:-[0-9A-Za-z+._?=-]*)?")
_REACH: Final = 4 * 244  # bytes of the longest base name of a store path, in UTF-32

# A stranger's schema may ask for any work: a check of an ordinary database takes up to 3 steps of
# SQLite a byte. They are counted, for a limit in seconds would make names depend on the machine.
_STEPS_A_BYTE: Final = 20
_FREE_STEPS: Final = 20_000_000
_STRIDE: Final = 100_000


class Sqlite(Fixup):
    """Rewritten as they stand, if that keeps them in order."""

    name = "sqlite"
    version = 2
    opens = False
    packs = True
    magics = ((0, MAGIC),)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The database, rewritten."""
        del name
        plain = inside.plain(data)
        new = _with_overflowing(data, plain, inside)
        if new is data:
            return data
        if _WAL in (data[18], data[19]):
            raise LeftAloneError("it has a write-ahead log, which may hold more of it")
        try:
            with contextlib.closing(sqlite3.connect(":memory:")) as database:
                # In memory: a lack of room there is no property of the file, and has an error of
                # its own.
                database.deserialize(new)
                _limit(database, len(new))
                _check_order(database)
        except sqlite3.Error as error:
            raise LeftAloneError(f"SQLite cannot read it: {error}") from None
        return new


def _with_overflowing(data: bytes, plain: bytes, inside: Inside) -> bytes:
    """The plain rewrite, but with payloads that lie in several pages rewritten whole."""
    made: bytearray | None = None
    for payload in DatabaseFile(data).overflowing():
        if not _is_cut(data, payload):
            continue
        old = b"".join(data[start:end] for start, end in payload.spans)
        [new] = inside.members([(b"page %d" % payload.page, old)])
        if new is old:
            continue
        if len(new) != len(old):
            raise LeftAloneError("a text in its overflow pages would change its length")
        made = bytearray(plain) if made is None else made
        at = 0
        for start, end in payload.spans:
            made[start:end] = new[at : at + end - start]
            at += end - start
    return plain if made is None or made == plain else bytes(made)


def _is_cut(data: bytes, payload: Payload) -> bool:
    """Whether a store path may lie on the border of two of a payload's pieces."""
    for before, after in itertools.pairwise(payload.spans):
        left = data[max(before.start, before.end - _REACH) : before.end].replace(b"\0", b"")
        text = left + data[after.start : min(after.end, after.start + _REACH)].replace(b"\0", b"")
        if any(found.start() < len(left) < found.end() for found in _PATH.finditer(text)):
            return True
    return False


def _limit(database: sqlite3.Connection, size: int) -> None:
    """Bounds the time and the memory that a stranger's schema may take."""
    steps = itertools.count(_STRIDE, _STRIDE)
    most = _FREE_STEPS + _STEPS_A_BYTE * size
    database.set_progress_handler(lambda: next(steps) > most, _STRIDE)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, 1 << 16))
    database.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA temp_store = MEMORY")


def _check_order(database: sqlite3.Connection) -> None:
    # Tables without row ids are in their keys' order, which old versions do not check; virtual
    # ones are in an order of their own.
    statements = database.execute("SELECT upper(sql) FROM sqlite_master WHERE type = 'table'")
    for (sql,) in statements:
        words = " ".join((sql or "").split())
        if "VIRTUAL TABLE" in words or "WITHOUT ROWID" in words:
            raise LeftAloneError("it has tables whose order SQLite does not check")
    if database.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
        raise LeftAloneError(
            "its indexes would be out of order, and which bytes make them anew depends on SQLite"
        )
