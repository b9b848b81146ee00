"""What a command costs before it does anything: processor time, against the same Python's own.

Modules are compiled beforehand, as an installation does. `python -m graft` is measured, and the
console script beside it; `an empty module` tells what of `python -m` is Python's.
"""

from __future__ import annotations

import compileall
import sys
from functools import partial
from pathlib import Path

import graft
from tests.graftable import Graftable
from tests.store_objects import close_stores, new_store

from .bench import Bench, fresh, graft_command
from .measure import Report, Table, Target, Way, in_turn
from .peak import peak

PYTHON = "python -c ''"
CLICK = "python -c 'import click'"
MODULE = "an empty module: python -m"
VERSION = "graft --version"
SCRIPT = "graft --version, the console script"
HELP = "graft --help"
APPLY_HELP = "graft apply --help"
PLAN = "graft plan, 5 paths"

_RUNS = 21


def run(bench: Bench) -> Report:
    report = Report("startup")
    for package in graft.__path__:
        compileall.compile_dir(package, quiet=1)
    empty = fresh(bench.memory / "empty") / "empty.py"
    empty.touch()
    compileall.compile_dir(empty.parent, quiet=1)
    commands: dict[str, list[str]] = {
        PYTHON: [sys.executable, "-c", ""],
        CLICK: [sys.executable, "-c", "import click"],
        MODULE: ["env", f"PYTHONPATH={empty.parent}", sys.executable, "-m", "empty"],
        VERSION: graft_command("--version"),
        HELP: graft_command("--help"),
        APPLY_HELP: graft_command("apply", "--help"),
        PLAN: graft_command("-q", *_small_closure(bench.memory / "startup")),
    }
    script = Path(sys.executable).with_name("graft")
    if script.is_file():
        commands[SCRIPT] = [str(script), "--version"]

    def milliseconds(command: list[str]) -> float:
        return 1000 * peak(command).cpu

    ways = [Way(name, partial(milliseconds, command)) for name, command in commands.items()]
    figures = in_turn(ways, bench.scaled(_RUNS, 3), lambda _: None)
    table = Table("Start-up, processor time", "ms", tuple(figures), PYTHON)
    report.tables.append(table)
    for name, to, limit in (
        (VERSION, PYTHON, 1.6),
        (HELP, CLICK, 1.5),
        (APPLY_HELP, CLICK, 1.5),
        (PLAN, CLICK, 3),
    ):
        report.targets.append(Target(f"{name}, times {to}", table.ratio(name, to), limit))
    return report


def _small_closure(directory: Path) -> list[str]:
    """Makes a store with a little closure; the arguments that plan a graft of it."""
    it = Graftable.build(new_store(fresh(directory)))
    full = it.store.store_dir.path
    url = it.store.location.url
    close_stores()
    return ["--store", url, "plan", full(it.env), f"--replace={full(it.old)}={full(it.new)}"]
