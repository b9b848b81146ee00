"""Packages with priorities, as commands take them that compose trees of several."""

from __future__ import annotations

import os
import re

from graft.cli.arguments import resolve_path
from graft.store.api import Source
from graft.ways.namespace import DEFAULT_PRIORITY, FhsPackage

_WITH_PRIORITY = re.compile(r"(.+):(-?[0-9]+)")


def resolve_package(store: Source, argument: str) -> FhsPackage:
    """The package that a `ROOT` or `ROOT:PRIORITY` argument means.

    Raises:
        BadStorePathError: it leads nowhere inside the store.
        InvalidPathError: the path is not valid.
    """
    match = None if os.path.lexists(argument) else _WITH_PRIORITY.fullmatch(argument)
    if match is None:
        return FhsPackage(resolve_path(store, argument), DEFAULT_PRIORITY)
    return FhsPackage(resolve_path(store, match[1]), int(match[2]))
