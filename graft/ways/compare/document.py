"""A comparison as JSON: docs/reference/json.md lays it down."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from graft.formats.store_path import StorePath
from graft.graph import references_first, turned
from graft.plan import full_pairs, warnings_document
from graft.ways.compare.prose import PROSE
from graft.ways.compare.way import Comparison, Probe, Way


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The result of `graft compare`: the ways, the probes, and the closure they were tried on."""
    plan = comparison.plan
    return {
        "version": 1,
        "root": plan.store_dir.path(comparison.root),
        "replacements": full_pairs(plan.replacements, plan.store_dir),
        "ways": [_way(way, comparison) for way in comparison.ways],
        "original_probes": [_probe(probe, comparison) for probe in comparison.original],
        "closure": _closure(comparison),
        "warnings": warnings_document(comparison.warnings, plan.store_dir),
    }


def _way(way: Way, comparison: Comparison) -> dict[str, Any]:
    full = comparison.plan.store_dir.path
    prose = PROSE[way.name]
    coverage = None
    if way.coverage is not None:
        coverage = {
            "dependents": len(way.coverage.dependents),
            "see_new": way.coverage.see_new,
            "missed": [
                {"path": full(missed.path), "why": missed.why} for missed in way.coverage.missed
            ],
        }
    written = way.bytes_written
    return {
        "way": way.name,
        "available": way.reason is None,
        "reason": way.reason,
        "paths_changed": way.paths_changed,
        "bytes": None if written is None else {"written": written, "shared": way.bytes_shared or 0},
        "seconds": None if way.seconds is None else round(way.seconds, 6),
        "coverage": coverage,
        "old_references_left": way.old_references_left,
        "derivations": way.derivations,
        "levels": way.levels,
        "who": prose.who,
        "undo": prose.undo,
        "what_happens": dict(prose.what_happens),
        "probes": [_probe(probe, comparison) for probe in way.probes],
    }


def _probe(probe: Probe, comparison: Comparison) -> dict[str, Any]:
    full = comparison.plan.store_dir.path
    seen = probe.observation
    return {
        "command": seen.command,
        "exit": seen.exit,
        "opened_old": probe.opened_old,
        "opened_new": probe.opened_new,
        "opened": [full(path) for path in sorted(seen.opened)],
        "traced": seen.traced,
        "output_sha256": seen.output_sha256,
        "differs": probe.difference is not None,
        "difference": probe.difference,
    }


def _closure(comparison: Comparison) -> list[dict[str, Any]]:
    """The closures of the root and of every NEW, references first, each with the reason of its
    change.
    """
    plan, infos = comparison.plan, comparison.plan.closure.infos
    full = plan.store_dir.path
    graph = plan.closure.graph
    wanted = plan.closure.requisites([comparison.root, *plan.replacements.values()])
    order = references_first({path: graph[path] for path in wanted})
    order += sorted(wanted.difference(order))  # circles, which only hidden references make
    index = {path: number for number, path in enumerate(order)}
    towards = _towards(comparison.olds, graph)
    depths = _depths(comparison, order)
    return [
        {
            "path": full(path),
            "role": _role(path, comparison),
            "root": path == comparison.root,
            "new_path": full(plan.moved[path]) if path in plan.moved else None,
            "nar_size": infos[path].nar_size,
            "references": sorted(index[reference] for reference in graph[path]),
            "chain": [full(link) for link in _chain(path, towards)],
            "pivots": list(comparison.pivots.get(path, ())),
            "depth": depths[path],
        }
        for path in order
    ]


def _role(path: StorePath, comparison: Comparison) -> str:
    plan = comparison.plan
    if path in comparison.olds:
        return "replaced"
    if path in plan.moved:
        return "rewritten"
    if path in plan.cutoffs:
        return "cutoff"
    if path in plan.replacements.values():
        return "new"
    return "root" if path == comparison.root else "shared"


def _towards(
    olds: Collection[StorePath], graph: Mapping[StorePath, Collection[StorePath]]
) -> dict[StorePath, StorePath]:
    """The next path of each path on a shortest chain to an OLD; an OLD leads to itself."""
    referrers = turned(graph)
    towards = {old: old for old in sorted(olds)}
    level = list(towards)
    while level:
        above: list[StorePath] = []
        for path in level:
            for referrer in sorted(referrers.get(path, ())):
                if referrer not in towards:
                    towards[referrer] = path
                    above.append(referrer)
        level = above
    return towards


def _chain(path: StorePath, towards: Mapping[StorePath, StorePath]) -> Iterator[StorePath]:
    """The links from a path to an OLD, both included; empty if it does not lead there."""
    if path in towards:
        yield path
    while towards.get(path, path) != path:
        path = towards[path]
        yield path


def _depths(comparison: Comparison, references_before: Sequence[StorePath]) -> dict[StorePath, int]:
    """The depth of each path below the root on its longest chain; a NEW has its OLD's depth."""
    graph, root = comparison.plan.closure.graph, comparison.root
    below = comparison.plan.closure.requisites([root])
    depths = dict.fromkeys(references_before, 0)
    for inside in (True, False):
        for path in reversed(references_before):
            for reference in graph[path]:
                if (reference in below) == inside and (path in below) == inside:
                    depths[reference] = max(depths[reference], depths[path] + 1)
        if inside:
            for old, new in comparison.plan.replacements.items():
                if old in below and new not in below:
                    depths[new] = depths[old]
    return depths
