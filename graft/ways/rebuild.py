"""The builds of a rebuild: the derivations between a root and OLD; and the result of one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first, turned
from graft.plan.closure import Closure
from graft.store.api import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """The derivations that are built again, without OLD's own.

    Attributes:
        level_of: for each, the least number of builds that end with it, one after the other.
        seconds_of: the wall time that builds took before, as far as their logs tell.
        chain_seconds: the longest time that builds one after the other took together: no number of
            machines does it in less. None if no log tells.
    """

    level_of: Mapping[StorePath, int]
    seconds_of: Mapping[StorePath, float]
    chain_seconds: float | None

    @property
    def derivations(self) -> frozenset[StorePath]:
        """All of them."""
        return frozenset(self.level_of)

    @property
    def levels(self) -> int:
        """How many at least follow one another."""
        return max(self.level_of.values(), default=0)

    @property
    def seconds(self) -> float | None:
        """All times together; None if no log tells."""
        return sum(self.seconds_of.values()) if self.seconds_of else None

    def only_built_with(self, closure: Closure, changed: Collection[StorePath]) -> set[StorePath]:
        """The paths of a closure that would be built again, though they do not refer to a change.

        A graft leaves such a path alone: its code from OLD, such as a static library, was taken in
        when it was built.

        Args:
            changed: the paths that a graft makes anew.
        """
        return {
            path
            for path, info in closure.infos.items()
            if info.deriver in self.level_of and path not in changed
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The result of a rebuild.

    Attributes:
        paths: the paths of its closure that the original's closure lacks.
        nar_size: theirs together, in bytes.
        old_references: references to an OLD in the whole closure.
        names: the path of the original that each path stands for, where that is certain.
    """

    paths: frozenset[StorePath]
    nar_size: int
    old_references: int
    names: Mapping[StorePath, StorePath]

    @classmethod
    def of(
        cls, store: Store, original: Closure, root: StorePath, olds: Collection[StorePath]
    ) -> Self:
        """Holds the closure of a rebuilt root against the original's."""
        closure = Closure.of(store, [root])
        infos = closure.infos
        made = infos.keys() - original.infos.keys()
        return cls(
            paths=frozenset(made),
            nar_size=sum(infos[path].nar_size for path in made),
            old_references=sum(len(closure.graph[path].intersection(olds)) for path in infos),
            names=dict(_paired(made, original.infos.keys() - infos.keys())),
        )


def _paired(
    made: Iterable[StorePath], originals: Iterable[StorePath]
) -> Iterator[tuple[StorePath, StorePath]]:
    """The paths of a rebuild, and their originals: the only original of the same name."""
    by_name: dict[str, list[StorePath]] = {}
    for original in originals:
        by_name.setdefault(original.name, []).append(original)
    for path in made:
        if len(found := by_name.get(path.name, [])) == 1:
            yield path, found[0]


def log_dir_of(state_dir: str, environment: Mapping[str, str]) -> str:
    """The place of Nix's logs: next to the state directory, if the environment says nothing."""
    return environment.get("NIX_LOG_DIR") or os.path.join(os.path.dirname(state_dir), "log", "nix")


def rebuild_of(
    store: Store,
    closure: Closure,
    roots: Iterable[StorePath],
    olds: Iterable[StorePath],
    log_dir: str,
) -> Rebuild | str:
    """The derivations that are built again if OLD's derivations change.

    Args:
        log_dir: Nix's, with `drvs/` in it.

    Returns:
        A text that says why the builds are not known, if derivations are missing.
    """
    full = store.store_dir.path
    derivers = set()
    for root in roots:
        deriver = closure.infos[root].deriver
        if deriver is None or deriver not in store.path_infos([deriver]):
            return f"no derivation of '{full(root)}' is in the store"
        derivers.add(deriver)
    try:
        inputs = Closure.of(store, derivers)
    except InvalidPathError as error:
        return error.message
    changed = {closure.infos[old].deriver for old in olds} & inputs.infos.keys()
    if not changed:
        named = "', '".join(map(full, sorted(derivers)))
        return f"no derivation of OLD is among the inputs of '{named}'"
    above = {
        path
        for path in reachable(turned(inputs.graph), [path for path in changed if path is not None])
        if path.is_derivation and path not in changed
    }
    graph = {path: inputs.graph[path] & above for path in above}
    times = _build_times(above, log_dir)
    levels: dict[StorePath, int] = {}
    chains: dict[StorePath, float] = {}
    for path in references_first(graph):
        levels[path] = 1 + max((levels[below] for below in graph[path]), default=0)
        chains[path] = times.get(path, 0) + max((chains[below] for below in graph[path]), default=0)
    return Rebuild(
        level_of=levels,
        seconds_of=times,
        chain_seconds=max(chains.values(), default=0) if times else None,
    )


def _build_times(derivations: Iterable[StorePath], log_dir: str) -> dict[StorePath, float]:
    """How long builds took, in seconds: from the birth of each one's log to its last line.

    Python does not tell when a file was born; stat of the coreutils does, where the file system
    keeps it.
    """
    files = {}
    for path in derivations:
        file = os.path.join(log_dir, "drvs", path[:2], path[2:])
        found = [file + end for end in ("", ".bz2") if os.path.isfile(file + end)]
        if found:
            files[path] = found[0]
    if not files or shutil.which("stat") is None:
        return {}
    done = subprocess.run(
        ["stat", "--format=%.3W %.3Y", "--", *files.values()],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if len(lines) != len(files):  # one has gone meanwhile
        return {}
    times = {}
    for path, line in zip(files, lines, strict=True):
        birth, end = map(float, line.split())
        if 0 < birth <= end:
            times[path] = end - birth
    return times
