"""What is read: of paths that stay as they are, not a byte before the proof."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.graftable import Graftable
from tests.store_objects import new_store

pytestmark = [pytest.mark.slow, pytest.mark.needs("strace")]

# What a call that opened something has returned: a descriptor, and with -y its path.
_OPENED = re.compile(r" = \d+<([^>]*)>$", re.MULTILINE)


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _opened(it: Graftable, trace: Path, *arguments: str) -> set[str]:
    """The store paths of which anything was opened, however it was named."""
    location = it.store.location
    url = f"--store=local?store={location.real_store_dir}&state={location.state_dir}"
    strace = ["strace", "-f", "-y", "-qq", "-s", "0", "-e", "trace=/^open", "-o", str(trace)]
    command = [*strace, sys.executable, "-m", "graft", url, "-q", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    inside = f"{location.real_store_dir}/"
    return {
        opened.removeprefix(inside).split("/")[0]
        for opened in _OPENED.findall(trace.read_text(errors="replace"))
        if opened.startswith(inside)
    }


def _job(it: Graftable) -> list[str]:
    full = it.store.store_dir.path
    return [full(it.env), f"--replace={full(it.old)}={full(it.new)}"]


def test_planning_opens_only_what_would_be_rewritten_or_replaced(
    it: Graftable, tmp_path: Path
) -> None:
    """For its programs, which must fit what they would load, and the files that it refers to."""
    opened = _opened(it, tmp_path / "trace", "plan", *_job(it))
    assert opened == {it.app, it.env, it.old, it.new}


def test_writing_reads_no_byte_of_a_shared_path(it: Graftable, tmp_path: Path) -> None:
    opened = _opened(it, tmp_path / "trace", "apply", *_job(it), "--prove=none")
    assert {it.app} <= opened
    assert it.data not in opened


def test_the_whole_proof_reads_them(it: Graftable, tmp_path: Path) -> None:
    opened = _opened(it, tmp_path / "trace", "apply", *_job(it), "--prove=closure")
    assert {it.app, it.data, it.new} <= opened
