"""The store paths that people mean: names, versions, hash parts, files of libraries, advisories.

A word is never without an answer: it means paths, or it is unknown and its neighbours are named.
"Not hit" is an answer about things that are known.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from graft.errors import BadFormatError, BadStorePathError, InvalidPathError, UnknownNameError
from graft.formats.advisory import AdvisoryEntry
from graft.formats.drv_name import split_drv_name
from graft.formats.package_range import PackageRange, version_of
from graft.formats.store_path import StorePath
from graft.machine.patches import Patches
from graft.plan.path_names import HASH_PREFIX
from graft.store.local import LocalStore

_LIBRARY: Final = re.compile(r"[0-9A-Za-z_+\-.]+\.(?:so|dylib)(?:\.[0-9A-Za-z_.]+)?")
_LIBRARY_DIRECTORIES: Final = ("lib", "lib32", "lib64", "usr/lib", "usr/lib64")
_MOST_NEIGHBOURS: Final = 4
_LEAST_LIKENESS: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The store paths that some words mean.

    Attributes:
        asked: the paths that are meant, and are there.
        known: all paths of the same packages that are there, in any version.
        unversioned: paths with a name that was asked for, but no version to compare; not counted.
        by_revision: the paths that are meant because a bound covers the revisions of a version.
        patches: of each of `known` the vulnerabilities that patches in its derivation name.
        fixed: the paths that an advisory means, and whose patches fix all that it names.
        outside: the words that are known, and mean nothing that is there.
        unknown: the packages of advisories that are not there.
        open: why parts of advisories could not be compared, by the name of the package.
    """

    asked: frozenset[StorePath] = frozenset()
    known: frozenset[StorePath] = frozenset()
    unversioned: frozenset[StorePath] = frozenset()
    by_revision: frozenset[StorePath] = frozenset()
    patches: dict[StorePath, frozenset[str]] = field(default_factory=dict)
    fixed: frozenset[StorePath] = frozenset()
    outside: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    open: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Gathered:
    """The parts of a selection, as they come."""

    asked: set[StorePath] = field(default_factory=set)
    known: set[StorePath] = field(default_factory=set)
    unversioned: set[StorePath] = field(default_factory=set)
    by_revision: set[StorePath] = field(default_factory=set)
    fixed: set[StorePath] = field(default_factory=set)
    outside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    open: dict[str, str] = field(default_factory=dict)


def select(
    store: LocalStore,
    words: Iterable[str],
    advisory: Sequence[AdvisoryEntry] = (),
    *,
    paths: Iterable[StorePath] = (),
    held: Collection[StorePath] = frozenset(),
) -> Selection:
    """Finds the paths that words and advisories mean.

    A word is a path or a link to one; a base name; a package's name, alone, with a version behind a
    dash or with bounds; a hash part, or six of its characters or more; the file name of a library.
    A derivation means its valid outputs, and `PATH^OUTPUT` and `DRV^*` mean some of them.

    Args:
        advisory: the packages of advisories.
        paths: paths that are asked for as well, and need not be there.
        held: paths that are not valid, and that processes hold.

    Raises:
        UnknownNameError: no path has a name; the nearest names are in the message. For advisories:
            no package of them is there.
        InvalidPathError: a path is neither valid nor held.
        BadFormatError: a word has no such form.
    """
    words = list(words)
    choice = _Choice(store, frozenset(held))
    gathered = _Gathered()
    given = set(paths)
    gathered.asked |= given & (store.path_infos(given).keys() | choice.held)
    gathered.known |= gathered.asked
    for word in words:
        choice.take(word, gathered)
    patches = Patches(store)
    for entry in advisory:
        choice.take_entry(entry, gathered, patches)
    if advisory and not words and not given and not gathered.known:
        names = sorted({entry.name for entry in advisory})
        raise choice.unknown(names[0], f"no package of the advisory is in the store: {_and(names)}")
    return Selection(
        asked=frozenset(gathered.asked),
        known=frozenset(gathered.known),
        unversioned=frozenset(gathered.unversioned - gathered.asked),
        by_revision=frozenset(gathered.by_revision),
        patches={path: named for path in gathered.known if (named := patches.named(path))},
        fixed=frozenset(gathered.fixed - gathered.asked),
        outside=tuple(gathered.outside),
        unknown=tuple(dict.fromkeys(gathered.unknown)),
        open=gathered.open,
    )


class _Choice:
    """The paths of a store, by their names."""

    def __init__(self, store: LocalStore, held: frozenset[StorePath]) -> None:
        self._store = store
        self.held = held

    @cached_property
    def _paths(self) -> frozenset[StorePath]:
        return frozenset(self._store.valid_paths() | self.held)

    @cached_property
    def _by_package(self) -> dict[str, list[StorePath]]:
        found: dict[str, list[StorePath]] = defaultdict(list)
        for path in self._paths:
            found[path.package_name].append(path)
        return dict(found)

    def take(self, word: str, gathered: _Gathered) -> None:
        """Adds the paths that a word means."""
        word = word.strip()
        base, caret, outputs = word.partition("^")
        path = self._path(base)
        if path is not None:
            self._take_path(path, outputs if caret else None, gathered)
        elif not (self._take_name(base, gathered) or self._take_hash(base, gathered)):
            holders = self._holders(base) if _LIBRARY.fullmatch(base) else set()
            if not holders:
                raise self._unknown_word(word)
            gathered.asked |= holders
            gathered.known |= holders

    def _path(self, word: str) -> StorePath | None:
        """The path that a word names whole, or that it leads to as a link does."""
        try:
            return self._store.resolve(word)
        except BadStorePathError:
            if "/" in word:
                raise
            return None

    def _take_path(self, path: StorePath, outputs: str | None, gathered: _Gathered) -> None:
        there = path in self.held or bool(self._store.path_infos([path]))
        if not path.is_derivation and outputs is None:
            if not there:
                raise self._invalid(path)
            found = {path}
        else:
            found = self._outputs(path, there=there, names=outputs)
        gathered.asked |= found
        gathered.known |= found

    def _outputs(self, path: StorePath, *, there: bool, names: str | None) -> set[StorePath]:
        """The valid outputs of a derivation: all of them, or the ones with some names."""
        if path.is_derivation:
            derivation = path
        else:
            info = self._store.path_infos([path]).get(path)
            derivers = {info.deriver} if info and info.deriver else self._store.derivers(path)
            if not derivers:
                raise self._invalid(path)
            derivation = min(derivers)
        found = self._store.built_by(derivation)
        if not found and not there:
            raise self._invalid(path)
        if names in {None, "", "*"}:
            return found
        name = derivation.derivation_name
        wanted = {name if each == "out" else f"{name}-{each}" for each in (names or "").split(",")}
        chosen = {one for one in found if one.name in wanted}
        if not chosen:
            raise InvalidPathError(
                f"'{self._store.store_dir.path(path)}^{names}' is not in the store "
                f"'{self._store.url}': the outputs there are {_and(sorted(found))}",
                path=self._store.store_dir.path(path),
            )
        return chosen

    def _invalid(self, path: StorePath) -> InvalidPathError:
        full = self._store.store_dir.path(path)
        return InvalidPathError(
            f"path '{full}' is not in the store '{self._store.url}', and no process holds it: ask "
            "for the package by its name",
            path=full,
        )

    def _take_name(self, word: str, gathered: _Gathered) -> bool:
        """Whether a word is the name of a package, alone, or with versions."""
        derivation = word.endswith(".drv")
        try:
            wanted = PackageRange.parse(word.removesuffix(".drv"))
        except BadFormatError:
            wanted = PackageRange(name=word, bounds=())
            if word not in self._by_package:  # a name may hold a `=`
                raise
        if word in self._by_package and not derivation:
            wanted = PackageRange(name=word, bounds=())
        paths = self._by_package.get(wanted.name)
        if paths is None:
            return False
        known = {path for path in paths if not path.is_derivation}
        # The very name may have more in it than a version: that of an output.
        exact = {path for path in known if path.name == word}
        meant = exact or {path for path in known if wanted.contains(path)}
        if exact and all(path.name == f"{wanted.name}-{version_of(path)}" for path in exact):
            meant |= {path for path in known if wanted.contains(path)}
        gathered.asked |= meant
        gathered.known |= known
        gathered.by_revision |= {path for path in meant - exact if wanted.by_revision(path)}
        gathered.unversioned |= {path for path in known if wanted.contains(path) is None}
        if not meant:
            gathered.outside.append(word)
        return True

    def _take_hash(self, word: str, gathered: _Gathered) -> bool:
        if not HASH_PREFIX.fullmatch(word):
            return False
        found = {path for path in self._paths if path.startswith(word)}
        for path in found:
            self._take_path(path, None, gathered)
        return bool(found)

    def _holders(self, word: str) -> set[StorePath]:
        """The paths with a library of that file name, or of one that goes on behind a dot."""
        return {
            path
            for path in self._paths
            if not path.is_derivation
            and any(name == word or name.startswith(f"{word}.") for name in self._libraries(path))
        }

    def _libraries(self, path: StorePath) -> Iterator[str]:
        """The files in a path's directories of libraries, and one level below; links that leave the
        path are not its own.
        """
        tree = self._store.tree(path)
        for directory in _LIBRARY_DIRECTORIES:
            below: list[str] = []
            yield from _file_names(f"{tree}/{directory}", below)
            for place in below:
                yield from _file_names(place, [])

    def take_entry(self, entry: AdvisoryEntry, gathered: _Gathered, patches: Patches) -> None:
        """Adds the paths that an advisory means."""
        known, meant = self._of_entry(entry, gathered)
        if not known:
            gathered.unknown.append(entry.name)
            return
        gathered.known |= known
        if entry.open is not None:
            gathered.open[entry.name] = entry.open
            gathered.unversioned |= known
        needed = {one.upper() for one in entry.vulnerabilities}
        for path in meant:
            named = patches.named(path)
            is_fixed = needed <= named if entry.every else not needed.isdisjoint(named)
            (gathered.fixed if is_fixed else gathered.asked).add(path)

    def _of_entry(
        self, entry: AdvisoryEntry, gathered: _Gathered
    ) -> tuple[set[StorePath], set[StorePath]]:
        """The paths that are known, and the ones that are vulnerable but for patches."""
        if entry.derivation is not None:
            try:
                built = self._store.built_by(self._store.resolve(entry.derivation))
            except BadStorePathError:
                built = set()
            if built:
                return built, built
        known, meant = set(), set()
        for name, paths in self._by_package.items():
            if not entry.is_named(name):
                continue
            ranges = [replace(one, name=name) for one in entry.ranges]
            for path in paths:
                if path.is_derivation:
                    continue
                known.add(path)
                answers = {one: one.contains(path) for one in ranges}
                holding = [one for one, answer in answers.items() if answer]
                if holding:
                    meant.add(path)
                    if all(one.by_revision(path) for one in holding):
                        gathered.by_revision.add(path)
                elif None in answers.values():
                    gathered.unversioned.add(path)
        return known, meant

    def _unknown_word(self, word: str) -> UnknownNameError:
        what = "part of a hash or name" if HASH_PREFIX.fullmatch(word) else "name"
        return self.unknown(word, f"no valid path of the store has the {what} '{word}'")

    def unknown(self, word: str, said: str) -> UnknownNameError:
        """The error of a name that no path has, with the nearest names of the store."""
        end = re.search(r"[<>=^]|\Z", word)
        assert end is not None
        name = split_drv_name(word[: end.start()].strip())[0]
        near = self._neighbours(name)
        meant = f"did you mean {_or(near)}?" if near else "no name there is near it"
        return UnknownNameError(f"{said}: {meant}", name=word, nearest=near)

    def _neighbours(self, name: str) -> list[str]:
        """The names of packages that are nearest to a name, and packages with such a library."""
        names = {
            one.lower(): one
            for one, paths in self._by_package.items()
            if not all(path.is_derivation for path in paths)
        }
        wanted = name.lower()
        found = [names[wanted]] if wanted in names else []
        if _LIBRARY.fullmatch(f"{name}.so") and wanted.startswith("lib"):
            found += sorted({path.package_name for path in self._holders(f"{name}.so")})
        found += [
            names[one]
            for one in difflib.get_close_matches(
                wanted, names, n=_MOST_NEIGHBOURS, cutoff=_LEAST_LIKENESS
            )
        ]
        if len(wanted) >= 3:
            found += sorted((names[one] for one in names if wanted in one), key=len)
        return list(dict.fromkeys(found))[:_MOST_NEIGHBOURS]


def _file_names(place: str, directories: list[str]) -> Iterator[str]:
    """The files of a directory, without links to absolute paths; its directories go into a list."""
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                elif not (entry.is_symlink() and os.readlink(entry.path).startswith("/")):
                    yield entry.name
    except OSError:
        return  # no such directory, or the path was deleted


def _and(texts: Sequence[str]) -> str:
    return ", ".join(texts)


def _or(texts: Sequence[str]) -> str:
    shown = [f"'{text}'" for text in texts]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
