"""The time, the processor time and the peak memory of a program.

A process is charged with the memory of the one it was forked from, until it is another program: so
programs are started by an interpreter that has loaded next to nothing.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .bench import piped

_START = """
import os, sys, time
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
begin = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - begin
cpu = usage.ru_utime + usage.ru_stime
os.write(out, f"[{seconds}, {usage.ru_maxrss * 1024}, {cpu}]".encode())
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


@dataclass(frozen=True)
class Peak:
    """What a program took: seconds of wall time, bytes of memory at its peak, processor seconds."""

    seconds: float
    memory: int
    cpu: float


def peak(command: Sequence[str | Path], fed_by: str = "true") -> Peak:
    """Runs a program that must succeed, its output thrown away.

    Args:
        fed_by: a shell command whose output is its input.
    """
    whole = [sys.executable, "-I", "-S", "-c", _START, *map(str, command)]
    return Peak(*json.loads(piped(f"{fed_by} | {shlex.join(whole)}")))
