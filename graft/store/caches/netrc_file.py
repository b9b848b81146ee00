"""Names and passwords for servers, from the file of Nix's setting `netrc-file`.

Source: Nix manual, "netrc-file"; netrc(5). Nix has curl look there for each host, also for one that
a server redirects to. A password in a URL goes before.
"""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import urlsplit

from graft.errors import BadFormatError
from graft.store.nix_conf_files import netrc_file


class NetrcFile:
    """The passwords of a user, read when a server is first asked.

    Args:
        environment: the variables that say where Nix's settings are.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def _entries(self) -> netrc.netrc | None:
        file = netrc_file(self._environment)
        try:
            return netrc.netrc(file)
        except OSError:
            return None  # there is no such file, or it is another user's
        except (netrc.NetrcParseError, UnicodeDecodeError):
            # Its words are not repeated: one may be a password.
            raise BadFormatError(
                f"Nix's netrc-file '{file}' is malformed: correct it, or name another with the "
                "setting 'netrc-file'",
                path=file,
            ) from None

    def headers(self, url: str) -> dict[str, str]:
        """The headers of a request that its host wants; nothing for an unknown host."""
        host = urlsplit(url).hostname
        found = self._entries.authenticators(host) if self._entries and host else None
        if found is None:
            return {}
        from urllib3 import make_headers  # noqa: PLC0415 - loaded only for caches

        name, _, password = found
        return dict(make_headers(basic_auth=f"{name}:{password or ''}"))
