"""Packages made one directory tree of symlinks, as buildEnv makes it.

Source: createLinks of src/libstore/builtins/buildenv.cc of Nix, and builder.pl of nixpkgs'
buildEnv, which adds that equal files do not collide. A directory that only one package has is one
link, so the tree is small; a directory that several have is made of links to its entries.
"""

from __future__ import annotations

import filecmp
import logging
import os
from dataclasses import dataclass, field

from graft.errors import PackageCollisionError
from graft.ways.namespace.view import View

_log = logging.getLogger(__name__)

# The files that every package has for itself, and that no program looks for in a union.
_LEFT_OUT = frozenset({"nix-support", "propagated-build-inputs", "manifest.nix", "manifest.json"})
_LEFT_OUT_ENDS = ("/perllocal.pod", "/info/dir", "/log")
# Indexes of a directory that every package makes of its own files. Without them programs look at
# the files themselves; the index of one package would hide the files of the others.
_NEEDLESS_INDEXES = frozenset({"giomodule.cache", "icon-theme.cache", "ls-R"})
# The same, that no program does without: the first is taken.
_INDEXES = frozenset(
    """
    XMLnamespaces aliases defaults.list fonts.dir fonts.scale generic-icons globs globs2
    gschemas.compiled icons immodules.cache loaders.cache magic mime.cache mimeinfo.cache
    subclasses treemagic types
""".split()  # noqa: SIM905 - a list of words is read more easily
)


@dataclass(frozen=True, slots=True)
class UnionLink:
    """A symlink of the union.

    Attributes:
        target: a full path of the namespace.
        priority: the priority of the package it comes from; the lowest number is taken.
    """

    target: str
    priority: float


@dataclass(slots=True)
class UnionDirectory:
    """A directory of the union.

    Attributes:
        first: the place of the first directory that it is made of.
        entries: its entries, by name.
    """

    first: UnionLink | None = None
    entries: dict[str, UnionLink | UnionDirectory] = field(default_factory=dict)

    def below(self, path: str) -> UnionDirectory:
        """The directory of that relative path, made if it is missing.

        Only for paths that have been made by this method, or not at all.
        """
        found = self
        for name in path.split("/"):
            inner = found.entries.setdefault(name, UnionDirectory())
            assert isinstance(inner, UnionDirectory)
            found = inner
        return found


class Union:
    """Directory trees laid over each other.

    Args:
        view: the meaning of the packages' paths.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._left_out: set[str] = set()
        self.top = UnionDirectory()

    def add(self, source: UnionLink, place: str) -> None:
        """Lays everything in a directory into that place, a relative path of the union.

        To be called in the order of priorities.

        Raises:
            PackageCollisionError: there is something else of the same priority.
        """
        self._fill(self.top.below(place), source, place, frozenset())

    def put(self, directory: UnionDirectory, link: UnionLink, place: str) -> None:
        """Lays one file or directory into a directory of the union, whose name `place` ends with.

        Raises:
            PackageCollisionError: there is something else of the same priority.
        """
        self._put(directory, link, place, frozenset())

    def _fill(
        self, directory: UnionDirectory, source: UnionLink, place: str, above: frozenset[str]
    ) -> None:
        """Lays the contents of a directory into one of the union.

        Args:
            above: the directories on the machine that this one was come to through: one of them may
                be met again, by a symlink such as `X11 -> .`.
        """
        outside = self._view.outside(source.target)
        if outside in above:
            return
        for name in sorted(os.listdir(outside)):
            target = f"{source.target}/{name}"
            if name not in _LEFT_OUT and not target.endswith(_LEFT_OUT_ENDS):
                link = UnionLink(target, source.priority)
                self._put(directory, link, f"{place}/{name}", above | {outside})

    def _put(
        self, directory: UnionDirectory, link: UnionLink, place: str, above: frozenset[str]
    ) -> None:
        name = place.rpartition("/")[2]
        there = directory.entries.get(name)
        if place in self._left_out:
            return
        if there is None:
            directory.entries[name] = link
            return
        if isinstance(there, UnionDirectory):
            if self._view.is_directory(link.target):
                self._fill(there, link, place, above)
            elif there.first is not None and there.first.priority == link.priority:
                raise _collision(there.first, link, place)
            return
        one, other = (self._view.outside(each.target) for each in (there, link))
        if one == other or other in above:
            return
        if os.path.isdir(one) and os.path.isdir(other):
            both = UnionDirectory(there)
            self._fill(both, there, place, above)
            self._fill(both, link, place, above)
            directory.entries[name] = both
        elif _equal(one, other):
            return
        elif name in _NEEDLESS_INDEXES:
            self._left_out.add(place)
            del directory.entries[name]
        elif name in _INDEXES and os.path.isfile(one) and os.path.isfile(other):
            _log.warning(
                "warning: '/%s' is an index that each package has of its own files: the one of "
                "'%s' is taken",
                place,
                there.target,
            )
        elif there.priority == link.priority:
            raise _collision(there, link, place)


def make_tree(directory: UnionDirectory, place: str) -> None:
    """Makes a directory of the union on disk, in a directory that is there and empty."""
    for name, entry in directory.entries.items():
        path = f"{place}/{name}"
        if isinstance(entry, UnionLink):
            os.symlink(entry.target, path)
        else:
            os.mkdir(path)
            make_tree(entry, path)


def _equal(one: str, other: str) -> bool:
    """Whether two paths are files of the same bytes, and both or neither can be run."""
    if not (os.path.isfile(one) and os.path.isfile(other)):
        return False
    executable = [os.stat(path).st_mode & 0o111 for path in (one, other)]
    return executable[0] == executable[1] and filecmp.cmp(one, other, shallow=False)


def _collision(one: UnionLink, other: UnionLink, place: str) -> PackageCollisionError:
    return PackageCollisionError(
        f"'{one.target}' and '{other.target}' are both to be '/{place}': leave one of the packages "
        "out, or give it a priority, as ROOT:PRIORITY (the lower number is taken; without one it "
        "is 5)",
        place=f"/{place}",
        paths=[one.target, other.target],
    )
