"""`graft why`: how a root leads to a path."""

from __future__ import annotations

import click

from graft.cli.arguments import resolve_path
from graft.cli.brief_names import brief_path
from graft.cli.output import print_document, print_line, print_note
from graft.cli.path_arguments import PathNamespace
from graft.cli.settings import Settings, common_options


@click.command("why", epilog="Example: graft why /run/current-system openssl")
@click.argument("root", metavar="ROOT")
@click.argument("path", metavar="PATH")
@click.option("--all", "every", is_flag=True, help="All chains, not only a shortest one.")
@common_options
@click.pass_obj
def command(settings: Settings, root: str, path: str, every: bool) -> int:
    """Show the chain of references from ROOT to PATH. Status 1: ROOT does not lead to PATH.

    PATH may be the name of a package in the closure of ROOT. With -v the paths are whole.
    """
    from graft.plan.closure import Closure

    settings.start_log()
    with settings.open_store() as store:
        start = resolve_path(store, root)
        closure = Closure.of(store, [start])
        end = PathNamespace(store, closure.infos.keys(), f"the closure of '{root}'").path(path)
        full = store.store_dir.path
        shown = full if settings.verbosity else brief_path
        found = 0
        documents = []
        for chain in closure.chains(start, end, every=every):
            found += 1
            if settings.json:
                documents.append([full(link) for link in chain])
                continue
            for depth, link in enumerate(chain):
                print_line(f"{'  ' * (depth - 1)}└─ {shown(link)}" if depth else shown(link))
        if settings.json:
            print_document({"version": 1, "chains": documents})
        if not found:
            print_note(f"'{full(start)}' does not lead to '{full(end)}'", settings)
    return 0 if found else 1
