"""The targets of types: `TYPE=TARGET` on the command line, and whether it is there."""

from __future__ import annotations

import os
from collections.abc import Iterable

from graft.errors import PivotError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LocalSource, path_info
from graft.ways.pivot.following import follow


def parse_targets(arguments: Iterable[str]) -> dict[str, str]:
    """Reads `TYPE=TARGET` arguments.

    Returns:
        The absolute target of each type.

    Raises:
        PivotError: one has another form, or a type has two targets.
    """
    targets: dict[str, str] = {}
    for argument in arguments:
        kind, equals, text = argument.partition("=")
        if not equals or not text or not is_type(kind):
            raise PivotError(
                f"'{argument}' is not TYPE=TARGET, the name of a marker and its new target",
                argument=argument,
            )
        target = os.path.abspath(text)
        if targets.setdefault(kind, target) != target:
            raise PivotError(
                f"type '{kind}' has two targets, '{targets[kind]}' and '{target}': give one",
                type=kind,
                targets=[targets[kind], target],
            )
    return targets


def is_type(text: str) -> bool:
    """Whether a text can be a type: the name of a file."""
    return text not in {"", ".", ".."} and "/" not in text and "\0" not in text


def find_target(store: LocalSource, kind: str, target: str) -> str:
    """Where a target is on this machine.

    Args:
        target: an absolute path; a path in the store directory means the object of a valid path.

    Raises:
        PivotError: there is nothing.
        InvalidPathError: it is in a store path that is not valid.
    """
    place: str | None = target if os.path.exists(target) else None
    if store.store_dir.contains(target):
        path = path_info(store, store.store_dir.first_path(target)).path
        place = follow(store, path, target[len(store.store_dir.path(path)) :], leave=True)
    if place is None:
        raise PivotError(
            f"the target '{target}' of type '{kind}' is missing: name one that exists",
            type=kind,
            target=target,
        )
    return place


def in_store(target: str, store_dir: StoreDir, real_store_dir: str) -> tuple[str, StorePath | None]:
    """A target as a store object may lead to it: where links end in the store, that place.

    Args:
        real_store_dir: where the store directory is on this machine.

    Returns:
        The target's text, and the store path it is in, if it is in any.
    """
    if not store_dir.contains(target):
        ends, top = os.path.realpath(target), os.path.realpath(real_store_dir)
        if not ends.startswith(f"{top}/"):
            return target, None
        target = store_dir + ends[len(top) :]
    return target, store_dir.first_path(target)
