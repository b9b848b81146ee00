"""What a rebuild builds again: the derivations between a root and OLD; and what one has made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from graft.closure import Closure
from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first, turned
from graft.store.api import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """The derivations that are built again.

    Attributes:
        derivations: all of them, without those of OLD itself.
        levels: how many at least follow one another.
        seconds: of wall time that their builds took before; None if no log tells.
        logged: of how many derivations a log tells.
    """

    derivations: frozenset[StorePath]
    levels: int
    seconds: float | None
    logged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild has made.

    Attributes:
        paths: of its closure, those that the original's has not.
        nar_size: theirs together, in bytes.
        old_references: references to an OLD in the whole closure.
        names: what of the original each path stands for, where that is certain.
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
    """What a rebuild made, and what that replaces: the only original of the same name."""
    by_name: dict[str, list[StorePath]] = {}
    for original in originals:
        by_name.setdefault(original.name, []).append(original)
    for path in made:
        if len(found := by_name.get(path.name, [])) == 1:
            yield path, found[0]


def rebuild_of(
    store: Store, closure: Closure, root: StorePath, olds: Collection[StorePath], log_dir: str
) -> Rebuild | str:
    """What is built again if OLD's derivations change.

    Args:
        log_dir: Nix's, with `drvs/` in it.

    Returns:
        A text that says why nobody knows, if derivations are missing.
    """
    deriver = closure.infos[root].deriver
    full = store.store_dir.path
    if deriver is None or deriver not in store.path_infos([deriver]):
        return f"no derivation of '{full(root)}' is in the store"
    try:
        inputs = Closure.of(store, [deriver])
    except InvalidPathError as error:
        return error.message
    changed = {closure.infos[old].deriver for old in olds} & inputs.infos.keys()
    if not changed:
        return f"no derivation of OLD is among the inputs of '{full(deriver)}'"
    above = {
        path
        for path in reachable(turned(inputs.graph), [path for path in changed if path is not None])
        if path.is_derivation and path not in changed
    }
    times = _build_times(above, log_dir)
    return Rebuild(
        derivations=frozenset(above),
        levels=_levels(inputs, above),
        seconds=sum(times) if times else None,
        logged=len(times),
    )


def _levels(inputs: Closure, above: Collection[StorePath]) -> int:
    graph = {path: inputs.graph[path] & set(above) for path in above}
    level: dict[StorePath, int] = {}
    for path in references_first(graph):
        level[path] = 1 + max((level[below] for below in graph[path]), default=0)
    return max(level.values(), default=0)


def _build_times(derivations: Iterable[StorePath], log_dir: str) -> list[float]:
    """How long builds took, in seconds: from the birth of each one's log to its last line.

    Python does not tell when a file was born; stat of the coreutils does, where the file system
    keeps it.
    """
    names = [os.path.join(log_dir, "drvs", path[:2], path[2:]) for path in derivations]
    files = [file + end for file in names for end in ("", ".bz2") if os.path.isfile(file + end)]
    if not files or shutil.which("stat") is None:
        return []
    done = subprocess.run(
        ["stat", "--format=%.3W %.3Y", "--", *files], capture_output=True, text=True, check=False
    )
    times = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return [end - birth for birth, end in times if 0 < birth <= end]
