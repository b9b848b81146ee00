"""The look-up a pivot-aware program does, in its three variants, with every step of it told.

Source: the gist "Nixpkgs Pivots"; XDG Base Directory Specification 0.8 for the directories, their
defaults, and that relative ones are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Lookup = Literal["env", "xdg", "xdg-indirect"]
Outcome = Literal["found", "missing", "ignored", "unset", "read", "unreadable"]

VARIABLE: Final = "NIXPKGS_PIVOT_DIRS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a search.

    Attributes:
        origin: the variable or the file that has led there.
        place: the path that was looked at; empty where the origin names nothing.
        outcome: `found` and `missing` of a pivot; `ignored` of a directory that does not count;
            `unset` of a variable; `read`, `missing` and `unreadable` of a list of directories.
    """

    origin: str
    place: str
    outcome: Outcome


def search(
    base_name: str, kind: str, lookup: Lookup, environment: Mapping[str, str]
) -> Iterator[Step]:
    """Looks for the pivot of a package; a program stops at the first step that has `found` it.

    Args:
        base_name: the base name of the package's own `$out`, `<hash part>-<name>`.
        kind: the type.
        lookup: `env`: in the directories of NIXPKGS_PIVOT_DIRS; `xdg`: in `nix/pivots` of the
            directories of XDG; `xdg-indirect`: in the directories that their `nix/pivots.conf`
            list.
        environment: the variables, and HOME.
    """
    own = f"{base_name}/{kind}"
    if lookup == "env":
        directories = [text for text in environment.get(VARIABLE, "").split(":") if text]
        if not directories:
            yield Step(origin=VARIABLE, place="", outcome="unset")
        for directory in directories:
            yield _look(VARIABLE, f"{directory}/{own}")
        return
    for origin, directory in _xdg_directories(environment):
        if not directory:
            yield Step(origin=origin, place="", outcome="unset")
        elif not directory.startswith("/"):
            yield Step(origin=origin, place=directory, outcome="ignored")
        elif lookup == "xdg":
            yield _look(origin, f"{directory}/nix/pivots/{own}")
        else:
            yield from _look_indirectly(origin, f"{directory}/nix/pivots.conf", own)


def _xdg_directories(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if home := environment.get("XDG_CONFIG_HOME"):
        yield "XDG_CONFIG_HOME", home
    elif home := environment.get("HOME"):
        yield "HOME", f"{home}/.config"
    else:
        yield "HOME", ""
    for directory in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        if directory:
            yield "XDG_CONFIG_DIRS", directory


def _look(origin: str, place: str) -> Step:
    return Step(origin=origin, place=place, outcome="found" if os.path.exists(place) else "missing")


def _look_indirectly(origin: str, file: str, own: str) -> Iterator[Step]:
    try:
        with open(file, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            lines = stream.read().split("\n")
    except (FileNotFoundError, NotADirectoryError):
        yield Step(origin=origin, place=file, outcome="missing")
        return
    except OSError:
        yield Step(origin=origin, place=file, outcome="unreadable")
        return
    yield Step(origin=origin, place=file, outcome="read")
    for line in filter(None, lines):
        if line.startswith("/"):
            yield _look(file, f"{line}/{own}")
        else:
            yield Step(origin=file, place=line, outcome="ignored")
