"""`graft apply`: the whole job."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_request, strict_option
from graft.cli.brief_names import print_pairs
from graft.cli.command_group import UsualOptions
from graft.cli.commands.plan import abi_report_option, free_bytes, show_plan
from graft.cli.output import Bars, print_document, print_line, print_note, print_warnings
from graft.cli.settings import Settings, common_options, gather
from graft.errors import UsageError
from graft.formats.compression_levels import LEVELS

if TYPE_CHECKING:
    from graft.check.acceptance import Acceptance
    from graft.jobs.request import Transfer
    from graft.machine.activation import Action
    from graft.machine.current_roots import Everywhere
    from graft.machine.places import Placement


_USUAL = {
    "The replacement": ("--replace", "--all-roots", "--cutoff", "--deep"),
    "The result": ("--add-root", "--profile", "--activate", "--to"),
    "The job": ("--dry-run", "--note"),
}


@click.command(
    "apply",
    cls=UsualOptions,
    usual=_USUAL,
    epilog="Example: graft apply ./result --replace openssl=./openssl-fixed --add-root ./patched",
)
@plan_options
@gather("graft.executor.delivery:Compression", "compression")
@gather("graft.executor.delivery:Delivery", "delivery")
@gather("graft.jobs.request:Transfer", "transfer")
@gather("graft.check.acceptance:Acceptance", "acceptance")
@gather("graft.machine.places:Placement", "placement")
@click.option(
    "--all-roots",
    is_flag=True,
    help="Instead of ROOTs: all that is in force and leads to OLD, in one plan. Every profile gets "
    "a new generation, every other root's link is turned; other users' roots stay.",
)
@click.option(
    "--add-root",
    "root_links",
    metavar="LINK",
    multiple=True,
    help="Make this link to the new root and register it with the garbage collector; one for each "
    "ROOT, or one that is numbered.",
)
@click.option(
    "--profile", metavar="PROFILE", help="Make the new root the current generation of PROFILE."
)
@click.option(
    "--to",
    "target",
    metavar="URL",
    help="Where the result goes: a store on this machine, or a cache that can be written. If not "
    "given, it goes where everything else is.",
)
@click.option(
    "--from",
    "sources",
    metavar="URL",
    multiple=True,
    help="Another store or cache, where NEW or originals come from that are not valid in the "
    "first.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads; as many as there are usable processors if not given.",
)
@click.option(
    "--no-hard-links",
    "links",
    flag_value=False,
    default=True,
    help="Copy unchanged files instead of linking them.",
)
@click.option(
    "--prove",
    "scope",
    type=click.Choice(["closure", "rewritten", "none"]),
    default="closure",
    show_default=True,
    callback=lambda _context, _parameter, scope: None if scope == "none" else scope,
    help="The paths that are read again to prove that OLD is gone.",
)
@click.option(
    "--allow-residual",
    "allowed",
    metavar="GLOB",
    multiple=True,
    help="Accept references to OLD in files that match BASENAME/FILE.",
)
@strict_option
@click.option(
    "--check-inputs",
    is_flag=True,
    help="Compare the originals with their registered hashes first.",
)
@click.option(
    "--repair", is_flag=True, help="Make again new paths that are registered, but broken."
)
@click.option(
    "--trusted-public-keys",
    "trusted_public_keys",
    metavar="KEY",
    multiple=True,
    help="Take paths from caches that are signed with this key, NAME:BASE64; several may be given, "
    "or several in one, with spaces between them. If not given, the keys of Nix's own "
    "configuration count.",
)
@click.option(
    "--no-check-sigs",
    "check_sigs",
    flag_value=False,
    default=True,
    help="Take paths from caches without a trusted signature.",
)
@click.option(
    "--sign-key",
    "key_files",
    metavar="FILE",
    multiple=True,
    help="Sign new paths with the secret key in FILE.",
)
@click.option(
    "--compression",
    "name",
    type=click.Choice(list(LEVELS)),
    default="zstd",
    show_default=True,
    help="How NARs are compressed that are written into a cache.",
)
@click.option(
    "--compression-level",
    "level",
    type=int,
    metavar="N",
    help="The level of that; its own default if not given.",
)
@click.option(
    "--compression-threads",
    "threads",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Threads that compress one NAR with zstd, in addition to the threads of --jobs.",
)
@click.option(
    "--allow-abi-breaks",
    "abi_breaks",
    is_flag=True,
    help="Go on where a program will not work with the libraries it will load; warn only.",
)
@click.option(
    "--allow-missing-files",
    "missing_files",
    is_flag=True,
    help="Go on where a path refers to a file of OLD that NEW has not; warn only.",
)
@abi_report_option
@click.option(
    "--activate",
    "action",
    type=click.Choice(["switch", "boot", "test", "dry-activate"]),
    help="Activate the new root, a NixOS system, as nixos-rebuild does. With switch and boot it is "
    "the system profile's new generation, if --profile says no other.",
)
@click.option("--note", metavar="TEXT", help="Why, for 'graft status': such as the CVE's number.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `graft plan` does.")
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
    transfer: Transfer,
    acceptance: Acceptance,
    placement: Placement,
    jobs: int | None,
    action: Action | None,
    dry_run: bool,
) -> int:
    """Replace dependencies deep in the closures of ROOTs, register and prove the result.

    Instead of ROOTs and replacements a plan file may be given, as `graft plan -o FILE` writes it;
    it is planned again, and refused if anything has changed.

    With --activate the profile comes first, then switch-to-configuration, in a unit of systemd
    where that runs, shown before it is done; then a list of everything that still runs OLD.

    Prints the new roots. The proof's verdict is `gone`, `not-found` (some files could not be looked
    into, or are of unknown types and were changed) or `found`. Status 1: OLD is found where it was
    not allowed, or a path is broken; with --strict also not-found. Then no link is made.
    """
    from graft.cli.tables import print_summary
    from graft.jobs.outcome import outcome_document
    from graft.jobs.pipeline import run_job
    from graft.jobs.request import JobRequest
    from graft.jobs.stores import StoreOpening, daemon_note
    from graft.workers import Resources

    settings.start_log()
    if acceptance.strict and acceptance.scope != "closure":
        scope = acceptance.scope or "none"
        raise UsageError(
            f"--strict needs a proof of the whole closure: leave --prove {scope} out",
        )
    with ExitStack() as stack:
        opening = StoreOpening(transfer, settings.store_url, os.environ, stack)
        store = opening.store
        if not dry_run:
            opening.open_target()
        everywhere: Everywhere | None = None
        if asked.all_roots:
            if placement.root_links or placement.profile or transfer.target is not None:
                raise UsageError(
                    "--all-roots says where the new roots go: leave --add-root, --profile and --to "
                    "out"
                )
            from graft.cli.all_roots import ask_for_all_roots

            asked, everywhere = ask_for_all_roots(store, opening.daemon, asked, settings)
            placement = replace(placement, places=tuple(everywhere.places))
        request = resolve_request(opening.source, asked)
        if opening.daemon is not None:
            print_note(daemon_note(opening.daemon), settings)
        if action is not None:
            if transfer.target is not None:
                raise UsageError("--activate and --to contradict each other: leave one of them out")
            from graft.cli.activation import system_to_activate

            roots, profile = request.graft.roots, placement.profile
            system, profile = system_to_activate(store, roots, action, profile, everywhere)
            placement = replace(placement, profile=profile)
        if dry_run:
            free = free_bytes(store)
            report = acceptance.abi_report
            return show_plan(opening.source, free, request, settings, abi_report=report)
        stores = opening.stores()
        if action is not None:  # a corrupt path must not start a machine with a new hash
            stores = replace(stores, delivery=replace(stores.delivery, check_inputs=True))
        job = JobRequest(
            graft=request.graft,
            acceptance=acceptance,
            placement=placement,
            approve=request.approve,
        )
        if request.derived:
            print_pairs(request.graft.replacements, store.store_dir, settings)
        outcome = run_job(job, stores, Resources(jobs=jobs, progress=Bars(settings)))
        print_warnings(outcome.warnings, settings)
        print_summary(outcome, settings)
        document = outcome_document(outcome)
        if everywhere is not None:
            document["left"] = everywhere.left
        if action is not None and outcome.succeeded:
            from graft.cli.activation import activate_outcome

            document["activation"] = activate_outcome(store, outcome, system, action, settings)
    if settings.json:
        print_document(document)
    elif outcome.succeeded:
        for root in outcome.plan.roots:
            print_line(outcome.plan.store_dir.path(outcome.plan.new_roots[root]))
    return 0 if outcome.succeeded else 1
