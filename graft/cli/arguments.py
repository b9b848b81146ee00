"""Path arguments and replacements, as commands take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from graft.errors import BadStorePathError, InvalidPathError, UsageError
from graft.formats.store_path import StorePath
from graft.store.api import path_info
from graft.store.local import LocalStore

_Command = TypeVar("_Command", bound=Callable[..., Any])


def plan_options(command: _Command) -> _Command:
    """Adds ROOT..., --replace and --cutoff to a command."""
    for option in (
        click.option(
            "--cutoff",
            "cutoffs",
            metavar="PATH",
            multiple=True,
            help="Keep this path as it is, with all it refers to.",
        ),
        click.option(
            "--replace",
            "replacements",
            metavar="OLD=NEW",
            multiple=True,
            required=True,
            help="Put NEW in the place of OLD everywhere.",
        ),
        click.argument("roots", metavar="ROOT...", nargs=-1, required=True),
    ):
        command = option(command)
    return command


def resolve_path(store: LocalStore, argument: str) -> StorePath:
    """The valid path an argument means.

    Raises:
        BadStorePathError: it leads nowhere inside the store.
        InvalidPathError: the path is not valid.
    """
    path = store.location.resolve(argument)
    return path_info(store, path).path


def resolve_paths(store: LocalStore, arguments: Iterable[str]) -> list[StorePath]:
    """The valid paths that arguments mean, in their order."""
    return [resolve_path(store, argument) for argument in arguments]


def resolve_replacements(
    store: LocalStore, arguments: Iterable[str]
) -> list[tuple[StorePath, StorePath]]:
    """The pairs that `OLD=NEW` arguments mean.

    Store path names may hold `=`: the text is split where both sides are paths.

    Raises:
        UsageError: there is no such place, or more than one.
        InvalidPathError: both sides are store paths, but one is not valid.
    """
    return [_resolve_replacement(store, argument) for argument in arguments]


def _resolve_replacement(store: LocalStore, argument: str) -> tuple[StorePath, StorePath]:
    splits = []
    for place, character in enumerate(argument):
        if character == "=":
            try:
                old = store.location.resolve(argument[:place])
                new = store.location.resolve(argument[place + 1 :])
            except BadStorePathError:
                continue
            splits.append((old, new))
    valid = store.path_infos({path for pair in splits for path in pair})
    whole = [pair for pair in splits if pair[0] in valid and pair[1] in valid]
    if len(whole) == 1:
        return whole[0]
    if len(whole) > 1:
        raise UsageError(
            f"--replace '{argument}' can be split at more than one '=': give full store paths",
            argument=argument,
        )
    if len(splits) == 1:
        missing = store.store_dir.path(next(path for path in splits[0] if path not in valid))
        raise InvalidPathError(
            f"--replace '{argument}': path '{missing}' is not valid in the store '{store.url}'",
            argument=argument,
            path=missing,
        )
    raise UsageError(
        f"--replace '{argument}' is not OLD=NEW, two store paths or links to them",
        argument=argument,
    )
