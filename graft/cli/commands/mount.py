"""`graft mount`: a graft seen before it is made."""

from __future__ import annotations

import os

import click

from graft.cli.arguments import resolve_path, resolve_replacements
from graft.cli.output import print_warnings
from graft.cli.running import RunningCommand
from graft.cli.settings import Settings, common_options


@click.command(
    "mount",
    cls=RunningCommand,
    epilog="Example: graft mount ./result --replace openssl=./openssl-fixed -- bin/curl --version",
)
@click.argument("root", metavar="ROOT")
@click.option(
    "--replace",
    "replacements",
    metavar="OLD=NEW",
    multiple=True,
    required=True,
    help="Mount NEW over OLD, with all outputs; paths, links or names.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings, root: str, replacements: tuple[str, ...], program: tuple[str, ...]
) -> int:
    """Run CMD where NEW lies over OLD, for it and all it starts. Changes nothing.

    The first word of CMD may be a path relative to ROOT (bin/curl); a word without a slash is
    looked up in PATH.
    """
    from graft.plan.making import make_plan
    from graft.plan.request import Graft
    from graft.ways.namespace import Mount, run_program

    settings.start_log()
    with settings.open_local_store() as store:
        path = resolve_path(store, root)
        pairs = resolve_replacements(store, replacements, path)
        store.protect([path, *(each for pair in pairs for each in pair)])
        # NEW lies over OLD for the initrd as well
        plan = make_plan(store, Graft.of([path], pairs, initrd_cutoff=False))
        mount = Mount.of(plan, store.location)
        print_warnings(mount.warnings, settings)
        view, first = mount.view, program[0]
        inside = f"{store.store_dir.path(path)}/{first}"
        if "/" in first and not first.startswith("/") and view.exists(inside):
            program = (inside, *program[1:])
        return run_program(mount.options(), program, os.environ, view)
