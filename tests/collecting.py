"""Nix's garbage collector, called until it could look at the whole machine."""

from __future__ import annotations

import subprocess
import time

from tests.real_nix import RealNix

_TRIES = 40
# It reads what every process has open, and gives up at a path longer than a page: those of another
# test's deep trees.
_GIVEN_UP = "File name too long"


def collect(nix: RealNix, *arguments: str) -> None:
    """Runs `nix-store --gc`, or another operation that collects."""
    for last in [False] * (_TRIES - 1) + [True]:
        done = subprocess.run(
            ["nix-store", *nix._store, *(arguments or ["--gc"])],
            env=nix.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if last or _GIVEN_UP not in done.stderr:
            assert done.returncode == 0, done.stderr
            return
        time.sleep(0.5)
