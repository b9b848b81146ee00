"""The SQLite database of valid paths, Nix's or Guix's: `schema` says how they differ.

Source: src/libstore/local-store.cc of Nix, for the meaning of a query and of a row.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import TypeVar

from graft.errors import BadFormatError, BadStorePathError, StoreError
from graft.formats.hashing import parse_hash
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import PathInfo
from graft.store.local_store.connection import Connection, connect, has_dotfile
from graft.store.local_store.schema import Schema, read_schema, translated

_log = logging.getLogger(__name__)

_COLUMNS = (
    "path",
    "hash",
    "registrationTime",
    "deriver",
    "narSize",
    "ultimate",
    "sigs",
    "ca",
)
# Parameters of one statement; SQLite's default limit was 999 before 3.32.
_MOST_PARAMETERS = 900

# The columns that another registration of a valid path changes: the facts about its bytes, and the
# trust in them.
_REGISTERED_ANEW = ("hash", "narSize", "ultimate", "sigs", "ca")


_Item = TypeVar("_Item")


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _MOST_PARAMETERS)):
        yield batch


def _marks(batch: Collection[object]) -> str:
    return ",".join("?" * len(batch))


class Database:
    """An open database.

    Args:
        directory: holds `db.sqlite` and `schema`.
        store_dir: the logical store directory all its paths are in.
        writable: whether `register` will be called.

    Attributes:
        schema: which tables it has.
        bad_rows: the texts of the rows that name no store path, as far as they were met. Nix up to
            2.3 has made some, and later ones read over them.

    Raises:
        StoreMissingError, SchemaError, StorePermissionError, StoreError: it cannot be opened.
    """

    def __init__(self, directory: str, store_dir: StoreDir, *, writable: bool) -> None:
        self.schema: Schema = read_schema(directory, store_dir)
        self._directory = directory
        self._store_dir = store_dir
        # By number, which is never given to a second path: each text is read and checked once, and
        # rows are found by their numbers, twice as fast as by texts.
        self._paths: dict[int, StorePath] = {}
        self._numbers: dict[StorePath, int] = {}
        self.bad_rows: set[str] = set()
        with translated(directory):
            self._connection = self._connect(writable=writable)

    def _connect(self, *, writable: bool) -> Connection:
        file = os.path.join(self._directory, "db.sqlite")
        uri = "file:" + urllib.parse.quote(os.path.abspath(file))
        # Without permission to write, WAL cannot make its shared memory; then only `immutable`
        # reads the file, and misses the changes still in the WAL, as Nix does.
        modes = ["mode=rw"] if writable else ["mode=ro", "immutable=1"]
        if has_dotfile(self.schema, os.environ):
            modes.insert(0, f"{modes[0]}&vfs=unix-dotfile")
        last: sqlite3.Error | None = None
        for mode in modes:
            with ExitStack() as opened:
                connection = connect(f"{uri}?{mode}")
                opened.enter_context(closing(connection))
                try:
                    connection.execute("select count(*) from sqlite_master").fetchone()
                except sqlite3.Error as error:
                    last = error
                    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                        break  # another way to open it would not see the lock
                    continue
                connection.execute("pragma foreign_keys = on")
                opened.pop_all()
                return connection
        raise last or sqlite3.OperationalError("unable to open database file")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the valid paths among `paths`."""
        infos: dict[StorePath, PathInfo] = {}
        with translated(self._directory):
            unknown = []
            for batch in _batches(paths):
                numbers = [self._numbers[path] for path in batch if path in self._numbers]
                infos.update(self._path_infos("id", numbers))
                # One that was deleted, and made valid again, has another number.
                unknown += [path for path in batch if path not in infos]
            for batch in _batches(unknown):
                infos.update(self._path_infos("path", list(map(self._store_dir.path, batch))))
        return infos

    def nar_sizes(self, paths: Iterable[StorePath]) -> dict[StorePath, int]:
        """The sizes of the NARs of the valid paths among `paths`, in bytes.

        Much less work than all that is registered of them.
        """
        sizes = {}
        with translated(self._directory):
            for batch in _batches(paths):
                full = {self._store_dir.path(path): path for path in batch}
                for text, size in self._connection.execute(
                    f"select path, narSize from ValidPaths where path in ({_marks(batch)})",  # noqa: S608 - only question marks
                    list(full),
                ):
                    sizes[full[text]] = size or 0
        return sizes

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        with translated(self._directory):
            rows = self._connection.execute("select path from ValidPaths").fetchall()
        return set(self._parsed(text for (text,) in rows))

    def referrers(self, paths: Iterable[StorePath]) -> dict[StorePath, set[StorePath]]:
        """The referrers of each of `paths`, itself included; the set is empty for a path that is
        not valid.
        """
        found: dict[StorePath, set[StorePath]] = {path: set() for path in paths}
        with translated(self._directory):
            for batch in _batches(found):
                # By numbers, as in `_path_infos`: a path may be referred to by all others.
                numbers = [
                    number
                    for number, text in self._connection.execute(
                        f"select id, path from ValidPaths where path in ({_marks(batch)})",  # noqa: S608 - only question marks
                        list(map(self._store_dir.path, batch)),
                    )
                    if number in self._paths or self._learn(number, text)
                ]
                rows = self._connection.execute(
                    f"select reference, referrer from Refs where reference in ({_marks(numbers)})",  # noqa: S608 - only question marks
                    numbers,
                ).fetchall()
                paths_of = self._paths
                self._read_referrers({referrer for _, referrer in rows} - paths_of.keys())
                for reference, referrer in rows:
                    if referrer in paths_of:  # else deleted between two questions, or a bad row
                        found[paths_of[reference]].add(paths_of[referrer])
        return found

    def derivers(self, path: StorePath) -> set[StorePath]:
        """The valid derivations that have a path, valid or not, as an output.

        The deriver in its registration is the one it was really built from, valid or not.
        """
        with translated(self._directory):
            rows = self._connection.execute(
                "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id "
                "where d.path = ?",
                (self._store_dir.path(path),),
            ).fetchall()
        return set(self._parsed(text for (text,) in rows))

    def built_by(self, derivation: StorePath) -> set[StorePath]:
        """The valid paths that were built from a derivation, valid or not, or are its outputs."""
        full = self._store_dir.path(derivation)
        with translated(self._directory):
            rows = self._connection.execute(
                "select path from ValidPaths where deriver = ? union "
                "select o.path from ValidPaths o where o.path in (select d.path from "
                "DerivationOutputs d join ValidPaths v on d.drv = v.id where v.path = ?)",
                (full, full),
            ).fetchall()
        return set(self._parsed(text for (text,) in rows))

    def outputs(self, derivation: StorePath) -> dict[str, StorePath]:
        """The outputs of a valid derivation, valid or not, by name; of another path nothing."""
        with translated(self._directory):
            rows = self._connection.execute(
                "select d.id, d.path from DerivationOutputs d join ValidPaths v on d.drv = v.id "
                "where v.path = ?",
                (self._store_dir.path(derivation),),
            ).fetchall()
        return {name: self._store_dir.parse(text) for name, text in rows}

    def _path_infos(
        self, column: str, values: Sequence[int | str]
    ) -> Iterator[tuple[StorePath, PathInfo]]:
        # Joins would give the text of each path once for every path that refers to it.
        columns = ", ".join(
            name if name in self.schema.columns else f"null as {name}" for name in _COLUMNS
        )
        rows = self._connection.execute(
            f"select id, {columns} from ValidPaths where {column} in ({_marks(values)})",  # noqa: S608 - constants and question marks
            values,
        ).fetchall()
        references: dict[int, list[int]] = {row[0]: [] for row in rows}
        # A row for each path, not for each reference: of those there are many more.
        for referrer, found in self._connection.execute(
            "select referrer, group_concat(reference, ' ') from Refs "  # noqa: S608 - only question marks
            f"where referrer in ({_marks(rows)}) group by referrer",
            list(references),
        ):
            references[referrer] = list(map(int, found.split()))
        paths = self._paths
        self._read_paths(set().union(*references.values()) - paths.keys())
        for number, text, digest, time, deriver, size, ultimate, signatures, address in rows:
            path = paths.get(number) or self._learn(number, text)
            try:
                referred = frozenset(map(paths.__getitem__, references[number]))
            except KeyError:
                continue  # deleted between two questions, else nothing it refers to could be
            yield (
                path,
                PathInfo(
                    path=path,
                    nar_hash=self._digest(text, digest),
                    nar_size=size or 0,
                    references=referred,
                    deriver=next(self._parsed([deriver] if deriver else []), None),
                    registration_time=time,
                    ultimate=bool(ultimate),
                    signatures=tuple((signatures or "").split()),
                    content_address=address or None,
                ),
            )

    def _read_paths(self, numbers: Iterable[int]) -> None:
        """Learns the texts of paths that are not known yet."""
        for batch in _batches(numbers):
            for number, text in self._connection.execute(
                f"select id, path from ValidPaths where id in ({_marks(batch)})",  # noqa: S608 - only question marks
                batch,
            ):
                self._learn(number, text)

    def _read_referrers(self, numbers: Iterable[int]) -> None:
        """Learns the texts of paths that are not known yet; bad rows are told of and left out."""
        for batch in _batches(numbers):
            for number, text in self._connection.execute(
                f"select id, path from ValidPaths where id in ({_marks(batch)})",  # noqa: S608 - only question marks
                batch,
            ).fetchall():
                for path in self._parsed([text]):
                    self._paths[number] = path
                    self._numbers[path] = number

    def _parsed(self, texts: Iterable[str]) -> Iterator[StorePath]:
        """The store paths of rows; a row that names no store path is told of and left out."""
        for text in texts:
            try:
                yield self._store_dir.parse(text)
            except BadStorePathError:
                if text not in self.bad_rows:
                    self.bad_rows.add(text)
                    _log.warning(
                        "warning: the database in '%s' has a row with the path %r, which is no "
                        "store path: the row is left out",
                        self._directory,
                        text,
                    )

    def _learn(self, number: int, text: str) -> StorePath:
        try:
            path = self._paths[number] = self._store_dir.parse(text)
        except BadStorePathError as error:
            raise StoreError(
                f"the nix database in '{self._directory}' has a row with the path {text!r}, which "
                "is no store path, and other paths refer to it",
                path=text,
            ) from error
        self._numbers[path] = number
        return path

    def _digest(self, path: str, text: str) -> bytes:
        try:
            return parse_hash(text)[1]
        except BadFormatError as error:
            raise StoreError(
                f"the nix database in '{self._directory}' has a broken hash for '{path}': {error}",
                path=path,
            ) from error

    def register(
        self,
        infos: Sequence[PathInfo],
        outputs: Mapping[StorePath, Mapping[str, StorePath]] | None = None,
    ) -> None:
        """Makes paths valid in one transaction; each one's references are valid or among them.

        A path that is already valid keeps its registration time and loses no reference.

        Args:
            outputs: the outputs of derivations among the paths, by their names; Nix asks for them.
        """
        told = [
            (name, self._store_dir.path(output), self._store_dir.path(derivation))
            for derivation, named in (outputs or {}).items()
            for name, output in named.items()
        ]
        names = list(self.schema.columns)
        rows = [tuple(map(self._row(info).get, names)) for info in infos]
        anew = [name for name in _REGISTERED_ANEW if name in names]
        references = [
            (self._store_dir.path(info.path), self._store_dir.path(reference))
            for info in infos
            for reference in info.references
        ]
        with translated(self._directory):
            self._connection.execute("begin immediate")
            try:
                self._connection.executemany(
                    f"insert into ValidPaths ({', '.join(names)}) "  # noqa: S608 - constants and question marks
                    f"values ({', '.join('?' * len(names))}) on conflict (path) do update set "
                    + ", ".join(f"{name} = excluded.{name}" for name in anew),
                    rows,
                )
                for referrer, reference in references:
                    self._insert_reference(referrer, reference)
                self._connection.executemany(
                    "insert or replace into DerivationOutputs (drv, id, path) "
                    "select id, ?, ? from ValidPaths where path = ?",
                    told,
                )
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # an interrupt may come after the commit
                    self._connection.execute("rollback")
                raise

    def _row(self, info: PathInfo) -> dict[str, object]:
        """The values of a path's registration in each column of the widest schema."""
        return {
            "path": self._store_dir.path(info.path),
            "hash": f"sha256:{info.nar_hash.hex()}",
            "registrationTime": info.registration_time,
            "deriver": self._store_dir.path(info.deriver) if info.deriver else None,
            "narSize": info.nar_size,
            "ultimate": 1 if info.ultimate else None,
            "sigs": " ".join(info.signatures) or None,
            "ca": info.content_address,
        }

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
