"""Which tests run a line: one run of the unit part under coverage.

As a plugin of pytest the module gives each line that runs the name of the test. A child process
has the name from its environment, and writes its own data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import coverage
import pytest

from tests.mutants import KEPT, ROOT, SITE, UNIT

COVERAGE = KEPT / "coverage"
DURATIONS = KEPT / "durations"
TESTS_AT_MOST = 300

# Slow tests that are the only tests of whole modules.
_SLOW = ("tests/store/caches/test_bucket.py", "tests/jobs/batch/test_cluster.py")

_SETTINGS = f"""
[run]
source = {ROOT / "graft"}
data_file = {COVERAGE}
parallel = true
context = ${{GRAFT_TEST-}}
disable_warnings = no-data-collected,module-not-imported
"""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if running := coverage.Coverage.current():
        running.switch_context(item.nodeid)
        os.environ["GRAFT_TEST"] = item.nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        with DURATIONS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([report.nodeid, report.duration]) + "\n")


def prepare(paths: Sequence[str] = ()) -> None:
    """Runs the unit part, and some slow tests, under coverage, and keeps which test runs a line.

    A test that fails here, for coverage is in its way, kills no mutant: it is left out.
    """
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    _record("-m", UNIT, *paths)
    _record("-m", "not nix", *_SLOW)


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


class LineTests:
    """The tests of each line, from the run under coverage."""

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(COVERAGE))
        self._data.read()
        lines = DURATIONS.read_text(encoding="utf-8").splitlines()
        self._seconds: dict[str, float] = dict(map(json.loads, lines))

    def of(self, file: str, line: int) -> list[str]:
        """Identities of the tests that run a line: the module's own first, then the room's, then
        the quickest."""
        by_line = self._data.contexts_by_lineno(str(ROOT / file))
        found = set(by_line.get(line, ())) & self._seconds.keys()
        if not found and "" in by_line.get(line, ()):  # a line that is run at import
            found = {name for names in by_line.values() for name in names} & self._seconds.keys()
        room = f"tests/{file.split('/')[1]}/"
        own = f"/test_{os.path.basename(file)}::"

        def order(name: str) -> tuple[bool, bool, float]:
            return own not in name, not name.startswith(room), self._seconds[name]

        return sorted(found, key=order)[:TESTS_AT_MOST]
