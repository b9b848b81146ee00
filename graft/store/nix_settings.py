"""Trust in Nix's configuration: the keys whose signatures count, and the users that need no
signature.

Source: Nix manual, "nix.conf"; loadConfFile in src/libstore/globals.cc and matchUser in
src/nix/daemon.cc of Nix. The user's own files go before the machine's, NIX_CONFIG before both. A
daemon reads the machine's files, and the files of the user it runs as.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from graft.errors import BadFormatError
from graft.formats.nix_conf import list_setting, parse_nix_conf, switch_setting
from graft.formats.signature import PublicKey

_DEFAULT_CONF_DIR: Final = "/etc/nix"
_DEFAULT_PUBLIC_KEYS: Final = [
    "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NixSettings:
    """Nix's settings, as far as they concern trust.

    Attributes:
        file: the machine's nix.conf, there or not.
        trusted_public_keys: whose signatures count.
        trusted_users: names of users, `@` and names of groups, or `*`.
        require_sigs: whether paths must be signed at all.
    """

    file: str
    trusted_public_keys: tuple[PublicKey, ...]
    trusted_users: tuple[str, ...]
    require_sigs: bool

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> Self:
        """The settings of the user with this environment.

        Raises:
            BadFormatError: a file holds no settings or no text, or a key is malformed.
            StoreError: a file is no text.
        """
        return cls._of(_machine_file(environment), _settings_of_user(environment))

    @classmethod
    def of_daemon(cls, environment: Mapping[str, str]) -> Self:
        """The settings of the machine's daemon, as far as they can be seen from here: it may have
        been started with others.

        Raises: as `of_user`.
        """
        file = _machine_file(environment)
        return cls._of(file, _read_settings(file))

    @classmethod
    def _of(cls, file: str, settings: list[tuple[str, str]]) -> Self:
        keys = list_setting(
            settings, ["trusted-public-keys", "binary-cache-public-keys"], _DEFAULT_PUBLIC_KEYS
        )
        try:
            public_keys = tuple(dict.fromkeys(map(PublicKey.parse, keys)))
        except BadFormatError as error:
            raise BadFormatError(
                f"Nix's setting 'trusted-public-keys' is wrong: {error.message}", **error.fields
            ) from None
        return cls(
            file=file,
            trusted_public_keys=public_keys,
            trusted_users=tuple(list_setting(settings, ["trusted-users"], ["root"])),
            require_sigs=switch_setting(settings, "require-sigs", default=True),
        )

    def trusts_this_user(self) -> bool:
        """Whether a daemon with these settings trusts this user."""
        user, group = _user_name(), _group_name()
        return any(
            trusted in {"*", user}
            or (trusted.startswith("@") and _is_in_group(user, group, trusted[1:]))
            for trusted in self.trusted_users
        )


def uses_wal(environment: Mapping[str, str]) -> bool:
    """Whether Nix keeps a write-ahead log for its database: the setting `use-sqlite-wal`.

    Raises: as `NixSettings.of_user`.
    """
    return switch_setting(_settings_of_user(environment), "use-sqlite-wal", default=True)


def netrc_file(environment: Mapping[str, str]) -> str:
    """The file with names and passwords for servers: the setting `netrc-file`.

    Raises: as `NixSettings.of_user`.
    """
    default = os.path.join(os.path.dirname(_machine_file(environment)), "netrc")
    settings = _settings_of_user(environment)
    return next((value for name, value in reversed(settings) if name == "netrc-file"), default)


def _settings_of_user(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    settings = _read_settings(_machine_file(environment))
    for own in reversed(_user_files(environment)):
        settings += _read_settings(own)
    if (text := environment.get("NIX_CONFIG")) is not None:
        settings += parse_nix_conf(text, "NIX_CONFIG", _read_included)
    return settings


def _machine_file(environment: Mapping[str, str]) -> str:
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


def _read_settings(file: str) -> list[tuple[str, str]]:
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


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group_name() -> str:
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())


def _is_in_group(user: str, group: str, name: str) -> bool:
    try:
        return name == group or user in grp.getgrnam(name).gr_mem
    except KeyError:
        return False
