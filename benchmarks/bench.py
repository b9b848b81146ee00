"""What a suite is given: where it may work, how often it runs things, and whom it tells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.kernel.tree import remove_tree

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Bench:
    """The conditions of one run of the benchmarks.

    Attributes:
        memory: a directory in memory (tmpfs), of this run alone.
        disk: a directory on a disk, of this run alone.
        runs: how often each way is run.
        quick: everything is small: to see that it works, not for its figures.
    """

    memory: Path
    disk: Path
    runs: int
    quick: bool

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def scaled(self, size: int, to: int) -> int:
        """A size, or a smaller one if this is quick."""
        return to if self.quick else size


def graft_command(*arguments: str | Path) -> list[str]:
    """The command line of this interpreter's graft."""
    return [sys.executable, "-m", "graft", *map(str, arguments)]


def quietly(
    command: Sequence[str | Path],
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> bytes:
    """Runs a program that must succeed; what it printed."""
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, env=env, cwd=ROOT)
    if done.returncode != 0:
        told = done.stderr[-2000:].decode(errors="replace")
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{told}")
    return done.stdout


def piped(script: str, environment: dict[str, str] | None = None) -> bytes:
    """Runs a line of shell of which every part must succeed."""
    return quietly(["bash", "-eo", "pipefail", "-c", script], environment=environment)


def fresh(directory: Path) -> Path:
    """An empty directory."""
    remove_tree(directory)
    directory.mkdir(parents=True)
    return directory


def have(*tools: str) -> bool:
    return all(shutil.which(tool) for tool in tools)


def processors() -> int:
    return len(os.sched_getaffinity(0))
