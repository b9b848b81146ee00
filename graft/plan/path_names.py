"""Names of store paths as people type them: packages, versions, and parts of hash parts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from graft.errors import AmbiguousNameError, BadStorePathError, UnknownNameError
from graft.formats.drv_name import split_drv_name
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import HASH_PART_LENGTH, StorePath
from graft.store.api import PathInfo, Store

HASH_PREFIX: Final = re.compile(rf"[{NIX32_ALPHABET}]{{6,{HASH_PART_LENGTH}}}")
"""A hash part, or its first characters; fewer than six are a word."""

_ELLIPSIS: Final = re.compile(r"(?:…|\.\.\.)\Z")
# The outputs of nixpkgs' stdenv, whose names stand behind the version.
_OUTPUT: Final = re.compile(
    r"-(?:bin|debug|dev|devdoc|devman|doc|info|lib|man|out|static|terminfo)\Z"
)
_SOURCE: Final = re.compile(
    r"\.(?:tar(?:\.[a-z0-9]+)?|tgz|tbz2?|txz|zip|gem|crate|jar|whl|deb|rpm|patch|diff)\Z"
)
_MOST_NAMED: Final = 4


def named_paths(paths: Collection[StorePath], text: str) -> list[StorePath]:
    """The paths that a name means, sorted; the first rule that finds any decides.

    The rules: a base name; a name with its version and output; a name and a version, with all
    outputs and revisions; a package name; a hash part, or a prefix of 6 or more characters.
    Derivations are only meant by names that end in `.drv`.

    Args:
        paths: the paths it may mean.
    """
    text = _ELLIPSIS.sub("", text)
    found = _base_named(paths, text)
    if not found:
        derivations = text.endswith(".drv")
        of_kind = [path for path in paths if path.is_derivation == derivations]
        package, version = split_drv_name(text)
        found = [path for path in of_kind if path.name == text]
        if not found and version:
            found = [
                path
                for path in of_kind
                if path.package_name == package
                and f"{split_drv_name(path.name)[1]}-".startswith(f"{version}-")
            ]
        if not found:
            found = [path for path in of_kind if path.package_name == text]
        if not found and HASH_PREFIX.fullmatch(text):
            found = [path for path in paths if path.startswith(text)]
    return sorted(found)


def _base_named(paths: Collection[StorePath], text: str) -> list[StorePath]:
    try:
        path = StorePath(text)
    except BadStorePathError:
        return []
    return [path] if path in paths else []


def main_output(paths: Iterable[StorePath]) -> StorePath:
    """The output `out` of the outputs of one derivation; without it, the first by its name."""
    return min(paths, key=lambda path: (len(path.name), path))


def output_suffix(path: StorePath) -> str:
    """The name of the output at the end of a path's name, or `out`."""
    found = _OUTPUT.search(path.name.removeprefix(path.package_name))
    return found[0][1:] if found is not None else "out"


def name_without_output(path: StorePath) -> str:
    """A path's name, without the name of an output at its end."""
    return _OUTPUT.sub("", path.name)


def same_derivation(infos: Mapping[StorePath, PathInfo]) -> list[tuple[StorePath, ...]]:
    """The outputs of each derivation, the main output first; sorted by the main outputs' names.

    Where the deriver is not known, paths are together whose names differ in the output alone.

    Args:
        infos: the registrations of the paths.
    """
    together: dict[tuple[str, str], list[StorePath]] = {}
    for path, info in infos.items():
        key = (info.deriver or "", name_without_output(path) if info.deriver is None else "")
        together.setdefault(key, []).append(path)
    found: list[tuple[StorePath, ...]] = []
    for paths in together.values():
        names = {path.name for path in paths}
        groups = [paths] if len(names) == len(paths) else [[path] for path in paths]
        for group in groups:
            main = main_output(group)
            found.append((main, *sorted(path for path in group if path != main)))
    return sorted(found, key=lambda group: (group[0].name, group[0]))


def choices_of(
    store: Store, paths: Collection[StorePath], text: str, place: str
) -> list[tuple[StorePath, ...]]:
    """The derivations that a name means, by their outputs: one, or several versions.

    Args:
        store: where the paths are valid.
        paths: the paths it may mean.
        text: the name.
        place: where the paths are, in words.

    Raises:
        UnknownNameError: no path has the name; the nearest names are in the message.
    """
    found = named_paths(paths, text)
    if not found:
        near = nearest_names(paths, text)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "check the name"
        raise UnknownNameError(
            f"'{text}' is the name of nothing in {place}: {hint}", name=text, nearest=near
        )
    choices = same_derivation(store.path_infos(found))
    # The sources of a package have its name as well.
    return [choice for choice in choices if not _SOURCE.search(choice[0].name)] or choices


def unlisted(text: str, url: str) -> BadStorePathError:
    """The error about a name where the names cannot be listed, as in a cache.

    Args:
        text: the name.
        url: the name of the store.
    """
    return BadStorePathError(
        f"'{text}' is no store path, and the names in the store '{url}' cannot be searched: give a "
        "path",
        path=text,
    )


def ambiguous(
    text: str, choices: Iterable[tuple[StorePath, ...]], place: str
) -> AmbiguousNameError:
    """The error about a name of several derivations' outputs."""
    mains = [choice[0] for choice in choices]
    named = [f"{path.name} ({path[:6]})" for path in mains[:_MOST_NAMED]]
    rest = f" and {len(mains) - _MOST_NAMED:,} more" if len(mains) > _MOST_NAMED else ""
    return AmbiguousNameError(
        f"'{text}' means {len(mains):,} things in {place}: {', '.join(named)}{rest}; give a name "
        "with its version, or the first 6 characters of a hash part",
        name=text,
        choices=list(mains),
    )


def nearest_names(paths: Iterable[StorePath], text: str) -> list[str]:
    """The names of packages that are most like a text, the most alike first."""
    import difflib  # noqa: PLC0415 - late: only for a message

    package, version = split_drv_name(text)
    of_package: dict[str, set[str]] = {}
    for path in paths:
        if not path.is_derivation:
            of_package.setdefault(path.package_name, set()).add(path.name)
    if version and package in of_package:
        names = sorted(of_package[package])
        return difflib.get_close_matches(text, names, _MOST_NAMED, 0.0)
    by_lower = {name.lower(): name for name in sorted(of_package)}
    wanted = package.lower()
    if wanted in by_lower:
        return [by_lower[wanted]]
    found = difflib.get_close_matches(wanted, list(by_lower), 3, 0.7)
    if not found and len(wanted) > 3:
        found = [name for name in by_lower if wanted in name or (len(name) > 3 and name in wanted)]
    return [by_lower[name] for name in found[:3]]
