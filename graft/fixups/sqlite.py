"""SQLite databases (the Database File Format): indexes over text that changes can be out of order.

A database whose order still holds is rewritten as it stands. SQLite could make other indexes anew
(REINDEX), but what it leaves in the unused parts of their pages differs from version to version:
3.40 and 3.46 were seen to make different files. So others are left alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile

from graft.fixups.api import Fixup, Inside, LeftAloneError

_WAL = 2


class Sqlite(Fixup):
    """Rewritten as they stand, if that keeps them in order."""

    name = "sqlite"
    opens = False
    magics = ((0, b"SQLite format 3\0"),)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The database, rewritten."""
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
                    _check_order(database)
            except sqlite3.Error as error:
                raise LeftAloneError(f"SQLite cannot read it: {error}") from None
        return new


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
