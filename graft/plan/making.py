"""Plans made from stores: the closure walked, and read if need be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graft.formats.hash_modulo import SelfReferences
from graft.formats.store_path import StorePath
from graft.plan import Addressing, Plan
from graft.plan.closure import Closure
from graft.plan.nixos_system import initrds_of_systems
from graft.store.api import Source
from graft.workers import Progress, no_progress

if TYPE_CHECKING:
    from graft.objects.search import DeepReport


def make_plan(
    store: Source,
    roots: Iterable[StorePath],
    replacements: Iterable[tuple[StorePath, StorePath]],
    *,
    cutoffs: Iterable[StorePath] = (),
    initrd_cutoff: bool = True,
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    addressing: Addressing = "input",
    self_references: SelfReferences = "positions",
    fixups: Iterable[str] = (),
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> Plan:
    """Walks the closure, and plans; arguments as for `apply`.

    Raises:
        InvalidPathError: a path is not valid in the store.
        PlanError: the replacements make no plan.
    """
    roots, pairs, fixups = list(roots), list(replacements), list(fixups)
    paths = [*roots, *(new for _, new in pairs)]
    olds = store.path_infos(old for old, _ in pairs).keys()
    reports: Mapping[StorePath, DeepReport] = {}
    if deep:
        from graft.plan.hidden_references import deep_closure  # noqa: PLC0415 - late, as all that reads

        with progress("read", None) as on_bytes:
            found = deep_closure(store, paths, olds, jobs=jobs, on_bytes=on_bytes)
        closure, reports = found.closure, found.reports
    elif hidden:
        from graft.plan.hidden_references import recorded_closure  # noqa: PLC0415

        closure = recorded_closure(Closure.of(store, [*paths, *olds]), paths, hidden)
    else:
        # OLD itself as well, though nothing may lead to it: warnings ask what it was built from.
        closure = Closure.of(store, [*paths, *olds])
    initrds = {
        initrd: system
        for initrd, system in initrds_of_systems(store, roots).items()
        if initrd in closure and initrd not in dict(pairs)
    }
    plan = Plan.of(
        closure,
        pairs,
        roots=roots,
        # Whoever has initrds rewritten wants them rewritten.
        cutoffs=[*cutoffs, *initrds] if initrd_cutoff and "initrd" not in fixups else cutoffs,
        initrds=initrds,
        addressing=addressing,
        self_references=self_references,
        fixups=fixups,
    )
    if deep:
        from graft.plan.forecast import forecast, static_copies  # noqa: PLC0415

        with progress("copies", None) as on_bytes:
            copies = static_copies(plan, store, jobs=jobs, on_bytes=on_bytes)
        told = [*plan.warnings, *copies, *forecast(plan, store, reports)]
        plan = replace(plan, warnings=tuple(sorted(told)))
    return plan
