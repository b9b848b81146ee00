"""The permanent roots of a store, as the real Nix prints them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence

_PATIENCE = 60.0  # seconds
_QUOTED = re.compile(r'^"((?:[^"\\]|\\.)*)"(?= -> )', re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


def printed_roots(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a command prints, without the lines of running processes and temporary roots."""
    end = time.monotonic() + _PATIENCE
    while True:
        result = subprocess.run(command, env=environment, capture_output=True, check=False)
        # Nix reads every process's open files, and gives up if the path of one is too long: tests
        # of deep directories do that, briefly.
        if b"reading symlink" not in result.stderr or time.monotonic() > end:
            break
        time.sleep(0.5)
    assert result.returncode == 0, result.stderr
    # A newer Nix quotes the links.
    told = _QUOTED.sub(lambda match: _ESCAPED.sub(r"\1", match[1]), os.fsdecode(result.stdout))
    lines = told.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("/proc/", "{")))
