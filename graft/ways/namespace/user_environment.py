"""User environments: several packages as one tree of symlinks, for profiles made without nix-env.

Source: src/libstore/builtins/buildenv.cc of Nix, followed to the letter but for the manifest. A
manifest names the expression that an environment was made from; here no expression exists. A
directory that only one package has is one link; a directory that several have is made of links to
its entries.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import Final

from graft.errors import PackageCollisionError, StoreError
from graft.formats.content_address import ContentAddress
from graft.formats.store_path import StorePath, make_fixed_output_path
from graft.kernel.tree import copy_tree
from graft.objects.references import WantedPaths
from graft.store.api import LocalTarget, PathInfo, path_info
from graft.ways.namespace.composition import FhsPackage
from graft.ways.namespace.union import UnionDirectory, UnionLink, make_tree
from graft.ways.namespace.view import View

_log = logging.getLogger(__name__)

NAME: Final = "user-environment"
"""The name that nix-env gives them."""

_PROPAGATED_PRIORITY: Final = 1000
_PROPAGATED: Final = "nix-support/propagated-user-env-packages"
_LEFT_OUT: Final = (
    "/propagated-build-inputs",
    "/nix-support",
    "/perllocal.pod",
    "/info/dir",
    "/log",
    "/manifest.nix",
    "/manifest.json",
)


def register_environment(
    store: LocalTarget, packages: Sequence[FhsPackage], *, name: str = NAME
) -> StorePath:
    """Makes an environment of packages, and registers it under a name from its contents.

    Until the store is closed no collector deletes it.

    Args:
        packages: in any order; of two files for one place the one with the lower priority number is
            taken.

    Raises:
        PackageCollisionError: two of one priority have something else for one place.
        StorePermissionError: this user may not write into the store.
        StoreError: it is registered, but not on disk.
        InvalidPathError: a package, or one that it propagates, is not valid.
    """
    store.check_writable()
    composing = _Composing(store)
    composing.compose(packages)
    looked_for = WantedPaths(sorted(composing.done))
    with tempfile.TemporaryDirectory(prefix="graft-environment-") as scratch:
        raw = os.path.join(scratch, name)
        os.mkdir(raw)
        make_tree(composing.top, raw)
        digest = hashlib.sha256()
        report = copy_tree(
            raw,
            os.path.join(scratch, "canonical"),
            None,
            wanted=looked_for.table,
            sink=digest.update,
            links=False,
        )
        references = looked_for.seen(report)
        path = make_fixed_output_path(
            name, digest.digest(), store.store_dir, recursive=True, references=references
        )
        address = ContentAddress(prefix="fixed:r:", algorithm="sha256", digest=digest.digest())
        store.protect([path])
        with store.making([path]) as making:
            if path in making.lost:
                full = store.store_dir.path(path)
                raise StoreError(
                    f"path '{full}' is registered, but not on disk: delete it with 'nix-store "
                    f"--delete {full}' first",
                    path=full,
                )
            if path in making.missing:
                copy_tree(raw, making.staging(path), None, links=False, owner=store.owner)
                making.finish(
                    PathInfo(
                        path=path,
                        nar_hash=digest.digest(),
                        nar_size=report.nar_size,
                        references=references,
                        content_address=str(address),
                    )
                )
    return path


class _Composing:
    """The composition of one environment.

    Attributes:
        top: the tree composed so far.
        done: the packages it is made of.
    """

    def __init__(self, store: LocalTarget) -> None:
        self._store = store
        self.top = UnionDirectory()
        self.done: set[StorePath] = set()
        self._view: View | None = None

    def compose(self, packages: Iterable[FhsPackage]) -> None:
        waiting = sorted(packages, key=lambda each: (each.priority, each.path))
        number = _PROPAGATED_PRIORITY
        while waiting:
            propagated: set[StorePath] = set()
            for package in waiting:
                if package.path not in self.done:
                    propagated |= self._add(package)
            waiting = []
            for path in sorted(propagated - self.done):
                waiting.append(FhsPackage(path, number))
                number += 1

    def _add(self, package: FhsPackage) -> set[StorePath]:
        """Lays a package over the others; returns the packages that it propagates."""
        self._store.protect([package.path])
        path_info(self._store, package.path)
        self.done.add(package.path)
        store_dir = self._store.store_dir
        if self._view is None:
            real = os.path.dirname(self._store.tree(package.path))
            self._view = View({} if real == store_dir else {str(store_dir): real})
        full = store_dir.path(package.path)
        self._fill(self.top, full, "", package.priority, self._view)
        try:
            with open(self._view.outside(f"{full}/{_PROPAGATED}"), encoding="utf-8") as stream:
                return {store_dir.parse(text) for text in stream.read().split()}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _fill(
        self, directory: UnionDirectory, source: str, place: str, priority: float, view: View
    ) -> None:
        try:
            names = sorted(os.listdir(view.outside(source)))
        except NotADirectoryError:
            _log.warning("'%s' is no directory: it is not in the user environment", source)
            return
        for name in names:
            file, at = f"{source}/{name}", f"{place}/{name}"
            if name.startswith(".") or file.endswith(_LEFT_OUT):
                continue
            if not view.exists(file):
                _log.warning("'%s' leads nowhere: it is not in the user environment", file)
                continue
            there = directory.entries.get(name)
            link = UnionLink(file, priority)
            if there is None:
                directory.entries[name] = link
            elif view.is_directory(file):
                directory.entries[name] = self._joined(there, link, at, view)
            elif isinstance(there, UnionDirectory):
                raise _collision(at, file, "a directory of other packages")
            elif there.priority == priority:
                raise _collision(at, file, f"'{there.target}'")
            elif there.priority > priority:
                directory.entries[name] = link

    def _joined(
        self, there: UnionLink | UnionDirectory, link: UnionLink, place: str, view: View
    ) -> UnionDirectory:
        """A directory of the earlier entries and of one more."""
        if isinstance(there, UnionLink):
            target = view.resolved(there.target)
            if not view.is_directory(target):
                raise _collision(place, link.target, f"'{target}', which is no directory")
            both = UnionDirectory()
            self._fill(both, target, place, there.priority, view)
            there = both
        self._fill(there, link.target, place, link.priority, view)
        return there


def _collision(place: str, one: str, other: str) -> PackageCollisionError:
    return PackageCollisionError(
        f"'{one}' and {other} are both to be '{place[1:]}': leave one of the packages out, or give "
        "it a priority, as ROOT:PRIORITY (the lower number is taken; without one it is 5)",
        place=place[1:],
        path=one,
    )
