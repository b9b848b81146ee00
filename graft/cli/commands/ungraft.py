"""`graft ungraft`: a graft taken back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from graft.cli.commands.profile import activate_option
from graft.cli.output import print_document, print_line, print_note
from graft.cli.settings import Settings, common_options
from graft.errors import UngraftError, UsageError
from graft.formats.file_name import printable_text

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir, StorePath
    from graft.machine.activation import Action
    from graft.machine.record import Provenance
    from graft.machine.succession import Succession
    from graft.machine.ungraft import Ungrafted
    from graft.store.local import LocalStore


@click.command("ungraft", epilog="Example: graft ungraft openssl && nix-store --gc")
@click.argument("name", metavar="NAME")
@click.option(
    "--keep-generations",
    is_flag=True,
    help="Keep the generations that lead to the graft: the garbage collector then keeps it too.",
)
@click.option(
    "--forget",
    is_flag=True,
    help="Take nothing back: let the collector have the originals, which graft keeps for that.",
)
@activate_option
@common_options
@click.pass_obj
def command(
    settings: Settings, name: str, keep_generations: bool, forget: bool, action: Action | None
) -> int:
    """Take the graft NAME back: its own name, or the name of the package it replaces.

    Each profile it was put into goes back to the newest generation with the original, or gets a new
    one. Its generations with the graft are deleted, links of roots are turned back, and a link that
    --add-root has made is removed. The grafts that it has superseded go with it. The paths stay
    until the garbage collector comes. With --activate the profiles' originals are activated.

    Prints the links that lead to originals again. Status 1: something else still leads to the
    graft. As long as that is in force, so is the graft.
    """
    from graft.machine.record import Provenance
    from graft.machine.ungraft import ungraft
    from graft.store.opening import daemon_of

    settings.start_log()
    if forget and (keep_generations or action is not None):
        raise UsageError("--forget takes nothing back: leave --keep-generations and --activate out")
    with settings.open_local_store() as store:
        provenance = Provenance(store.location, os.environ)
        succession = _the_one(provenance, name)
        if forget:
            return _forget(store, succession, settings)

        def activate(restored: Mapping[str, StorePath]) -> None:
            if action is not None:
                from graft.cli.activation import activate_generation

                for link in sorted(restored):
                    activate_generation(store.store_dir.path(restored[link]), action)

        with ExitStack() as stack:
            daemon = daemon_of(settings.store_url, store, os.environ)
            done = ungraft(
                store,
                store if daemon is None else stack.enter_context(daemon),
                provenance,
                succession.last,
                keep_generations=keep_generations,
                activate=activate,
            )
        _print_notes(done, store.store_dir, settings)
        if settings.json:
            print_document(_document(done, store.store_dir))
        else:
            for link in done.restored:
                print_line(link)
    return 1 if done.kept_by or done.in_force else 0


def _forget(store: LocalStore, succession: Succession, settings: Settings) -> int:
    from graft.machine.originals import Originals

    originals = Originals(store.location, os.environ)
    forgotten = originals.forget(graft.id for graft in succession.grafts)
    if settings.json:
        print_document(
            {
                "version": 1,
                "graft": succession.last.id,
                "forgotten": _links(forgotten, store.store_dir),
            }
        )
    else:
        for link in forgotten:
            print_line(link)
    if not forgotten:
        print_note(f"no original of the graft '{succession.last.id}' is kept", settings)
    return 0 if forgotten else 1


def _print_notes(done: Ungrafted, store_dir: StoreDir, settings: Settings) -> None:
    full = store_dir.path
    for link in done.removed:
        print_note(f"link '{printable_text(link)}', which the graft had made, is removed", settings)
    for now in done.left:
        link = printable_text(now.place.link)
        if now.holds_graft:
            told = "leads to something made since, which holds the graft: switch it, or remake it"
        else:
            told = "did not lead to the graft's root, and stays unchanged"
        print_note(f"{now.place.kind} '{link}' {told}", settings)
    for link, path in sorted(done.kept_by.items()):
        print_note(f"'{printable_text(link)}' still keeps the graft, by '{full(path)}'", settings)
    if done.in_force:
        places = ", ".join(f"'{printable_text(place)}'" for place in sorted(done.in_force))
        print_note(f"the graft is not taken back: it is in force in {places}", settings)


def _document(done: Ungrafted, store_dir: StoreDir) -> dict[str, object]:
    return {
        "version": 1,
        "graft": done.grafts[-1].id,
        "superseded": [graft.id for graft in done.grafts[:-1]],
        "restored": _links(done.restored, store_dir),
        "removed_links": list(map(printable_text, done.removed)),
        "deleted_generations": list(map(printable_text, done.deleted)),
        "kept_by": _links(done.kept_by, store_dir),
        "in_force": _links(done.in_force, store_dir),
        "forgotten": _links(done.forgotten, store_dir),
    }


def _links(roots: Mapping[str, StorePath], store_dir: StoreDir) -> dict[str, str]:
    return {printable_text(link): store_dir.path(path) for link, path in roots.items()}


def _the_one(provenance: Provenance, name: str) -> Succession:
    """The graft of that name, with the ones that it has superseded.

    Raises:
        UngraftError: no graft, or more than one, has the name.
    """
    from graft.machine.succession import successions

    grafts = provenance.grafts()
    known = successions([graft for graft in grafts if graft.ended is None])
    found = [one for one in known if one.is_named(name)]
    if not found:
        said = f"there is no graft named '{printable_text(name)}' in this store's record"
        back = [graft for graft in grafts if graft.ended is not None and graft.is_named(name)]
        if back:
            said = f"the graft '{back[-1].id}' of '{printable_text(name)}' was taken back already"
        raise UngraftError(f"{said}: 'graft status' shows the grafts", name=name)
    if len(found) > 1:
        ids = ", ".join(one.last.id for one in found)
        raise UngraftError(
            f"there are {len(found)} grafts of '{name}', {ids}: name one of these",
            name=name,
            grafts=[one.last.id for one in found],
        )
    return found[0]
