"""Mutants: one small fault at a time in graft's rooms, to see whether a test falls over each.

    python -m tests.mutants [--rooms jobs,machine,store] [--count 100] [--seed 1]

One run under coverage tells which tests run a line; its result is kept below build/. A mutant is
tried with these tests alone, the quickest first, and no file is changed. Each mutant that lives is
printed, and also written to build/mutants/alive.txt.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "mutants"
COVERAGE = KEPT / "coverage"
DURATIONS = KEPT / "durations"
UNIT = "not nix and not sanitize and not slow"
TESTS_AT_MOST = 60
SECONDS_AT_MOST = 120

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        file: the module's, from the checkout's top.
        line: where it is.
        index: which of the module's faults, in the order of `faults`.
        text: how it reads.
    """

    file: str
    line: int
    index: int
    text: str


def faults(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Callable[[], None]]]:
    """Every fault of a module: where, how it reads, and a function that puts it into the tree."""
    decorators = {
        below
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for decorator in node.decorator_list
        for below in ast.walk(decorator)
    }
    for node in ast.walk(tree):
        if node in decorators:  # whether a value is frozen is the type checker's affair
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
            new = _COMPARED[type(node.ops[0])]()
            yield node, f"{ast.unparse(node)}: {type(new).__name__}", _setter(node.ops, 0, new)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield (
                node,
                f"{ast.unparse(node)}: {type(other).__name__}",
                _attribute(node, "op", other),
            )
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            twice = ast.copy_location(ast.UnaryOp(ast.Not(), node.operand), node)
            yield node, f"{ast.unparse(node)}: no not", _attribute(node, "operand", twice)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            value = node.value
            new_value = not value if isinstance(value, bool) else value + 1
            yield node, f"{value} becomes {new_value}", _attribute(node, "value", new_value)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            negated = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            text = f"if {ast.unparse(node.test)}: negated"
            yield node.test, text, _attribute(node, "test", negated)
        elif isinstance(node, ast.FunctionDef):
            for at, below in enumerate(node.body):
                call = isinstance(below, ast.Expr) and isinstance(below.value, ast.Call)
                if call or isinstance(below, ast.Raise | ast.AugAssign):
                    empty = ast.copy_location(ast.Pass(), below)
                    yield below, f"{ast.unparse(below)}: left out", _setter(node.body, at, empty)


def _setter(where: list[ast.cmpop] | list[ast.stmt], at: int, new: ast.AST) -> Callable[[], None]:
    return lambda: where.__setitem__(at, new)  # type: ignore[call-overload]


def _attribute(node: ast.AST, name: str, new: object) -> Callable[[], None]:
    return lambda: setattr(node, name, new)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, and loads it with a fault."""

    def __init__(self, module: str, file: str, index: int) -> None:
        self._module, self._file, self._index = module, file, index

    def find_spec(
        self, fullname: str, path: object, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self._module:
            return None
        below = [str(Path(self._file).parent)] if self._file.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname,
            self._file,
            loader=_Loader(self._file, self._index),
            submodule_search_locations=below,
        )


class _Loader(importlib.abc.Loader):
    def __init__(self, file: str, index: int) -> None:
        self._file, self._index = file, index

    def exec_module(self, module: types.ModuleType) -> None:
        tree = ast.parse(Path(self._file).read_bytes())
        list(faults(tree))[self._index][2]()
        code = compile(ast.fix_missing_locations(tree), self._file, "exec", dont_inherit=True)
        exec(code, module.__dict__)


def pytest_configure(config: pytest.Config) -> None:
    """As a plugin of pytest: the module that GRAFT_MUTANT names is loaded with its fault."""
    del config
    if fault := os.environ.get("GRAFT_MUTANT"):
        module, file, index = fault.split("|")
        sys.meta_path.insert(0, _Finder(module, file, int(index)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """As a plugin of pytest under coverage: the lines that run next are those of this test."""
    if running := coverage.Coverage.current():
        running.switch_context(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """As a plugin of pytest under coverage: keeps the seconds that each test takes."""
    if coverage.Coverage.current() and report.when == "call":
        with DURATIONS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([report.nodeid, report.duration]) + "\n")


def prepare() -> None:
    """Runs the unit part once under coverage, and keeps which test runs which line."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    command = ["-m", "coverage", "run", "--source=graft", f"--data-file={COVERAGE}", "-m"]
    command += ["pytest", "-q", "-m", UNIT, "-p", "no:xdist", "-p", "tests.mutants"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit("tests fail without any fault: mend them first")


class LineTests:
    """The tests of each line, from the run under coverage."""

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(COVERAGE))
        self._data.read()
        lines = DURATIONS.read_text(encoding="utf-8").splitlines()
        self._seconds: dict[str, float] = dict(map(json.loads, lines))

    def of(self, file: str, line: int) -> list[str]:
        """Identities of the tests that run a line, the quickest first."""
        by_line = self._data.contexts_by_lineno(str(ROOT / file))
        found = {name for name in by_line.get(line, ()) if name in self._seconds}
        if not found and "" in by_line.get(line, ()):  # a line that is run at import
            found = {name for names in by_line.values() for name in names if name in self._seconds}
        return sorted(found, key=lambda name: self._seconds[name])[:TESTS_AT_MOST]


def is_killed(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Whether one of the tests falls over a fault."""
    module = mutant.file[:-3].replace("/", ".").removesuffix(".__init__")
    fault = f"{module}|{ROOT / mutant.file}|{mutant.index}"
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "no:xdist",
                "-p",
                "tests.mutants",
                *tests,
            ],
            cwd=ROOT,
            env={**os.environ, "GRAFT_MUTANT": fault},
            capture_output=True,
            timeout=SECONDS_AT_MOST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def mutants(rooms: Sequence[str]) -> list[Mutant]:
    """Every fault in the modules of some rooms."""
    found = []
    for room in rooms:
        for file in sorted((ROOT / "graft" / room).rglob("*.py")):
            tree = ast.parse(file.read_bytes())
            name = str(file.relative_to(ROOT))
            for index, (node, text, _) in enumerate(faults(tree)):
                found.append(Mutant(name, getattr(node, "lineno", 0), index, text))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", default="jobs,machine,store")
    parser.add_argument("--count", type=int, default=100, help="of each room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-least", type=float, default=0.9, help="share that must be killed")
    given = parser.parse_args()
    if not COVERAGE.exists():
        prepare()
    tests, chance = LineTests(), random.Random(given.seed)
    alive: list[str] = []
    worst = 1.0
    for room in given.rooms.split(","):
        every = mutants([room])
        chosen = chance.sample(every, min(given.count, len(every)))

        def tried(mutant: Mutant) -> bool:
            known = tests.of(mutant.file, mutant.line)
            return bool(known) and is_killed(mutant, known)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            killed = list(pool.map(tried, chosen))
        for mutant, dead in zip(chosen, killed, strict=True):
            if not dead:
                alive.append(f"{mutant.file}:{mutant.line}: {mutant.text}")
                print(alive[-1], flush=True)
        share = sum(killed) / len(killed)
        worst = min(worst, share)
        print(f"{room}: {sum(killed)} of {len(killed)} killed ({share:.0%}), seed {given.seed}")
    (KEPT / "alive.txt").write_text("".join(f"{line}\n" for line in alive))
    return int(worst < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
