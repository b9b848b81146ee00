"""What commands load: as little as they need, for scripts call them often."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from pkgutil import iter_modules

import click
import pytest

import graft.cli.commands
from graft.cli import COMMANDS, SECTIONS, CommandEntry, graft_group
from tests.graftable import Graftable
from tests.store_objects import new_store

_PROGRAM = """
import sys
from graft.cli import run
status = run(sys.argv[1:])
slow = {
    *("asyncio", "cryptography", "importlib.metadata", "jinja2", "lz4"),
    *("multiprocessing", "networkx", "rich", "sqlite3", "subprocess", "tqdm", "urllib3", "xxhash"),
}
print(*slow.intersection(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def _loaded(*arguments: str) -> set[str]:
    """Which of the slow modules a command has loaded when it ends."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


_FEW = """
import sys
before = set(sys.modules)
sys.argv = ["graft", *sys.argv[1:]]
from graft.__main__ import main
try:
    main()
except SystemExit:
    pass
print(*set(sys.modules) - before, file=sys.stderr)
"""


def _imported(*arguments: str) -> set[str]:
    """What a command imports beyond Python's own start."""
    command = [sys.executable, "-I", "-c", _FEW, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


def test_the_version_needs_a_handful_of_modules() -> None:
    imported = _imported("--version")
    assert imported <= {
        *("__future__", "gc", "graft", "graft.__main__", "graft.version", "graft.kernel"),
        *("graft.kernel.selection", "graft.kernel.native", "graft.kernel.native._native"),
    }


@pytest.mark.parametrize("arguments", [("--version", "-v"), ("--help",)])
def test_the_group_imports_no_command(arguments: tuple[str, ...]) -> None:
    imported = _imported(*arguments)
    assert not [name for name in imported if name.startswith("graft.cli.commands")]


@pytest.mark.parametrize(("arguments", "most"), [(("--help",), 16), (("apply", "--help"), 32)])
def test_help_needs_few_modules_of_graft(arguments: tuple[str, ...], most: int) -> None:
    """Each costs half a millisecond, and click itself 20 ms."""
    own = [name for name in _imported(*arguments) if name.startswith("graft")]
    assert len(own) <= most, sorted(own)


@pytest.mark.parametrize("entry", COMMANDS, ids=[entry.name for entry in COMMANDS])
def test_help_for_a_command_needs_none_of_the_slow_modules(entry: CommandEntry) -> None:
    imported = _imported(entry.name, "--help")
    assert f"graft.cli.commands.{entry.module}" in imported
    own = {"graft.check", "graft.executor", "graft.jobs", "graft.machine", "graft.objects"}
    assert not imported & {*own, "graft.fixups", "graft.plan", "networkx", "rich", "tqdm"}


@pytest.mark.parametrize("entry", COMMANDS, ids=[entry.name for entry in COMMANDS])
def test_a_command_is_listed_by_its_own_name_in_one_line(entry: CommandEntry) -> None:
    context = click.Context(graft_group, info_name="graft")
    command = graft_group.get_command(context, entry.name)
    assert command is not None
    assert command.name == entry.name
    assert re.fullmatch(r"[A-Z][^\n]{10,65}\.", entry.summary)


def test_every_module_of_a_command_is_listed() -> None:
    modules = {module.name for module in iter_modules(graft.cli.commands.__path__)}
    assert modules == {entry.module for entry in COMMANDS}
    assert len(modules) == len(COMMANDS)
    sections = [entry.section for entry in COMMANDS]
    assert sections == sorted(sections, key=SECTIONS.index)
    assert set(sections) == set(SECTIONS)


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
    assert _loaded(url, "-q", command, full(it.env), pair) <= {
        "sqlite3",
        "subprocess",
        "xxhash",  # of a changed file: small, and for the sums in it
    }
