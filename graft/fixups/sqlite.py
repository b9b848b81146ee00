"""SQLite databases (the Database File Format): indexes over text that changes are out of order.

A rewritten database whose order still holds stays as it is. Else its indexes are made anew by
SQLite, and what it writes of itself into the header (its version, a counter) is taken out again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile

from graft.fixups.api import Fixup, Inside, LeftAloneError

_COUNTER = slice(24, 28)
_WRITER = slice(92, 100)
_WAL = 2


class Sqlite(Fixup):
    """Indexes that the rewrite has put out of order."""

    name = "sqlite"
    opens = False
    magics = ((0, b"SQLite format 3\0"),)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The database, rewritten and in order."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        if _WAL in (data[18], data[19]):
            raise LeftAloneError("it has a write-ahead log, which may hold more of it")
        with tempfile.TemporaryDirectory(prefix="graft-") as directory:
            file = os.path.join(directory, "database")
            with open(file, "wb") as stream:
                stream.write(new)
            try:
                with contextlib.closing(sqlite3.connect(file)) as database:
                    if _has_other_orders(database):
                        raise LeftAloneError("it has tables whose order SQLite cannot make anew")
                    if _in_order(database):
                        return new
                    database.execute("REINDEX")
                    database.commit()
                    if not _in_order(database):
                        raise LeftAloneError("its indexes would be out of order")
            except sqlite3.Error as error:
                raise LeftAloneError(f"SQLite cannot put it in order: {error}") from None
            with open(file, "rb") as stream:
                made = bytearray(stream.read())
        made[_COUNTER], made[_WRITER] = data[_COUNTER], data[_WRITER]
        return bytes(made)


def _in_order(database: sqlite3.Connection) -> bool:
    return bool(database.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)])


def _has_other_orders(database: sqlite3.Connection) -> bool:
    """Tables without row ids are in their keys' order, and virtual ones in any."""
    statements = database.execute("SELECT upper(sql) FROM sqlite_master WHERE type = 'table'")
    return any(
        "VIRTUAL TABLE" in " ".join(sql.split()) or "WITHOUT ROWID" in " ".join(sql.split())
        for (sql,) in statements
        if sql
    )
