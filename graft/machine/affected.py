"""Affected roots: the roots that lead to some paths, their chains, and the cost of a graft."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from graft.formats.package_range import PackageRange
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first
from graft.machine.processes import Use
from graft.machine.roots import MachineRoots, Root
from graft.store.local import LocalStore

_RUNNING: frozenset[Use] = frozenset({"exe", "maps"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedRoot:
    """A root that leads to something that was asked for.

    Attributes:
        chain: a shortest one from a path of the root's to a requested path; for a process the chain
            that begins with its program, if there is one of the same length.
        reaches: all the paths asked for that it leads to.
        uses: how a process holds the first path of the chain.
    """

    root: Root
    chain: tuple[StorePath, ...]
    reaches: frozenset[StorePath]
    uses: frozenset[Use] = frozenset()

    @property
    def runs_it(self) -> bool:
        """Whether it is a process that has something in memory that was asked for."""
        return len(self.chain) == 1 and bool(self.uses & _RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of the graft of some roots.

    Attributes:
        roots: how many paths are roots.
        paths: the number of paths that would be rewritten, without the replaced ones.
        bytes: the sizes of their NARs, an upper limit of the written size.
    """

    roots: int
    paths: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """The answer.

    Attributes:
        hits: the most urgent first: processes, the current system, the booted one, current
            generations, other links, old generations, the newest first.
        asked: the paths that were asked for, and are there.
        unversioned: paths with a name that was asked for, but no version to compare; not counted.
        current_cost: the cost of all roots in force that are hit.
        whole_cost: the counted cost of all lasting roots that are hit.
        planned: whether the cost of the roots in force is a plan's; else it is counted, and at
            most.
    """

    hits: tuple[AffectedRoot, ...]
    asked: frozenset[StorePath]
    unversioned: frozenset[StorePath]
    current_cost: Cost
    whole_cost: Cost
    planned: bool


def find_affected(
    store: LocalStore,
    machine: MachineRoots,
    wanted: Iterable[StorePath | PackageRange],
    replacements: Sequence[tuple[StorePath, StorePath]] = (),
) -> Affected:
    """Finds the roots that lead to some paths.

    Args:
        machine: all roots of the store.
        wanted: valid or not: a process may hold deleted paths.
        replacements: the replacements of a graft; each OLD is asked for as well.

    Raises:
        InvalidPathError, PlanError: the replacements make no plan.
    """
    asked, unversioned = _asked(store, machine, [*wanted, *(old for old, _ in replacements)])
    dependents = _Dependents(store, asked)
    found = [hit for root in machine.roots if (hit := dependents.hit(root)) is not None]
    hits = tuple(sorted(found, key=_rank))
    current = _graftable(hit.root for hit in hits if hit.root.current)
    whole = _graftable(hit.root for hit in hits)

    current_cost = dependents.cost(current)
    if replacements and current:
        from graft.plan.making import make_plan  # noqa: PLC0415 - late: most ask without a NEW
        from graft.plan.request import Graft  # noqa: PLC0415

        plan = make_plan(store, Graft.of(current, replacements))
        current_cost = Cost(roots=len(current), paths=len(plan.rewrites), bytes=plan.bytes_at_most)
    return Affected(
        hits=hits,
        asked=frozenset(asked),
        unversioned=frozenset(unversioned),
        current_cost=current_cost,
        whole_cost=dependents.cost(whole),
        planned=bool(replacements and current),
    )


def _asked(
    store: LocalStore, machine: MachineRoots, wanted: Sequence[StorePath | PackageRange]
) -> tuple[set[StorePath], set[StorePath]]:
    """The paths that are meant, and the paths that might be."""
    ranges = [one for one in wanted if isinstance(one, PackageRange)]
    paths = {one for one in wanted if isinstance(one, StorePath)}
    held = {path for root in machine.roots if not root.lasting for path in root.paths}
    asked = paths & (store.path_infos(paths).keys() | held)
    unversioned = set()
    if ranges:
        names = {one.name for one in ranges}
        for path in store.valid_paths() | held:
            if path.package_name in names:
                answers = [one.contains(path) for one in ranges]
                if any(answers):
                    asked.add(path)
                elif None in answers:
                    unversioned.add(path)
    return asked, unversioned - asked


def _graftable(roots: Iterable[Root]) -> set[StorePath]:
    return {path for root in roots if root.lasting for path in root.paths if not path.is_derivation}


class _Dependents:
    """All that leads to some paths, found from these: the rest of the store is not looked at."""

    def __init__(self, store: LocalStore, asked: Collection[StorePath]) -> None:
        self._store = store
        self._asked = asked
        self._graph: dict[StorePath, list[StorePath]] = {path: [] for path in asked}
        self._next: dict[StorePath, StorePath] = {}
        self._distances: dict[StorePath, int] = dict.fromkeys(asked, 0)
        level = sorted(asked)
        distance = 0
        while level:
            distance += 1
            above: set[StorePath] = set()
            referrers = store.referrers(level)
            for path in level:
                for referrer in referrers[path]:
                    if referrer == path:
                        continue
                    self._graph.setdefault(referrer, []).append(path)
                    if referrer not in self._distances:
                        self._distances[referrer] = distance
                        # The first of several ways by its names: levels are in their order.
                        self._next[referrer] = path
                        above.add(referrer)
            level = sorted(above)
        self._reaches = self._masks()

    def _masks(self) -> dict[StorePath, frozenset[StorePath]]:
        """The requested paths that each dependent leads to."""
        if len(self._asked) <= 1:
            everything = frozenset(self._asked)
            return dict.fromkeys(self._graph, everything)
        # One set of each kind: most paths lead to the same few.
        sets: dict[frozenset[StorePath], frozenset[StorePath]] = {}
        found: dict[StorePath, frozenset[StorePath]] = {}
        for path in references_first(self._graph):
            own = frozenset([path]) if path in self._asked else frozenset()
            below = {id(one): one for one in (found[other] for other in self._graph[path])}
            joined: frozenset[StorePath] = reduce(or_, below.values(), own)
            found[path] = sets.setdefault(joined, joined)
        return found

    def hit(self, root: Root) -> AffectedRoot | None:
        """The way of a root to a requested path, if it leads to one."""
        uses: Mapping[StorePath, frozenset[Use]] = root.process.uses if root.process else {}
        hit = [path for path in root.paths if path in self._distances]
        if not hit:
            return None

        def rank(path: StorePath) -> tuple[int, bool, StorePath]:
            return self._distances[path], not uses.get(path, frozenset()) & _RUNNING, path

        first = min(hit, key=rank)
        return AffectedRoot(
            root=root,
            chain=tuple(self._chain(first)),
            reaches=frozenset().union(*(self._reaches[path] for path in hit)),
            uses=uses.get(first, frozenset()),
        )

    def _chain(self, path: StorePath) -> list[StorePath]:
        chain = [path]
        while chain[-1] in self._next:
            chain.append(self._next[chain[-1]])
        return chain

    def cost(self, roots: Collection[StorePath]) -> Cost:
        """The dependents above the requested paths in the roots' closures."""
        above = {
            path: references for path, references in self._graph.items() if path not in self._asked
        }
        rewritten = reachable(above, roots) - set(self._asked)
        sizes = self._store.nar_sizes(rewritten)
        return Cost(roots=len(roots), paths=len(rewritten), bytes=sum(sizes.values()))


def _rank(hit: AffectedRoot) -> tuple[object, ...]:
    root = hit.root
    kind: int
    match root.kind:
        case "process":
            kind = 0 if hit.runs_it else 1
        case "current-system":
            kind = 2
        case "booted-system":
            kind = 3
        case "generation" | "container" | "specialisation":
            kind = 4 if root.current else 7
        case "link":
            kind = 5
        case _:
            kind = 6
    pid = root.process.pid if root.process else 0
    return (
        kind,
        len(hit.chain) if not kind else 0,
        root.profile or "",
        -(root.number or 0),
        pid,
        root.place,
    )
