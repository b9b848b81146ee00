"""The real Nix tools, pointed at a store of a test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from graft.store.location import Location
from tests.collecting import run_collector


class RealNix:
    """Runs Nix's own programs on a store, with a configuration of its own."""

    def __init__(self, location: Location, directory: Path) -> None:
        configuration = directory / "nix-conf"
        configuration.mkdir(exist_ok=True)
        (configuration / "nix.conf").write_text(
            "build-users-group =\nsandbox = false\n"
            "experimental-features = nix-command\nsubstituters =\n"
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NIX_")},
            "NIX_CONF_DIR": str(configuration),
            "NIX_LOG_DIR": str(directory / "nix-log"),
            "HOME": str(directory),
        }
        if location.real_store_dir == location.store_dir:
            self.environment["NIX_STORE_DIR"] = str(location.store_dir)
            self.environment["NIX_STATE_DIR"] = location.state_dir
            self._store: tuple[str, ...] = ()
        else:
            root = location.real_store_dir.removesuffix(location.store_dir)
            self._store = ("--store", root)

    def run(self, program: str, *arguments: str, status: int = 0) -> str:
        """Runs a program, checks its exit status, and gives its output."""
        result = subprocess.run(
            [program, *self._store, *arguments]
            if program != "nix"
            else [program, *arguments, *self._store],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == status, result.stderr
        return result.stdout

    def collect(self, *arguments: str) -> None:
        """Runs `nix-store --gc`, or another operation that collects."""
        command = ["nix-store", *self._store, *(arguments or ["--gc"])]
        done = run_collector(command, self.environment)
        assert done.returncode == 0, done.stderr

    def check(self) -> None:
        """Lets Nix verify everything it believes of the store, contents too.

        nix-store reports what it finds on stderr, and a broken path in its status.
        """
        result = subprocess.run(
            ["nix-store", *self._store, "--verify", "--check-contents"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        for word in ("modified", "error", "disappeared", "but it still has", "does not exist"):
            assert word not in result.stderr, result.stderr
