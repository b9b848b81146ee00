"""The environment that brings a directory of pivots into force, for unmodified programs as well."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graft.errors import PivotError
from graft.formats.store_path import StorePath
from graft.ways.pivot.lookup import VARIABLE
from graft.ways.pivot.variables import CACERT, RIVALS, SEARCH_PATHS, VARIABLES, variable_values


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotEnvironment:
    """The variables to be set.

    Attributes:
        variables: their values, with the former contents of the lists.
        types: which type each variable is set for; the variable of pivots has no type.
        warnings: sentences about effects that a user would not expect.
    """

    variables: Mapping[str, str]
    types: Mapping[str, str]
    warnings: tuple[str, ...]


def pivot_environment(
    directory: str, paths: Iterable[StorePath], before: Mapping[str, str]
) -> PivotEnvironment:
    """The environment that brings a directory of pivots into force for the programs of a closure.

    Args:
        directory: absolute; as `graft pivot create` makes it, or made otherwise in that form.
        paths: the paths of the closure.
        before: the environment so far.

    Raises:
        PivotError: there is no such directory, or a colon in a name that is to be in a list.
    """
    if not os.path.isdir(directory):
        raise PivotError(
            f"there is no directory of pivots '{directory}': make it with 'graft pivot create'",
            path=directory,
        )
    targets: dict[str, str] = {}
    warnings: list[str] = []
    for path in sorted(paths):
        own = os.path.join(directory, path)
        if not os.path.isdir(own):
            continue
        for kind in sorted(os.listdir(own)):
            place = os.path.join(own, kind)
            if not os.path.exists(place):
                warnings.append(f"'{place}' leads nowhere: programs that look for it find nothing")
                continue
            target = _target(place)
            if targets.setdefault(kind, target) != target and kind in VARIABLES:
                warnings.append(
                    f"'{place}' leads to '{target}', but variables name '{targets[kind]}' for the "
                    f"type '{kind}'"
                )
    if not targets:
        warnings.append(f"'{directory}' has nothing for this closure: programs run as built")
    values: dict[str, str] = {}
    types: dict[str, str] = {}
    for kind, target in sorted(targets.items()):
        found = variable_values(kind, target)
        if not found and VARIABLES.get(kind):
            warnings.append(
                f"'{target}' has nothing that {VARIABLES[kind][0]} could name: programs that do "
                f"not look for pivots keep their {kind}"
            )
        if kind != CACERT:
            _check_no_colon(target)
        warnings += [
            f"{name} is set to '{before[name]}', which programs may prefer to '{target}': unset it"
            for name in RIVALS.get(kind, ())
            if found and name not in found and before.get(name)
        ]
        for name, value in found.items():
            together = name in SEARCH_PATHS and name in values
            values[name] = f"{values[name]}:{value}" if together else value
            types[name] = f"{types[name]}, {kind}" if together else kind
            if name == "LD_LIBRARY_PATH" and (libc := _directory_of_libc(value)):
                warnings.append(
                    f"'{libc}' has a libc.so.6, which LD_LIBRARY_PATH puts before every "
                    "program's own: name a directory of nothing but modules"
                )
    _check_no_colon(directory)
    variables = {VARIABLE: _in_front(directory, before.get(VARIABLE))}
    for name, value in values.items():
        variables[name] = _in_front(value, before.get(name)) if name in SEARCH_PATHS else value
    return PivotEnvironment(variables=variables, types=types, warnings=tuple(warnings))


def _target(place: str) -> str:
    """The target of a link, in its own words; a file or directory stands for itself."""
    if os.path.islink(place):
        return os.path.join(os.path.dirname(place), os.readlink(place))
    return place


def _in_front(value: str, before: str | None) -> str:
    return f"{value}:{before}" if before else value


def _directory_of_libc(directories: str) -> str | None:
    for directory in directories.split(":"):
        if os.path.lexists(os.path.join(directory, "libc.so.6")):
            return directory
    return None


def _check_no_colon(place: str) -> None:
    if ":" in place:
        raise PivotError(
            f"'{place}' has a colon, which separates directories: name another place", path=place
        )
