"""How far pivots reach in a closure, and the environment in which they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.store.api import LocalSource
from graft.ways.pivot.candidates import Candidate, find_candidates
from graft.ways.pivot.directory import write_directory
from graft.ways.pivot.environment import PivotEnvironment, pivot_environment
from graft.ways.pivot.pivots import Pivots
from graft.ways.pivot.points import find_points
from graft.ways.pivot.variables import VARIABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The paths that see the target of one type.

    Attributes:
        marked: the paths whose programs look for it.
        candidates: the paths whose place it takes for programs that heed the variables; for a
            candidate without variables, for no program.
    """

    type: str
    target: str
    marked: tuple[StorePath, ...]
    candidates: tuple[Candidate, ...]


def find_reaches(
    store: LocalSource,
    closure: Closure,
    root: StorePath,
    targets: Mapping[str, str],
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> list[Reach]:
    """The paths in the closure of a root that see the targets, by type.

    Args:
        closure: everything the root leads to.
        targets: absolute paths, by type.
        on_bytes: told of the NAR bytes read, from any thread.
    """
    paths = closure.requisites([root])
    points = find_points(store, paths)
    wanted = targets.keys() & VARIABLES.keys()
    candidates = find_candidates(store, paths, wanted, on_bytes=on_bytes)
    return [
        Reach(
            type=kind,
            target=target,
            marked=tuple(point.path for point in points if kind in point.types),
            candidates=tuple(found for found in candidates if found.type == kind),
        )
        for kind, target in sorted(targets.items())
    ]


def prepare_environment(
    store: LocalSource,
    closure: Closure,
    root: StorePath,
    targets: Mapping[str, str],
    directory: str,
    before: Mapping[str, str],
) -> PivotEnvironment:
    """Makes a directory of pivots for the closure of a root, and says how programs get to see it.

    Args:
        closure: everything the root leads to.
        targets: absolute paths, by type.
        directory: absolute; where the links are to be, as long as the programs run.
        before: the environment without pivots.

    Raises:
        PivotError: the pivots cannot be made; nothing was.
    """
    pivots = Pivots.of(store, closure, root, targets)
    write_directory(directory, pivots)
    return pivot_environment(directory, closure.requisites([root]), before)
