"""The installer of tools installs where it may, asks on a terminal, and never waits without one."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parent.parent / ".ci" / "installer"

# Of the machine's programs the installer sees these alone.
_PLAIN = "bash cat dirname env grep mkdir mktemp rm sort tail tr"
_RECORD = '#!/bin/sh\necho "$*" >>"$(dirname "$0")/../asked"\n'


@dataclass(frozen=True)
class Machine:
    """A machine without a compiler, whose apt-get writes down what it is asked for."""

    place: Path

    def program(self, name: str, text: str) -> None:
        file = self.place / "bin" / name
        file.write_text(text)
        file.chmod(0o755)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": str(self.place / "bin"),
            "PYTHON": sys.executable,
            "VENV": str(self.place / "venv"),
        }

    @property
    def asked(self) -> list[str]:
        file = self.place / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def install(
        self, use: str = "demo", *, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [INSTALLER, use],
            env=environment or self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def install_on_a_terminal(self, answer: bytes) -> str:
        """What stands on the terminal in the end."""
        process, terminal = pty.fork()
        if process == 0:
            os.execve(INSTALLER, [str(INSTALLER), "demo"], self.environment)
        os.write(terminal, answer)
        shown = b""
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:  # its other end is closed
            pass
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        return shown.decode()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "bin").mkdir()
    for name in _PLAIN.split():
        program = shutil.which(name)
        assert program is not None
        (tmp_path / "bin" / name).symlink_to(program)
    made = Machine(tmp_path)
    made.program("id", "#!/bin/sh\necho 0\n")
    made.program("apt-get", _RECORD)
    made.program("apt-cache", "#!/bin/sh\n")
    return made


def test_root_without_a_terminal_gets_all_that_is_missing(machine: Machine) -> None:
    done = machine.install()
    assert done.stderr.startswith("tools: apt-get installs bubblewrap gcc libc6-dev python3-dev\n")
    update, install = machine.asked
    assert update.endswith(" update")
    assert install.endswith(" bubblewrap gcc libc6-dev python3-dev")
    assert "--yes" in install
    # This apt-get brings nothing: that is said, and only continuous integration fails.
    assert done.stderr.splitlines()[-1].startswith(
        "tools: still missing: gcc stdio.h Python.h bwrap"
    )
    assert done.returncode == 0
    assert machine.install("ci").returncode == 1


def test_an_apt_that_fails_is_told_of_and_does_not_stop_the_command(machine: Machine) -> None:
    machine.program("apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    done = machine.install()
    assert done.returncode == 0
    assert "tools: apt-get install fails: E: no network\n" in done.stderr


def test_a_package_that_apt_does_not_know_keeps_no_other_from_its_place(machine: Machine) -> None:
    machine.program("apt-cache", '#!/bin/sh\n[ "$2" != python3-dev ]\n')
    done = machine.install()
    assert machine.asked[1].endswith(" bubblewrap gcc libc6-dev")
    assert done.stderr.splitlines()[-1].endswith("; apt-get does not know python3-dev")


def test_who_may_not_install_is_told_what_root_can_do(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    done = machine.install()
    assert done.returncode == 0
    assert done.stderr == (
        "tools: missing here: gcc stdio.h Python.h bwrap; this user may not install them, "
        "so ask root for: apt-get install bubblewrap gcc libc6-dev python3-dev\n"
    )
    assert machine.asked == []


def test_without_a_virtual_environment_one_sentence_says_what_to_install(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program(
        "python3", f'#!/bin/sh\n[ "$2" != "import ensurepip" ] && exec {sys.executable} "$@"\n'
    )
    python = {**machine.environment, "PYTHON": "python3"}
    done = machine.install(environment=python)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "tools: without ensurepip Python makes no virtual environment: install python3-venv, "
        "then run make again"
    )
    # One that is there already is as good.
    (machine.place / "venv" / "bin").mkdir(parents=True)
    (machine.place / "venv" / "bin" / "pip").symlink_to(sys.executable)
    assert machine.install(environment=python).returncode == 0


def test_a_user_whom_sudo_asks_for_no_password_installs_by_it(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\n[ "$1" = true ] || exec "$@"\n')
    assert machine.install().returncode == 0
    assert len(machine.asked) == 2


def test_a_system_without_apt_is_told_what_is_missing(machine: Machine) -> None:
    (machine.place / "bin" / "apt-get").unlink()
    done = machine.install()
    assert done.returncode == 0
    assert done.stderr.startswith(
        "tools: missing here: gcc stdio.h Python.h bwrap; there is no apt-get"
    )


@pytest.mark.parametrize(("answer", "installs"), [(b"\n", True), (b"y\n", True), (b"n\n", False)])
def test_on_a_terminal_it_asks_first(machine: Machine, answer: bytes, installs: bool) -> None:
    shown = machine.install_on_a_terminal(answer)
    assert "apt-get install bubblewrap gcc libc6-dev python3-dev'? [Y/n]" in shown
    assert bool(machine.asked) == installs


def test_whoever_said_no_is_not_asked_again(machine: Machine) -> None:
    machine.install_on_a_terminal(b"n\n")
    assert "left out, as before: gcc" in machine.install_on_a_terminal(b"")
    assert machine.asked == []
