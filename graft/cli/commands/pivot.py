"""`graft pivot`: data that programs look up at run time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from graft.cli.arguments import resolve_path
from graft.cli.command_group import CommandGroup
from graft.cli.output import Bars, print_document, print_line, print_note, print_table
from graft.cli.running import RunningCommand, become
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError
from graft.formats.file_name import printable
from graft.quantities import counted

if TYPE_CHECKING:
    from graft.formats.store_path import StorePath
    from graft.store.local import LocalStore
    from graft.ways.pivot.candidates import Candidate
    from graft.ways.pivot.lookup import Lookup, Step
    from graft.ways.pivot.pivots import Pivots
    from graft.ways.pivot.points import PivotPoint


@click.group(
    "pivot", cls=CommandGroup, no_args_is_help=False, epilog="Example: graft pivot list ./result"
)
@common_options
def command() -> None:
    """Let programs find other data at run time: certificates, time zones, locales, drivers."""


@command.command("list", epilog="Example: graft pivot list /run/current-system")
@click.argument("root", metavar="ROOT")
@common_options
@click.pass_obj
def list_points(settings: Settings, root: str) -> int:
    """Show the paths of ROOT's closure that are marked as looking something up, and candidates.

    Candidates are known by their contents, or by /run/wrappers or /run/opengl-driver in their
    bytes, all of which are read. Shown are the variables that reach programs which use them.
    Status 1: there is neither.
    """
    from graft.plan.closure import Closure
    from graft.ways.pivot.candidates import find_candidates
    from graft.ways.pivot.points import find_points

    settings.start_log()
    with settings.open_local_store() as store:
        start = resolve_path(store, root)
        closure = Closure.of(store, [start])
        total = sum(info.nar_size for info in closure.infos.values())
        points = find_points(store, closure.infos)
        with Bars(settings)("read", total) as on_bytes:
            candidates = find_candidates(store, closure.infos, on_bytes=on_bytes)
        full = store.store_dir.path
    if settings.json:
        print_document(
            {
                "version": 1,
                "root": full(start),
                "points": [
                    {"path": full(point.path), "types": list(map(_text, point.types))}
                    for point in points
                ],
                "candidates": [
                    {
                        "path": full(candidate.path),
                        "type": candidate.type,
                        "sign": _text(candidate.sign),
                        "variables": list(candidate.variables),
                    }
                    for candidate in candidates
                ],
            }
        )
    elif points or candidates:
        print_table(["path", "type", "known by", "reached by"], _rows(points, candidates, full))
    print_note(
        f"{counted(len(points), 'pivot point')}, {counted(len(candidates), 'candidate')} without "
        f"a marker, in {counted(len(closure), 'path')}",
        settings,
    )
    return 0 if points or candidates else 1


def _rows(
    points: Iterable[PivotPoint],
    candidates: Iterable[Candidate],
    full: Callable[[StorePath], str],
) -> list[list[str]]:
    return [
        *(
            [full(point.path), _text(kind), "its marker", "pivots"]
            for point in points
            for kind in point.types
        ),
        *(
            [
                full(found.path),
                found.type,
                _text(found.sign),
                " ".join(found.variables) or "nothing",
            ]
            for found in candidates
        ),
    ]


def _text(name: str) -> str:
    return printable(os.fsencode(name))


@command.command(
    "create",
    epilog="Example: graft pivot create ./result --pivot cacert=/etc/ssl/certs/ca-bundle.crt "
    "--pivot tzdata=./tzdata-2026f -o ./pivots",
)
@click.argument("root", metavar="ROOT")
@click.option(
    "--pivot",
    "pivots",
    metavar="TYPE=TARGET",
    multiple=True,
    required=True,
    help="The target of a type, a file or a directory; one for each type in the closure.",
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Make this directory, or replace one made before; without it a store object is made.",
)
@click.option(
    "--add-root",
    "add_root",
    metavar="LINK",
    help="Keep the store object by this link, and not by one in the state directory's gcroots.",
)
@common_options
@click.pass_obj
def create(
    settings: Settings, root: str, pivots: tuple[str, ...], output: str | None, add_root: str | None
) -> int:
    """Make the links by which programs of ROOT's closure find other data, and print where.

    It has a link HASH-NAME/TYPE for each path that is marked with a type; if no path is marked
    with a given type, for the candidates that `graft pivot list` shows. pivots.json records its
    origin. A marked type without a TARGET is an error.
    """
    from graft.plan.closure import Closure
    from graft.ways.pivot.directory import write_directory
    from graft.ways.pivot.pivots import Pivots
    from graft.ways.pivot.targets import parse_targets

    settings.start_log()
    if output is not None and add_root is not None:
        raise UsageError("--add-root keeps a store object: leave it out, or leave out -o")
    targets = parse_targets(pivots)
    with settings.open_local_store() as store:
        if output is None:
            store.check_writable()
            if add_root is not None:
                store.check_root_link(add_root)
        start = resolve_path(store, root)
        store.protect([start])
        closure = Closure.of(store, [start])
        total = sum(info.nar_size for info in closure.infos.values())
        with Bars(settings)("read", total) as on_bytes:
            made = Pivots.of(store, closure, start, targets, on_bytes=on_bytes)
        if output is not None:
            place, link = os.path.abspath(output), None
            write_directory(place, made)
        else:
            place, link = _register(store, made, add_root)
    number = sum(map(len, made.links.values()))
    kept = f"; kept by the root '{link}'" if link is not None else ""
    print_note(f"{counted(number, 'link')} for {counted(len(made.links), 'path')}{kept}", settings)
    if settings.json:
        print_document(
            {
                "version": 1,
                "directory": _text(place),
                "gc_root": _text(link) if link is not None else None,
                "root": made.store_dir.path(made.root),
                "pivots": {_text(kind): _text(target) for kind, target in made.targets.items()},
                "links": {
                    made.store_dir.path(path): list(map(_text, kinds))
                    for path, kinds in made.links.items()
                },
            }
        )
    else:
        print_line(_text(place))
    return 0


def _register(store: LocalStore, made: Pivots, add_root: str | None) -> tuple[str, str]:
    """The full path of the store object, and the root that keeps it."""
    from graft.executor.writing_process import make_writable
    from graft.ways.pivot.objects import add_automatic_root, register_object

    if store.needs_remount:
        # Nothing that this process makes later is a mount, which no other process would see.
        make_writable(store.location.real_store_dir)
    path = register_object(store, made)
    if add_root is not None:
        link = os.path.abspath(add_root)
        store.add_root(link, path)
    else:
        link = add_automatic_root(store, store.location.state_dir, path)
    return store.store_dir.path(path), link


@command.command(
    "resolve", epilog="Example: graft pivot resolve /nix/store/...-curl-8.5.0 cacert --explain"
)
@click.argument("path", metavar="PATH")
@click.argument("type_", metavar="TYPE")
@click.option(
    "--lookup",
    type=click.Choice(["env", "xdg", "xdg-indirect"]),
    default="env",
    show_default=True,
    help="Search NIXPKGS_PIVOT_DIRS, nix/pivots in XDG's directories of configuration, or the "
    "directories that nix/pivots.conf lists there.",
)
@click.option(
    "--all", "every", is_flag=True, help="All targets that are there, not only the first."
)
@click.option("--explain", is_flag=True, help="Show every step of the search on stderr.")
@common_options
@click.pass_obj
def resolve(
    settings: Settings, path: str, type_: str, lookup: Lookup, every: bool, explain: bool
) -> int:
    """Show the target that a program in PATH would find for TYPE, in the present environment.

    Status 1: nothing; the program then uses its built-in path.
    """
    from graft.ways.pivot.lookup import search
    from graft.ways.pivot.points import pivot_types
    from graft.ways.pivot.targets import is_type

    settings.start_log()
    if not is_type(type_):
        raise UsageError(f"'{type_}' is no type of pivots: it is the name of a marker file")
    with settings.open_local_store() as store:
        package = resolve_path(store, path)
        full = store.store_dir.path(package)
        marked = type_ in pivot_types(store, package)
    steps: list[Step] = []
    for step in search(package, type_, lookup, os.environ):
        steps.append(step)
        if step.outcome == "found" and not every:
            break
    found = [step.place for step in steps if step.outcome == "found"]
    if explain:
        for step in steps:
            print_note(_explained(step), settings)
    if not marked:
        print_note(f"'{full}' is not marked with '{type_}': it may never look for it", settings)
    if settings.json:
        print_document(
            {
                "version": 1,
                "path": full,
                "type": _text(type_),
                "lookup": lookup,
                "marked": marked,
                "found": list(map(_text, found)),
                "steps": [
                    {
                        "origin": _text(step.origin),
                        "place": _text(step.place) or None,
                        "outcome": step.outcome,
                    }
                    for step in steps
                ],
            }
        )
    else:
        for place in found:
            print_line(_text(place))
    return 0 if found else 1


def _explained(step: Step) -> str:
    place = f"'{_text(step.place)}'"
    if step.outcome == "unset":
        return f"{step.origin} names no directory"
    if step.outcome == "ignored":
        return f"{_text(step.origin)}: {place} is ignored, for it is not absolute"
    what = {"found": "is there", "missing": "is not there", "read": "lists directories"}
    return f"{_text(step.origin)}: {place} {what.get(step.outcome, 'cannot be read')}"


@command.command(
    "exec",
    cls=RunningCommand,
    epilog="Example: graft pivot exec ./result --pivot-dir ./pivots -- ./result/bin/curl -I "
    "https://example.org",
)
@click.argument("root", metavar="ROOT")
@click.option(
    "--pivot-dir",
    "directory",
    metavar="DIR",
    required=True,
    help="The directory that `graft pivot create` has made for ROOT.",
)
@common_options
@click.pass_obj
def execute(settings: Settings, root: str, directory: str, program: tuple[str, ...]) -> int:
    """Run CMD with the pivots in DIR in force, for it and all that it starts.

    DIR comes first in NIXPKGS_PIVOT_DIRS. For programs that do not look there the well-known
    variables of each type are set for which DIR has something in ROOT's closure; -v shows them.
    Programs that are set-user-ID, or get a cleared environment, run as built.

    Ends with CMD's own status.
    """
    from graft.plan.closure import Closure
    from graft.ways.pivot.environment import pivot_environment

    settings.start_log()
    with settings.open_local_store() as store:
        start = resolve_path(store, root)
        paths: set[StorePath] = set(Closure.of(store, [start]).infos)
        found = pivot_environment(os.path.abspath(directory), paths, os.environ)
        unlinked = _unlinked(store, paths, directory)
    for warning in found.warnings:
        print_note(f"warning: {warning}", settings)
    if unlinked:
        print_note(
            f"warning: {counted(len(unlinked), 'pivot point')} of the closure have no link in "
            f"'{directory}', such as '{unlinked[0]}': make it again for this root",
            settings,
        )
    if settings.verbosity:
        for name, value in found.variables.items():
            why = f" ({found.types[name]})" if name in found.types else ""
            print_note(f"{name}={_text(value)}{why}", settings)
    return become(program, {**os.environ, **found.variables})


def _unlinked(store: LocalStore, paths: Iterable[StorePath], directory: str) -> list[str]:
    """The marked types of the closure that a directory has no link for."""
    from graft.ways.pivot.points import find_points

    return [
        f"{point.path}/{kind}"
        for point in find_points(store, paths)
        for kind in point.types
        if not os.path.lexists(os.path.join(directory, point.path, kind))
    ]
