"""Trials of mutants: each in a fork of one process that has collected every test.

Run as a plugin of pytest. A fault inside a function is put into the functions of the fork, and into
the modules of its child processes; a fault that runs at import is tried in a process of its own.
"""

from __future__ import annotations

import ast
import gc
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutants import KEPT, ROOT, SITE
from tests.mutants.faults import Mutant

# A test that takes so many times as long as it did, and some seconds more, hangs: on a busy machine
# tests take several times as long.
TIMES_AS_LONG = 10
SECONDS_MORE = 60


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def put_into_functions(mutant: Mutant) -> bool:
    """Puts a fault into this process's functions; false where their shape does not allow it."""
    file = str(ROOT / mutant.file)
    faulty = compile(mutant.tree(), file, "exec", dont_inherit=True)
    new = {(code.co_qualname, code.co_firstlineno): code for code in _codes(faulty)}
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType)]:
        code = function.__code__
        if code.co_filename == file:
            other = new.get((code.co_qualname, code.co_firstlineno))
            if other is None or other.co_freevars != code.co_freevars:
                return False
            function.__code__ = other
    return True


def environment(mutant: Mutant, faulty: Path) -> dict[str, str]:
    """What makes each Python below load the fault."""
    faulty.write_text(ast.unparse(mutant.tree()), encoding="utf-8")
    given = f"{mutant.module}|{ROOT / mutant.file}|{faulty}"
    return {"GRAFT_MUTANT": given, "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}"}


class Trials:
    """A plugin that tries mutants in place of pytest's own run.

    Args:
        work: each mutant, and its tests with the seconds that each of them takes.
        at_once: how many mutants are tried at once.

    Attributes:
        killed: whether some test fell over each mutant; None where no test runs its line.
        hung: the mutants that are killed because their tests came to no end.
    """

    def __init__(self, work: Sequence[tuple[Mutant, Mapping[str, float]]], at_once: int) -> None:
        self._work = work
        self._at_once = at_once
        self.killed: dict[Mutant, bool | None] = {}
        self.hung: list[Mutant] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        by_name = {item.nodeid: item for item in session.items}
        session.config.option.maxfail = 1
        started: dict[int, tuple[Mutant, int]] = {}
        for number, (mutant, seconds) in enumerate(self._work):
            items = [by_name[name] for name in seconds if name in by_name]
            if not items:
                self._settle(mutant, None)
                continue
            while len(started) >= self._at_once:
                self._wait(started)
            sys.stdout.flush()
            pid = os.fork()
            if not pid:
                self._child(session, mutant, items, seconds, KEPT / f"faulty-{number}.py")
            started[pid] = (mutant, os.pidfd_open(pid))
        while started:
            self._wait(started)
        return True

    def _settle(self, mutant: Mutant, killed: bool | None) -> None:
        self.killed[mutant] = killed

    def _wait(self, started: dict[int, tuple[Mutant, int]]) -> None:
        select.select([fd for _, fd in started.values()], [], [])
        for pid, (mutant, fd) in list(started.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                with suppress(ProcessLookupError):  # whatever its tests have left
                    os.killpg(pid, signal.SIGKILL)
                os.close(fd)
                del started[pid]
                if os.waitstatus_to_exitcode(status) == -signal.SIGALRM:
                    self.hung.append(mutant)
                self._settle(mutant, status != 0)

    def _child(
        self,
        session: pytest.Session,
        mutant: Mutant,
        items: list[pytest.Item],
        seconds: Mapping[str, float],
        faulty: Path,
    ) -> None:
        status = 1
        try:
            os.setpgid(0, 0)
            log = os.open(faulty.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ |= environment(mutant, faulty)
            if mutant.called and put_into_functions(mutant):
                session.items = items
                with suppress(session.Failed):
                    _run(session, seconds)
                status = int(session.testsfailed > 0)
            else:
                command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p"]
                command += ["no:cacheprovider", *(item.nodeid for item in items)]
                _hangs_after(sum(seconds.values()))
                status = int(subprocess.run(command, cwd=ROOT, check=False).returncode != 0)
        finally:
            sys.stdout.flush()
            os._exit(status)


def _run(session: pytest.Session, seconds: Mapping[str, float]) -> None:
    for at, item in enumerate(session.items):
        _hangs_after(seconds[item.nodeid])
        following = session.items[at + 1] if at + 1 < len(session.items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return


def _hangs_after(seconds: float) -> None:
    """Lets an alarm end this process when tests take much longer than they did."""
    signal.alarm(SECONDS_MORE + int(TIMES_AS_LONG * seconds))
