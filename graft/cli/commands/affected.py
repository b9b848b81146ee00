"""`graft affected`: the roots that are hit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from graft.cli.arguments import resolve_replacements
from graft.cli.output import print_document, print_note, print_table
from graft.cli.settings import Settings, common_options
from graft.errors import BadStorePathError
from graft.formats.file_name import printable_text
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.formats.package_range import PackageRange
    from graft.formats.store_path import StoreDir, StorePath
    from graft.machine.affected import Affected, AffectedRoot, Cost
    from graft.machine.roots import MachineRoots, Root
    from graft.store.local import LocalStore

_MOST_SHOWN = 4  # names of a chain
_KINDS = {
    "current-system": "current system",
    "booted-system": "booted system",
    "link": "root",
    "temporary": "at work",
}


@click.command(
    "affected", epilog="Example: graft affected 'openssl<3.0.14' /nix/store/...-libssl-3.0.13"
)
@click.argument("wanted", metavar="PATH|NAME[<VERSION]...", nargs=-1)
@click.option(
    "--replace",
    "replacements",
    metavar="OLD=NEW",
    multiple=True,
    help="Ask for OLD, and plan the graft that puts NEW in its place, to show its cost.",
)
@common_options
@click.pass_obj
def command(settings: Settings, wanted: tuple[str, ...], replacements: tuple[str, ...]) -> int:
    """Show everything on this machine that leads to a path or a package. Status 1: nothing does.

    The order is: running processes, the current and the booted system, generations of all profiles,
    specialisations, containers, and all other roots of the garbage collector. Each has a shortest
    chain of references.

    A package is a name without a version, as nix-env has it. Bounds on its version are <, <=, > and
    >=, several are separated by commas: 'openssl>=3.0,<3.0.14'. Mind the quotes.
    """
    from graft.machine.affected import find_affected
    from graft.machine.roots import find_machine_roots

    settings.start_log()
    if not wanted and not replacements:
        raise click.UsageError("name the thing to ask for: a path, a package, or --replace OLD=NEW")
    with settings.open_local_store() as store:
        asked = [_wanted(store, argument) for argument in wanted]
        pairs = resolve_replacements(store, replacements)
        machine = find_machine_roots(store, os.environ)
        answer = find_affected(store, machine, asked, pairs)
        store_dir = store.store_dir
    if settings.json:
        print_document(affected_document(answer, machine, store_dir))
    else:
        _print_hits(answer)
        _print_notes(answer, machine, settings)
    return 0 if answer.hits else 1


def _wanted(store: LocalStore, argument: str) -> StorePath | PackageRange:
    """The meaning of an argument; a name that is also a link into the store means the link."""
    from graft.formats.package_range import PackageRange

    if "/" in argument:
        return store.resolve(argument)
    try:
        return store.resolve(argument)
    except BadStorePathError:
        return PackageRange.parse(argument)


def affected_document(
    answer: Affected, machine: MachineRoots, store_dir: StoreDir
) -> dict[str, Any]:
    """The JSON document; paths in full."""
    full = store_dir.path
    return {
        "version": 1,
        "paths": [full(path) for path in sorted(answer.asked)],
        "unversioned": [full(path) for path in sorted(answer.unversioned)],
        "roots": [_hit_document(hit, store_dir) for hit in answer.hits],
        "roots_seen": len(machine.roots),
        "cost": {
            "current": {**_cost_document(answer.current_cost), "planned": answer.planned},
            "all": _cost_document(answer.whole_cost),
        },
        "stale": [
            {"link": printable_text(link), "target": printable_text(target)}
            for link, target in machine.stale.items()
        ],
        "unreadable": {
            "processes": machine.unreadable_processes,
            "places": [printable_text(place) for place in machine.unreadable_places],
        },
    }


def _hit_document(hit: AffectedRoot, store_dir: StoreDir) -> dict[str, Any]:
    root = hit.root
    document: dict[str, Any] = {
        "kind": root.kind,
        "place": printable_text(root.place),
        "current": root.current,
        "chain": [store_dir.path(path) for path in hit.chain],
        "reaches": [store_dir.path(path) for path in sorted(hit.reaches)],
    }
    if root.profile is not None:
        document |= {
            "profile": printable_text(root.profile),
            "generation": root.number,
            "time": root.time,
        }
    if root.name is not None:
        document["name"] = printable_text(root.name)
    if root.process is not None:
        document |= {
            "pid": root.process.pid,
            "program": printable_text(root.process.program),
            "user": root.process.user,
            "unit": root.process.unit,
            "uses": sorted(hit.uses),
            "runs_it": hit.runs_it,
        }
    return document


def _cost_document(cost: Cost) -> dict[str, Any]:
    return {"roots": cost.roots, "paths": cost.paths, "bytes": cost.bytes}


def _print_hits(answer: Affected) -> None:
    if answer.hits:
        print_table(
            ["what", "which", "chain"],
            [[_what(hit), printable_text(_which(hit.root)), _chain(hit)] for hit in answer.hits],
        )


def _what(hit: AffectedRoot) -> str:
    root = hit.root
    if root.process is not None:
        return "process runs it" if hit.runs_it else "process leads to it"
    if root.kind in {"generation", "specialisation"}:
        return f"{'current' if root.current else 'old'} {root.kind}"
    return _KINDS.get(root.kind, root.kind)


def _which(root: Root) -> str:
    if root.process is not None:
        process = root.process
        unit = f", {process.unit}" if process.unit else ""
        return f"{process.pid} {process.program} ({process.user}{unit})"
    if root.kind == "generation":
        return f"{root.profile} {root.number}"
    if root.kind == "container":
        return str(root.name)
    return root.place


def _chain(hit: AffectedRoot) -> str:
    names = [path.name for path in hit.chain]
    if len(names) > _MOST_SHOWN:
        names[2:-1] = ["…"]
    uses = f"{', '.join(sorted(hit.uses))}: " if hit.uses else ""
    return uses + " → ".join(names)


def _print_notes(answer: Affected, machine: MachineRoots, settings: Settings) -> None:
    if not answer.asked:
        print_note("nothing of the kind is in the store, or held by a process", settings)
    elif not answer.hits:
        paths = counted(len(answer.asked), "such path")
        print_note(f"{paths} in the store, and no root leads there", settings)
    else:
        print_note(
            f"{len(answer.hits):,} of {counted(len(machine.roots), 'root')} affected, by "
            f"{_names(answer)}",
            settings,
        )
        current, whole = answer.current_cost, answer.whole_cost
        most = "" if answer.planned else "at most "
        note = f"a graft of all that is in force would rewrite {most}{_shown(current)}"
        if whole.roots > current.roots:
            note += f"; with the old generations, at most {_shown(whole)}"
        print_note(note, settings)
    if answer.unversioned:
        print_note(
            f"{counted(len(answer.unversioned), 'path')} of that name without a version not "
            f"counted: {', '.join(sorted(answer.unversioned))}",
            settings,
        )
    if machine.stale:
        print_note(f"{counted(len(machine.stale), 'stale root')}, leading nowhere", settings)
    unread = [
        "1 process"
        if machine.unreadable_processes == 1
        else f"{machine.unreadable_processes:,} processes",
        counted(len(machine.unreadable_places), "place"),
    ]
    unread = [text for text in unread if not text.startswith("0 ")]
    if unread:
        print_note(
            f"warning: {' and '.join(unread)} that this user may not read: not in this answer"
            + ("; run as root to see all" if os.geteuid() else ""),
            settings,
        )


def _names(answer: Affected) -> str:
    reached = sorted({path.name for hit in answer.hits for path in hit.reaches})
    shown = ", ".join(reached[:_MOST_SHOWN])
    return shown + (f" and {len(reached) - _MOST_SHOWN:,} more" if reached[_MOST_SHOWN:] else "")


def _shown(cost: Cost) -> str:
    return f"{counted(cost.paths, 'path')}, {binary_size(cost.bytes)}"
