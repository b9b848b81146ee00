"""`graft apply`: the whole job."""

from __future__ import annotations

import os
from contextlib import ExitStack

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_request
from graft.cli.output import Bars, print_document, print_note, print_table, print_warnings
from graft.cli.plan_command import abi_report_option, free_bytes, show_plan
from graft.cli.proof_table import print_problems, print_proof
from graft.cli.settings import Settings, common_options
from graft.executor import Compression, Execution
from graft.formats.compression import LEVELS
from graft.formats.file_name import printable
from graft.job import apply
from graft.outcome import Outcome, outcome_document
from graft.quantities import binary_size, counted
from graft.store.api import Source, Target
from graft.store.daemon import DaemonStore
from graft.store.key_files import read_secret_key
from graft.store.opening import daemon_of, open_sources, open_target, trusted_keys
from graft.store.united import UnitedStore


@click.command(
    "apply",
    epilog="Example: graft apply ./result --replace /nix/store/...-openssl-3.0.20=./openssl-fixed "
    "--add-root ./patched",
)
@plan_options
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
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `graft plan` does.")
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
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
    dry_run: bool,
) -> int:
    """Replace dependencies deep in the closures of ROOTs, register and prove the result.

    Instead of ROOTs and replacements a plan file may be given, as `graft plan -o FILE` writes it;
    it is planned again, and refused if anything has changed.

    Prints the new roots. Status 1: something still leads to OLD, or a path is broken; then no link
    is made.
    """
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
        request = resolve_request(known, asked)
        target: Target | None = None
        if target_url is not None and not dry_run:
            target = stack.enter_context(open_target(target_url, os.environ, store.store_dir))
        elif not dry_run and (daemon := daemon_of(settings.store_url, store, os.environ)):
            target = stack.enter_context(daemon)
        if isinstance(target, DaemonStore):
            print_note(
                f"you may not write the store '{target.store_dir}': what is made goes into a "
                "temporary cache, and from there through the Nix daemon, with 'nix copy'",
                settings,
            )
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
    _print_summary(outcome, settings)
    if settings.json:
        print_document(outcome_document(outcome))
    elif outcome.succeeded:
        for root in outcome.plan.roots:
            print(outcome.plan.store_dir.path(outcome.plan.new_roots[root]))
    return 0 if outcome.succeeded else 1


def _print_summary(outcome: Outcome, settings: Settings) -> None:
    execution, plan = outcome.execution, outcome.plan
    resumed = f", {len(execution.resumed):,} were there already" if execution.resumed else ""
    if execution.fetched:
        resumed += f", {len(execution.fetched):,} fetched"
    print_note(
        f"{counted(len(execution.rewritten), 'path')} written{resumed}, "
        f"{len(plan.shared):,} of {len(plan.new_references):,} shared; "
        f"{counted(execution.references_rewritten, 'reference')} in "
        f"{counted(execution.files.patched, 'file')}; {binary_size(execution.bytes_written)} "
        f"written, {binary_size(execution.bytes_shared)} linked; {outcome.seconds:.2f} s",
        settings,
    )
    _print_fixups(execution, settings)
    if outcome.proof is not None:
        print_proof(outcome.proof, plan.store_dir, settings)
    if outcome.hidden_residual:
        print_note(
            f"{len(outcome.hidden_residual)} of these places hold references that are not "
            "registered: run again with --deep to move such references as well",
            settings,
        )
    if outcome.spelled_residual:
        print_note(
            f"{len(outcome.spelled_residual)} of these places spell a path otherwise, as in "
            "base64: no graft rewrites them; build what they are in again, or allow them with "
            "--allow-residual",
            settings,
        )
    print_problems(outcome.problems, plan.store_dir, settings)
    if not outcome.succeeded:
        print_note("the new paths stay valid, but no root or link was made", settings)


def _print_fixups(execution: Execution, settings: Settings) -> None:
    """What became of files of known types: those of a kind in one line."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for path, files in sorted(execution.fixed.items(), key=lambda item: item[0].name):
        for file in files:
            for done in file.outcomes:
                kind = done.outcome, done.fixup, done.reason or ""
                kinds.setdefault(kind, []).append(f"{path}/{printable(file.file)}")
    if kinds and not settings.quiet:
        print_table(
            ["files", "", "fix-up", "for example", "why"],
            [
                [f"{len(places):,}", outcome, fixup, places[0], why]
                for (outcome, fixup, why), places in sorted(kinds.items())
            ],
            right=["files"],
            to_stderr=True,
        )
