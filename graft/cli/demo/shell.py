"""Commands as a user would type them, and their results."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import graft
from graft.errors import GraftError


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStep:
    """One command that was run.

    Attributes:
        command: as a user would type it.
        status: its exit status.
        expected: the status it had to have.
        output: its output, stdout and stderr together.
    """

    command: str
    status: int
    expected: int
    output: str

    def check(self) -> None:
        """Raises GraftError if the status is not the expected one."""
        if self.status != self.expected:
            raise GraftError(
                f"in the demo '{self.command}' ended with status {self.status} instead of "
                f"{self.expected}: please report this as a defect of graft",
                command=self.command,
                status=self.status,
            )


class Shell:
    """The state of a shell between commands: its directory and its environment."""

    def __init__(self) -> None:
        self._directory = os.getcwd()
        self._environment = {
            **os.environ,
            # So that lines of stdout and stderr come in the order in which they were printed.
            "PYTHONUNBUFFERED": "1",
            # The graft that runs is the one that is shown, even from a source tree.
            "PYTHONPATH": os.pathsep.join(
                [
                    str(Path(graft.__file__).parent.parent),
                    *filter(None, [os.environ.get("PYTHONPATH")]),
                ]
            ),
        }

    def enter(self, directory: str) -> DemoStep:
        """`cd`."""
        self._directory = directory
        return DemoStep(command=shlex.join(["cd", directory]), status=0, expected=0, output="")

    def export(self, **variables: str) -> DemoStep:
        """`export`."""
        self._environment.update(variables)
        pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return DemoStep(command=f"export {pairs}", status=0, expected=0, output="")

    def run(self, *command: str, expected: int = 0) -> DemoStep:
        """Runs a program; `graft` is the graft that is running.

        Raises:
            OSError: it cannot be started.
        """
        arguments = list(command)
        if arguments[0] == "graft":
            arguments[:1] = [sys.executable, "-P", "-m", "graft"]
        done = subprocess.run(
            arguments,
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return DemoStep(
            command=shlex.join(command),
            status=done.returncode,
            expected=expected,
            output=done.stdout,
        )
