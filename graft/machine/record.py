"""Provenance: the grafts made in a store, their inputs, times, reasons and places.

It is graft's own record and nothing depends on it: the proof says whether a result is right, and
Nix knows nothing of the record. It is `graft/grafts.sqlite` in the store's state directory, which
all users may read. A user who may not write there, as on a multi-user Nix, has a record below
`$XDG_STATE_HOME/graft`; readers take both together.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from graft.errors import ProvenanceError
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.store.location import Location

_FORMAT: Final = 2  # of the tables; `pragma user_version` of the file
_ID_BYTES: Final = 5  # eight characters: enough for a lifetime of grafts, and short to type
_BUSY_SECONDS: Final = 60.0

_TABLES: Final = """
create table graft (
    id text primary key, time integer not null, ended integer, note text,
    tool_version text not null, user text not null, addressing text not null,
    bytes_written integer not null, bytes_shared integer not null);
create table root (graft text not null references graft, path text not null, new_path text not null,
    primary key (graft, path));
create table replacement (graft text not null references graft, old text not null,
    new text not null, primary key (graft, old));
create table cutoff (graft text not null references graft, path text not null,
    primary key (graft, path));
create table rewrite (graft text not null references graft, path text not null,
    new_path text not null, primary key (graft, path));
create table place (graft text not null references graft, kind text not null, link text not null,
    path text not null, new_path text not null, generation integer, time integer not null,
    made integer not null default 0, primary key (graft, kind, link, generation));
"""
# From an older format to the next one.
_UPGRADES: Final = {1: "alter table place add column made integer not null default 0"}


PlaceKind = Literal["profile", "link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRecord:
    """Where a new root was put.

    Attributes:
        kind: a profile, or a link that is a garbage collector root.
        link: the profile's path, or the link's; absolute.
        root: the original root.
        new_root: the grafted root.
        generation: the profile's that led to it.
        made: whether there was no link before.
    """

    kind: PlaceKind
    link: str
    root: StorePath
    new_root: StorePath
    generation: int | None = None
    made: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftRecord:
    """The record of one graft.

    Attributes:
        roots: each root and its grafted root.
        replacements: OLD to NEW.
        cutoffs: paths that were kept unchanged.
        rewrites: each path that was made anew, and its new name; aliases by the name of OLD.
        addressing: the origin of new names, `input` or `content`.
        places: where the new roots were put, first ones first.
        note: the note of its author.
        time: when it was made first, in seconds since 1970.
        ended: when it was taken back; None if it was not.
        tool_version: the version of the graft that made it.
        user: the name of the user that made it.
        bytes_written, bytes_shared: bytes of files' contents, when it was made first.
        number: how often the same was made, and taken back in between.
    """

    roots: Mapping[StorePath, StorePath]
    replacements: Mapping[StorePath, StorePath]
    cutoffs: frozenset[StorePath]
    rewrites: Mapping[StorePath, StorePath]
    addressing: str
    places: tuple[PlaceRecord, ...] = ()
    note: str | None = None
    time: int
    ended: int | None = None
    tool_version: str
    user: str
    bytes_written: int = 0
    bytes_shared: int = 0
    number: int = 1

    @property
    def id(self) -> str:
        """Its short name: a function of the request, the result and the number."""
        lines = [
            self.addressing,
            *(f"root {old} {new}" for old, new in sorted(self.roots.items())),
            *(f"replace {old} {new}" for old, new in sorted(self.replacements.items())),
            *(f"cutoff {path}" for path in sorted(self.cutoffs)),
        ]
        digest = hashlib.sha256("\n".join(lines).encode()).digest()
        name = nix32_encode(digest[:_ID_BYTES])
        return name if self.number == 1 else f"{name}-{self.number}"

    def is_named(self, name: str) -> bool:
        """Whether somebody who says `name` may mean this graft.

        It is its id, or of an OLD the package name, the name with its version, the base name, or
        the full path.
        """
        return name == self.id or any(
            name.rpartition("/")[2] in {old, old.name, old.package_name}
            for old in self.replacements
        )


class Provenance:
    """The grafts of a store.

    Args:
        location: the store's location.
        environment: XDG_STATE_HOME and HOME say where this user's own record is.

    Attributes:
        own: the file of this user's own record, which need not exist.
    """

    def __init__(self, location: Location, environment: Mapping[str, str]) -> None:
        self._shared = os.path.join(location.state_dir, "graft", "grafts.sqlite")
        home = environment.get("HOME") or os.path.expanduser("~")
        base = environment.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
        digest = hashlib.sha256(os.fsencode(os.path.realpath(location.state_dir))).digest()
        name = f"grafts-{nix32_encode(digest[:_ID_BYTES])}.sqlite"
        self.own = os.path.join(base, "graft", name)

    @property
    def file(self) -> str:
        """The file that this user writes."""
        place = self._shared
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        return self._shared if os.access(place, os.W_OK) else self.own

    def record(self, graft: GraftRecord) -> GraftRecord:
        """Writes a graft down, or that one which is known was made again or put elsewhere.

        A graft that was taken back stays so: the same graft is another one, with the next number.

        Returns:
            The graft, with its number.

        Raises:
            ProvenanceError: the file cannot be written.
        """
        ended = {one.id for one in self.grafts() if one.ended is not None}
        while graft.id in ended:
            graft = replace(graft, number=graft.number + 1)
        with self._written() as connection:
            connection.execute(
                "insert into graft values (?, ?, null, ?, ?, ?, ?, ?, ?) on conflict (id) do update"
                " set ended = null, note = coalesce(excluded.note, note)",
                (
                    graft.id,
                    graft.time,
                    _stored(graft.note),
                    graft.tool_version,
                    graft.user,
                    graft.addressing,
                    graft.bytes_written,
                    graft.bytes_shared,
                ),
            )
            for table, pairs in (
                ("root", graft.roots),
                ("replacement", graft.replacements),
                ("rewrite", graft.rewrites),
            ):
                connection.executemany(
                    f"insert or ignore into {table} values (?, ?, ?)",  # noqa: S608 - our own names
                    [(graft.id, old, new) for old, new in pairs.items()],
                )
            connection.executemany(
                "insert or ignore into cutoff values (?, ?)",
                [(graft.id, path) for path in graft.cutoffs],
            )
            connection.executemany(
                "insert or replace into place values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        graft.id,
                        place.kind,
                        _stored(place.link),
                        place.root,
                        place.new_root,
                        place.generation,
                        graft.time,
                        place.made,
                    )
                    for place in graft.places
                ],
            )
        return graft

    def end(self, graft: GraftRecord, time: int) -> None:
        """Writes down that a graft was taken back; a record that somebody else has made stays.

        Raises:
            ProvenanceError: the file cannot be written.
        """
        with self._written() as connection:
            connection.execute(
                "update graft set ended = ? where id = ? and ended is null", (time, graft.id)
            )

    def grafts(self) -> list[GraftRecord]:
        """All grafts, the ones taken back too, in the order of their times.

        Raises:
            ProvenanceError: a file cannot be read.
        """
        found: dict[str, GraftRecord] = {}
        for file in (self._shared, self.own):
            if os.path.exists(file):
                with _opened(file, "mode=ro") as connection:
                    for graft in _read(connection):
                        found[graft.id] = _joined(found.get(graft.id), graft)
        return sorted(found.values(), key=lambda graft: (graft.time, graft.id))

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        file = self.file
        try:
            os.makedirs(os.path.dirname(file), exist_ok=True)
        except OSError as error:
            raise ProvenanceError(
                f"cannot keep a record of grafts in '{file}': {error.strerror or ''}",
                path=file,
            ) from error
        with _opened(file, "mode=rwc") as connection:
            connection.execute("pragma foreign_keys = on")
            connection.execute("begin immediate")
            with connection:
                version = _version(connection)
                if version == 0:
                    for statement in _TABLES.split(";"):
                        connection.execute(statement)
                for older in range(version or _FORMAT, _FORMAT):
                    connection.execute(_UPGRADES[older])
                if version < _FORMAT:
                    connection.execute(f"pragma user_version = {_FORMAT}")
                yield connection


def user_name() -> str:
    """The name of the user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name here
        return str(os.geteuid())


@contextmanager
def _opened(file: str, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"file:{urllib.parse.quote(file)}?{mode}"
    try:
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as connection:
            if _version(connection) > _FORMAT:
                raise ProvenanceError(
                    f"the record of grafts '{file}' was written by a newer graft: use that one",
                    path=file,
                )
            yield connection
    except sqlite3.Error as error:
        raise ProvenanceError(
            f"cannot use the record of grafts '{file}': {str(error).lower()}", path=file
        ) from error


def _version(connection: sqlite3.Connection) -> int:
    """The format of the tables; 0 if a run has died before it made them: that is no record yet."""
    (version,) = connection.execute("pragma user_version").fetchone()
    assert isinstance(version, int)
    return version


def _stored(text: str | None) -> str | bytes | None:
    """A text for the record; one that holds bytes which are not UTF-8 is stored as these bytes."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _text(stored: str | bytes) -> str:
    return os.fsdecode(stored) if isinstance(stored, bytes) else stored


def _read(connection: sqlite3.Connection) -> Iterator[GraftRecord]:
    version = _version(connection)
    if version == 0:
        return
    made = "made" if version > 1 else "0"  # the first format has no such column
    for row in connection.execute(
        "select id, time, ended, note, tool_version, user, addressing, bytes_written, bytes_shared"
        " from graft"
    ).fetchall():
        name, time, ended, note, tool_version, user, addressing, written, shared = row

        def pairs(table: str, name: str = name) -> dict[StorePath, StorePath]:
            rows = connection.execute(
                f"select * from {table} where graft = ? order by rowid",  # noqa: S608
                (name,),
            )
            return {StorePath(old): StorePath(new) for _, old, new in rows}

        cutoffs = connection.execute("select path from cutoff where graft = ?", (name,))
        places = connection.execute(
            f"select kind, link, path, new_path, generation, {made} from place where graft = ?"  # noqa: S608 - our own names
            " order by time, rowid",
            (name,),
        )
        yield GraftRecord(
            roots=pairs("root"),
            replacements=pairs("replacement"),
            cutoffs=frozenset(StorePath(path) for (path,) in cutoffs),
            rewrites=pairs("rewrite"),
            addressing=addressing,
            places=tuple(
                PlaceRecord(
                    kind=kind,
                    link=_text(link),
                    root=StorePath(root),
                    new_root=StorePath(new_root),
                    generation=generation,
                    made=bool(made_anew),
                )
                for kind, link, root, new_root, generation, made_anew in places
            ),
            note=None if note is None else _text(note),
            number=int(name.partition("-")[2] or 1),
            time=time,
            ended=ended,
            tool_version=tool_version,
            user=user,
            bytes_written=written,
            bytes_shared=shared,
        )


def _joined(first: GraftRecord | None, second: GraftRecord) -> GraftRecord:
    """One graft from two records of it."""
    if first is None:
        return second
    return replace(
        first,
        places=tuple(dict.fromkeys((*first.places, *second.places))),
        note=first.note or second.note,
        time=min(first.time, second.time),
        ended=None if None in {first.ended, second.ended} else second.ended,
    )
