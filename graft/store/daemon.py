"""A store that only Nix's daemon may write: new paths go to it from a temporary cache.

Source: Nix manual, "Multi-User Mode" and "nix copy". The daemon takes a path if a trusted key has
signed it, if its name comes from its contents, or from a trusted user. Nix's own programs speak
with it.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from graft.errors import DaemonError, UntrustedUserError, UsageError
from graft.formats.signature import SecretKey
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LOCAL_PRIORITY, Closeable, PathInfo
from graft.store.daemon_connection import DaemonConnection
from graft.store.daemon_socket import daemon_socket
from graft.store.incoming_cache import IncomingCache
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.nix_settings import NixSettings
from graft.store.objects import StoreObject
from graft.store.roots import roots
from graft.store.roots.profile import Profile

_log = logging.getLogger(__name__)

_MOST_PATHS: Final = 4000  # of one command: the kernel's limit is two megabytes

_NEW_COMMANDS: Final = ("--extra-experimental-features", "nix-command")

_PLAIN: Final = re.compile(r"[\w/.-]+", re.ASCII)

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")


class DaemonStore(Closeable):
    """The machine's store, read by this process and written by its daemon.

    Args:
        location: the store's location.
        environment: the environment of the programs that are started; NIX_REMOTE and
            NIX_DAEMON_SOCKET_PATH say where the daemon is.

    Raises:
        StoreMissingError, SchemaError, StorePermissionError: there is no store that can be read.
    """

    def __init__(self, location: Location, environment: Mapping[str, str]) -> None:
        self.location = location
        self._environment = {
            "NIX_REMOTE": "daemon",
            **{name: value for name, value in environment.items() if value or name != "NIX_REMOTE"},
            "NIX_STORE_DIR": str(location.store_dir),
            "NIX_STATE_DIR": location.state_dir,
        }
        if self._environment["NIX_REMOTE"] == "auto":
            self._environment["NIX_REMOTE"] = "daemon"
        self._store = LocalStore(location=location)
        self._connection: DaemonConnection | None = None

    def close(self) -> None:
        """Closes the database, and gives back the temporary roots."""
        self._store.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self._store.store_dir

    @property
    def url(self) -> str:
        """How messages name the store."""
        return self._store.url

    @property
    def priority(self) -> int:
        """The priority of a store on this machine."""
        return LOCAL_PRIORITY

    @property
    def is_trusted(self) -> bool:
        """Always: its database is this machine's own."""
        return True

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the valid paths among `paths`."""
        return self._store.path_infos(paths)

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        return self._store.valid_paths()

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means; see `Location.resolve`."""
        return self._store.resolve(argument)

    def store_object(self, path: StorePath) -> StoreObject:
        """Where the object of a valid path is."""
        return self._store.store_object(path)

    def tree(self, path: StorePath) -> str:
        """Where the object of a path lies on the file system."""
        return self._store.tree(path)

    def free_bytes(self) -> int:
        """The room left on the store's file system for this user, in bytes."""
        return self._store.free_bytes()

    def check_writable(self) -> None:
        """Makes sure that the daemon answers, and speaks with this user.

        Raises:
            DaemonError: it does not.
        """
        self._run(["nix", "store", "ping", *_NEW_COMMANDS])

    def check_accepted(
        self, sign_keys: Collection[SecretKey], *, content_addressed: bool = False
    ) -> None:
        """Makes sure that the daemon will take the new paths, as far as this process can see.

        Args:
            sign_keys: the keys that will sign the paths.
            content_addressed: whether new names come from contents.

        Raises:
            UntrustedUserError: it will not.
        """
        settings = NixSettings.of_daemon(self._environment)
        trusted = {str(key) for key in settings.trusted_public_keys}
        if (
            content_addressed
            or not settings.require_sigs
            or settings.trusts_this_user()
            or any(str(key.public_key) in trusted for key in sign_keys)
        ):
            return
        names = ", ".join(key.name for key in settings.trusted_public_keys) or "none"
        given = (
            f"it does not trust the key '{next(iter(sign_keys)).name}'"
            if sign_keys
            else "nothing is signed"
        )
        raise UntrustedUserError(
            f"the Nix daemon takes no graft from you: {given}, and you are not one of its trusted "
            f"users; give --sign-key with a key of trusted-public-keys in '{settings.file}' "
            f"({names}) or --content-addressed, or run as root",
            store=self.url,
            file=settings.file,
            trusted_keys=[key.name for key in settings.trusted_public_keys],
        )

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Until the store is closed, no collector deletes the paths or their references.

        They are temporary roots of the daemon's, which keeps them while one connection lasts.

        Raises:
            DaemonError: the daemon does not answer.
        """
        if self._connection is None:
            self._connection = DaemonConnection(daemon_socket(self.location, self._environment))
        self._connection.add_temporary_roots(map(self.store_dir.path, sorted(paths)))

    @contextmanager
    def receiving(self, *, repair: bool = False) -> Iterator[IncomingCache]:
        """A temporary cache, of which the daemon gets all paths if the block ends well.

        Args:
            repair: the requested repairs; the daemon cannot do them.

        Raises:
            UsageError: the daemon takes nothing in place of a path that is valid.
            DaemonError: it does not take the paths. It may have taken some of them.
            StoreError: there can be no temporary cache.
        """
        if repair:
            raise UsageError(
                "the Nix daemon repairs no grafted paths: leave out --repair, or run as root"
            )
        with tempfile.TemporaryDirectory(prefix="graft-") as directory:
            with IncomingCache.below(directory, self._store) as cache:
                yield cache
                new_paths = list(cache.new_paths)
            self._copy(directory, new_paths)
        # A user that may not write the database may have seen it as it was when it was opened.
        self._store.close()
        self._store = LocalStore(location=self.location)

    def _copy(self, directory: str, paths: list[StorePath]) -> None:
        command = ["nix", "copy", *_NEW_COMMANDS]
        # Nix knows no way to spell most characters there.
        place = directory if _PLAIN.fullmatch(directory) else "/proc/self/cwd"
        command += ["--from", f"file://{place}", "--no-recursive"]
        if NixSettings.of_daemon(self._environment).trusts_this_user():
            command.append("--no-check-sigs")
        for batch in _batches(paths):
            self._run([*command, *map(self.store_dir.path, batch)], directory)

    def check_root_link(self, link: str) -> None:
        """Raises RootLinkError unless `add_root` could make this link; changes nothing."""
        roots.check_root_link(link, self.store_dir)

    def add_root(self, link: str, path: StorePath) -> None:
        """Makes `link` a symlink to the path; the daemon makes it a root.

        Raises:
            DaemonError: that failed.
        """
        root = ["--add-root", os.path.abspath(link), "--indirect"]
        self._run(["nix-store", "--realise", self.store_dir.path(path), *root])
        self._hand_over(path)

    def check_profile(self, profile: str) -> None:
        """Raises ProfileError unless `switch_profile` could work; changes nothing."""
        Profile(profile, self.store_dir).check()

    def switch_profile(self, profile: str, path: StorePath) -> None:
        """Makes the path the current generation of a profile.

        Raises:
            DaemonError: that failed.
        """
        profile = Profile(profile, self.store_dir).path
        self._run(["nix-env", "--profile", profile, "--set", self.store_dir.path(path)])
        self._hand_over(path)

    def _hand_over(self, path: StorePath) -> None:
        """Tells a collector that has begun meanwhile of a path with a new permanent root.

        It has read the permanent roots before, and may read the temporary ones when this one ended.
        """
        if self._connection is not None:
            self.protect([path])

    def _run(self, command: list[str], directory: str | None = None) -> None:
        name = command[0] if command[0] != "nix" else f"nix {command[1]}"
        try:
            done = subprocess.run(
                command,
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
        except OSError as error:
            raise DaemonError(
                f"cannot run '{name}', which speaks with the Nix daemon "
                f"({error.strerror or str(error)}): install Nix's own programs",
                program=name,
            ) from error
        lines = _ESCAPES.sub("", done.stderr.decode(errors="replace")).splitlines()
        for line in lines:
            _log.info("%s: %s", name, line)
        if done.returncode != 0:
            raise DaemonError(
                f"'{name}' failed with status {done.returncode}: {_last_error(lines)}",
                program=name,
                status=done.returncode,
            )


def _batches(paths: list[StorePath]) -> Iterator[list[StorePath]]:
    for start in range(0, len(paths), _MOST_PATHS):
        yield paths[start : start + _MOST_PATHS]


def _last_error(lines: list[str]) -> str:
    said = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (errors or said or ["it has said nothing"])[-1]
