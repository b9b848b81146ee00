"""Path locks against a real Nix that makes the same path at the same time."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.job import Outcome, apply, make_plan
from graft.store.local import LocalMaking, LocalStore
from tests.graftable import Graftable
from tests.objects import new_store
from tests.real_nix import RealNix

pytestmark = pytest.mark.nix


class Contended:
    """A grafted path that is in a binary cache, and no longer in the store."""

    def __init__(self, directory: Path) -> None:
        self.it = Graftable.build(new_store(directory))
        self.store = self.it.store
        self.nix = RealNix(self.store.location, directory)
        self.cache = f"file://{directory / 'cache'}"
        self.new_app = make_plan(
            self.store, [self.it.env], [(self.it.old, self.it.new)]
        ).moved[self.it.app]
        outcome = self.graft()
        new_env = outcome.plan.new_roots[self.it.env]
        self.info = self.store.path_infos([self.new_app])[self.new_app]
        self.nix.run("nix", "copy", "--to", self.cache, self.full(new_env))
        self.export = self._export()
        self.store.close()  # the paths are no longer temporary roots
        self.nix.run("nix-store", "--delete", self.full(new_env), self.full(self.new_app))
        self.it.store.__init__(location=self.store.location)  # type: ignore[misc]

    def _export(self) -> bytes:
        return subprocess.run(
            ["nix-store", "--export", self.full(self.new_app)],
            env=self.nix.environment,
            capture_output=True,
            check=True,
        ).stdout

    def full(self, path: StorePath) -> str:
        return self.store.store_dir.path(path)
