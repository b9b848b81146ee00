"""Nix's SQLite database of valid paths, schema 10.

Source: src/libstore/schema.sql and local-store.cc of Nix. The file `schema` beside the database
holds the version as a decimal text; rows of SchemaMigrations that newer versions of Nix add do not
change the tables used here.
"""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from graft.errors import (
    BadFormatError,
    SchemaError,
    StoreError,
    StoreMissingError,
    StorePermissionError,
)
from graft.formats.store_path import StoreDir, StorePath
from graft.hashing import parse_hash
from graft.store.api import PathInfo

SCHEMA_VERSION = 10

_BUSY_SECONDS = 600.0
# Of one statement; SQLite's default limit was 999 before 3.32.
_MOST_PARAMETERS = 900

_SCHEMA = """
create table if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer,
    sigs             text,
    ca               text
);
create table if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
"""


def check_schema(directory: str) -> None:
    """Makes sure that a database directory holds a database graft knows.

    Raises:
        StoreMissingError: there is no database.
        SchemaError: it has another schema version.
        StorePermissionError: this user may not read it.
    """
    file = os.path.join(directory, "schema")
    try:
        with open(file, encoding="ascii", errors="replace") as stream:
            text = stream.read(32).strip()
    except FileNotFoundError:
        raise StoreMissingError(
            f"there is no nix database in '{directory}': name another store with --store, or make "
            "one with 'graft store init'",
            path=directory,
        ) from None
    except PermissionError as error:
        raise StorePermissionError(
            f"you may not read '{file}': run as the owner of the store", path=file
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read '{file}': {error.strerror}", path=file) from error
    if text != str(SCHEMA_VERSION):
        raise SchemaError(
            f"the database in '{directory}' has schema version {text or 'unknown'!r}, and "
            f"graft knows only {SCHEMA_VERSION}: open the store once with a newer "
            "nix, or use a newer graft",
            path=directory,
            schema=text,
        )


def create_database(directory: str) -> None:
    """Makes an empty database, in Nix's default journal mode, and then its `schema` file."""
    with _translated(directory):
        connection = sqlite3.connect(os.path.join(directory, "db.sqlite"), isolation_level=None)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
    with open(os.path.join(directory, "schema"), "w", encoding="ascii") as stream:
        stream.write(str(SCHEMA_VERSION))


@contextmanager
def _translated(directory: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"the nix database in '{directory}' cannot be used: {str(error).lower()}",
            path=directory,
        ) from error


def _batches(items: Iterable[StorePath]) -> Iterator[list[StorePath]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _MOST_PARAMETERS)):
        yield batch


class Database:
    """An open database.

    Args:
        directory: holds `db.sqlite` and `schema`.
        store_dir: the logical store directory all its paths are in.
        writable: whether `register` will be called.

    Raises:
        StoreMissingError, SchemaError, StorePermissionError, StoreError: it cannot be opened.
    """

    def __init__(self, directory: str, store_dir: StoreDir, *, writable: bool) -> None:
        check_schema(directory)
        self._directory = directory
        self._store_dir = store_dir
        with _translated(directory):
            self._connection = self._connect(writable=writable)
            self._connection.execute("pragma foreign_keys = on")

    def _connect(self, *, writable: bool) -> sqlite3.Connection:
        file = os.path.join(self._directory, "db.sqlite")
        uri = "file:" + urllib.parse.quote(os.path.abspath(file))
        # Without permission to write, WAL cannot make its shared memory; then only `immutable`
        # reads the file, and misses what is still in the WAL, as Nix does.
        last: sqlite3.Error | None = None
        for mode in ["mode=rw"] if writable else ["mode=ro", "immutable=1"]:
            connection = sqlite3.connect(
                f"{uri}?{mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute("select count(*) from sqlite_master").fetchone()
            except sqlite3.Error as error:
                connection.close()
                last = error
            else:
                return connection
        raise last or sqlite3.OperationalError("unable to open database file")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """What is registered of those of `paths` that are valid."""
        infos: dict[StorePath, PathInfo] = {}
        with _translated(self._directory):
            for batch in _batches(paths):
                infos.update(self._path_infos(batch))
        return infos

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        with _translated(self._directory):
            rows = self._connection.execute("select path from ValidPaths").fetchall()
        return {self._store_dir.parse(text) for (text,) in rows}

    def _path_infos(self, batch: Sequence[StorePath]) -> Iterator[tuple[StorePath, PathInfo]]:
        marks = ",".join("?" * len(batch))
        texts = [self._store_dir.path(path) for path in batch]
        references: dict[str, set[StorePath]] = {}
        for referrer, reference in self._connection.execute(
            "select a.path, b.path from ValidPaths a join Refs on referrer = a.id "  # noqa: S608 - only question marks
            f"join ValidPaths b on reference = b.id where a.path in ({marks})",
            texts,
        ):
            references.setdefault(referrer, set()).add(self._store_dir.parse(reference))
        for (
            text,
            digest,
            size,
            deriver,
            time,
            ultimate,
            signatures,
            address,
        ) in self._connection.execute(
            "select path, hash, narSize, deriver, registrationTime, ultimate, sigs, ca "  # noqa: S608 - only question marks
            f"from ValidPaths where path in ({marks})",
            texts,
        ):
            path = self._store_dir.parse(text)
            yield (
                path,
                PathInfo(
                    path=path,
                    nar_hash=self._digest(text, digest),
                    nar_size=size or 0,
                    references=frozenset(references.get(text, ())),
                    deriver=self._store_dir.parse(deriver) if deriver else None,
                    registration_time=time,
                    ultimate=bool(ultimate),
                    signatures=tuple((signatures or "").split()),
                    content_address=address or None,
                ),
            )

    def _digest(self, path: str, text: str) -> bytes:
        try:
            return parse_hash(text)[1]
        except BadFormatError as error:
            raise StoreError(
                f"the nix database in '{self._directory}' has a broken hash for '{path}': {error}",
                path=path,
            ) from error

    def register(self, infos: Sequence[PathInfo]) -> None:
        """Makes paths valid in one transaction; each one's references are valid or among them.

        A path that is already valid keeps its registration time and loses no reference.
        """
        rows = [
            (
                self._store_dir.path(info.path),
                f"sha256:{info.nar_hash.hex()}",
                info.registration_time,
                self._store_dir.path(info.deriver) if info.deriver else None,
                info.nar_size,
                1 if info.ultimate else None,
                " ".join(info.signatures) or None,
                info.content_address,
            )
            for info in infos
        ]
        references = [
            (self._store_dir.path(info.path), self._store_dir.path(reference))
            for info in infos
            for reference in info.references
        ]
        with _translated(self._directory):
            self._connection.execute("begin immediate")
            try:
                self._connection.executemany(
                    "insert into ValidPaths "
                    "(path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) "
                    "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (path) do update set "
                    "hash = excluded.hash, narSize = excluded.narSize, "
                    "ultimate = excluded.ultimate, sigs = excluded.sigs, ca = excluded.ca",
                    rows,
                )
                for referrer, reference in references:
                    self._insert_reference(referrer, reference)
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # an interrupt may come after the commit
                    self._connection.execute("rollback")
                raise

    def _insert_reference(self, referrer: str, reference: str) -> None:
        row = self._connection.execute(
            "select id from ValidPaths where path = ?", (reference,)
        ).fetchone()
        if row is None:
            raise StoreError(
                f"'{referrer}' would be registered with a reference to '{reference}', which is not "
                "valid: make it valid first",
                path=referrer,
                reference=reference,
            )
        self._connection.execute(
            "insert into Refs (referrer, reference) "
            "select id, ? from ValidPaths where path = ? on conflict do nothing",
            (row[0], referrer),
        )
