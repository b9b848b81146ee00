"""The URLs of binary caches: where their files are, and with which parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from graft.errors import BadStoreUrlError
from graft.store.kinds import CACHE, KINDS, spoken_forms, without_secrets

_CACHES: Final = {scheme: kind for kind in KINDS if kind.noun == CACHE for scheme in kind.schemes}
_PRIORITY: Final = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAddress:
    """A URL in its parts.

    Attributes:
        url: the whole of it, with the passwords that may be in it: it is never shown.
        scheme: `file`, `http`, `https` or `s3`.
        place: host or bucket, maybe with a name and a password; empty for files.
        path: the quoted path of the URL, without slashes at its end.
        parameters: the parameters behind the question mark, unquoted.
        priority: the cache's place among several, a lower one first; None if the URL says nothing.
    """

    url: str
    scheme: str
    place: str
    path: str
    parameters: Mapping[str, str]
    priority: int | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Reads the URL of a cache.

        Raises:
            BadStoreUrlError: it has no form or a parameter that is not known.
        """
        bare = without_secrets(url)
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        kind = _CACHES.get(parts.scheme)
        wrong = (
            parts.netloc or not parts.path.startswith("/")
            if parts.scheme == "file"
            else not parts.netloc
        )
        if kind is None or wrong or parts.fragment:
            caches = [kind for kind in KINDS if kind.noun == CACHE]
            raise BadStoreUrlError(
                f"'{bare}' is no binary cache: say {spoken_forms(caches)}", url=bare
            )
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(given.keys() - kind.parameters.keys()):
            raise BadStoreUrlError(
                f"store '{bare}' has an unknown parameter '{unknown[0]}': {parts.scheme} takes "
                f"{', '.join(kind.parameters)}",
                url=bare,
            )
        priority = given.pop("priority", None)
        if priority is not None and not _PRIORITY.fullmatch(priority):
            raise BadStoreUrlError(f"store '{bare}': 'priority' is no number", url=bare)
        return cls(
            url=url,
            scheme=parts.scheme,
            place=parts.netloc,
            path=parts.path.rstrip("/"),
            parameters=given,
            priority=None if priority is None else int(priority),
        )

    @property
    def directory(self) -> str:
        """The directory of a `file://` URL."""
        return unquote(self.path) or "/"
