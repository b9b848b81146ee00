"""Does every ELF file of a result find its libraries?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from graft.check.abi.loading import Loading, Machine
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import ObjectEntry, World, world_before, world_made
from graft.formats.elf.dynamic import Elf
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.store.api import Source


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Unresolved:
    """A library that is not found for a file, and was for its original.

    Attributes:
        place: the file of the result.
        library: the name that it needs.
    """

    place: ObjectEntry
    library: bytes


def unresolved(plan: Plan, source: Source, target: Source) -> tuple[Unresolved, ...]:
    """Reads the new paths of a plan that was carried out, and looks for the libraries they need.

    Paths that were there before are not asked: all they lead to is as it was.

    Args:
        source: where the originals are.
        target: where the result is.

    Raises:
        TreeError: an object cannot be read.
    """
    paths = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    with StoreContents(target) as made:
        missing = _missing(world_made(plan, made), made, list(paths))
    if not missing:
        return ()
    suspects = sorted({paths[found.place.path] for found in missing})
    with StoreContents(source) as originals:
        before = _missing(world_before(plan, originals), originals, suspects)
    known = {(found.place, found.library) for found in before}
    return tuple(
        sorted(
            found
            for found in missing
            if (ObjectEntry(paths[found.place.path], found.place.name), found.library) not in known
        )
    )


def _missing(world: World, contents: StoreContents, paths: list[StorePath]) -> set[Unresolved]:
    programs: dict[ObjectEntry, Elf] = {}
    interpreters: defaultdict[Machine, list[tuple[bytes, StorePath]]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        for name, thing in contents[path].files():
            if isinstance(thing, Elf):
                programs[ObjectEntry(path, name)] = thing
                if thing.interpreter is not None:
                    interpreters[thing.machine].append((thing.interpreter, path))
    loading = Loading(world, contents, interpreters)
    return {
        Unresolved(place=place, library=library)
        for place, elf in programs.items()
        for _, library in loading.scope(place, elf).unresolved
    }
