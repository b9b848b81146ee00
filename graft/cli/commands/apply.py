"""`graft apply`: the whole job."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_request
from graft.cli.commands.plan import abi_report_option, free_bytes, show_plan
from graft.cli.output import Bars, print_document, print_note, print_warnings
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError
from graft.formats.compression_levels import LEVELS

if TYPE_CHECKING:
    from graft.machine.activation import Action
    from graft.machine.current_roots import Everywhere
    from graft.store.api import Source, Target


@click.command(
    "apply",
    epilog="Example: graft apply ./result --replace /nix/store/...-openssl-3.0.20=./openssl-fixed "
    "--add-root ./patched",
)
@plan_options
@click.option(
    "--all-roots",
    is_flag=True,
    help="Instead of ROOTs: all that is in force and leads to OLD, in one plan. Every profile gets "
    "a new generation, every other root's link is turned; those of other users stay.",
)
@click.option(
    "--add-root",
    "add_roots",
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
    "target_url",
    metavar="URL",
    help="Where the result goes: a store on this machine, or a cache that can be written. If not "
    "given, it goes where everything else is.",
)
@click.option(
    "--from",
    "source_urls",
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
    help="What is read again to prove that OLD is gone.",
)
@click.option(
    "--allow-residual",
    "allowed",
    metavar="GLOB",
    multiple=True,
    help="Accept references to OLD in files that match BASENAME/FILE.",
)
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
    help="Take from caches what is signed with this key, NAME:BASE64; several may be given, or "
    "several in one, with spaces between them. If not given, those count that Nix's own "
    "configuration names.",
)
@click.option(
    "--no-check-sigs",
    "check_sigs",
    flag_value=False,
    default=True,
    help="Take from caches what nobody trusted has signed.",
)
@click.option(
    "--sign-key",
    "key_files",
    metavar="FILE",
    multiple=True,
    help="Sign what is made with the secret key in FILE.",
)
@click.option(
    "--compression",
    type=click.Choice(list(LEVELS)),
    default="zstd",
    show_default=True,
    help="How NARs are compressed that are written into a cache.",
)
@click.option(
    "--compression-level",
    type=int,
    metavar="N",
    help="The level of that; its own default if not given.",
)
@click.option(
    "--compression-threads",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Threads that compress one NAR with zstd, beside those of --jobs.",
)
@click.option(
    "--allow-abi-breaks",
    is_flag=True,
    help="Go on where a program will not work with what it will load; warn only.",
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
    all_roots: bool,
    add_roots: tuple[str, ...],
    profile: str | None,
    target_url: str | None,
    source_urls: tuple[str, ...],
    jobs: int | None,
    links: bool,
    scope: str,
    allowed: tuple[str, ...],
    check_inputs: bool,
    repair: bool,
    trusted_public_keys: tuple[str, ...],
    check_sigs: bool,
    key_files: tuple[str, ...],
    compression: str,
    compression_level: int | None,
    compression_threads: int,
    allow_abi_breaks: bool,
    abi_report: str | None,
    action: Action | None,
    note: str | None,
    dry_run: bool,
) -> int:
    """Replace dependencies deep in the closures of ROOTs, register and prove the result.

    Instead of ROOTs and replacements a plan file may be given, as `graft plan -o FILE` writes it;
    it is planned again, and refused if anything has changed.

    With --activate the profile comes first, then switch-to-configuration, in a unit of systemd
    where that runs, shown before it is done; then what still runs OLD is listed.

    Prints the new roots. Status 1: something still leads to OLD, or a path is broken; then no link
    is made.
    """
    from graft.cli.tables import print_summary
    from graft.executor import Compression
    from graft.jobs.apply import apply
    from graft.jobs.outcome import outcome_document
    from graft.store.daemon import DaemonStore
    from graft.store.opening import daemon_of, open_sources, open_target, trusted_keys
    from graft.store.trust import read_secret_key
    from graft.store.union import UnitedStore

    settings.start_log()
    sign_keys = [read_secret_key(file) for file in key_files]
    how = Compression(name=compression, level=compression_level, threads=compression_threads)
    with ExitStack() as stack:
        store: Source = stack.enter_context(settings.open_store())
        sources = open_sources(source_urls, os.environ, stack)
        known: Source = UnitedStore(store, *sources) if sources else store
        public_keys = (
            trusted_keys(trusted_public_keys, [store, *sources], os.environ) if check_sigs else None
        )
        target: Target | None = None
        if target_url is not None and not dry_run:
            target = stack.enter_context(open_target(target_url, os.environ, store.store_dir))
        elif not dry_run and (daemon := daemon_of(settings.store_url, store, os.environ)):
            target = stack.enter_context(daemon)
        everywhere: Everywhere | None = None
        if all_roots:
            if add_roots or profile or target_url is not None:
                raise UsageError(
                    "--all-roots says where the new roots go: leave --add-root, --profile and --to "
                    "out"
                )
            from graft.cli.all_roots import ask_for_all_roots

            asked, everywhere = ask_for_all_roots(store, target, asked, settings)
        request = resolve_request(known, asked)
        if isinstance(target, DaemonStore):
            print_note(
                f"you may not write the store '{target.store_dir}': what is made goes into a "
                "temporary cache, and from there through the Nix daemon, with 'nix copy'",
                settings,
            )
        if action is not None:
            if target_url is not None:
                raise UsageError("--activate and --to contradict each other: leave one of them out")
            from graft.cli.activation import system_to_activate

            system, profile = system_to_activate(store, request, action, profile, everywhere)
            check_inputs = True  # what is corrupt must not start a machine with a new hash
        if dry_run:
            return show_plan(known, free_bytes(store), request, settings, abi_report=abi_report)
        outcome = apply(
            store,
            request.roots,
            request.replacements,
            cutoffs=request.cutoffs,
            initrd_cutoff=request.initrd_cutoff,
            add_roots=add_roots,
            profile=profile,
            places=everywhere.places if everywhere is not None else (),
            note=note,
            to=target,
            source=UnitedStore(*sources) if sources else None,
            jobs=jobs,
            links=links,
            scope=None if scope == "none" else "rewritten" if scope == "rewritten" else "closure",
            allowed=allowed,
            check_inputs=check_inputs,
            repair=repair,
            trusted_public_keys=public_keys,
            sign_keys=sign_keys,
            compression=how,
            deep=request.deep,
            hidden=request.hidden,
            addressing=request.addressing,
            self_references=request.self_references,
            fixups=request.fixups,
            allow_abi_breaks=allow_abi_breaks,
            abi_report=abi_report,
            approve=request.approve,
            progress=Bars(settings),
        )
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
            print(outcome.plan.store_dir.path(outcome.plan.new_roots[root]))
    return 0 if outcome.succeeded else 1
