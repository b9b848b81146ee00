"""`graft ungraft`: a graft taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from graft.cli.commands.profile import activate_option
from graft.cli.output import print_document, print_note
from graft.cli.settings import Settings, common_options
from graft.errors import UngraftError

if TYPE_CHECKING:
    from graft.machine.activation import Action
    from graft.machine.record import GraftRecord, Provenance


@click.command("ungraft", epilog="Example: graft ungraft openssl && nix-store --gc")
@click.argument("name", metavar="NAME")
@click.option(
    "--keep-generations",
    is_flag=True,
    help="Keep the generations that lead to the graft: the garbage collector then keeps it too.",
)
@activate_option
@common_options
@click.pass_obj
def command(settings: Settings, name: str, keep_generations: bool, action: Action | None) -> int:
    """Take the graft NAME back: its own name, or the name of the package it replaces.

    Each profile it was put into goes back to the newest generation with the original, or gets a new
    one. Its generations with the graft are deleted; links of roots are turned back. The paths stay
    until the garbage collector comes. With --activate the profiles' originals are activated.

    Prints the links that lead to originals again. Status 1: something else still keeps the graft.
    """
    from graft.machine.record import Provenance
    from graft.machine.ungraft import ungraft
    from graft.store.opening import daemon_of

    settings.start_log()
    with settings.open_local_store() as store:
        provenance = Provenance(store.location, os.environ)
        graft = _the_one(provenance, name)
        daemon = daemon_of(settings.store_url, store, os.environ)
        if daemon is None:
            done = ungraft(store, store, provenance, graft, keep_generations=keep_generations)
        else:
            with daemon:
                done = ungraft(store, daemon, provenance, graft, keep_generations=keep_generations)
        full = store.store_dir.path
        for now in done.left:
            print_note(
                f"{now.place.kind} '{now.place.link}' did not lead to the graft's root, and stays "
                "unchanged",
                settings,
            )
        for link, path in sorted(done.kept_by.items()):
            print_note(f"'{link}' still keeps the graft, by '{full(path)}'", settings)
        if action is not None:
            from graft.cli.activation import activate_generation

            profiles = {place.link for place in graft.places if place.kind == "profile"}
            for link in sorted(profiles & done.restored.keys()):
                activate_generation(full(done.restored[link]), action)
        if settings.json:
            print_document(
                {
                    "version": 1,
                    "graft": graft.id,
                    "restored": {link: full(path) for link, path in done.restored.items()},
                    "deleted_generations": list(done.deleted),
                    "kept_by": {link: full(path) for link, path in done.kept_by.items()},
                }
            )
        else:
            for link in done.restored:
                print(link)
    return 1 if done.kept_by else 0


def _the_one(provenance: Provenance, name: str) -> GraftRecord:
    """The graft of that name.

    Raises:
        UngraftError: no graft, or more than one, has the name.
    """
    from graft.machine.record import named_grafts

    found = named_grafts(provenance.grafts(), name)
    if not found:
        raise UngraftError(
            f"there is no graft named '{name}' in this store's record: 'graft status' shows them",
            name=name,
        )
    if len(found) > 1:
        ids = ", ".join(graft.id for graft in found)
        raise UngraftError(
            f"there are {len(found)} grafts of '{name}', {ids}: name one of these",
            name=name,
            grafts=[graft.id for graft in found],
        )
    return found[0]
