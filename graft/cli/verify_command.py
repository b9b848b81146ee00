"""`graft verify`: what stands in the store, held against the plan."""

from __future__ import annotations

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_request
from graft.cli.output import Bars, print_document, print_warnings
from graft.cli.plan_command import approved_plan
from graft.cli.proof_table import print_problems, print_proof
from graft.cli.settings import Settings, common_options
from graft.proof import proof_document
from graft.verification import verify


@click.command(
    "verify",
    epilog="Example: graft verify ./result --replace /nix/store/...-openssl-3.0.20=./openssl-fixed",
)
@plan_options
@click.option(
    "--allow-residual",
    "allowed",
    metavar="GLOB",
    multiple=True,
    help="Accept references to OLD in files that match BASENAME/FILE.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
    allowed: tuple[str, ...],
) -> int:
    """Plan again, and check what `graft apply` made of ROOTs, to the last byte.

    Every path must be registered with the plan's references, have the bytes it was registered with,
    be its original but for the references, and lead nowhere to OLD. Status 1: something is not so.
    """
    settings.start_log()
    with settings.open_store() as store:
        request = resolve_request(store, store.location, asked)
        bars = Bars(settings)
        plan = approved_plan(store, request, bars)
        with bars("verify", None) as on_bytes:
            proof = verify(plan, store, allowed=allowed, on_bytes=on_bytes)
    print_warnings(plan.warnings, settings)
    print_proof(proof, plan.store_dir, settings)
    print_problems(proof.problems, plan.store_dir, settings)
    if settings.json:
        print_document({"version": 1, **proof_document(proof, plan.store_dir.path)})
    return 0 if proof.holds else 1
