"""Do the programs and libraries of a plan fit what they will load?

The check finds the loaded files of every ELF file of every rewritten path twice, before and after
the graft. Where one of the libraries is another, every file that is loaded with it must find the
same things there as before. Unchanged files are taken to work.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from graft.check.abi.breaks import AbiCheck, Break, in_order
from graft.check.abi.loading import Loaded, Loading, LoadScope, Machine
from graft.check.abi.object_contents import Broken, Script
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import ObjectEntry, world_after, world_before
from graft.errors import BadFormatError
from graft.formats.elf.dynamic import Elf, Exports, Imports
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.store.api import Source

# GLIBC_PRIVATE, Qt_5_PRIVATE_API, LIBVIRT_PRIVATE_9.0.0; systemd calls it otherwise.
_PRIVATE: Final = re.compile(rb"(?:^|[_.-])PRIVATE(?:$|[_.-])|^SD_SHARED$", re.IGNORECASE)


def check_abi(plan: Plan, source: Source, contents: StoreContents | None = None) -> AbiCheck:
    """Checks a plan before anything is written.

    Args:
        source: where the originals and every NEW are.
        contents: the contents of the source; objects that several plans share are read once.

    Raises:
        TreeError, CacheError, CorruptCacheError, BadFormatError: an object cannot be read.
    """
    if not plan.rewrites:
        return AbiCheck(store_dir=plan.store_dir)
    if contents is not None:
        return _Checking(plan, contents).run()
    with StoreContents(source) as own:
        return _Checking(plan, own).run()


@dataclass(frozen=True, slots=True)
class _Change:
    """A library in whose place another is loaded."""

    name: bytes
    was: Loaded
    now: Loaded | None


class _Checking:
    def __init__(self, plan: Plan, contents: StoreContents) -> None:
        self._plan = plan
        self._contents = contents
        self._imports: dict[ObjectEntry, Imports] = {}
        self._exports: dict[ObjectEntry, Exports] = {}
        self._unchecked: dict[ObjectEntry, str] = {}
        self._breaks: dict[tuple[str, ObjectEntry, ObjectEntry | None, bytes], Break] = {}
        self._libraries: dict[tuple[ObjectEntry, ObjectEntry], None] = {}
        self._misfits: dict[
            tuple[ObjectEntry, bytes, ObjectEntry, ObjectEntry | None], tuple[Break, ...]
        ] = {}
        self._own_scopes: dict[ObjectEntry, LoadScope] = {}
        interpreters: defaultdict[Machine, list[tuple[bytes, StorePath]]] = defaultdict(list)
        before = world_before(plan, self._contents)
        self._before = Loading(before, self._contents, interpreters)
        self._after = Loading(world_after(plan, self._contents), self._contents, interpreters)
        self._interpreters = interpreters

    def run(self) -> AbiCheck:
        """The whole check."""
        programs: dict[ObjectEntry, Elf] = {}
        for rewrite in self._plan.rewrites:
            for name, thing in self._contents[rewrite.path].files():
                place = ObjectEntry(rewrite.path, name)
                if isinstance(thing, Script):
                    self._check_interpreter(place, thing.interpreter, None)
                elif isinstance(thing, Broken):
                    self._unchecked[place] = thing.reason
                else:
                    programs[place] = thing
                    if thing.interpreter is not None:
                        named = (thing.interpreter, rewrite.path)
                        self._interpreters[thing.machine].append(named)
        for place, elf in programs.items():
            self._check(place, elf)
        return AbiCheck(
            store_dir=self._plan.store_dir,
            breaks=in_order(self._breaks.values()),
            unchecked=tuple(sorted(self._unchecked.items())),
            libraries=tuple(sorted(self._libraries)),
        )

    def _check(self, place: ObjectEntry, elf: Elf) -> None:
        if elf.interpreter is not None:
            self._check_interpreter(place, elf.interpreter, elf.machine)
        before, after = self._before.scope(place, elf), self._after.scope(place, elf)
        places = {one.place for one in before.objects}
        changes = list(_changes(before, after))
        for (user, name), other in after.unresolved.items():
            own = before if user in places else self._own_scope(user)
            if (user, name) not in own.unresolved:
                was = own.names[name].place if name in own.names else None
                reason = "library-missing" if other is None else "other-machine"
                self._add(reason, user, place, name=name, was=was, library=other)
        missing = {name for _, name in after.unresolved}
        for loaded in after.objects:
            known = loaded.place in places
            found = changes if known else _changes(self._own_scope(loaded.place), after)
            for change in found:
                if change.now is not None and change.now.place != change.was.place:
                    self._libraries[change.was.place, change.now.place] = None
                if change.name not in missing and change.was.place != loaded.place:
                    self._compare(loaded, change, after, place)

    def _own_scope(self, place: ObjectEntry) -> LoadScope:
        """The files that a library from elsewhere loads in its own place."""
        if place not in self._own_scopes:
            thing = self._before.world.thing(place)
            assert isinstance(thing, Elf)
            self._own_scopes[place] = self._before.scope(place, thing)
        return self._own_scopes[place]

    def _check_interpreter(self, place: ObjectEntry, text: bytes, machine: Machine | None) -> None:
        was = self._before.world.resolve(text, place.path)
        if was is None:
            return
        now = self._after.world.resolve(text, place.path)
        if now is None:
            self._add("interpreter-missing", place, place, name=text, was=was)
        elif machine is not None and now != was:
            thing = self._after.world.thing(now)
            if not isinstance(thing, Elf) or thing.machine != machine:
                self._add("other-machine", place, place, name=text, was=was, library=now)

    def _compare(
        self, user: Loaded, change: _Change, after: LoadScope, program: ObjectEntry
    ) -> None:
        now = change.now.place if change.now is not None else None
        key = (user.place, change.name, change.was.place, now)
        if key not in self._misfits:
            self._misfits[key] = tuple(self._misfits_of(user, change))
        for found in self._misfits[key]:
            symbols = found.symbols
            if found.reason == "symbol-missing":
                symbols = self._nowhere(frozenset(symbols), after)
                if not symbols:
                    continue
            self._add(
                found.reason,
                user.place,
                program,
                name=change.name,
                was=change.was.place,
                library=now,
                symbols=symbols,
            )

    def _misfits_of(self, user: Loaded, change: _Change) -> Iterator[Break]:
        """The things that one file does not find in one library, and found in the one before."""
        wants = self._imports_of(user.place)
        was = self._exports_of(change.was.place)

        def misfit(reason: str, symbols: frozenset[bytes] = frozenset()) -> Break:
            return Break(
                reason=reason,
                program=user.place,
                loaded_by=None,
                name=change.name,
                was=None,
                library=None,
                symbols=tuple(sorted(symbols)),
            )

        wanted = was.provided(wants.undefined | wants.copied.keys())
        if change.now is None:
            if wanted:
                yield misfit("symbol-missing", wanted)
            return
        now = self._exports_of(change.now.place)
        needed = wants.versions_needed.get(change.name, frozenset())
        if lacking := (needed & was.versions) - now.versions:
            yield misfit("version-missing", lacking)
        if lacking := wanted - now.provided(wanted):
            yield misfit("symbol-missing", lacking)
        sizes = {
            key
            for key in wanted & (was.thread_local | now.thread_local)
            if key in now.symbols and _thread_local(was, key) != _thread_local(now, key)
        }
        if sizes:
            yield misfit("thread-local-size", frozenset(sizes))
        copies = {
            key
            for key in wanted & wants.copied.keys()
            if key in now.symbols and now.symbols[key] != was.symbols.get(key)
        }
        if copies:
            yield misfit("copy-size", frozenset(copies))
        direct = change.name in user.elf.needed
        if direct and change.now.elf.soname != change.was.elf.soname is not None:
            yield misfit("other-soname")
        private = {version for version in needed if _PRIVATE.search(version)}
        if private and not self._same_build(user.place.path, change.now.place.path):
            used = {key for key in wants.undefined if key.partition(b"@")[2] in private}
            yield misfit("private-version", frozenset(used or private))

    def _imports_of(self, place: ObjectEntry) -> Imports:
        if place not in self._imports:
            try:
                self._imports[place] = self._contents[place.path].imports(place.name)
            except BadFormatError as error:
                self._unchecked[place] = error.message
                self._imports[place] = Imports.none()
        return self._imports[place]

    def _exports_of(self, place: ObjectEntry) -> Exports:
        if place not in self._exports:
            try:
                self._exports[place] = self._contents[place.path].exports(place.name)
            except BadFormatError as error:
                self._unchecked[place] = error.message
                self._exports[place] = Exports.none()
        return self._exports[place]

    def _nowhere(self, wanted: frozenset[bytes], scope: LoadScope) -> tuple[bytes, ...]:
        """The symbols that no loaded library will offer."""
        for one in scope.objects:
            wanted -= self._exports_of(one.place).provided(wanted)
            if not wanted:
                break
        return tuple(sorted(wanted))

    def _same_build(self, one: StorePath, other: StorePath) -> bool:
        if one == other:
            return True
        derivers = [self._plan.closure.infos[path].deriver for path in (one, other)]
        if None not in derivers:
            return derivers[0] == derivers[1]
        # The derivers are not known. NEWs that come together in the place of others are taken to be
        # of one build.
        return {one, other} <= set(self._plan.replacements.values())

    def _add(
        self,
        reason: str,
        program: ObjectEntry,
        loaded_by: ObjectEntry,
        *,
        name: bytes,
        was: ObjectEntry | None,
        library: ObjectEntry | None = None,
        symbols: tuple[bytes, ...] = (),
    ) -> None:
        key = (reason, program, library or was, name)
        known = self._breaks.get(key)
        if known is not None:
            union = tuple(sorted({*known.symbols, *symbols}))
            self._breaks[key] = replace(known, symbols=union)
            return
        self._breaks[key] = Break(
            reason=reason,
            program=program,
            loaded_by=loaded_by if loaded_by != program else None,
            name=name,
            was=was,
            library=library,
            symbols=symbols,
        )


def _changes(before: LoadScope, after: LoadScope) -> Iterator[_Change]:
    for name, was in before.names.items():
        now = after.names.get(name)
        if now is None or now.place != was.place:
            yield _Change(name, was, now)


def _thread_local(exports: Exports, key: bytes) -> int | None:
    return exports.symbols.get(key) if key in exports.thread_local else None
