"""The way of pivots on one closure: what looks NEW up, and the environment that leads there."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from graft.formats.store_path import HASH_PART_LENGTH, StorePath
from graft.pivot.candidates import mentioned_texts
from graft.pivot.environment import PivotEnvironment
from graft.pivot.points import find_points
from graft.pivot.reach import find_reaches, prepare_environment
from graft.plan import Plan
from graft.store.api import LocalSource
from graft.workers import Workers

WRAPPERS: Final = ("/run/wrappers/bin", "/run/setuid-programs", "/run/privileged/bin")
"""Where NixOS and Guix keep the programs that have more rights than their callers."""

_LARGEST_WRAPPER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivoted:
    """What pivots reach in the closure of a plan's root.

    Attributes:
        targets: what each type leads to, by absolute paths.
        types: those that each path is, or would be, pivoted by.
        marked: the paths that look a target up themselves.
        unmarked: the paths that hold what is to be found elsewhere, and are no pivot points.
        variables: by which programs are told of that; empty if all is marked.
        asking: the paths of whose bytes one of the variables' names is a part.
        setting: the variable that each path, such as a profile or a wrapper script, sets to what is
            to be found elsewhere.
        secure: the wrapper of each path that runs with more rights than its caller.
    """

    store: LocalSource
    plan: Plan
    targets: Mapping[str, str]
    types: Mapping[StorePath, tuple[str, ...]]
    marked: frozenset[StorePath]
    unmarked: frozenset[StorePath]
    variables: tuple[str, ...]
    asking: frozenset[StorePath]
    setting: Mapping[StorePath, str]
    secure: Mapping[StorePath, str]

    @classmethod
    def of(
        cls,
        store: LocalSource,
        plan: Plan,
        targets: Mapping[str, str],
        on_bytes: Callable[[int], object] | None = None,
    ) -> Self:
        """Finds what pivots to `targets` reach."""
        (root,) = plan.roots
        paths = plan.closure.requisites([root])
        types = {point.path: set(point.types) for point in find_points(store, paths)}
        marked: set[StorePath] = set()
        unmarked: set[StorePath] = set()
        variables: set[str] = set()
        for reach in find_reaches(store, plan.closure, root, targets, on_bytes=on_bytes):
            marked.update(reach.marked)
            for candidate in reach.candidates:
                types.setdefault(candidate.path, set()).add(candidate.type)
                if candidate.variables:
                    unmarked.add(candidate.path)
                    variables.update(candidate.variables)
        return cls(
            store=store,
            plan=plan,
            targets=targets,
            types={path: tuple(sorted(found)) for path, found in types.items()},
            marked=frozenset(marked),
            unmarked=frozenset(unmarked),
            variables=tuple(sorted(variables)),
            asking=_asking(store, paths, variables, on_bytes),
            setting=dict(_setting(store, plan, paths, unmarked, variables)),
            secure=dict(wrapped_programs(plan.store_dir, paths)),
        )

    @contextmanager
    def in_force(self, before: Mapping[str, str]) -> Iterator[tuple[PivotEnvironment, float]]:
        """A directory of pivots, for as long as it is needed.

        Args:
            before: the environment without pivots.

        Yields:
            What is to be set, and how many seconds it took to make it true.

        Raises:
            PivotError: a marked type has no target, a target is missing, or nothing in the closure
                is of a given type.
        """
        (root,) = self.plan.roots
        with tempfile.TemporaryDirectory(prefix="graft-pivots-") as directory:
            begin = time.monotonic()
            environment = prepare_environment(
                self.store,
                self.plan.closure,
                root,
                self.targets,
                os.path.join(directory, "pivots"),
                before,
            )
            yield environment, time.monotonic() - begin

    def leads_to_any(self, files: Iterable[bytes]) -> bool:
        """Whether one of the files that were opened, by their real paths, is a target's."""
        tops = tuple(f"{os.path.realpath(target)}/" for target in self.targets.values())
        return any(f"{os.fsdecode(file)}/".startswith(tops) for file in files)


def _asking(
    store: LocalSource,
    paths: Collection[StorePath],
    variables: Collection[str],
    on_bytes: Callable[[int], object] | None,
) -> frozenset[StorePath]:
    if not variables:
        return frozenset()
    texts = [name.encode() for name in variables]
    with Workers(None, on_bytes) as workers:

        def read(path: StorePath) -> tuple[StorePath, bool]:
            return path, bool(mentioned_texts(store.tree(path), texts, workers.progress))

        return frozenset(path for path, asks in workers.map(read, sorted(paths)) if asks)


def _setting(
    store: LocalSource,
    plan: Plan,
    paths: Collection[StorePath],
    held: Collection[StorePath],
    variables: Collection[str],
) -> Iterator[tuple[StorePath, str]]:
    """The paths in whose bytes a variable is assigned what is replaced, and that variable."""
    graph, olds = plan.closure.graph, plan.replacements.keys() & held
    for path in sorted(path for path in paths if not graph[path].isdisjoint(olds)):
        texts = {
            f"{name}={quote}{plan.store_dir.path(old)}".encode(): name
            for name in variables
            for old in graph[path] & olds
            for quote in ("", "'", '"')
        }
        if found := mentioned_texts(store.tree(path), texts, lambda _: None):
            yield path, min(texts[text] for text in found)


def wrapped_programs(
    store_dir: str, paths: Collection[StorePath], directories: Collection[str] = WRAPPERS
) -> Iterator[tuple[StorePath, str]]:
    """The paths that a wrapper runs with more rights than its caller's, and the wrapper.

    A wrapper has its program's path compiled in; that of an older NixOS reads it in a file `.real`
    beside it.

    Args:
        store_dir: the logical store directory.
    """
    known = {path[:HASH_PART_LENGTH]: path for path in paths}
    hash_parts = re.compile(re.escape(store_dir.encode()) + rb"/([0-9a-z]{32})-")
    for directory in directories:
        if not os.path.isdir(directory):
            continue
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name.endswith(".real") or not entry.is_file() or not _has_rights(entry):
                continue
            for file in (entry.path, f"{entry.path}.real"):
                for found in hash_parts.findall(_contents(file)):
                    if (path := known.get(found.decode())) is not None:
                        yield path, entry.path


def _has_rights(entry: os.DirEntry[str]) -> bool:
    if entry.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        return True
    try:
        return bool(os.getxattr(entry.path, "security.capability"))
    except OSError:
        return False


def _contents(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(_LARGEST_WRAPPER)
    except OSError:  # what only its owner may read names nothing that others could find out
        return b""
