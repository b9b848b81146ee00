"""Names in store objects, followed as they lead before a graft, and as they will after it.

No byte is written for that: a rewritten path has the files of its original, and its names lead
where the plan sends each reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from graft.check.abi.object_contents import DIRECTORY, Link, Thing
from graft.check.abi.store_contents import StoreContents
from graft.formats.store_path import HASH_PART_LENGTH, StoreDir, StorePath
from graft.plan import Plan

_MOST_LINKS: Final = 40  # as many as the kernel follows; ways out of an object count as well
_LONGEST: Final = 4096  # PATH_MAX


class ObjectEntry(NamedTuple):
    """A name in an object, no symlink and not reached through one.

    Attributes:
        path: the store path; the original of a rewritten one.
        name: relative to its top.
    """

    path: StorePath
    name: bytes


class World:
    """How names lead from object to object.

    Args:
        contents: the objects.
        store_dir: the logical store directory.
        paths: all that may be met.
        moves: by path, which of its references lead to which other object.
    """

    def __init__(
        self,
        contents: StoreContents,
        store_dir: StoreDir,
        paths: Iterable[StorePath],
        moves: Mapping[StorePath, Mapping[StorePath, StorePath]],
    ) -> None:
        self._contents = contents
        self._prefix = f"{store_dir}/".encode()
        self._moves = moves
        self._paths: dict[bytes, StorePath] = {}
        for path in paths:
            self._paths[path.encode()] = path
            # After an unequal length or a name alone in a text, the hash part says which it is.
            self._paths.setdefault(path.hash_part.encode(), path)

    def thing(self, place: ObjectEntry) -> Thing | None:
        """The thing at a place."""
        return self._contents[place.path].thing(place.name)

    def resolve(self, text: bytes, within: StorePath) -> ObjectEntry | None:
        """Where an absolute path leads to that stands in the bytes of an object.

        Returns:
            None if there is nothing, or it is outside the store: there a graft changes nothing.
        """
        return self._absolute(text, within, _MOST_LINKS) if len(text) < _LONGEST else None

    def walk(self, start: ObjectEntry, rest: bytes) -> ObjectEntry | None:
        """Where a relative path leads to from a place."""
        return self._relative(start, rest, _MOST_LINKS) if len(rest) < _LONGEST else None

    def _absolute(self, text: bytes, within: StorePath, links: int) -> ObjectEntry | None:
        if not text.startswith(self._prefix):
            return None
        name, _, rest = text[len(self._prefix) :].lstrip(b"/").partition(b"/")
        path = self._paths.get(name) or self._paths.get(name[:HASH_PART_LENGTH])
        if path is None:
            return None
        path = self._moves.get(within, {}).get(path, path)
        top = ObjectEntry(path, b"")
        thing = self.thing(top)
        if isinstance(thing, Link):
            return self._link(top, thing, rest, links)
        return self._relative(top, rest, links) if thing is not None else None

    def _relative(self, start: ObjectEntry, rest: bytes, links: int) -> ObjectEntry | None:
        path, at = start
        contents = self._contents[path]
        waiting = rest.split(b"/")[::-1]
        while waiting:
            part = waiting.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                if not at:  # into the store directory, and from there into an object again
                    left = self._prefix + b"/".join(waiting[::-1])
                    return self._absolute(left, path, links - 1) if links else None
                at = at.rpartition(b"/")[0]
                continue
            name = at + b"/" + part if at else part
            thing = contents.thing(name)
            if thing is None:
                return None
            if isinstance(thing, Link):
                return self._link(ObjectEntry(path, name), thing, b"/".join(waiting[::-1]), links)
            if waiting and thing != DIRECTORY:
                return None
            at = name
        return ObjectEntry(path, at)

    def _link(self, place: ObjectEntry, link: Link, rest: bytes, links: int) -> ObjectEntry | None:
        if not links:
            return None
        text = link.target + b"/" + rest if rest else link.target
        if text.startswith(b"/"):
            return self._absolute(text, place.path, links - 1)
        if not place.name:
            return self._absolute(self._prefix + text, place.path, links - 1)
        directory = ObjectEntry(place.path, place.name.rpartition(b"/")[0])
        return self._relative(directory, text, links - 1)


def world_before(plan: Plan, contents: StoreContents) -> World:
    """The originals, before the graft."""
    return World(contents, plan.store_dir, plan.closure.infos, {})


def world_after(plan: Plan, contents: StoreContents) -> World:
    """The originals, as their copies will lead to each other."""
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    targets = {alias.path: alias.target for alias in plan.aliases}

    def original(new: StorePath) -> StorePath:
        new = targets.get(new, new)
        return originals.get(new, new)

    moves = {
        rewrite.path: {old: original(new) for old, new in rewrite.references.items()}
        for rewrite in plan.rewrites
    }
    return World(contents, plan.store_dir, plan.closure.infos, moves)


def world_made(plan: Plan, contents: StoreContents) -> World:
    """The result, as it was made."""
    return World(contents, plan.store_dir, plan.new_references, {})
