"""`graft verify`: the paths in the store, compared with the plan."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import PlanArguments, plan_options, resolve_request, strict_option
from graft.cli.commands.plan import approved_plan
from graft.cli.output import Bars, print_document, print_warnings
from graft.cli.settings import Settings, common_options

if TYPE_CHECKING:
    from graft.store.api import Source


@click.command(
    "verify",
    epilog="Example: graft verify ./result --replace openssl=./openssl-fixed",
)
@plan_options
@click.option(
    "--allow-residual",
    "allowed",
    metavar="GLOB",
    multiple=True,
    help="Accept references to OLD in files that match BASENAME/FILE.",
)
@strict_option
@click.option(
    "--to",
    "target_url",
    metavar="URL",
    help="Where the result is, if it is not in the store that has the originals.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    asked: PlanArguments,
    allowed: tuple[str, ...],
    strict: bool,
    target_url: str | None,
) -> int:
    """Plan again, and check the paths that `graft apply` made of ROOTs, to the last byte.

    Every path must be registered with the plan's references, and have the registered bytes. It must
    equal its original but for the references, and lead nowhere to OLD. Status 1: something differs,
    or with --strict, some files could not be looked into, or are of unknown types and were changed.
    """
    from graft.check.changed_contents import changed_contents
    from graft.check.foreign_checksums import foreign_checksums
    from graft.check.proof_document import proof_document
    from graft.check.verification import verify
    from graft.cli.tables import print_problems, print_proof
    from graft.executor.content_names import realised_plans
    from graft.plan import warnings_document
    from graft.store.opening import open_store
    from graft.workers import Resources

    settings.start_log()
    with ExitStack() as stack:
        store: Source = stack.enter_context(settings.open_store())
        request = resolve_request(store, asked)
        resources = Resources(progress=Bars(settings))
        plan = approved_plan(store, request, resources)
        [plan] = realised_plans([plan], store, resources)
        target: Source = store
        if target_url is not None:
            target = stack.enter_context(open_store(target_url, os.environ))
        changed = changed_contents([plan], store, target, {}, resources)
        proof = verify(
            plan, store, target=target, allowed=allowed, resources=resources, sums=changed.all
        )
        checksums = foreign_checksums(plan, store, target, changed, proof.sums, resources)
    warnings = (*plan.warnings, *checksums)
    print_warnings(warnings, settings)
    print_proof(proof, plan.store_dir, settings)
    print_problems(proof.problems, plan.store_dir, settings)
    if settings.json:
        print_document(
            {
                "version": 1,
                **proof_document(proof, plan.store_dir.path),
                "warnings": warnings_document(warnings, plan.store_dir),
            }
        )
    return 0 if proof.satisfies(strict=strict) else 1
