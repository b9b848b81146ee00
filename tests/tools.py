"""The tools that tests need, by the list that the make targets install from."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

REQUIRE_ALL = os.environ.get("GRAFT_TEST_REQUIRE_ALL") == "1"

_LIST = Path(__file__).parent.parent / ".ci" / "tools.txt"
_INSTALL = "apt-get install"

# An ordinary user's search path has no system programs, but may run them.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@functools.cache
def packages() -> Mapping[str, tuple[str, ...]]:
    """Debian's packages of each tool."""
    rows = (line.split() for line in _LIST.read_text(encoding="utf-8").splitlines())
    return {
        tool.removeprefix("module:"): tuple(names)
        for use, tool, *names in (row for row in rows if row and row[0] != "#")
    }


@functools.cache
def present(tool: str) -> bool:
    """Whether this machine has a tool of the list.

    Raises:
        KeyError: the tool is not in the list.
    """
    packages()[tool]
    if tool.endswith((".a", ".h")):
        return _compiler_finds(tool)
    return shutil.which(tool) is not None


def _compiler_finds(file: str) -> bool:
    if not present("gcc"):
        return False
    if file.endswith(".h"):
        command = ["gcc", "-E", "-include", file, "-xc", "/dev/null"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    command = ["gcc", f"-print-file-name={file}"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return os.path.isabs(found)


@functools.cache
def _bubblewrap_refusal() -> str:
    """Why no view can be mounted here; empty if one can."""
    command = ["bwrap", "--dev-bind", "/", "/", "true"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr.strip()


def need(tools: Iterable[str]) -> None:
    """Skips the test where a tool is missing, or fails the test where everything is required."""
    tools = frozenset(tools)
    missing = sorted(tool for tool in tools if not present(tool))
    if missing:
        lacking = sorted({package for tool in missing for package in packages()[tool]})
        reason = f"no {', '.join(missing)} ({_INSTALL} {' '.join(lacking)})"
    elif "bwrap" in tools and (refusal := _bubblewrap_refusal()):
        reason = f"bubblewrap cannot make a namespace here, as in a chroot: {refusal}"
    else:
        return
    if REQUIRE_ALL:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def skipped(reasons: Iterable[str]) -> list[str]:
    """A line for each reason, with the number of the tests: the most frequent first."""
    counts: dict[str, int] = {}
    for reason in reasons:
        reason = reason.removeprefix("Skipped: ")  # noqa: PLW2901 - pytest's own word
        counts[reason] = counts.get(reason, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"{count} {'test' if count == 1 else 'tests'} skipped: {reason}"
        for reason, count in ordered
    ]
