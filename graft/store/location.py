"""Where a local store is: `--store` URLs, Nix's environment variables, and path arguments."""

from __future__ import annotations

import os
import stat
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from graft.errors import BadStorePathError, BadStoreUrlError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.kinds import LOCAL, spoken_forms, without_secrets

_DEFAULT_STORE_DIR = "/nix/store"
_DEFAULT_STATE_DIR = "/nix/var/nix"
_MOST_LINKS = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The directories of a local store.

    Attributes:
        store_dir: the logical store directory, as paths are printed and written into files.
        real_store_dir: where it is on this machine's file system.
        state_dir: database, roots, profiles and locks.
    """

    store_dir: StoreDir
    real_store_dir: str
    state_dir: str

    @property
    def database_dir(self) -> str:
        """The directory of `db.sqlite` and `schema`."""
        return os.path.join(self.state_dir, "db")

    @property
    def collector_lock(self) -> str:
        """The file the garbage collector locks while it deletes."""
        return os.path.join(self.state_dir, "gc.lock")

    @property
    def url(self) -> str:
        """The `--store` URL that names this location."""
        if self.real_store_dir != self.store_dir:
            root = self.real_store_dir.removesuffix(self.store_dir)
            return f"local?root={urllib.parse.quote(root)}"
        if (self.store_dir, self.state_dir) == (_DEFAULT_STORE_DIR, _DEFAULT_STATE_DIR):
            return "auto"
        store, state = map(urllib.parse.quote, (self.store_dir, self.state_dir))
        return f"local?store={store}&state={state}"

    @classmethod
    def at_root(cls, root: str) -> Location:
        """A store rooted in a directory, as Nix's `--store DIR`: logically still /nix/store."""
        root = os.path.abspath(root).rstrip("/")
        return cls(
            store_dir=StoreDir(_DEFAULT_STORE_DIR),
            real_store_dir=root + _DEFAULT_STORE_DIR,
            state_dir=root + _DEFAULT_STATE_DIR,
        )

    @classmethod
    def of_directories(cls, store: str, state: str) -> Location:
        """A store whose logical directory is where it really is."""
        store = os.path.abspath(store)
        return cls(
            store_dir=StoreDir(store), real_store_dir=store, state_dir=os.path.abspath(state)
        )

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str]) -> Location:
        """Reads a `--store` URL.

        Args:
            url: `auto`, an absolute directory, `local?root=DIR` or `local?store=DIR&state=DIR`.
            environment: NIX_STORE_DIR and NIX_STATE_DIR are looked up for `auto`, and only then.

        Raises:
            BadStoreUrlError: it has another form, or is a binary cache.
        """
        if url == "auto":
            return cls.of_directories(
                environment.get("NIX_STORE_DIR") or _DEFAULT_STORE_DIR,
                environment.get("NIX_STATE_DIR") or _DEFAULT_STATE_DIR,
            )
        if url.startswith("/"):
            return cls.at_root(url)
        scheme, _, query = url.partition("?")
        if scheme == "local":
            return cls._of_query(url, query)
        if "://" in url:
            shown = without_secrets(url)
            raise BadStoreUrlError(
                f"store '{shown}' is not local: name a local store, whose files can be linked",
                url=shown,
            )
        raise BadStoreUrlError(
            f"'{url}' is no store on this machine: say {spoken_forms([LOCAL])}", url=url
        )

    @classmethod
    def _of_query(cls, url: str, query: str) -> Location:
        given = urllib.parse.parse_qs(query, keep_blank_values=True)
        values = {key: texts[-1] for key, texts in given.items()}
        if unknown := sorted(values.keys() - LOCAL.parameters.keys()):
            raise BadStoreUrlError(
                f"store '{url}' has an unknown parameter '{unknown[0]}'", url=url
            )
        if relative := sorted(key for key, text in values.items() if not text.startswith("/")):
            raise BadStoreUrlError(
                f"store '{url}': '{relative[0]}' must be an absolute directory", url=url
            )
        if "root" in values:
            if len(values) > 1:
                raise BadStoreUrlError(
                    f"store '{url}': 'root' already says where store and state are", url=url
                )
            return cls.at_root(values["root"])
        if len(values) == 1:
            (missing,) = {"store", "state"} - values.keys()
            raise BadStoreUrlError(
                f"store '{url}' lacks the parameter '{missing}': say "
                "local?store=DIR&state=DIR or local?root=DIR",
                url=url,
            )
        return cls.of_directories(
            values.get("store", _DEFAULT_STORE_DIR), values.get("state", _DEFAULT_STATE_DIR)
        )

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means.

        Args:
            argument: a full store path or anything inside one, a base name, or a path that leads
                into the store through symlinks. They are followed to the first path inside it.

        Raises:
            BadStorePathError: it leads nowhere inside the store.
        """
        return resolve_argument(argument, self.store_dir, self.real_store_dir)


def resolve_argument(argument: str, store_dir: StoreDir, real_store_dir: str) -> StorePath:
    """The store path a path argument means, in a store that lies somewhere.

    Arguments and errors are the same as in `Location.resolve`.
    """
    if "/" not in argument and not os.path.lexists(argument):
        return StorePath(argument)
    path = os.path.normpath(os.path.join(os.getcwd(), argument))
    for _ in range(_MOST_LINKS + 1):
        found = _inside(path, store_dir, real_store_dir)
        if found is not None:
            return store_dir.first_path(found)
        followed = _follow_first_link(path)
        if followed is None:
            break
        path = followed
    if os.path.lexists(argument):
        raise BadStorePathError(
            f"'{argument}' does not lead into the store '{store_dir}'", path=argument
        )
    raise BadStorePathError(
        f"'{argument}' is neither a path of the store '{store_dir}' nor a link into it",
        path=argument,
    )


def _inside(path: str, store_dir: StoreDir, real_store_dir: str) -> str | None:
    """The logical spelling of a path inside the store, or None."""
    if store_dir.contains(path):
        return path
    if path.startswith(f"{real_store_dir}/"):
        return store_dir + path[len(real_store_dir) :]
    return None


def _follow_first_link(path: str) -> str | None:
    """Replaces the first component of `path` that is a symlink by its target."""
    parts = path.strip("/").split("/")
    prefix = ""
    for position, part in enumerate(parts):
        parent, prefix = prefix, f"{prefix}/{part}"
        try:
            if not stat.S_ISLNK(os.lstat(prefix).st_mode):
                continue
            target = os.path.join(parent or "/", os.readlink(prefix))
        except OSError:
            return None
        return os.path.normpath(os.path.join(target, *parts[position + 1 :]))
    return None
