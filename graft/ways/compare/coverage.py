"""Which of OLD's dependents see NEW under each way, and why the others do not."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Mapping, Sequence

from graft.check.proof import Proof
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.graph import reachable, turned
from graft.objects.references import REGISTERED
from graft.plan import Plan
from graft.plan.closure import Closure
from graft.store.api import LocalSource
from graft.ways.compare.pivoted import Pivoted
from graft.ways.compare.way import Coverage, Missed

_STATIC = "may be linked statically: built with its .a, does not refer to it"


def statically_linked(
    store: LocalSource, closure: Closure, olds: Collection[StorePath]
) -> set[StorePath]:
    """Paths that may hold the code of an OLD in themselves.

    They do not refer to any output of OLD's derivation, but their own derivation has OLD's as a
    direct input. A valid output of OLD's derivation holds static libraries. Where derivations are
    not in the store nothing is found.
    """
    infos = closure.infos
    derivers = {path: info.deriver for path, info in infos.items() if info.deriver is not None}
    suspects = {derivers[old] for old in olds if old in derivers}
    outputs = {path for path, deriver in derivers.items() if deriver in suspects}
    static = {derivers[path] for path in outputs if _has_static_libraries(store.tree(path))}
    if not static:
        return set()
    inputs = store.path_infos(set(derivers.values()))
    return {
        path
        for path, deriver in derivers.items()
        if deriver in inputs
        and not static.isdisjoint(inputs[deriver].references)
        and closure.graph[path].isdisjoint(outputs)
        and path not in outputs
    }


def _has_static_libraries(tree: str) -> bool:
    for directory, _, names in os.walk(tree):
        # Debian's and glibc's stubs for libraries that libc contains today are empty archives of 8
        # bytes.
        for name in fnmatch.filter(names, "lib*.a"):
            file = os.path.join(directory, name)
            if os.path.isfile(file) and os.path.getsize(file) > 8:
                return True
    return False


class Dependents:
    """The paths that depend on an OLD, and how each way reaches them.

    Attributes:
        olds: the OLDs that the roots lead to, and that are replaced by something else.
        all: every path of the roots' closure that leads to an OLD, or may be linked statically with
            one, and is no OLD itself.
    """

    def __init__(self, plan: Plan, store: LocalSource) -> None:
        self._plan = plan
        self._graph = plan.closure.graph
        within = plan.closure.requisites(plan.roots)
        pairs = plan.replacements.items()
        self.olds = frozenset(old for old, new in pairs if old != new and old in within)
        linked = (reachable(turned(self._graph), self.olds) & within) - self.olds
        self._static = (statically_linked(store, plan.closure, self.olds) & within) - linked
        self.all = frozenset(linked | self._static)

    def coverage(self, missed: Mapping[StorePath, str] | None = None) -> Coverage:
        """All dependents, and the ones that a way misses, each with the reason.

        Without `missed` every path is reached, each statically linked one as well.
        """
        found = missed or {}
        return Coverage(
            dependents=self.all,
            missed=tuple(Missed(path=path, why=found[path]) for path in sorted(found)),
        )

    def static(self) -> dict[StorePath, str]:
        """The paths that no way reaches which leaves bytes unchanged."""
        return dict.fromkeys(self._static, _STATIC)

    def missed_by_graft(self, proof: Proof | None) -> dict[StorePath, str]:
        """The paths that a graft does not reach: they stay by the plan, or lead to OLD by the
        proof.
        """
        missed = self.static()
        for path in self.all - self._plan.moved.keys() - self._static:
            if path in self._plan.cutoffs:
                missed[path] = "cut off"
            elif path.is_derivation:
                missed[path] = "a derivation, whose name comes from its contents"
            else:
                missed[path] = "only paths that are kept unchanged lead to it"
        originals = {rewrite.new_path: rewrite.path for rewrite in self._plan.rewrites}
        for found in proof.residual if proof is not None else ():
            path = originals.get(found.path, found.path)
            if path in self.all:
                place = found.place
                file, kind = (place.file, place.encoding) if place else (b"", REGISTERED)
                kind = "compressed" if place and place.container else kind
                missed.setdefault(path, f"a reference is left in '{printable(file)}' ({kind})")
        return missed

    def missed_by_pivot(self, pivoted: Pivoted) -> dict[StorePath, str]:
        """The paths that pivots do not reach: they use an OLD that they do not look up."""
        named = " or ".join(sorted(pivoted.targets)) or "any type"
        missed = self.static()
        asking = reachable(turned(self._graph), pivoted.asking)
        reasons = {}
        for path in self.all - pivoted.marked - self._static:
            for old in self._graph[path] & self.olds:
                if old not in pivoted.unmarked:
                    reasons[path] = f"no marker for {named}"
                elif path in pivoted.setting:
                    reasons[path] = f"sets {pivoted.setting[path]} to OLD itself"
                elif path not in asking:
                    reasons[path] = (
                        f"neither it nor its libraries ask for {_any(pivoted.variables)}"
                    )
        graph = {path: self._graph[path] for path in self.all - pivoted.marked}
        unreached = reachable(turned(graph), reasons) & graph.keys()
        for path in unreached:
            through = min(graph[path] & unreached, default=path).name
            missed[path] = reasons.get(path) or f"through '{through}', which does not see NEW"
        for path, wrapper in pivoted.secure.items():
            if path in self.all:
                missed[path] = f"secure execution: '{wrapper}' runs it, the environment is ignored"
        return missed


def _any(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
