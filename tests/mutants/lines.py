"""Which tests run a line: one run of the unit part, and of the rooms' slower tests, under coverage.

As a plugin of pytest the module gives each line that runs the name of the test. A child process
has the name from its environment, and writes its own data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from bisect import bisect
from contextlib import suppress
from itertools import accumulate
from typing import NoReturn

import coverage
import pytest

from tests.mutants import KEPT, OTHER, ROOMS, ROOT, SITE, UNIT
from tests.mutants.faults import Mutant

COVERAGE = KEPT / "coverage"
DURATIONS = KEPT / "durations"
FORKED = KEPT / "forked"

# A mutant's tests take at most as many seconds, by the recorded times: some hundred tests of the
# unit part, or a few grafts by the real Nix.
SECONDS_OF_TESTS = 45

_SETTINGS = f"""
[run]
source = {ROOT / "graft"}
data_file = {COVERAGE}
parallel = true
context = ${{GRAFT_TEST-}}
disable_warnings = no-data-collected,module-not-imported
"""


_set_up: dict[str, float] = {}


def _in_forked_child() -> None:
    """Has the child of a fork write down its lines when it exits, whoever it is by then."""
    running = coverage.Coverage.current()
    if running is None:
        return
    descriptor = os.open(FORKED / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    leave, test = os._exit, os.environ["GRAFT_TEST"]

    def write_and_leave(status: int) -> NoReturn:
        assert running._collector is not None
        found = running._collector.data  # its own data would be a file that only root may write
        lines = {file: sorted(found[file]) for file in list(found)}
        with suppress(OSError):
            os.write(descriptor, json.dumps([test, lines]).encode())
        leave(status)

    os._exit = write_and_leave


os.register_at_fork(after_in_child=_in_forked_child)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if running := coverage.Coverage.current():
        running.switch_context(item.nodeid)
        os.environ["GRAFT_TEST"] = item.nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "setup":
        _set_up[report.nodeid] = report.duration
    elif report.when == "call" and report.passed:
        with DURATIONS.open("a", encoding="utf-8") as stream:
            duration = _set_up[report.nodeid] + report.duration
            stream.write(json.dumps([report.nodeid, duration]) + "\n")


def prepare() -> None:
    """Runs the unit part, and all other tests of the rooms, under coverage, and keeps which test
    runs a line.

    The others are those of real tools, and of whole servers: a socket's other end is theirs alone.

    A test that fails here, for coverage is in its way, kills no mutant: it is left out.
    """
    shutil.rmtree(KEPT, ignore_errors=True)
    FORKED.mkdir(parents=True)
    _record("-m", UNIT)
    _record("-m", OTHER, *(f"tests/{room}" for room in ROOMS))


def _record(*selection: str) -> None:
    settings = KEPT / "settings"
    settings.write_text(_SETTINGS)
    coverage_of = [sys.executable, "-m", "coverage"]
    command = [*coverage_of, "run", f"--rcfile={settings}", "-m"]
    command += ["pytest", "-q", "-p", "no:xdist", "-p", "tests.mutants.lines", *selection]
    environment = {"PYTHONPATH": str(SITE), "COVERAGE_PROCESS_START": str(settings)}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    combine = [*coverage_of, "combine", "-q", "--append", f"--rcfile={settings}", str(KEPT)]
    subprocess.run(combine, cwd=ROOT, check=True)
    data = coverage.CoverageData(str(COVERAGE))
    data.read()
    measured = data.measured_files()
    for file in FORKED.iterdir():
        with suppress(ValueError):  # one that was killed has written nothing
            test, lines = json.loads(file.read_bytes())
            data.set_context(test)
            data.add_lines({name: found for name, found in lines.items() if name in measured})
        file.unlink()
    data.close()


class LineTests:
    """The tests of each line, from the run under coverage."""

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(COVERAGE))
        self._data.read()
        lines = DURATIONS.read_text(encoding="utf-8").splitlines()
        self._seconds: dict[str, float] = dict(map(json.loads, lines))

    def of(self, mutant: Mutant) -> dict[str, float]:
        """Identities of tests that run a mutant's line, with their seconds.

        The module's own come first, then the room's, then the quickest: as many as
        `SECONDS_OF_TESTS` allow, and at least one.
        """
        by_line = self._data.contexts_by_lineno(str(ROOT / mutant.file))
        room = f"tests/{mutant.file.split('/')[1]}/"
        lines = [by_line.get(mutant.line, ())] if mutant.called else by_line.values()
        found = {name for names in lines for name in names} & self._seconds.keys()
        if not mutant.called:
            # A line that is run at import has the name of the first test that imported it, and
            # what it makes (a default, a constant) may matter to any test of the room.
            found.update(name for name in self._seconds if name.startswith(room))
        own = f"/test_{os.path.basename(mutant.file)}::"

        def order(name: str) -> tuple[bool, bool, float]:
            return own not in name, not name.startswith(room), self._seconds[name]

        ordered = sorted(found, key=order)
        until = list(accumulate(self._seconds[name] for name in ordered))
        chosen = ordered[: max(1, bisect(until, SECONDS_OF_TESTS))]
        return {name: self._seconds[name] for name in chosen}
