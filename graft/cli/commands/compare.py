"""`graft compare`: all the ways to replace a dependency, on one closure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_path, resolve_request
from graft.cli.commands.plan import approved_plan
from graft.cli.output import (
    Bars,
    print_document,
    print_note,
    print_table,
    print_warnings,
)
from graft.cli.result_file import write_file
from graft.cli.settings import Settings, common_options
from graft.cli.terminal import columns_of
from graft.errors import UsageError
from graft.quantities import binary_size

if TYPE_CHECKING:
    from graft.ways.compare.way import Comparison, Probe, Way

_ROOM_FOR_NEEDS = 120  # columns of a terminal
# Dependents that do not see NEW, of each way, before the rest is only counted.
_MOST_MISSED = 3


@click.command(
    "compare",
    epilog="Example: graft compare ./result --replace ./openssl-3.0.20=./openssl-3.0.22 "
    "--probe 'bin/curl --version' --html ways.html",
)
@plan_options
@click.option(
    "--pivot",
    "pivots",
    metavar="TYPE=TARGET",
    multiple=True,
    help="The target that programs are to find instead, under the way of pivots.",
)
@click.option(
    "--probe",
    "probes",
    metavar="CMD",
    multiple=True,
    help="Run this under every way, and see which files it opens. Its first word may be relative "
    "to ROOT; the full path of ROOT in it stands for each way's own root.",
)
@click.option("--rebuilt", metavar="ROOT", help="The root as a rebuild has made it.")
@click.option("--html", "page", metavar="FILE", help="Write a page with all of it.")
@click.option("--strict", is_flag=True, help="Status 1 if a probe goes differently under a way.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads; as many as there are usable processors if not given.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
    pivots: tuple[str, ...],
    probes: tuple[str, ...],
    rebuilt: str | None,
    page: str | None,
    strict: bool,
    jobs: int | None,
) -> int:
    """Try graft, pivot, mount and rebuild on the closure of ROOT, and show them side by side.

    The graft is made in the store, and not rooted; the others leave nothing behind.
    """
    from graft.executor.content_names import realised_plans
    from graft.ways.compare.comparison import compare
    from graft.ways.compare.document import comparison_document
    from graft.ways.pivot.targets import parse_targets
    from graft.ways.rebuild import log_dir_of
    from graft.workers import Resources

    settings.start_log()
    targets = parse_targets(pivots)
    if page is not None and not os.path.isdir(os.path.dirname(os.path.abspath(page))):
        raise UsageError(f"--html '{page}' is in no directory: make it first", path=page)
    with settings.open_local_store() as store:
        request = resolve_request(store, asked)
        pairs = request.graft.replacements
        store.protect([*request.graft.roots, *(path for pair in pairs for path in pair)])
        resources = Resources(jobs=jobs, progress=Bars(settings))
        plan = approved_plan(store, request, resources)
        [plan] = realised_plans([plan], store, resources)
        comparison = compare(
            store,
            plan,
            pivots=targets,
            probes=probes,
            rebuilt=resolve_path(store, rebuilt) if rebuilt else None,
            log_dir=log_dir_of(store.location.state_dir, os.environ),
            resources=resources,
        )
    print_warnings(comparison.warnings, settings)
    document = comparison_document(comparison)
    if page is not None:
        from graft.ways.compare.page import render

        write_file(page, render(document))
    if settings.json:
        print_document(document)
    else:
        _show(comparison, settings)
    return 1 if strict and comparison.differs else 0


def _show(comparison: Comparison, settings: Settings) -> None:
    figures = ("paths", "written", "linked", "seconds", "see NEW", "OLD left")
    columns, rows = ["way", *figures, "needs"], list(map(_row, comparison.ways))
    width = columns_of(sys.stdout)
    if width is not None and width < _ROOM_FOR_NEEDS:  # the page has them
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(columns, rows, right=figures)
    if comparison.original:
        print()
        names = [way.name for way in comparison.ways if way.probes]
        print_table(("probe", "original", *names), _probe_rows(comparison))
    for way in comparison.ways:
        for line in _remarks(way, comparison):
            print_note(line, settings)


def _row(way: Way) -> tuple[str, ...]:
    from graft.ways.compare.prose import PROSE

    def number(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    def size(value: int | None) -> str:
        return "-" if value is None else binary_size(value)

    coverage = way.coverage
    seen = "-"
    if coverage is not None and way.reason is None:
        seen = f"{coverage.see_new:,} of {len(coverage.dependents):,}"
    return (
        way.name,
        number(way.paths_changed),
        size(way.bytes_written),
        size(way.bytes_shared),
        "-" if way.seconds is None else f"{way.seconds:.{3 if way.seconds < 0.1 else 2}f}",
        seen,
        number(way.old_references_left),
        "not available" if way.reason is not None else PROSE[way.name].who,
    )


def _probe_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    ways = [way.probes for way in comparison.ways if way.probes]
    for original, *others in zip(comparison.original, *ways, strict=True):
        yield (
            original.observation.command,
            *map(_verdict, (original, *others)),
        )


def _verdict(probe: Probe) -> str:
    opened = [word for word, was in (("OLD", probe.opened_old), ("NEW", probe.opened_new)) if was]
    status = f", status {probe.observation.exit}" if probe.observation.exit else ""
    differs = ", differs" if probe.difference is not None else ""
    unseen = "neither" if probe.observation.traced else "not seen"
    return f"{' and '.join(opened) or unseen}{status}{differs}"


def _remarks(way: Way, comparison: Comparison) -> Iterator[str]:
    if way.reason is not None:
        yield f"{way.name} is not available: {way.reason}"
    full = comparison.plan.store_dir.path
    missed = way.coverage.missed if way.coverage is not None and way.reason is None else ()
    for one in missed[:_MOST_MISSED]:
        yield f"{way.name}: '{full(one.path)}' does not see NEW: {one.why}"
    if len(missed) > _MOST_MISSED:
        yield f"{way.name}: nor do {len(missed) - _MOST_MISSED:,} more; --json and --html name all"
    if way.name == "rebuild" and way.derivations is not None:
        yield (
            f"rebuild: {way.derivations:,} derivations to build, at least {way.levels} of them one "
            "after the other"
        )
