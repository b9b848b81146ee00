"""`graft fhs`: foreign programs in a root composed of packages."""

from __future__ import annotations

import os
import tempfile

import click

from graft.cli.arguments import resolve_replacements
from graft.cli.output import print_note, print_warnings
from graft.cli.running import ShellCommand
from graft.cli.settings import Settings, common_options


@click.command(
    "fhs",
    cls=ShellCommand,
    epilog="Example: graft fhs ./glibc ./zlib ./openssl -- ./program-made-for-another-system",
)
@click.argument("roots", metavar="ROOT[:PRIORITY]...", nargs=-1, required=True)
@click.option(
    "--replace",
    "replacements",
    metavar="OLD=NEW",
    multiple=True,
    help="Compose the root from NEW, and mount NEW over OLD for all that refers to it.",
)
@click.option(
    "--profile-script",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True),
    help="Have a shell of the root source FILE before it starts CMD.",
)
@click.option(
    "--base",
    is_flag=True,
    help="Add the newest shell and base tools (coreutils, grep, sed, ...) that the store has, "
    "behind all other packages.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    roots: tuple[str, ...],
    replacements: tuple[str, ...],
    profile_script: str | None,
    base: bool,
    program: tuple[str, ...],
) -> int:
    """Run CMD where /usr, /bin, /lib and /etc are composed of the packages ROOT...

    A program made for another system so finds its loader and its libraries. Where two packages have
    different files for one place, the lower PRIORITY is taken, 5 if nothing is said; equal ones
    collide. Libraries of 32-bit packages are in /lib32.

    Without CMD a shell is started, and --base is taken as given.
    """
    from graft.cli.packages import resolve_package
    from graft.plan.making import make_plan
    from graft.plan.request import Graft
    from graft.ways.namespace import FhsRoot, Mount, run_program
    from graft.ways.namespace.base import base_packages

    settings.start_log()
    with (
        settings.open_local_store() as store,
        tempfile.TemporaryDirectory(prefix="graft-fhs-") as tree,
    ):
        packages = [resolve_package(store, root) for root in roots]
        if base or not program:
            added = base_packages(store, [package.path for package in packages])
            names = ", ".join(sorted(package.path.name for package in added))
            print_note(f"base packages: {names or 'not in the store'}", settings)
            packages += added
        pairs = resolve_replacements(store, replacements)
        paths = [package.path for package in packages]
        store.protect([*paths, *(each for pair in pairs for each in pair)])
        # NEW lies over OLD for the initrd as well
        plan = make_plan(store, Graft.of(paths, pairs, initrd_cutoff=False))
        mount = Mount.of(plan, store.location)
        print_warnings(mount.warnings, settings)
        root = FhsRoot.make(mount, plan.closure, packages, tree)
        if len(root.c_libraries) > 1:
            taken, *others = map(store.store_dir.path, root.c_libraries)
            print_note(
                f"warning: no ROOT has a loader, and there is more than one in their closure: the "
                f"loader of '{taken}' is taken, not of '{', '.join(others)}'; name one as a ROOT",
                settings,
            )
        if root.missing_loader is not None:
            print_note(
                f"warning: neither the ROOTs nor anything they refer to have the loader "
                f"'{root.missing_loader}': programs that need it will seem not to exist; add a C "
                "library to the ROOTs",
                settings,
            )
        environment = root.environment(os.environ)
        if not program:
            program = (root.shell,)
        if profile_script is not None:
            program = tuple(root.with_profile(program))
        options = root.options(profile_script=profile_script)
        return run_program(options, program, environment, root.view)
