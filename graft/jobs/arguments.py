"""The path arguments of jobs, looked up in a store."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterable, Iterator
from typing import Final

from graft.errors import BadStorePathError, CacheError, InvalidPathError
from graft.formats.store_path import StorePath
from graft.plan.path_names import ambiguous, choices_of, unlisted
from graft.store.api import Source, path_info

_PATTERN: Final = frozenset("*?[")


def resolve_path(store: Source, argument: str) -> StorePath:
    """The valid path an argument means: a path, a link, or a name that means one thing.

    Raises:
        BadStorePathError, InvalidPathError: it names no store path, or the path is not valid.
        UnknownNameError, AmbiguousNameError: a name means nothing in the store, or several things.
    """
    try:
        path = store.resolve(argument)
    except BadStorePathError:
        if "/" in argument or not argument:
            raise
        try:
            paths = store.valid_paths()
        except CacheError:  # they cannot be listed
            raise unlisted(argument, store.url) from None
        choices = choices_of(store, paths, argument, "the store")
        if len(choices) > 1:
            raise ambiguous(argument, choices, "the store") from None
        return choices[0][0]
    return path_info(store, path).path


def resolve_roots(store: Source, arguments: Iterable[str]) -> tuple[StorePath, ...]:
    """The valid paths that arguments and patterns mean, without repetition.

    A pattern of base names is compared with all valid paths, with `.drv` files only if it ends so.
    Any other pattern is compared with the links that there are.

    Raises:
        InvalidPathError: a pattern matches nothing. Else as `resolve_path`.
    """
    found: dict[StorePath, None] = {}
    for argument in arguments:
        if _PATTERN.isdisjoint(argument):
            found[resolve_path(store, argument)] = None
            continue
        matches = sorted(_matches(store, argument))
        if not matches:
            raise InvalidPathError(
                f"no path of the store '{store.url}' matches '{argument}': correct the pattern, or "
                "build or copy the paths there first",
                path=argument,
                store=store.url,
            )
        found.update(dict.fromkeys(matches))
    return tuple(found)


def _matches(store: Source, pattern: str) -> Iterator[StorePath]:
    base_names = pattern.removeprefix(f"{store.store_dir}/")
    if "/" in base_names:
        for link in glob.iglob(pattern):
            yield resolve_path(store, link)
        return
    for path in store.valid_paths():
        if fnmatch.fnmatchcase(path, base_names) and (
            not path.is_derivation or base_names.endswith(".drv")
        ):
            yield path
