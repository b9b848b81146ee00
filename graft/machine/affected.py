"""Affected roots: the roots that lead to some paths, their chains, and the cost of a graft."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from graft.errors import UndecidedError
from graft.formats.advisory import AdvisoryEntry
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first
from graft.machine.processes import Use
from graft.machine.roots import MachineRoots, Root, find_machine_roots
from graft.machine.selection import Selection, select
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
            generations, other links, old generations, the newest first, originals of grafts.
        selection: the paths that were asked for, and all known paths of the same packages.
        undecided: the roots in force that lead to paths without a version to compare, and to
            nothing that was asked for.
        current_cost: the cost of all roots in force that are hit.
        whole_cost: the counted cost of all lasting roots that are hit.
        planned: whether the cost of the roots in force is a plan's; else it is counted, and at
            most.
    """

    hits: tuple[AffectedRoot, ...]
    selection: Selection
    undecided: tuple[AffectedRoot, ...]
    current_cost: Cost
    whole_cost: Cost
    planned: bool

    @property
    def asked(self) -> frozenset[StorePath]:
        """The paths that were asked for, and are there."""
        return self.selection.asked

    @property
    def in_force(self) -> tuple[AffectedRoot, ...]:
        """The roots in force that are hit, processes too."""
        return tuple(hit for hit in self.hits if hit.root.in_force)

    @property
    def processes(self) -> tuple[AffectedRoot, ...]:
        """The roots in force that are hit and pass: processes, and paths that they make."""
        return tuple(hit for hit in self.hits if not hit.root.lasting)

    @property
    def generations(self) -> tuple[AffectedRoot, ...]:
        """The older generations that are hit, with their specialisations."""
        return tuple(
            hit for hit in self.hits if not hit.root.in_force and hit.root.kind != "original"
        )

    @property
    def originals(self) -> tuple[AffectedRoot, ...]:
        """The originals of grafts that are kept for the way back, and are hit as they must be."""
        return tuple(hit for hit in self.hits if hit.root.kind == "original")

    def is_hit(self, *, generations: bool = False) -> bool:
        """Whether the machine is hit.

        Args:
            generations: whether older generations count.

        Raises:
            UndecidedError: nothing that counts is hit, but something in force leads to a path whose
                version cannot be compared.
        """
        if self.in_force or (generations and self.generations):
            return True
        if self.undecided:
            paths = sorted({path for hit in self.undecided for path in hit.reaches})
            names = ", ".join(path.name for path in paths)
            why = "; ".join(f"'{name}': {told}" for name, told in self.selection.open.items())
            raise UndecidedError(
                f"whether this machine is hit is not known: {names} is in force, and its version "
                f"cannot be compared{f' ({why})' if why else ''}: ask for its path, or with "
                "another range",
                paths=list(paths),
            )
        return False


def affected(
    store: LocalStore,
    *words: str,
    machine: MachineRoots | None = None,
    advisory: Sequence[AdvisoryEntry] = (),
    replacements: Iterable[tuple[StorePath, StorePath]] = (),
    environment: Mapping[str, str] | None = None,
) -> Affected:
    """Finds all on a machine that leads to some paths or packages.

    Args:
        words: paths, names of packages with or without versions, hash parts, files of libraries, as
            `graft.machine.selection.select` has them.
        machine: the roots of the store; found if None.
        advisory: packages that advisories name.
        replacements: the replacements of a graft; each OLD is asked for as well.
        environment: variables that say where a user's profiles are; the process's own if None.

    Raises:
        UnknownNameError: no path of the store has a name.
        InvalidPathError: a path is not there.
        PlanError: the replacements make no plan.
    """
    if machine is None:
        machine = find_machine_roots(store, os.environ if environment is None else environment)
    pairs = list(replacements)
    held = {path for root in machine.roots if not root.lasting for path in root.paths}
    selection = select(store, words, advisory, paths=[old for old, _ in pairs], held=held)
    return find_affected(store, machine, selection, pairs)


def find_affected(
    store: LocalStore,
    machine: MachineRoots,
    selection: Selection,
    replacements: Sequence[tuple[StorePath, StorePath]] = (),
) -> Affected:
    """Finds the roots that lead to selected paths.

    Args:
        machine: all roots of the store.
        replacements: the replacements of a graft, whose OLDs are selected.

    Raises:
        InvalidPathError, PlanError: the replacements make no plan.
    """
    dependents = _Dependents(store, selection.asked)
    hits = dependents.hits(machine)
    current = _graftable(hit.root for hit in hits if hit.root.current)
    whole = _graftable(hit.root for hit in hits if hit.root.kind != "original")

    current_cost = dependents.cost(current)
    if replacements and current:
        from graft.plan.making import make_plan  # noqa: PLC0415 - late: most ask without a NEW
        from graft.plan.request import Graft  # noqa: PLC0415

        plan = make_plan(store, Graft.of(current, replacements))
        current_cost = Cost(roots=len(current), paths=len(plan.rewrites), bytes=plan.bytes_at_most)
    open_hits = _Dependents(store, selection.unversioned).hits(machine)
    return Affected(
        hits=hits,
        selection=selection,
        undecided=tuple(hit for hit in open_hits if hit.root.in_force),
        current_cost=current_cost,
        whole_cost=dependents.cost(whole),
        planned=bool(replacements and current),
    )


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

    def hits(self, machine: MachineRoots) -> tuple[AffectedRoot, ...]:
        """The roots that lead to a requested path, the most urgent first."""
        found = [hit for root in machine.roots if (hit := self.hit(root)) is not None]
        return tuple(sorted(found, key=_rank))

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
        case "original":
            kind = 8
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
