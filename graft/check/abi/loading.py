"""Which libraries a program or library gets, as glibc's loader chooses them.

Source: elf/dl-load.c (_dl_map_object, _dl_init_paths) and elf/dl-deps.c of glibc 2.36. In the place
of libraries for some processors only (glibc-hwcaps) the one for all is taken. Libraries of the
machine outside the store are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from graft.check.abi.object_contents import DIRECTORY, LOADER_CACHE
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import ObjectEntry, World
from graft.formats.elf.dynamic import Elf
from graft.formats.elf.loader_cache import (
    cache_place,
    default_directories,
    flags_of_kind,
    parse_loader_cache,
)
from graft.formats.store_path import StorePath

Machine = tuple[int, int, int]

_ORIGIN: Final = (b"$ORIGIN", b"${ORIGIN}")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A file in the memory of a process.

    Attributes:
        place: where it lies.
        elf: its needs.
        origin: the directory it was found in.
        chain: the files whose RPATH counts for its needs as well, nearest first: itself perhaps,
            and the files that have needed it.
    """

    place: ObjectEntry
    elf: Elf
    origin: ObjectEntry
    chain: tuple[Loaded, ...]


@dataclass(slots=True)
class LoadScope:
    """The loaded files of one program, or of one library taken as a program.

    Attributes:
        objects: breadth first, the program itself included.
        names: the loaded files by the names that were needed, and by their sonames.
        unresolved: the names that were not found, by the file that needs them: with a file of that
            name for another machine, if there is one.
        interpreter: the loader a program asks for, if it is there.
    """

    objects: list[Loaded] = field(default_factory=list)
    names: dict[bytes, Loaded] = field(default_factory=dict)
    unresolved: dict[tuple[ObjectEntry, bytes], ObjectEntry | None] = field(default_factory=dict)
    interpreter: ObjectEntry | None = None


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The built-in paths of a loader.

    Attributes:
        directories: where it looks at last.
        cache: its list of libraries, full paths by name.
        within: the store path it is in.
    """

    directories: tuple[ObjectEntry, ...]
    cache: Mapping[bytes, bytes]
    within: StorePath


@dataclass(frozen=True, slots=True)
class _Found:
    """A file of the right name.

    Attributes:
        file: where it is.
        origin: the directory it was found in.
        fits: whether it is a library for the right machine; if not, the loader looks on.
    """

    file: ObjectEntry
    origin: ObjectEntry
    fits: bool


class Loading:
    """The loader's work in one world, as far as it can be told from files.

    Args:
        interpreters: by machine, loaders for files without an interpreter, each a text and the path
            it stands in: the first one that is there loads them.
    """

    def __init__(
        self,
        world: World,
        contents: StoreContents,
        interpreters: Mapping[Machine, Sequence[tuple[bytes, StorePath]]],
    ) -> None:
        self.world = world
        self._contents = contents
        self._interpreters = interpreters
        self._default_loaders: dict[Machine, ObjectEntry | None] = {}
        self._defaults: dict[tuple[ObjectEntry, Machine], _Defaults] = {}
        self._directories: dict[
            tuple[ObjectEntry, ObjectEntry, bytes], tuple[ObjectEntry, ...]
        ] = {}
        self._found: dict[tuple[object, ...], list[tuple[bytes, _Found | None]]] = {}
        self._found_last: dict[tuple[ObjectEntry, Machine, bytes], _Found | None] = {}

    def scope(self, place: ObjectEntry, elf: Elf) -> LoadScope:
        """The files that the loader loads with the file at a place."""
        scope = LoadScope()
        origin = ObjectEntry(place.path, place.name.rpartition(b"/")[0])
        first = _loaded(place, elf, origin, ())
        by_place = {place: first}
        scope.objects.append(first)
        if elf.soname is not None:
            scope.names[elf.soname] = first
        loader = self._loader(place, elf, scope)
        for user in scope.objects:  # it grows meanwhile
            for name, found in self._needed(user, loader):
                if name in scope.names:
                    continue
                if loader is not None and name == loader.elf.soname:
                    scope.names[name] = by_place[loader.place] = loader
                    scope.objects.append(loader)
                    continue
                if found is None or not found.fits:
                    scope.unresolved[user.place, name] = found.file if found is not None else None
                    continue
                known = by_place.get(found.file)
                if known is None:
                    thing = self.world.thing(found.file)
                    assert isinstance(thing, Elf)
                    known = _loaded(found.file, thing, found.origin, user.chain)
                    by_place[found.file] = known
                    scope.objects.append(known)
                    if thing.soname is not None:
                        scope.names.setdefault(thing.soname, known)
                scope.names[name] = known
        return scope

    def _loader(self, place: ObjectEntry, elf: Elf, scope: LoadScope) -> Loaded | None:
        """The loader of a file, already there before anything is looked for."""
        if elf.interpreter is not None:
            found = scope.interpreter = self.world.resolve(elf.interpreter, place.path)
        else:
            found = self._default_loader(elf.machine)
        thing = self.world.thing(found) if found is not None else None
        if found is None or not isinstance(thing, Elf) or found == place:
            return None
        return _loaded(found, thing, ObjectEntry(found.path, found.name.rpartition(b"/")[0]), ())

    def _default_loader(self, machine: Machine) -> ObjectEntry | None:
        if machine not in self._default_loaders:
            # Some name one outside the store, as a libc of Debian that can be started does.
            named = (self.world.resolve(*one) for one in self._interpreters.get(machine, ()))
            fitting = (place for place in named if place and self._fits(place, machine))
            self._default_loaders[machine] = next(fitting, None)
        return self._default_loaders[machine]

    def _needed(self, user: Loaded, loader: Loaded | None) -> list[tuple[bytes, _Found | None]]:
        """All needed names of a file, and the file found for each."""
        chain = tuple(one.place for one in user.chain)
        key = (user.place, user.origin, chain, loader and loader.place)
        if key not in self._found:
            self._found[key] = [
                (name, self._search(user, name, loader)) for name in user.elf.needed
            ]
        return self._found[key]

    def _search(self, user: Loaded, name: bytes, loader: Loaded | None) -> _Found | None:
        machine = user.elf.machine
        if b"/" in name:
            text = _expanded(name)
            return self._found_at(self._resolved(text, user), machine) if text else None
        other: _Found | None = None
        # "If both RUNPATH and RPATH are given, the latter is ignored", and so are its parents'.
        chain = user.chain if user.elf.runpath is None else ()
        searched = [(owner, owner.elf.rpath) for owner in chain] + [(user, user.elf.runpath)]
        for owner, search_path in searched:
            found = self._look(self._directories_of(owner, search_path or b""), name, machine)
            if found is not None and found.fits:
                return found
            other = other or found
        if loader is None or user.elf.no_default_directories:
            return other
        last = (loader.place, machine, name)
        if last not in self._found_last:
            self._found_last[last] = self._search_last(loader.place, machine, name)
        return self._found_last[last] or other

    def _search_last(self, loader: ObjectEntry, machine: Machine, name: bytes) -> _Found | None:
        defaults = self._defaults.get((loader, machine))
        if defaults is None:
            defaults = self._defaults[loader, machine] = self._built_in(loader, machine)
        if name in defaults.cache:
            place = self.world.resolve(defaults.cache[name], defaults.within)
            found = self._found_at(place, machine)
            if found is not None and found.fits:
                return found
        return self._look(defaults.directories, name, machine)

    def _look(
        self, directories: tuple[ObjectEntry, ...], name: bytes, machine: Machine
    ) -> _Found | None:
        other: _Found | None = None
        for directory in directories:
            file = self.world.walk(directory, name)
            if file is not None:
                found = _Found(file, directory, self._fits(file, machine))
                if found.fits:
                    return found
                other = other or found
        return other

    def _found_at(self, place: ObjectEntry | None, machine: Machine) -> _Found | None:
        if place is None:
            return None
        origin = ObjectEntry(place.path, place.name.rpartition(b"/")[0])
        return _Found(place, origin, self._fits(place, machine))

    def _fits(self, file: ObjectEntry, machine: Machine) -> bool:
        thing = self.world.thing(file)
        return isinstance(thing, Elf) and thing.machine == machine

    def _directories_of(self, owner: Loaded, text: bytes) -> tuple[ObjectEntry, ...]:
        key = (owner.place, owner.origin, text)
        found = self._directories.get(key)
        if found is None:
            places = [
                self._resolved(one, owner)
                for element in text.split(b":")
                if (one := _expanded(element)) is not None
            ]
            found = self._directories[key] = tuple(
                place
                for place in dict.fromkeys(places)
                if place is not None and self.world.thing(place) == DIRECTORY
            )
        return found

    def _resolved(self, text: bytes, owner: Loaded) -> ObjectEntry | None:
        """Where a text leads to that may begin with $ORIGIN."""
        if text.startswith(_ORIGIN[0]):
            return self.world.walk(owner.origin, text[len(_ORIGIN[0]) :])
        return self.world.resolve(text, owner.place.path)

    def _built_in(self, loader: ObjectEntry, machine: Machine) -> _Defaults:
        data = self._contents[loader.path].data(loader.name)
        resolve = self.world.resolve
        places = [resolve(text, loader.path) for text in default_directories(data)]
        cache: Mapping[bytes, bytes] = {}
        place, flags = cache_place(data), flags_of_kind(machine[0], machine[2])
        file = resolve(place, loader.path) if place is not None else None
        if file is not None and flags is not None and file.name.endswith(LOADER_CACHE):
            cache = parse_loader_cache(self._contents[file.path].data(file.name), flags)
        return _Defaults(tuple(one for one in places if one is not None), cache, loader.path)


def _loaded(place: ObjectEntry, elf: Elf, origin: ObjectEntry, chain: tuple[Loaded, ...]) -> Loaded:
    loaded = Loaded(place, elf, origin, chain)
    return loaded if elf.rpath is None else replace(loaded, chain=(loaded, *chain))


def _expanded(element: bytes) -> bytes | None:
    """An element of a search path; None for one that means the working directory, or a machine."""
    if element.startswith(_ORIGIN[1]):
        element = _ORIGIN[0] + element[len(_ORIGIN[1]) :]
    rest = element.removeprefix(_ORIGIN[0])
    if b"$" in rest or (rest == element and not element.startswith(b"/")):
        return None
    return element
