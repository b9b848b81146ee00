"""`graft status`: the grafts in force."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import resolve_path
from graft.cli.brief_names import brief_hash, brief_path
from graft.cli.output import print_document, print_line, print_note
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError
from graft.formats.file_name import printable_text
from graft.quantities import binary_size, counted, human_seconds

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir, StorePath
    from graft.machine.status import PlaceNow, Standing
    from graft.machine.way_back import KeptOriginal
    from graft.store.local import LocalStore

_STATES = {
    "in-force": "in force",
    "both": "the graft is in it, and OLD as well",
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

    A NAME is a graft's own, or the name of a package it replaces. A place is judged by the paths
    that it leads to now. A graft counts as one with the grafts that it has superseded.

    Status 1: a profile or a link that had a graft leads to OLD again, as after a rebuild without
    the fix or a rollback; with --rebuilt also if ROOT still has it; with NAMEs, --nixos-option or
    --vex also if there is no such graft.
    """
    from graft.machine.originals import Originals
    from graft.machine.record import Provenance, user_name
    from graft.machine.roots import MachineRoots, find_machine_roots
    from graft.machine.status import leads_to, standing_of
    from graft.machine.vex import nixos_option, vex_document
    from graft.machine.way_back import kept_originals

    settings.start_log()
    if (vulnerabilities or author) and not vex:
        raise UsageError("--vulnerability and --author say nothing without --vex")
    with settings.open_local_store() as store:
        known = Provenance(store.location, os.environ).grafts()
        standing = standing_of(store, [one for one in known if one.ended is None], known)
        shown = [
            one
            for one in standing
            if (every or one.state != "gone" or one.valid)
            and (not names or any(one.succession.is_named(name) for name in names))
        ]
        ended = [one for one in known if one.ended is not None] if every else []
        left: dict[str, list[StorePath]] = {}
        if rebuilt is not None:
            root = resolve_path(store, rebuilt)
            for one in shown:
                olds = one.succession.replacements
                left[one.graft.id] = sorted(old for old in olds if root in leads_to(store, [old]))
        told = [one for one in shown if one.state in {"in-force", "both", "undone"}]
        if (option or vex) and not told:
            print_note("no graft is in force: there is nothing to tell others of", settings)
            return 1
        if option:
            grafts = [graft for one in told for graft in one.succession.grafts]
            print(nixos_option(grafts, store.store_dir), end="")
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
        else:
            originals = Originals(store.location, os.environ)
            kept = {
                one.graft.id: originals.kept(graft.id for graft in one.succession.grafts)
                for one in shown
            }
            machine = MachineRoots(roots=())
            if any(kept.values()):
                machine = find_machine_roots(store, os.environ)
            ways = {
                one.graft.id: kept_originals(store, one.succession, kept[one.graft.id], machine)
                for one in shown
            }
            if settings.json:
                documents = [
                    _document(one, store, left.get(one.graft.id), ways[one.graft.id])
                    for one in shown
                ]
                print_document({"version": 1, "grafts": documents})
            else:
                for one in shown:
                    _print(
                        one,
                        store.store_dir,
                        left.get(one.graft.id),
                        ways[one.graft.id],
                        whole=settings.verbosity > 0,
                    )
                for graft in ended:
                    print_line(f"{graft.id}  taken back")
                    _print_replacements(graft.replacements)
                if not shown and not ended:
                    print_note(_nothing(names, standing), settings)
    undone = any(now.state in {"undone", "both"} for one in shown for now in one.places)
    return 1 if undone or any(left.values()) or (names and not shown) else 0


def _nothing(names: tuple[str, ...], standing: Sequence[Standing]) -> str:
    """The sentence for an empty answer: there is no graft, or only grafts of something else."""
    if not names or not standing:
        return "there are no grafts in this store's record"
    asked = " or ".join(f"'{printable_text(name)}'" for name in names)
    for one in standing:
        for old in one.succession.rewrites:
            if not {old, old.name, old.package_name}.isdisjoint(names):
                olds = ", ".join(each.name for each in one.succession.replacements)
                return (
                    f"no graft replaces {asked}; the graft '{one.graft.id}' of {olds} has made "
                    f"'{old.name}' anew: 'graft status {one.graft.id}' shows it"
                )
    replaced = sorted({old.name for one in standing for old in one.succession.replacements})
    return (
        f"the grafts in this store's record do not concern {asked}: they replace {_some(replaced)}"
    )


def _print(
    standing: Standing,
    store_dir: StoreDir,
    left: list[StorePath] | None,
    ways: Sequence[KeptOriginal],
    *,
    whole: bool,
) -> None:
    graft, succession = standing.graft, standing.succession
    print_line(
        f"{graft.id}  {_STATES[standing.state]}  made {_age(graft.time)} ago by {graft.user}"
    )
    if graft.note is not None:
        print_line(f"  note: {printable_text(graft.note)}")
    _print_replacements(succession.replacements)
    if len(succession.grafts) > 1:
        former = ", ".join(one.id for one in succession.grafts[:-1])
        print_line(f"  supersedes {former}")
    for root, new in graft.roots.items():
        if whole:
            print_line(f"  root {store_dir.path(root)}")
            print_line(f"    → {store_dir.path(new)}")
        else:
            print_line(f"  root {brief_path(root)} → {brief_hash(new)}")
    for now in standing.places:
        number = f", generation {now.generation}" if now.generation is not None else ""
        print_line(
            f"  {now.place.kind} {printable_text(now.place.link)}{number}: {_STATES[now.state]}"
        )
    print_line(
        f"  {len(standing.valid):,} of {counted(len(succession.rewrites), 'path')} in the store, "
        f"{binary_size(standing.bytes)} on disk beyond the originals"
    )
    own = {way.link for way in ways}
    for what, roots in (
        ("originals", standing.keep_originals.keys() - own),
        ("the graft", standing.keep_grafts),
    ):
        print_line(f"  {what} kept by: {_some(roots)}")
    for way in ways:
        print_line(
            f"  original kept for the way back: {way.path.name}, at most {binary_size(way.bytes)}, "
            f"for {_age(way.time)}"
        )
        if way.used_by:
            print_line(f"    it cannot go yet: {_some(way.used_by)} leads to it")
        else:
            print_line(
                f"    it can go when no way back is needed: graft ungraft --forget {graft.id}"
            )
    if left is not None:
        names = ", ".join(old.name for old in left)
        print_line(
            f"  the rebuild {'still has ' + names if left else 'is there: take the graft back'}"
        )


def _age(seconds: int) -> str:
    return human_seconds(max(0, time.time() - seconds))


def _print_replacements(replacements: Mapping[StorePath, StorePath]) -> None:
    for old, new in replacements.items():
        print_line(f"  {old.name} → {new.name}")


def _some(roots: Iterable[str]) -> str:
    links = sorted(map(printable_text, roots))
    rest = len(links) - _MOST_ROOTS
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(links[:_MOST_ROOTS]) + more or "nothing"


def _document(
    standing: Standing,
    store: LocalStore,
    left: list[StorePath] | None,
    ways: Sequence[KeptOriginal],
) -> dict[str, object]:
    graft, full, succession = standing.graft, store.store_dir.path, standing.succession
    return {
        "graft": graft.id,
        "state": standing.state,
        "time": graft.time,
        "note": None if graft.note is None else printable_text(graft.note),
        "user": graft.user,
        "tool_version": graft.tool_version,
        "addressing": graft.addressing,
        "supersedes": [one.id for one in succession.grafts[:-1]],
        "replacements": {full(old): full(new) for old, new in succession.replacements.items()},
        "cutoffs": sorted(map(full, graft.cutoffs)),
        "roots": {full(old): full(new) for old, new in graft.roots.items()},
        "places": [_place_document(now, store.store_dir) for now in standing.places],
        "rewritten_paths": len(succession.rewrites),
        "valid_paths": len(standing.valid),
        "bytes_beyond_originals": standing.bytes,
        "keep_originals": _links(standing.keep_originals, store.store_dir),
        "keep_grafts": _links(standing.keep_grafts, store.store_dir),
        "kept_originals": [
            {
                "link": printable_text(way.link),
                "path": full(way.path),
                "time": way.time,
                "bytes": way.bytes,
                "used_by": list(map(printable_text, way.used_by)),
            }
            for way in ways
        ],
        "old_in_rebuilt": None if left is None else [full(old) for old in left],
    }


def _links(roots: Mapping[str, StorePath], store_dir: StoreDir) -> dict[str, str]:
    return {printable_text(link): store_dir.path(path) for link, path in roots.items()}


def _place_document(now: PlaceNow, store_dir: StoreDir) -> dict[str, object]:
    return {
        "kind": now.place.kind,
        "link": printable_text(now.place.link),
        "state": now.state,
        "generation": now.generation,
        "path": None if now.path is None else store_dir.path(now.path),
    }
