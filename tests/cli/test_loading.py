"""What commands load: as little as they need, for scripts call them often."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.graftable import Graftable
from tests.store_objects import new_store

_PROGRAM = """
import sys
from graft.cli import run
status = run(sys.argv[1:])
slow = {"networkx", "rich", "sqlite3", "subprocess", "tqdm"}
print(*slow.intersection(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def _loaded(*arguments: str) -> set[str]:
    """Which of the slow modules a command has loaded when it ends."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


def test_the_version_needs_none_of_the_slow_modules() -> None:
    assert _loaded("--version") == set()


def test_rewriting_a_tree_needs_none_of_the_slow_modules(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("# nothing\n")
    (tmp_path / "file").write_text("text")
    names = (str(tmp_path / name) for name in ("map", "file", "copy"))
    assert _loaded("rewrite", "--map", *names) == set()


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_the_job_needs_the_database_alone(tmp_path: Path, command: str) -> None:
    it = Graftable.build(new_store(tmp_path))
    location, full = it.store.location, it.store.store_dir.path
    url = f"--store=local?store={location.real_store_dir}&state={location.state_dir}"
    pair = f"--replace={full(it.old)}={full(it.new)}"
    assert _loaded(url, "-q", command, full(it.env), pair) <= {"sqlite3", "subprocess"}
