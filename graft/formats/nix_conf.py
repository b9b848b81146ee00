"""Nix's configuration as text: the settings of its files, one after the other.

Source: Nix manual, "nix.conf"; AbstractConfig::applyConfig and Config::set in src/libutil/config.cc
of Nix. A line is `NAME = VALUE...`, or `include FILE`; `#` begins a comment. A later line overrides
an earlier one, and `extra-NAME` adds to a list. No error shows a line: such files hold secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from graft.errors import BadFormatError

_MOST_INCLUDES: Final = 32  # files inside each other; Nix would go on for ever

_BLANKS: Final = re.compile(r"[ \t\r\n]+")  # no others, as Nix has it


def parse_nix_conf(
    text: str, file: str, read: Callable[[str], str | None]
) -> list[tuple[str, str]]:
    """Reads a configuration file and the files it includes.

    Args:
        file: its name, to which included names are relative.
        read: gives the text of an included file; None if the file is missing.

    Returns:
        Names and values in their order, blanks in values as single spaces.

    Raises:
        BadFormatError: a line is no setting, or an included file is missing or includes itself.
    """
    return _parse(text, file, read, _MOST_INCLUDES)


def _parse(
    text: str, file: str, read: Callable[[str], str | None], depth: int
) -> list[tuple[str, str]]:
    settings: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = words_of(line.partition("#")[0])
        match words:
            case []:
                pass
            case ["include" | "!include" as how, name]:
                included = os.path.normpath(os.path.join(os.path.dirname(file), name))
                inner = read(included)
                if inner is not None:
                    if depth == 0:
                        raise BadFormatError(f"'{file}' includes itself", file=file, line=number)
                    settings += _parse(inner, included, read, depth - 1)
                elif how == "include":
                    raise BadFormatError(
                        f"line {number} of '{file}' includes '{included}', which is missing: "
                        "'!include' may miss its file",
                        file=file,
                        line=number,
                    )
            case [name, "=", *values] if name not in {"include", "!include"}:
                settings.append((name, " ".join(values)))
            case _:
                raise BadFormatError(
                    f"line {number} of '{file}' is no setting, NAME = VALUE", file=file, line=number
                )
    return settings


def words_of(text: str) -> list[str]:
    """The words of a text, as Nix divides it."""
    return [word for word in _BLANKS.split(text) if word]


def list_setting(
    settings: Iterable[tuple[str, str]], names: Sequence[str], default: Iterable[str]
) -> list[str]:
    """The words of a setting that is a list.

    Args:
        settings: as `parse_nix_conf` gives them.
        names: the setting's name, with its aliases.
        default: the words if no line sets them.
    """
    words = list(default)
    for name, value in settings:
        if name in names:
            words = words_of(value)
        elif name.removeprefix("extra-") in names:
            words += words_of(value)
    return words


def switch_setting(settings: Iterable[tuple[str, str]], name: str, *, default: bool) -> bool:
    """A setting that is `true` or `false`.

    Raises:
        BadFormatError: it is neither.
    """
    on = default
    for found, value in settings:
        if found == name:
            if value not in _SWITCHES:
                raise BadFormatError(f"Nix's setting '{name}' is neither true nor false", name=name)
            on = _SWITCHES[value]
    return on


_SWITCHES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
