"""Exit statuses are those of the shell here."""

from __future__ import annotations

import subprocess

import pytest

from graft.ways.shell_status import CANNOT_START, NOT_FOUND, status_of


def _shell(script: str) -> int:
    return subprocess.run(["sh", "-c", script], stderr=subprocess.DEVNULL, check=False).returncode


@pytest.mark.parametrize("ending", ["exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -9 $$"])
def test_a_program_ends_as_it_does_under_a_shell(ending: str) -> None:
    # What follows keeps the shell from becoming the program.
    assert _shell(f"sh -c '{ending}'; exit $?") == status_of(_shell(ending))


def test_what_does_not_start_has_the_status_a_shell_gives_it() -> None:
    assert _shell("/no/such/program; exit $?") == NOT_FOUND
    assert _shell("/; exit $?") == CANNOT_START
