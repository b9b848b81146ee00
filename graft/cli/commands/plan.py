"""`graft plan`: the paths that a graft would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graft.cli.arguments import PlanArguments, PlanRequest, plan_options, resolve_request
from graft.cli.brief_names import brief_hash, brief_name, brief_path, print_pairs
from graft.cli.output import (
    Bars,
    print_document,
    print_line,
    print_note,
    print_table,
    print_warnings,
)
from graft.cli.result_file import write_file
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.formats.store_path import StorePath
    from graft.plan import Plan
    from graft.store.api import Source
    from graft.workers import Resources

abi_report_option = click.option(
    "--abi-report",
    metavar="FILE",
    help="Write abidiff's report on the libraries that change to FILE, or into a directory.",
)


@click.command(
    "plan",
    epilog="Example: graft plan ./result --replace zlib=./zlib-fixed -o plan.json",
)
@plan_options
@click.option(
    "--suggest",
    "suggested",
    metavar="NAME",
    help="Plan nothing: print the --replace options for all that the closures have of this package "
    "name, with --patched. Status 1: nothing is found, or some need a choice.",
)
@click.option(
    "--patched",
    metavar="SET",
    help="With --suggest: the origin of NEW, a root or a set as 'graft diff' takes.",
)
@click.option(
    "--rebuild-cost",
    is_flag=True,
    help="Show also the builds of a rebuild in the place of a graft, their earlier times, and "
    "paths that were only built with OLD.",
)
@click.option("-o", "--output", metavar="FILE", help="Write the plan's JSON document to FILE.")
@abi_report_option
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
    output: str | None,
    abi_report: str | None,
    suggested: str | None,
    patched: str | None,
    rebuild_cost: bool,
) -> int:
    """Show the paths that `graft apply` would make of the closures of ROOTs. Changes nothing.

    Programs that will not work with the libraries they would load are among the warnings. So are
    files of OLD that paths refer to and NEW lacks. `graft apply` refuses both. Where that takes
    downloads of NARs from a cache, only --deep and --abi-report look for them.
    """
    settings.start_log()
    if suggested is not None or patched is not None:
        if suggested is None or patched is None:
            raise UsageError("--suggest NAME and --patched SET say nothing without each other")
        from graft.cli.suggestion import suggest

        return suggest(settings, asked.roots, suggested, patched)
    with settings.open_store() as store:
        request = resolve_request(store, asked)
        return show_plan(
            store,
            free_bytes(store),
            request,
            settings,
            output,
            abi_report,
            rebuild_cost=rebuild_cost,
        )


def free_bytes(store: Source) -> int | None:
    """The room left in a store that can be written, if anybody knows."""
    from graft.store.api import Target

    return store.free_bytes() if isinstance(store, Target) else None


def approved_plan(store: Source, request: PlanRequest, resources: Resources) -> Plan:
    """Plans the request, and compares it with the plan file if there is one.

    Raises:
        StalePlanError: the plan file says something else.
    """
    from graft.plan.making import make_plan

    plan = make_plan(store, request.graft, resources)
    request.approve(plan)
    return plan


def show_plan(
    store: Source,
    free_bytes: int | None,
    request: PlanRequest,
    settings: Settings,
    output: str | None = None,
    abi_report: str | None = None,
    *,
    rebuild_cost: bool = False,
) -> int:
    """Plans, and prints the plan; the exit status.

    Args:
        store: where everything is.
        free_bytes: room where the result would go, if that is known.
        output: a file for the document.
        abi_report: a file or a directory for abidiff's report.
        rebuild_cost: tell the cost of a rebuild as well.

    Raises:
        UsageError: that is asked of a store without derivations.
    """
    from graft.check.abi import StoreContents, forecast_abi
    from graft.check.missing_files import MissingFiles, missing_files
    from graft.check.reference_rules import reference_rules
    from graft.plan import plan_document, warnings_document
    from graft.store.local import LocalStore
    from graft.workers import Resources

    if rebuild_cost and not isinstance(store, LocalStore):
        raise UsageError(
            f"--rebuild-cost needs a store on this machine, which '{store.url}' is not"
        )
    if abi_report is not None:
        from graft.check.abi.report import check_reporting, write_report

        check_reporting()
    if request.derived:
        print_pairs(request.graft.replacements, store.store_dir, settings)
    bars = Bars(settings)
    with bars("plan", None):
        plan = approved_plan(store, request, Resources(progress=bars))
    with bars("check", None), StoreContents(store) as contents:
        download = request.graft.deep or abi_report is not None
        abi = forecast_abi(plan, store, contents, download=download)
        # Objects not downloaded for the one check are not downloaded for the other.
        missing = MissingFiles(store_dir=plan.store_dir)
        if not abi.not_downloaded:
            missing = missing_files(plan, store, contents)
    if abi_report is not None:
        write_report(abi, store, abi_report)
    rules = reference_rules(plan, store)
    warnings = (*plan.warnings, *abi.warnings, *missing.warnings, *rules)
    print_warnings(warnings, settings)
    cost = None
    if rebuild_cost:
        from graft.cli.rebuild_cost import RebuildCost

        assert isinstance(store, LocalStore)
        cost = RebuildCost(plan, store)
    if output is not None or settings.json:
        document = {
            **plan_document(plan),
            "warnings": warnings_document(warnings, plan.store_dir),
            "free_bytes": free_bytes,
        }
        if cost is not None:
            document["rebuild"] = cost.document()
    if output is not None:
        import json

        write_file(output, json.dumps(document, indent=2) + "\n")
    if settings.json:
        print_document(document)
    else:
        _print_plan(plan, free_bytes, settings)
    if cost is not None and not settings.json:
        cost.show(settings)
    return 0


def _becomes(path: StorePath, plan: Plan, *, whole: bool) -> str:
    if plan.placeholders:
        return "…"
    return f"{path.hash_part}-…" if whole else brief_hash(path)


def _print_plan(plan: Plan, free_bytes: int | None, settings: Settings) -> None:
    whole = settings.verbosity > 0
    if plan.rewrites:
        print_table(
            ["path", "", "becomes", "NAR size", "references"],
            [
                [
                    str(rewrite.path) if whole else brief_name(rewrite.path),
                    "" if whole else brief_hash(rewrite.path),
                    _becomes(rewrite.new_path, plan, whole=whole),
                    binary_size(rewrite.nar_size),
                    str(len(rewrite.references)),
                ]
                for rewrite in plan.rewrites
            ],
            right=["NAR size", "references"],
            changed="becomes",
        )

    def shown(path: StorePath) -> str:
        return plan.store_dir.path(path) if path not in plan.placeholders else f"…-{path.name}"

    for alias in plan.aliases:
        print_line(f"alias {shown(alias.path)} -> {shown(alias.target)}")
    for root, new in plan.new_roots.items():
        if whole:
            print_line(f"{plan.store_dir.path(root)} -> {shown(new)}")
        else:
            print_line(f"{brief_path(root)} → {_becomes(new, plan, whole=False)}")
    print_note(
        f"{counted(len(plan.rewrites), 'path')} would be rewritten, {len(plan.shared):,} of "
        f"{len(plan.new_references):,} shared; at most {binary_size(plan.bytes_at_most)} written"
        + (f", {binary_size(free_bytes)} free" if free_bytes is not None else ""),
        settings,
    )
