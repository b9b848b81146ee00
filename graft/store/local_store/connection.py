"""Connections to SQLite databases that Nix and Guix lock, too.

Source: openDB in src/libstore/sqlite.cc of Nix. Since 2.5 Nix locks a database by the directory
`db.sqlite.lock`, SQLite's way `unix-dotfile`, where its setting `use-sqlite-wal` is off. SQLite's
default way does not see that lock: it takes the journal of a writer at work for one of a dead
writer, and writes.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from graft.errors import GraftError
from graft.store.local_store.schema import NIX, Schema
from graft.store.nix_conf_files import uses_wal

_log = logging.getLogger(__name__)

_STEP_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 600.0
_FIRST_DOTFILE: Final = (2, 5)

_Result = TypeVar("_Result")


class Connection(sqlite3.Connection):
    """A connection that waits for the locks of others, says so, and can be interrupted meanwhile.

    SQLite's own wait is one call of C, in which Python handles no signal.

    Raises:
        sqlite3.OperationalError: another process has held a lock for ten minutes. And all other
            errors of SQLite.
    """

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """As of the base class."""
        return _patiently(super().execute, arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """As of the base class; the statement may run again for rows that it has had."""
        return _patiently(super().executemany, arguments)


def _patiently(call: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    begin = time.monotonic()
    told = False
    while True:
        try:
            return call(*arguments)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() - begin > _PATIENCE_SECONDS:
                raise
        if not told:
            _log.warning("waiting for another process that has locked the database")
            told = True


def connect(uri: str) -> Connection:
    """Opens a database of SQLite in autocommit mode, for use by any thread."""
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=_STEP_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )


def has_dotfile(schema: Schema, environment: Mapping[str, str]) -> bool:
    """Whether the Nix of this machine locks a database by a directory.

    A database that has a write-ahead log all the same cannot be opened so.

    Args:
        schema: the tables of the database.
        environment: Nix's settings and its programs are found by it.
    """
    if schema is not NIX:
        return False
    try:
        if uses_wal(environment):
            return False
    except GraftError as error:
        _log.warning("Nix's setting 'use-sqlite-wal' is not known, and taken for true: %s", error)
        return False
    from graft.store.nix_version import nix_version  # noqa: PLC0415 - late: it runs a program

    version = nix_version(environment)
    return version is None or version.numbers >= _FIRST_DOTFILE
