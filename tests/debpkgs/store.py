"""A Nix store to build in: a private one with its own state, or /nix itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.collecting import run_collector

_CONFIGURATION = """\
build-users-group =
sandbox = false
substituters =
experimental-features = nix-command
"""

TOOLS = ("nix-build", "nix-store", "patchelf", "dpkg-deb", "apt-get", "gcc", "tar")


def missing_tools() -> list[str]:
    """The commands that building needs and this machine lacks."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


class NixError(RuntimeError):
    """A Nix command ended with an error; the message holds the end of what it said."""


@dataclass(frozen=True)
class PrivateStore:
    """A store and its state; `private` is false for /nix, which is never collected or reset."""

    store_dir: Path
    state_dir: Path
    log_dir: Path
    conf_dir: Path
    private: bool = True

    @classmethod
    def under(cls, directory: Path) -> PrivateStore:
        """A store of its own, with everything it needs in one directory; made if missing."""
        # Nix refuses a store that is reached through a symlink.
        top = Path(os.path.realpath(directory))
        state = top / "var"
        return cls(top / "store", state, state / "log", top / "etc")._configured()

    @classmethod
    def system(cls, conf_dir: Path) -> PrivateStore:
        """The machine's store, for root without a daemon, configured by our own file."""
        state = Path("/nix/var/nix")
        return cls(
            Path("/nix/store"), state, Path("/nix/var/log/nix"), conf_dir, private=False
        )._configured()

    def _configured(self) -> PrivateStore:
        self.conf_dir.mkdir(parents=True, exist_ok=True)
        file = self.conf_dir / "nix.conf"
        if not file.exists() or file.read_text() != _CONFIGURATION:
            file.write_text(_CONFIGURATION)
        return self

    @cached_property
    def env(self) -> dict[str, str]:
        """The environment in which every Nix command works on this store."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
        return kept | {
            "NIX_STORE_DIR": str(self.store_dir),
            "NIX_STATE_DIR": str(self.state_dir),
            "NIX_LOG_DIR": str(self.log_dir),
            "NIX_CONF_DIR": str(self.conf_dir),
            "NIX_REMOTE": "local",
            # the configuration of whoever runs the tests is none of theirs
            "NIX_USER_CONF_FILES": "",
        }

    def run(self, *command: str) -> str:
        """The standard output of a Nix command on this store; NixError if it fails."""
        return _checked(
            subprocess.run(command, env=self.env, check=False, capture_output=True, text=True)
        )

    def build(self, expression: Path, attribute: str, link: Path | None = None) -> str:
        """Builds an attribute of a Nix file; its store path, rooted only if a link is asked for."""
        rooted = ("--out-link", str(link)) if link else ("--no-out-link",)
        command = ("nix-build", str(expression), "-A", attribute, "-j", "auto", *rooted)
        output = self.run(*command).splitlines()[-1]
        return os.path.realpath(output) if link else output

    def closure(self, path: str) -> list[str]:
        """A path and all it refers to, however indirectly, sorted."""
        return sorted(self.run("nix-store", "--query", "--requisites", path).split())

    @property
    def roots_dir(self) -> Path:
        """Where the roots are kept that a reset spares."""
        return self.state_dir / "gcroots" / "debpkgs"

    def add_root(self, name: str, path: str) -> None:
        """Keeps a path through every collection."""
        self.roots_dir.mkdir(parents=True, exist_ok=True)
        link = self.roots_dir / name
        link.unlink(missing_ok=True)
        link.symlink_to(path)

    def reset(self) -> None:
        """Removes every root but the built ones, and with Nix's collector what they kept.

        Derivations and the archives they were made of stay, for Nix keeps the derivers of live
        paths.
        """
        if not self.private:
            raise ValueError(f"{self.store_dir} is not ours to collect")
        # The profiles' own directory last: `gcroots/profiles` is a link to it, and is spared.
        _remove_links(self.state_dir / "gcroots", spared=(self.roots_dir.name, "profiles"))
        _remove_links(self.state_dir / "profiles")
        _checked(run_collector(["nix-store", "--gc"], self.env))


def _checked(run: subprocess.CompletedProcess[str]) -> str:
    if run.returncode != 0:
        command = " ".join(run.args)
        raise NixError(f"{command}: status {run.returncode}\n{run.stderr[-3000:]}")
    return run.stdout


def _remove_links(top: Path, spared: tuple[str, ...] = ()) -> None:
    """Removes the symlinks below a directory but follows none: a root may be one into the store."""
    for directory, subdirectories, names in os.walk(top):
        if directory == str(top):
            subdirectories[:] = [name for name in subdirectories if name not in spared]
        for name in subdirectories + names:
            entry = os.path.join(directory, name)
            if os.path.islink(entry):
                os.unlink(entry)
