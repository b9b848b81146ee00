"""Trust in Nix's configuration: the keys whose signatures count, and the users that need no
signature.

Source: Nix manual, "nix.conf"; matchUser in src/nix/daemon.cc of Nix. A daemon reads the machine's
files, and the files of the user it runs as.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from graft.errors import BadFormatError
from graft.formats.nix_conf import list_setting, switch_setting
from graft.formats.signature import PublicKey
from graft.store.nix_conf_files import machine_file, read_settings, settings_of_user

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
        return cls._of(machine_file(environment), settings_of_user(environment))

    @classmethod
    def of_daemon(cls, environment: Mapping[str, str]) -> Self:
        """The settings of the machine's daemon, as far as they can be seen from here: it may have
        been started with others.

        Raises: as `of_user`.
        """
        file = machine_file(environment)
        return cls._of(file, read_settings(file))

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
