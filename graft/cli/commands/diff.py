"""`graft diff`: the replacements that lead from one package set to another."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from graft.cli.output import print_document, print_line, print_note
from graft.cli.result_file import write_file
from graft.cli.settings import Settings, common_options
from graft.quantities import counted

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir
    from graft.ways.diff import Difference


@click.command(
    "diff",
    epilog="Example: graft diff ./base.nix ./patched.nix -o fix.json && graft apply "
    "/run/current-system --replacements fix.json",
)
@click.argument("base", metavar="BASE")
@click.argument("patched", metavar="PATCHED")
@click.option(
    "-A",
    "--attr",
    "attributes",
    metavar="NAME",
    multiple=True,
    help="Where BASE and PATCHED are expressions: an attribute to compare. The default is all "
    "that 'nix-env --query --available' finds.",
)
@click.option(
    "--rebuild",
    metavar="NAME",
    multiple=True,
    help="A package name without a version: replace packages of this name too, although they are "
    "only derived. Use it for programs that must be built with a NEW of another soname.",
)
@click.option("-o", "--output", metavar="FILE", help="Write the JSON document to FILE.")
@common_options
@click.pass_obj
def command(
    settings: Settings,
    base: str,
    patched: str,
    attributes: tuple[str, ...],
    rebuild: tuple[str, ...],
    output: str | None,
) -> int:
    """Find the smallest set of replacements that turns BASE into PATCHED.

    Each of them is a root or a derivation in the store; a directory of derivations or of links to
    any of these; a file with the output of 'nix derivation show --recursive' or of 'nix-env -qaP
    --drv-path', whose derivations 'nix-instantiate' has made; or an expression, FILE.nix. The
    output is a replacements file. Status 1: nothing could be paired.
    """
    from graft.ways.diff import compare_packages, difference_document
    from graft.ways.diff.arguments import read_package_set
    from graft.ways.diff.instantiation import Nix

    settings.start_log()
    with settings.open_local_store() as store:
        nix = Nix.of_store(store.location, os.environ)
        sets = [
            read_package_set(store, argument, attributes=attributes, nix=nix)
            for argument in (base, patched)
        ]
        store.protect({path for one in sets for path in one.needed_paths()})
        found = compare_packages(store, *sets, rebuild=rebuild)
        document = difference_document(found, store.store_dir)
    if output is not None:
        write_file(output, json.dumps(document, indent=2) + "\n")
    if settings.json:
        print_document(document)
    else:
        _print_difference(found, store.store_dir)
    _say(found, settings, base, patched)
    return 0 if found.paired else 1


def _print_difference(found: Difference, store_dir: StoreDir) -> None:
    for one in found.changed:
        why = ", ".join(one.changes) or ("derived, but to be built" if one.needed else "contents")
        called = f"{one.attribute}: {one.name}" if one.attribute else one.name
        print_line(f"# {called} ({why})")
        for old, new in sorted(one.outputs.items()):
            print_line(f"{store_dir.path(old)} {store_dir.path(new)}")
    for one in found.build_only:
        print_line(f"# only built with: {one.name} ({', '.join(one.changes)})")
    for path in found.removed:
        print_line(f"# only in the base: {store_dir.path(path)}")
    for path in found.added:
        print_line(f"# only in the patched: {store_dir.path(path)}")
    for doubt in found.doubtful:
        olds, news = (" ".join(map(store_dir.path, paths)) for paths in (doubt.olds, doubt.news))
        print_line(f"# doubtful, {doubt.why}: {olds} -> {news}")


def _say(found: Difference, settings: Settings, base: str, patched: str) -> None:
    if not found.paired:
        print_note(f"nothing of '{base}' could be paired with anything of '{patched}'", settings)
        return
    apart = [one for one in found.derived if one.reached is False]
    needed = sum(one.needed for one in found.changed)
    print_note(
        f"{counted(len(found.changed), 'package')} to replace"
        + (f" ({needed:,} of them derived, but to be built)" if needed else "")
        + f", {counted(len(found.derived), 'path')} derived"
        + (f", of which a graft leaves {len(apart):,} alone" if apart else "")
        + (f"; {counted(len(found.doubtful), 'doubtful pair')}" if found.doubtful else ""),
        settings,
    )
