"""The way of pivots on one closure: the programs that look NEW up, and their environment."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from graft.formats.store_path import StorePath
from graft.machine.wrappers import wrapped_programs
from graft.plan import Plan
from graft.store.api import LocalSource
from graft.ways.pivot.candidates import mentioned_texts
from graft.ways.pivot.environment import PivotEnvironment
from graft.ways.pivot.points import find_points
from graft.ways.pivot.reach import find_reaches, prepare_environment
from graft.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivoted:
    """The reach of pivots in the closure of a plan's root.

    Attributes:
        targets: the target that each type leads to, an absolute path.
        types: the types that each path is, or would be, pivoted by.
        marked: the paths that look a target up themselves.
        unmarked: the paths that hold data to be found elsewhere, and are no pivot points.
        variables: the variables that tell programs of the targets; empty if all is marked.
        asking: the paths of whose bytes one of the variables' names is a part.
        setting: the variable that each path, such as a profile or a wrapper script, sets to data
            that is to be found elsewhere.
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
        """Finds the paths that pivots to `targets` reach."""
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
        """A directory of pivots, removed after its use.

        Args:
            before: the environment without pivots.

        Yields:
            The variables to be set, and how many seconds it took to make the directory for them.

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
    """The paths in whose bytes a variable is set to an OLD, and the variable."""
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
