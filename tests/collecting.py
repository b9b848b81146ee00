"""Nix's garbage collector, called until it could look at the whole machine."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence

_TRIES = 120
# It reads what every process has open, and gives up at a path longer than a page: those of another
# test's deep trees.
_GIVEN_UP = re.compile("(reading |read_)symlink.*: File name too long")


def run_collector(
    command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `nix-store --gc`, or another operation that collects; how it ended at last."""
    for _ in range(_TRIES):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not _GIVEN_UP.search(done.stderr):
            break
        time.sleep(0.5)
    return done
