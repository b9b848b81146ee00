"""`graft status`: the grafts in force."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import click

from graft.cli.arguments import resolve_path
from graft.cli.output import print_document, print_note
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError
from graft.quantities import binary_size, counted, human_seconds

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir, StorePath
    from graft.machine.record import GraftRecord
    from graft.machine.status import PlaceNow, Standing
    from graft.store.local import LocalStore

_STATES = {
    "in-force": "in force",
    "undone": "undone: it leads to OLD again",
    "replaced": "neither OLD nor the graft is in it",
    "gone": "not there",
}
_MOST_ROOTS = 5  # of those that keep something; --json has all


@click.command("status", epilog="Example: graft status --rebuilt ./result")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--rebuilt",
    metavar="ROOT",
    help="Say whether ROOT, a real rebuild, makes the graft needless: whether OLD is gone from it.",
)
@click.option(
    "--nixos-option",
    "option",
    is_flag=True,
    help="Print the NixOS option that makes the same replacements at every rebuild, and no more.",
)
@click.option(
    "--vex", is_flag=True, help="Print an OpenVEX document for vulnerability scanners, and no more."
)
@click.option(
    "--vulnerability",
    "vulnerabilities",
    metavar="ID",
    multiple=True,
    help="With --vex: the vulnerability, where the graft's note has no CVE or GHSA identifier.",
)
@click.option(
    "--author", metavar="TEXT", help="With --vex: the author; USER@HOST if it is not given."
)
@click.option("--all", "every", is_flag=True, help="Also grafts that were taken back or collected.")
@common_options
@click.pass_obj
def command(
    settings: Settings,
    names: tuple[str, ...],
    rebuilt: str | None,
    option: bool,
    vex: bool,
    vulnerabilities: tuple[str, ...],
    author: str | None,
    every: bool,
) -> int:
    """Show the grafts of the store: their replacements, the places in force, and their roots.

    A NAME is a graft's own, or the name of a package it replaces. Status 1: a profile or a link
    that had a graft leads to OLD again, as after a rebuild without the fix or a rollback; with
    --rebuilt also if ROOT still has it; with NAMEs, --nixos-option or --vex also if there is no
    such graft.
    """
    from graft.machine.record import Provenance, user_name
    from graft.machine.status import leads_to, standing_of
    from graft.machine.vex import nixos_option, vex_document

    settings.start_log()
    if (vulnerabilities or author) and not vex:
        raise UsageError("--vulnerability and --author say nothing without --vex")
    with settings.open_local_store() as store:
        known = Provenance(store.location, os.environ).grafts()
        standing = standing_of(store, [one for one in known if one.ended is None])
        shown = [
            one
            for one in standing
            if (every or one.state != "gone" or one.valid)
            and (not names or any(one.graft.is_named(name) for name in names))
        ]
        ended = [one for one in known if one.ended is not None] if every else []
        left: dict[str, list[StorePath]] = {}
        if rebuilt is not None:
            root = resolve_path(store, rebuilt)
            for one in shown:
                olds = [old for old in one.graft.replacements if root in leads_to(store, [old])]
                left[one.graft.id] = sorted(olds)
        told = [one for one in shown if one.state in {"in-force", "undone"}]
        if (option or vex) and not told:
            print_note("no graft is in force: there is nothing to tell others of", settings)
            return 1
        if option:
            print(nixos_option((one.graft for one in told), store.store_dir), end="")
        elif vex:
            author = author or f"{user_name()}@{socket.gethostname()}"
            print_document(
                vex_document(
                    told,
                    store.store_dir,
                    author=author,
                    given=vulnerabilities,
                    now=int(time.time()),
                )
            )
        elif settings.json:
            print_document(
                {
                    "version": 1,
                    "grafts": [_document(one, store, left.get(one.graft.id)) for one in shown],
                }
            )
        else:
            for one in shown:
                _print(one, store.store_dir, left.get(one.graft.id))
            for graft in ended:
                print(f"{graft.id}  taken back")
                _print_replacements(graft)
            if not shown and not ended:
                print_note("there are no grafts in this store's record", settings)
    undone = any(now.state == "undone" for one in shown for now in one.places)
    return 1 if undone or any(left.values()) or (names and not shown) else 0


def _print(standing: Standing, store_dir: StoreDir, left: list[StorePath] | None) -> None:
    graft = standing.graft
    age = human_seconds(max(0, time.time() - graft.time))
    print(f"{graft.id}  {_STATES[standing.state]}  made {age} ago by {graft.user}")
    if graft.note is not None:
        print(f"  note: {graft.note}")
    _print_replacements(graft)
    for root, new in graft.roots.items():
        print(f"  root {store_dir.path(root)}")
        print(f"    → {store_dir.path(new)}")
    for now in standing.places:
        number = f", generation {now.generation}" if now.generation is not None else ""
        print(f"  {now.place.kind} {now.place.link}{number}: {_STATES[now.state]}")
    print(
        f"  {len(standing.valid):,} of {counted(len(graft.rewrites), 'path')} in the store, "
        f"{binary_size(standing.bytes)} on disk beyond the originals"
    )
    for what, roots in (
        ("originals", standing.keep_originals),
        ("the graft", standing.keep_grafts),
    ):
        print(f"  {what} kept by: {_some(roots)}")
    if left is not None:
        names = ", ".join(old.name for old in left)
        print(f"  the rebuild {'still has ' + names if left else 'is there: take the graft back'}")


def _print_replacements(graft: GraftRecord) -> None:
    for old, new in graft.replacements.items():
        print(f"  {old.name} → {new.name}")


def _some(roots: Any) -> str:
    links = sorted(roots)
    rest = len(links) - _MOST_ROOTS
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(links[:_MOST_ROOTS]) + more or "nothing"


def _document(
    standing: Standing, store: LocalStore, left: list[StorePath] | None
) -> dict[str, object]:
    graft, full = standing.graft, store.store_dir.path
    return {
        "graft": graft.id,
        "state": standing.state,
        "time": graft.time,
        "note": graft.note,
        "user": graft.user,
        "tool_version": graft.tool_version,
        "addressing": graft.addressing,
        "replacements": {full(old): full(new) for old, new in graft.replacements.items()},
        "cutoffs": sorted(map(full, graft.cutoffs)),
        "roots": {full(old): full(new) for old, new in graft.roots.items()},
        "places": [_place_document(now, store.store_dir) for now in standing.places],
        "rewritten_paths": len(graft.rewrites),
        "valid_paths": len(standing.valid),
        "bytes_beyond_originals": standing.bytes,
        "keep_originals": {link: full(path) for link, path in standing.keep_originals.items()},
        "keep_grafts": {link: full(path) for link, path in standing.keep_grafts.items()},
        "old_in_rebuilt": None if left is None else [full(old) for old in left],
    }


def _place_document(now: PlaceNow, store_dir: StoreDir) -> dict[str, object]:
    return {
        "kind": now.place.kind,
        "link": now.place.link,
        "state": now.state,
        "generation": now.generation,
        "path": None if now.path is None else store_dir.path(now.path),
    }
