"""The kinds of stores, in one list: the command line, its help and the page on URLs are made of it.

A kind is found by the beginning of its URLs. Its opener is named as text, `MODULE:FUNCTION`, and
imported only when a store of that kind is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from graft.errors import BadStoreUrlError

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir
    from graft.store.api import Source, Target

CACHE: Final = "binary cache"
"""The name of a binary cache of any kind in messages."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=[:?]|$)")
_ANY_CACHE: Final = {
    "priority": "a number to go before `Priority` of its `nix-cache-info`; if several caches have "
    "a path the lowest gives it. Without either it is 0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A kind of stores.

    Attributes:
        schemes: the beginnings of its URLs, before a colon or a question mark; a URL that begins
            with a slash has the scheme `/`.
        forms: its URLs, with words in capitals for the variable parts, each with its meaning.
        noun: the word of messages for such a store.
        parameters: the parameters behind the question mark, each with its meaning.
        written: whether and how it is written, for the page on URLs.
        opens: `MODULE:FUNCTION` that opens a store: (URL, environment) → Source.
        creates: `MODULE:FUNCTION` that opens a store to be written, and makes it if need be: (URL,
            environment, store directory) → Target. None if such a store is only read.
    """

    schemes: tuple[str, ...]
    forms: Mapping[str, str]
    noun: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    written: str = "no"
    opens: str
    creates: str | None = None

    def open(self, url: str, environment: Mapping[str, str]) -> Source:
        """Opens a store; the errors are the same as in `graft.store.opening.open_store`."""
        source: Source = _named(self.opens)(url, environment)
        return source

    def create(self, url: str, environment: Mapping[str, str], store_dir: StoreDir) -> Target:
        """Opens a store to be written; the errors are the same as in
        `graft.store.opening.open_target`.
        """
        if self.creates is None:
            shown = without_secrets(url)
            raise BadStoreUrlError(
                f"the {self.noun} '{shown}' can only be read: write to a file:///DIR or an "
                "s3://BUCKET, and serve that",
                url=shown,
            )
        target: Target = _named(self.creates)(url, environment, store_dir)
        return target


def _named(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = attrgetter(function)(import_module(module))
    return found


LOCAL: Final = StoreKind(
    schemes=("auto", "/", "local"),
    forms={
        "auto": "the store of this machine: `NIX_STORE_DIR` and `NIX_STATE_DIR`, or `/nix/store` "
        "and `/nix/var/nix`",
        "/DIR": "a store rooted in a directory, logically still `/nix/store`",
        "local?root=DIR": "the same",
        "local?store=DIR&state=DIR": "a store whose logical directory is where it lies, such as "
        "Guix's; both parameters are needed",
    },
    noun="local store",
    parameters={
        "root": "the directory that the store is rooted in",
        "store": "the store directory",
        "state": "the state directory: database, roots, profiles and locks",
    },
    written="yes",
    opens="graft.store.opening:open_local_store",
    creates="graft.store.opening:open_local_target",
)
_DIRECTORY: Final = StoreKind(
    schemes=("file",),
    forms={"file:///DIR": "a binary cache in a directory"},
    noun=CACHE,
    parameters=_ANY_CACHE,
    written="yes; made if it is missing",
    opens="graft.store.writable_cache:open_cache",
    creates="graft.store.writable_cache:create_cache",
)
_SERVER: Final = StoreKind(
    schemes=("http", "https"),
    forms={
        "http://HOST[/DIR]": "a binary cache behind a server",
        "https://HOST[/DIR]": "the same, encrypted",
    },
    noun=CACHE,
    parameters=_ANY_CACHE,
    opens="graft.store.binary_cache:open_cache",
)
_GRAPH: Final = StoreKind(
    schemes=("graph",),
    forms={
        "graph:FILE": "inside a build, the closures that the derivation exports to its builder "
        "(`exportReferencesGraph`): `.attrs.json`, or the text files of a derivation without "
        "structured attributes, one behind the other; `NIX_STORE` names the store directory"
    },
    noun="graph of a derivation",
    written="no; `--to file://$out`",
    opens="graft.store.exported:ExportedGraph.open",
)
_BUCKET: Final = StoreKind(
    schemes=("s3",),
    forms={"s3://BUCKET[/PREFIX]": "a binary cache in a bucket"},
    noun=CACHE,
    parameters={
        **_ANY_CACHE,
        "region": "of the bucket; the default comes from the environment or the profile",
        "endpoint": "host and port of a server that is not Amazon's: "
        "`endpoint=minio.example.org:9000`",
        "scheme": "`https`, which it is without, or `http`",
        "profile": "the name in `~/.aws` whose credentials are used",
    },
    written="yes; made if it is missing, the bucket must be there",
    opens="graft.store.writable_cache:open_cache",
    creates="graft.store.writable_cache:create_cache",
)

KINDS: Final[list[StoreKind]] = [LOCAL, _DIRECTORY, _SERVER, _GRAPH, _BUCKET]
"""Every kind, in the order of the page on URLs."""


def kind_of(url: str) -> StoreKind:
    """The kind of the store that a URL names.

    Raises:
        BadStoreUrlError: it names no kind.
    """
    scheme = "/" if url.startswith("/") else ""
    if not scheme and (found := _SCHEME.match(url)):
        scheme = found[0]
    for kind in KINDS:
        if scheme in kind.schemes:
            return kind
    shown = without_secrets(url)
    raise BadStoreUrlError(f"'{shown}' is no store: say {spoken_forms(KINDS)}", url=shown)


def spoken_forms(kinds: list[StoreKind]) -> str:
    """The forms of the URLs of some kinds, for a sentence."""
    *others, last = [form for kind in kinds for form in kind.forms]
    return f"{', '.join(others)} or {last}" if others else last


def without_secrets(url: str) -> str:
    """A URL as messages may show it: without name, password and parameters."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - late: a fifth of the time of --help

    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=host, query="", fragment="").geturl()
    except ValueError:
        return url.partition(":")[0] + ":"
