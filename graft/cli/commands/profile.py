"""`graft profile`: the generations of a profile, as nix-env has them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from graft.cli.command_group import CommandGroup
from graft.cli.output import print_document, print_line, print_note, print_table
from graft.cli.settings import Settings, common_options

if TYPE_CHECKING:
    from graft.machine.activation import Action
    from graft.store.roots.profile import Generation, Profile

activate_option = click.option(
    "--activate",
    "action",
    type=click.Choice(["switch", "boot"]),
    help="Then activate it, a NixOS system, as nixos-rebuild does.",
)


@click.group(
    "profile",
    cls=CommandGroup,
    no_args_is_help=False,
    epilog="Example: graft profile rollback /nix/var/nix/profiles/system",
)
@common_options
def command() -> None:
    """List the generations of a profile, switch between them, and delete some."""


@command.command("list", epilog="Example: graft profile list /nix/var/nix/profiles/system")
@click.argument("profile", metavar="PROFILE")
@common_options
@click.pass_obj
def list_generations(settings: Settings, profile: str) -> int:
    """List the generations of PROFILE, oldest first. Status 1: it has no generation."""
    opened = _profile(settings, profile)
    generations, current = opened.generations(), opened.current
    if settings.json:
        print_document(
            {
                "version": 1,
                "profile": opened.path,
                "current": current,
                "generations": _documents(generations),
            }
        )
    elif generations:
        print_table(
            ("generation", "made", "", "path"),
            (
                (
                    str(one.number),
                    _local_time(one.time),
                    "(current)" if one.number == current else "",
                    one.target,
                )
                for one in generations
            ),
            right=("generation",),
        )
    if not generations:
        print_note(f"the profile '{opened.path}' has no generations", settings)
    return 0 if generations else 1


@command.command("switch", epilog="Example: graft profile switch /nix/var/nix/profiles/system 41")
@click.argument("profile", metavar="PROFILE")
@click.argument("generation", metavar="GENERATION", type=click.IntRange(min=1))
@activate_option
@common_options
@click.pass_obj
def switch(settings: Settings, profile: str, generation: int, action: Action | None) -> int:
    """Make a GENERATION that exists the current one of PROFILE.

    `nix-env --switch-generation` does the same.
    """
    return _switch_back(settings, profile, generation, action)


@command.command("rollback", epilog="Example: graft profile rollback ~/.nix-profile")
@click.argument("profile", metavar="PROFILE")
@activate_option
@common_options
@click.pass_obj
def rollback(settings: Settings, profile: str, action: Action | None) -> int:
    """Make the generation before the current one of PROFILE the current one.

    `nix-env --rollback` does the same.
    """
    return _switch_back(settings, profile, None, action)


@command.command(
    "delete-generations",
    epilog="Example: graft profile delete-generations /nix/var/nix/profiles/system 30d",
)
@click.argument("profile", metavar="PROFILE")
@click.argument("which", metavar="WHICH...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only show which they are.")
@common_options
@click.pass_obj
def delete_generations(
    settings: Settings, profile: str, which: tuple[str, ...], dry_run: bool
) -> int:
    """Delete generations of PROFILE; the garbage collector frees paths that only they led to.

    WHICH is one of the forms nix-env has: numbers; `old`, all but the current one; `30d`, the ones
    that were no longer current 30 days ago; `+5`, all but the current one, the four before it and
    all newer ones. The current one is never deleted.
    """
    from graft.store.roots.profile import generations_to_delete

    opened = _profile(settings, profile)
    chosen = generations_to_delete(which, int(time.time()))
    if dry_run:
        generations = opened.generations()
        numbers = chosen(generations, opened.current)
        deleted = [one for one in generations if one.number in numbers]
    else:
        deleted = opened.delete(chosen)
    if settings.json:
        print_document(
            {
                "version": 1,
                "profile": opened.path,
                "current": opened.current,
                "deleted": _documents(deleted),
            }
        )
    else:
        for one in deleted:
            print(one.number)
    return 0


@command.command(
    "build", epilog="Example: graft profile build -o ./env /nix/store/...-hello-2.12 ./result:4"
)
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "link",
    metavar="LINK",
    help="A link to the environment, which keeps it from the garbage collector.",
)
@click.option(
    "--profile",
    metavar="PROFILE",
    help="Make it the current generation of PROFILE, with or without -o.",
)
@common_options
@click.pass_obj
def build(settings: Settings, roots: tuple[str, ...], link: str | None, profile: str | None) -> int:
    """Make one tree of symlinks of the packages ROOTs, as nix-env makes user environments.

    It has no manifest: nix-env and `nix profile` would not know its packages. If two files have one
    place, the file of the lower priority is taken; ROOT:PRIORITY gives one, and the default is 5.
    Prints the environment's store path, a name from its contents.
    """
    from graft.cli.packages import resolve_package
    from graft.executor.writing_process import make_writable
    from graft.store.roots.profile import Profile
    from graft.ways.namespace.user_environment import register_environment

    settings.start_log()
    if link is None and profile is None:
        raise click.UsageError("nothing would keep the environment: give -o LINK or --profile")
    with settings.open_local_store() as store:
        packages = [resolve_package(store, root) for root in roots]
        if link is not None:
            store.check_root_link(link)
        if profile is not None:
            store.check_profile(profile)
        if store.needs_remount:
            # Nothing that this process makes later is a mount, which no other process would see.
            make_writable(store.location.real_store_dir)
        path = register_environment(store, packages)
        document: dict[str, object] = {"version": 1, "path": store.store_dir.path(path)}
        if link is not None:
            store.add_root(link, path)
            document["link"] = os.path.abspath(link)
        if profile is not None:
            store.switch_profile(profile, path)
            switched = Profile(profile, store.store_dir)
            document |= {"profile": switched.path, "generation": switched.current}
    if settings.json:
        print_document(document)
    else:
        print_line(str(document["path"]))
    return 0


def _profile(settings: Settings, profile: str) -> Profile:
    from graft.store.roots.profile import Profile

    settings.start_log()
    with settings.open_local_store() as store:
        return Profile(profile, store.store_dir)


def _switch_back(
    settings: Settings, profile: str, number: int | None, action: Action | None
) -> int:
    opened = _profile(settings, profile)
    before = opened.current
    generation = opened.switch_back(number)
    print_note(
        f"profile '{opened.path}' switched from generation {before} to {generation.number}",
        settings,
    )
    if action is not None:
        from graft.cli.activation import activate_generation

        activate_generation(generation.target, action)
    if settings.json:
        print_document(
            {
                "version": 1,
                "profile": opened.path,
                "previous": before,
                "current": generation.number,
                "path": generation.target,
            }
        )
    else:
        print_line(generation.target)
    return 0


def _documents(generations: Iterable[Generation]) -> list[dict[str, object]]:
    return [
        {"generation": one.number, "time": one.time, "link": one.link, "path": one.target}
        for one in generations
    ]


def _local_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
