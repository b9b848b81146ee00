"""The schemas of store databases graft knows: Nix's of today, and Guix's.

Source: src/libstore/schema.sql and local-store.cc of Nix, from 1.11 on; for the parts that Guix has
kept, local-store.hh, local-store.cc and gc.cc in nix/libstore and guix/store/database.scm of Guix.
The file `schema` next to `db.sqlite` holds the version as a decimal text; rows of SchemaMigrations
that newer versions of Nix add do not change the tables used here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from graft.errors import SchemaError, StoreError, StoreMissingError, StorePermissionError
from graft.formats.store_path import StoreDir

_COMMON: Final = {
    "path": "text unique not null",
    "hash": "text not null",
    "registrationTime": "integer not null",
    "deriver": "text",
    "narSize": "integer",
}

_REFERENCES_AND_OUTPUTS: Final = """
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

_FAILED_PATHS: Final = """
create table if not exists FailedPaths (
    path text primary key not null,
    time integer not null
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One version of the tables.

    Attributes:
        name: whose it is, as `graft store init --schema` says it.
        version: the contents of the file `schema`.
        columns: the columns of ValidPaths, without `id`, and their declarations. A registration's
            other fields have no place in such a database, and are not kept.
        others: the rest of the tables.
        exact_temporary_roots: whether its collector keeps a tree that is not valid only if it has
            the name of a temporary root; else the hash part of one is enough.
    """

    name: str
    version: int
    columns: dict[str, str]
    others: str
    exact_temporary_roots: bool

    @property
    def script(self) -> str:
        """The statements that make the tables in an empty database."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return (
            "create table if not exists ValidPaths "
            f"(id integer primary key autoincrement not null, {columns});{self.others}"
        )


NIX: Final = Schema(
    name="nix",
    version=10,
    columns=_COMMON | {"ultimate": "integer", "sigs": "text", "ca": "text"},
    others=_REFERENCES_AND_OUTPUTS,
    exact_temporary_roots=False,
)
"""The schema of Nix since 2.0."""

GUIX: Final = Schema(
    name="guix",
    version=7,
    columns=_COMMON,
    others=_REFERENCES_AND_OUTPUTS + _FAILED_PATHS,
    exact_temporary_roots=True,
)
"""The schema of Guix, and of Nix 1.3 to 1.11."""

SCHEMAS: Final = {schema.name: schema for schema in (NIX, GUIX)}
"""All of them by name."""

_BY_VERSION: Final = {str(schema.version): schema for schema in SCHEMAS.values()}
_NIX_STORE_DIR: Final = "/nix/store"


def read_schema(directory: str, store_dir: StoreDir) -> Schema:
    """The schema of the database in a directory.

    Args:
        directory: holds `db.sqlite` and `schema`.
        store_dir: the logical store directory its paths are in.

    Raises:
        StoreMissingError: there is no database.
        SchemaError: it has a schema version graft does not know, or is one of an old Nix.
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
    schema = _BY_VERSION.get(text)
    if schema is None or not _belongs(schema, store_dir):
        raise SchemaError(
            f"the database in '{directory}' has schema version {text or 'unknown'!r}, and graft "
            f"knows only {NIX.version} of nix and {GUIX.version} of guix: open the store once with "
            "a newer nix, or use a newer graft",
            path=directory,
            schema=text,
        )
    return schema


def _belongs(schema: Schema, store_dir: StoreDir) -> bool:
    """Whether a database in that schema may be a store directory's: Guix never has /nix/store,
    and there version 7 is a Nix before 2.0, which has upgraded its databases since.
    """
    return schema is not GUIX or store_dir != _NIX_STORE_DIR


def takes_record_locks(store_dir: StoreDir) -> bool:
    """Whether a daemon that takes record locks may work on a store, as Guix's does.

    Only a store of Nix is sure not to have it. In other stores record locks do no harm, unless a
    file system of the network makes flock locks of them.
    """
    return store_dir != _NIX_STORE_DIR


def create_database(directory: str, schema: Schema) -> None:
    """Makes an empty database, in Nix's default journal mode, and then its `schema` file.

    Args:
        schema: one that `check_schema` accepts for the store.

    Raises:
        StoreError: SQLite cannot make it.
    """
    with translated(directory):
        database = os.path.join(directory, "db.sqlite")
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(schema.script)
    with open(os.path.join(directory, "schema"), "w", encoding="ascii") as stream:
        stream.write(str(schema.version))


def check_schema(schema: Schema, store_dir: StoreDir) -> None:
    """Makes sure that a new store may have this schema.

    Raises:
        SchemaError: it is not used in that store directory.
    """
    if not _belongs(schema, store_dir):
        raise SchemaError(
            f"a store with the schema of {schema.name} cannot have the store directory "
            f"'{store_dir}': name another with 'local?store=DIR&state=DIR'",
            schema=str(schema.version),
            store_dir=str(store_dir),
        )


@contextmanager
def translated(directory: str) -> Iterator[None]:
    """Turns the errors of SQLite into StoreError; `directory` is the database's."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"the nix database in '{directory}' cannot be used: {str(error).lower()}",
            path=directory,
        ) from error
