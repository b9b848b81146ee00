"""Scripts that call each other: raw derivations, built by the real Nix in a private store."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.formats.store_path import StoreDir, StorePath
from graft.plan import Plan
from graft.store.local import LocalStore
from tests.collecting import run_collector
from tests.nix_answers import path_infos

_CONFIGURATION = """\
build-users-group =
sandbox = false
substituters =
keep-derivations = false
experimental-features = nix-command ca-derivations
"""

# `script` is nixpkgs' writeShellScriptBin, without nixpkgs; `scriptAs` the same with another name
# for the file; `ca` with a floating content address; `build` runs any commands.
_PRELUDE = r"""
let
  common = name: {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
  };
  build = name: more: commands: derivation (common name // more // { args = [ "-euc" commands ]; });
  written = ''
    mkdir -p $out/bin
    printf '#!/bin/sh\n%s\n' "$text" > $out/bin/''${file:-$name}
    chmod +x $out/bin/''${file:-$name}
  '';
  script = name: text: build name { inherit text; } written;
  scriptAs = file: name: text: build name { inherit file text; } written;
  ca = name: text: build name {
    inherit text;
    __contentAddressed = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
  } written;
in rec {
"""


@dataclass(frozen=True)
class Nix:
    """A private store, and the real Nix at work in it."""

    directory: Path

    @classmethod
    def under(cls, directory: Path) -> Nix:
        nix = cls(Path(os.path.realpath(directory)))  # Nix refuses a store behind a symlink
        (nix.directory / "etc").mkdir()
        (nix.directory / "etc" / "nix.conf").write_text(_CONFIGURATION)
        return nix

    @property
    def store_dir(self) -> StoreDir:
        return StoreDir(self.directory / "store")

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
        return kept | {
            "NIX_STORE_DIR": self.store_dir,
            "NIX_STATE_DIR": str(self.directory / "var"),
            "NIX_LOG_DIR": str(self.directory / "log"),
            "NIX_CONF_DIR": str(self.directory / "etc"),
            "NIX_REMOTE": "local",
            "NIX_USER_CONF_FILES": "",
        }

    def run(self, *command: str) -> str:
        """What a Nix command prints; it must succeed."""
        run = subprocess.run(command, env=self.env, check=False, capture_output=True, text=True)
        assert run.returncode == 0, f"{' '.join(command)}: status {run.returncode}\n{run.stderr}"
        return run.stdout

    def build(self, bindings: str, *attributes: str) -> list[StorePath]:
        """Builds attributes of a set of bindings, which may use those of the prelude."""
        expression = self.directory / "expression.nix"
        expression.write_text(_PRELUDE + bindings + "\n}\n")
        chosen = [part for attribute in attributes for part in ("-A", attribute)]
        if not attributes:
            return []
        printed = self.run("nix-build", "--no-out-link", str(expression), *chosen)
        built = [self.store_dir.parse(line) for line in printed.split()]
        assert len(built) == len(attributes)
        return built

    def open(self) -> LocalStore:
        return LocalStore(store=self.store_dir, state=str(self.directory / "var"))

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs graft's command line on the store, which it finds by Nix's environment."""
        command = [sys.executable, "-m", "graft", *arguments]
        return subprocess.run(
            command, env=self.env, cwd=self.directory, check=False, capture_output=True, text=True
        )

    def full(self, path: StorePath) -> str:
        return self.store_dir.path(path)

    def output(self, path: StorePath, program: str = "test") -> str:
        """What a program in a store path prints."""
        return self.run(f"{self.full(path)}/bin/{program}").rstrip("\n")

    def references(self, path: StorePath) -> set[StorePath]:
        printed = self.run("nix-store", "--query", "--references", self.full(path))
        return {self.store_dir.parse(line) for line in printed.split()}

    def requisites(self, path: StorePath) -> set[StorePath]:
        printed = self.run("nix-store", "--query", "--requisites", self.full(path))
        return {self.store_dir.parse(line) for line in printed.split()}

    def is_valid(self, path: StorePath) -> bool:
        command = ["nix-store", "--check-validity", self.full(path)]
        run = subprocess.run(command, env=self.env, check=False, capture_output=True)
        return run.returncode == 0

    def indirect_roots(self) -> set[Path]:
        """The links, wherever they are, that the collector follows."""
        automatic = self.directory / "var" / "gcroots" / "auto"
        return {link.readlink() for link in automatic.iterdir()}

    def info(self, path: StorePath) -> dict[str, Any]:
        """What `nix path-info` knows of a path."""
        (found,) = path_infos(self.run("nix", "path-info", "--json", self.full(path)))
        return found

    def collect(self) -> None:
        """Runs the garbage collector."""
        done = run_collector(["nix-store", "--gc"], self.env)
        assert done.returncode == 0, done.stderr

    def check(self, plan: Plan) -> None:
        """Holds what is registered against the plan, and has Nix verify its whole store."""
        self.run("nix-store", "--verify", "--check-contents")
        roots = [self.full(root) for root in plan.new_roots.values()]
        self.run("nix", "store", "verify", "-r", *roots)
        for path, expected in plan.new_references.items():
            assert self.references(path) - {path} == expected
        for rewrite in plan.rewrites:
            itself = rewrite.path in plan.closure.infos[rewrite.path].references
            assert (rewrite.new_path in self.references(rewrite.new_path)) == itself
        for root in plan.new_roots.values():
            assert self.requisites(root) <= plan.new_references.keys()
