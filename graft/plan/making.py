"""Plans made from stores: the closure walked, and read if need be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graft.formats.hash_modulo import SelfReferences
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.plan.closure import Closure
from graft.plan.nixos_system import initrds_of_systems
from graft.plan.request import Graft
from graft.store.api import Source
from graft.workers import DEFAULT_RESOURCES, Resources

if TYPE_CHECKING:
    from graft.objects.search import DeepReport


def make_plan(
    store: Source, graft: Graft[StorePath], resources: Resources = DEFAULT_RESOURCES
) -> Plan:
    """Walks the closure, and plans.

    Raises:
        InvalidPathError: a path is not valid in the store.
        PlanError: the replacements make no plan.
    """
    pairs = graft.replacements
    paths = [*graft.roots, *(new for _, new in pairs)]
    olds = store.path_infos(old for old, _ in pairs).keys()
    reports: Mapping[StorePath, DeepReport] = {}
    if graft.deep:
        from graft.plan.hidden_references import deep_closure  # noqa: PLC0415 - late: it reads

        found = deep_closure(store, paths, olds, resources)
        closure, reports = found.closure, found.reports
    elif graft.hidden:
        from graft.plan.hidden_references import recorded_closure  # noqa: PLC0415

        closure = recorded_closure(Closure.of(store, [*paths, *olds]), paths, graft.hidden)
    else:
        # OLD itself as well, though nothing may lead to it: warnings ask for its derivation.
        closure = Closure.of(store, [*paths, *olds])
    initrds = {
        initrd: system
        for initrd, system in initrds_of_systems(store, graft.roots).items()
        if initrd in closure and initrd not in dict(pairs)
    }
    # A user that switches the fix-up for initrds on wants them rewritten.
    cut = graft.initrd_cutoff and "initrd" not in graft.fixups
    plan = Plan.of(
        closure,
        pairs,
        roots=graft.roots,
        cutoffs=[*graft.cutoffs, *initrds] if cut else graft.cutoffs,
        initrds=initrds,
        addressing=graft.addressing,
        self_references=_rule(store, graft),
        fixups=graft.fixups,
    )
    if graft.deep:
        from graft.plan.forecast import forecast, static_copies  # noqa: PLC0415

        copies = static_copies(plan, store, resources)
        told = [*plan.warnings, *copies, *forecast(plan, store, reports)]
        plan = replace(plan, warnings=tuple(sorted(told)))
    return plan


def _rule(store: Source, graft: Graft[StorePath]) -> SelfReferences:
    """The rule for self-references; the rule of the store's Nix if the request leaves it open."""
    if graft.self_references != "auto":
        return graft.self_references
    if graft.addressing == "input":
        return "positions"
    from graft.store.nix_version import rule_of  # noqa: PLC0415 - late: it runs a program

    return rule_of(store, os.environ)
