"""The files of Nix's configuration: where they are, and the settings in them.

Source: Nix manual, "nix.conf"; loadConfFile in src/libstore/globals.cc of Nix. The user's own files
go before the machine's, NIX_CONFIG before both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from graft.errors import BadFormatError
from graft.formats.nix_conf import parse_nix_conf, switch_setting

_DEFAULT_CONF_DIR: Final = "/etc/nix"


def uses_wal(environment: Mapping[str, str]) -> bool:
    """Whether Nix keeps a write-ahead log for its database: the setting `use-sqlite-wal`.

    Raises: as `settings_of_user`.
    """
    return switch_setting(settings_of_user(environment), "use-sqlite-wal", default=True)


def netrc_file(environment: Mapping[str, str]) -> str:
    """The file with names and passwords for servers: the setting `netrc-file`.

    Raises: as `settings_of_user`.
    """
    default = os.path.join(os.path.dirname(machine_file(environment)), "netrc")
    settings = settings_of_user(environment)
    return next((value for name, value in reversed(settings) if name == "netrc-file"), default)


def settings_of_user(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """The settings of the user with this environment, names and values; a later one goes before.

    Raises:
        BadFormatError: a file holds no settings, or no text.
    """
    settings = read_settings(machine_file(environment))
    for own in reversed(_user_files(environment)):
        settings += read_settings(own)
    if (text := environment.get("NIX_CONFIG")) is not None:
        settings += parse_nix_conf(text, "NIX_CONFIG", _read_included)
    return settings


def machine_file(environment: Mapping[str, str]) -> str:
    """The machine's nix.conf, there or not."""
    return os.path.join(environment.get("NIX_CONF_DIR") or _DEFAULT_CONF_DIR, "nix.conf")


def _user_files(environment: Mapping[str, str]) -> list[str]:
    """The user's own files, from the one that goes before all others."""
    if "NIX_USER_CONF_FILES" in environment:
        return [file for file in environment["NIX_USER_CONF_FILES"].split(":") if file]
    home = environment.get("HOME") or os.path.expanduser("~")
    directories = [
        environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"),
        *(environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"),
    ]
    return [os.path.join(directory, "nix", "nix.conf") for directory in directories if directory]


def read_settings(file: str) -> list[tuple[str, str]]:
    """The settings of one file and of the files that it includes; an empty list without a file.

    Raises:
        BadFormatError: a file holds no settings, or no text.
    """
    text = _read_text(file)
    return [] if text is None else parse_nix_conf(text, file, _read_included)


def _read_included(file: str) -> str | None:
    if not os.path.isabs(file):
        raise BadFormatError(f"NIX_CONFIG includes '{file}': give its absolute path", file=file)
    return _read_text(file) if os.path.lexists(file) else None


def _read_text(file: str) -> str | None:
    """A file's text; nothing of one that this user may not read, as Nix has it."""
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    except UnicodeDecodeError:
        raise BadFormatError(f"Nix's configuration '{file}' is no text", file=file) from None
