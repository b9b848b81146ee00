"""`graft affected`: the roots that are hit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from graft.cli.arguments import resolve_replacements
from graft.cli.output import print_document, print_note, print_table
from graft.cli.settings import Settings, common_options
from graft.formats.file_name import printable_text
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.formats.advisory import AdvisoryEntry
    from graft.formats.store_path import StoreDir, StorePath
    from graft.machine.affected import Affected, AffectedRoot, Cost
    from graft.machine.roots import MachineRoots, Root
    from graft.machine.selection import Selection

_MOST_SHOWN = 4  # names of a chain
_MOST_LISTED = 8  # names in a note; --json has all
_KINDS = {
    "current-system": "current system",
    "booted-system": "booted system",
    "link": "root",
    "original": "kept original",
    "temporary": "at work",
}


@click.command(
    "affected", epilog="Example: graft affected 'openssl<3.0.14' /nix/store/...-libssl-3.0.13"
)
@click.argument("words", metavar="PATH|NAME[<VERSION]...", nargs=-1)
@click.option(
    "--advisory",
    "advisories",
    metavar="FILE",
    multiple=True,
    help="Ask for the packages and versions of an advisory: an OSV document, or the JSON of "
    "vulnix. A path whose patches name the vulnerability counts as fixed.",
)
@click.option(
    "--generations",
    is_flag=True,
    help="Count older generations as well: status 0 if only these lead there.",
)
@click.option(
    "--replace",
    "replacements",
    metavar="OLD=NEW",
    multiple=True,
    help="Ask for OLD, and plan the graft that puts NEW in its place, to show its cost.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    words: tuple[str, ...],
    advisories: tuple[str, ...],
    generations: bool,
    replacements: tuple[str, ...],
) -> int:
    """Show everything on this machine that leads to a path or a package.

    Status 0: something in force leads there. Status 1: the package is known, and nothing in force
    leads to these versions of it. Status 2: no path has the name, or the answer is not known.

    In force are running processes, the current and the booted system, and the current generations
    of all profiles. So are specialisations, containers, and all other roots of the garbage
    collector. Older generations are listed apart. Each root has a shortest chain of references.

    A package is a name, alone or with a version: 'openssl', 'openssl-3.0.20', 'openssl=3.0.20'.
    Bounds on its version are <, <=, > and >=, several are separated by commas:
    'openssl>=3.0,<3.0.14'. Mind the quotes. A bound without a revision covers all revisions of its
    version. A hash part, six of its characters or more, a derivation and the file name of a library
    (libssl.so.3) mean paths as well.
    """
    from graft.machine.affected import affected
    from graft.machine.roots import find_machine_roots

    settings.start_log()
    if not words and not advisories and not replacements:
        raise click.UsageError(
            "name the thing to ask for: a path, a package, --advisory FILE or --replace OLD=NEW"
        )
    entries = [entry for file in advisories for entry in _read_advisory(file)]
    with settings.open_local_store() as store:
        pairs = resolve_replacements(store, replacements)
        machine = find_machine_roots(store, os.environ)
        answer = affected(store, *words, machine=machine, advisory=entries, replacements=pairs)
        store_dir, bad_rows = store.store_dir, sorted(store.bad_rows)
    if settings.json:
        print_document(affected_document(answer, machine, store_dir, bad_rows))
    else:
        _print_hits(answer)
        _print_notes(answer, machine, settings)
    return 0 if answer.is_hit(generations=generations) else 1


def _read_advisory(file: str) -> Sequence[AdvisoryEntry]:
    from graft.formats.advisory import parse_advisory

    with open(file, encoding="utf-8", errors="replace") as stream:
        return parse_advisory(stream.read(), file)


def affected_document(
    answer: Affected,
    machine: MachineRoots,
    store_dir: StoreDir,
    bad_rows: Sequence[str] = (),
) -> dict[str, Any]:
    """The JSON document; paths in full."""
    full, chosen = store_dir.path, answer.selection
    return {
        "version": 1,
        "known": [_known_document(path, chosen, store_dir) for path in sorted(chosen.known)],
        "paths": [full(path) for path in sorted(answer.asked)],
        "unversioned": [full(path) for path in sorted(chosen.unversioned)],
        "unknown": list(chosen.unknown),
        "in_force": [_hit_document(hit, store_dir) for hit in answer.in_force],
        "generations": [_hit_document(hit, store_dir) for hit in answer.generations],
        "processes": [_hit_document(hit, store_dir) for hit in answer.processes],
        "originals": [_hit_document(hit, store_dir) for hit in answer.originals],
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
            "rows": [printable_text(row) for row in bad_rows],
        },
    }


def _known_document(path: StorePath, chosen: Selection, store_dir: StoreDir) -> dict[str, Any]:
    from graft.formats.package_range import version_of

    return {
        "path": store_dir.path(path),
        "name": path.package_name,
        "version": version_of(path) or None,
        "asked": path in chosen.asked,
        "by_revision": path in chosen.by_revision,
        "patches": sorted(chosen.patches.get(path, ())),
        "fixed": path in chosen.fixed,
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
    """The roots in force, and the others in a table of their own."""
    others = (*answer.generations, *answer.originals)
    for hits in (answer.in_force, others):
        if hits:
            if hits is others:
                print("\nnot in force:" if answer.in_force else "not in force:")
            print_table(
                ["what", "which", "chain"],
                [[_what(hit), printable_text(_which(hit.root)), _chain(hit)] for hit in hits],
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
    if root.kind == "original":
        return f"graft {os.path.basename(root.place).partition('-')[0]}"
    return root.place


def _chain(hit: AffectedRoot) -> str:
    names = [path.name for path in hit.chain]
    if len(names) > _MOST_SHOWN:
        names[2:-1] = ["…"]
    uses = f"{', '.join(sorted(hit.uses))}: " if hit.uses else ""
    return uses + " → ".join(names)


def _print_notes(answer: Affected, machine: MachineRoots, settings: Settings) -> None:
    for text in _selection_notes(answer.selection):
        print_note(text, settings)
    if answer.hits:
        counts = [
            counted(len(answer.in_force), "root") + " in force",
            counted(len(answer.generations), "older generation"),
            counted(len(answer.originals), "original") + " of grafts",
        ]
        told = ", ".join([counts[0], *(one for one in counts[1:] if not one.startswith("0 "))])
        print_note(
            f"{told} affected, of {counted(len(machine.roots), 'root')}, by {_names(answer)}",
            settings,
        )
        current, whole = answer.current_cost, answer.whole_cost
        most = "" if answer.planned else "at most "
        note = f"a graft of all that is in force would rewrite {most}{_shown(current)}"
        if whole.roots > current.roots:
            note += f"; with the old generations, at most {_shown(whole)}"
        print_note(note, settings)
    elif answer.asked:
        paths = counted(len(answer.asked), "such path")
        print_note(f"{paths} in the store, and no root leads there", settings)
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


def _selection_notes(chosen: Selection) -> Iterator[str]:
    """The reading of the words: versions that are there, revisions, patches, doubts."""
    outside = chosen.known - chosen.asked - chosen.fixed - chosen.unversioned
    if not chosen.asked and outside:
        yield f"in the store, and not asked for: {_listed(path.name for path in outside)}"
    for word in chosen.outside:
        if not chosen.known:
            yield f"'{word}' has only derivations in the store: nothing of it is built"
    if chosen.by_revision:
        names = _listed(path.name for path in chosen.by_revision)
        yield f"a bound without a revision covers the revisions of its version: {names}"
    patched: dict[str, set[str]] = {}
    for path, identifiers in chosen.patches.items():
        patched.setdefault(path.name, set()).update(identifiers)
    for name, fixes in sorted(patched.items()):
        yield f"{name} has patches for {_listed(fixes)}"
    if chosen.fixed:
        names = _listed(path.name for path in chosen.fixed)
        yield f"counted as fixed by patches for the advisory: {names}"
    if chosen.unversioned:
        yield (
            f"{counted(len(chosen.unversioned), 'path')} of that name without a version to compare "
            f"not counted: {_listed(chosen.unversioned)}"
        )
    for name, why in chosen.open.items():
        yield f"warning: the advisory's versions of '{name}' cannot be compared: {why}"
    if chosen.unknown:
        yield (
            f"warning: packages of the advisory that no path of the store is called by: "
            f"{_listed(chosen.unknown)}"
        )


def _listed(texts: Iterable[str]) -> str:
    names = sorted(set(texts))
    more = f" and {len(names) - _MOST_LISTED:,} more" if names[_MOST_LISTED:] else ""
    return ", ".join(names[:_MOST_LISTED]) + more


def _names(answer: Affected) -> str:
    reached = sorted({path.name for hit in answer.hits for path in hit.reaches})
    shown = ", ".join(reached[:_MOST_SHOWN])
    return shown + (f" and {len(reached) - _MOST_SHOWN:,} more" if reached[_MOST_SHOWN:] else "")


def _shown(cost: Cost) -> str:
    return f"{counted(cost.paths, 'path')}, {binary_size(cost.bytes)}"
