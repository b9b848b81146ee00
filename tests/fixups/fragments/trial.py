"""Programs made at random that hold store paths: built, grafted, rebuilt, held against each other.

One program has many cases. Each copies, compares and prints texts of a store path of its own, and
of others that are like it. A case is *right* if the grafted program says what the rebuilt one does;
*told* if the graft names what it left, and every text is OLD's or NEW's; else *silent*.

    python -m tests.fixups.fragments.trial --cases 3000 --seed 1 --only gcc
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from graft.fixups import registered
from graft.fixups.fragments import FragmentFinder
from graft.kernel import Table
from tests.fixups.fragments import cases, rust
from tests.fixups.fragments.cases import Case

LEVELS = ("-O0", "-O1", "-O2", "-O2", "-O3", "-Os")
MACHINE = (
    *("", "", "", "-mavx2", "-march=x86-64-v3", "-march=x86-64-v4", "-mno-sse", "-mavx512f"),
    *("-mgeneral-regs-only", "-mtune=znver3", "-msse4.1", "-mavx512vl -mavx512bw"),
    "-march=x86-64-v4 -mprefer-vector-width=512",
)
MODEL = ("", "", "", "-no-pie -fno-pie", "-mcmodel=large", "-mcmodel=medium", "-fPIC")
MORE = (
    "",
    "",
    "",
    "-s",
    "-g",
    "-flto",
    "-fno-merge-constants",
    "-static",
    "-minline-all-stringops",
)
KINDS = ("program", "program", "program", "object", "archive", "library")


@dataclass(frozen=True, slots=True)
class Build:
    """How a program is made.

    Attributes:
        compiler: what makes it.
        options: for it.
        kind: what of it is grafted: the program, or what it is linked from or with.
        run: what runs it.
    """

    compiler: str
    options: tuple[str, ...]
    kind: str
    run: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.compiler, *self.options, f"({self.kind})"])


@dataclass(slots=True)
class Result:
    """What became of the cases of one program."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def build_of(choice: random.Random, compiler: str) -> Build:
    """A build at random."""
    if compiler == "rustc":
        level = choice.choice(("0", "1", "2", "3", "s", "z"))
        more = choice.choice(
            ("", "", "-g", "-C strip=symbols", "-C target-cpu=x86-64-v3", "-C lto")
        )
        line = f"--edition 2021 -A warnings -C opt-level={level} {more}"
        return Build(compiler, tuple(line.split()), "program")
    kind = choice.choice(KINDS)
    level, more = choice.choice(LEVELS), choice.choice(MORE)
    if compiler.startswith("aarch64"):
        model = choice.choice(
            ("", "", "-mcmodel=large -fno-pic -no-pie", "-no-pie", "-mcmodel=tiny")
        )
        options = [level, model, more.replace("-minline-all-stringops", "")]
        if "-static" not in options:
            options.append("-static")
        if kind == "library":
            kind = "program"
        if "large" in model or "tiny" in model:
            options = [each for each in options if each != "-flto"]
        run: tuple[str, ...] = ("qemu-aarch64-static",)
    else:
        machine = choice.choice(MACHINE)
        if machine in {"-mno-sse", "-mgeneral-regs-only"} and "++" in compiler:
            machine = ""
        model = choice.choice(MODEL)
        if compiler.startswith("clang"):
            more = more.replace("-minline-all-stringops", "").replace("-flto", "")
            machine = machine.replace("-mgeneral-regs-only", "")
        if kind == "library":
            model, more = model.replace("-no-pie -fno-pie", ""), more.replace("-static", "")
        options, run = [level, machine, model, more], ()
    if kind != "program":  # no debug information of a compiler's own language in objects
        options = ["" if each in {"-flto", "-s"} else each for each in options]
    return Build(compiler, tuple(" ".join(options).split()), kind, run)


class Trial:
    """One program: made of OLD, of NEW, and grafted.

    Args:
        directory: for its files.
        seed: of all choices.
        compiler: what makes it.
        size: how many cases it has.
    """

    def __init__(self, directory: Path, seed: int, compiler: str, size: int) -> None:
        self._choice = random.Random(seed)
        self._seed, self._directory = seed, directory
        self._build = build_of(self._choice, compiler)
        plus = "++" in compiler
        make = rust.RustMaker if compiler == "rustc" else (cases.PlusMaker if plus else cases.Maker)
        shared = self._choice.random() < 0.3  # some paths are in several cases
        paths = [cases.pair(self._choice) for _ in range(size)]
        self.cases = [
            cases.case(
                self._choice, number, paths[0 if shared and number % 3 == 1 else number], make
            )
            for number in range(size)
        ]
        self._suffix = ".cc" if plus else ".c"

    def result(self) -> Result | None:
        """What became of its cases; None if the compiler has no such options here."""
        old, new = self._directory / "old", self._directory / "new"
        for place, is_new in ((old, False), (new, True)):
            place.mkdir()
            if not self._compile(place, is_new=is_new):
                return None
        entries = sorted({(case.old.encode(), case.new.encode()) for case in self.cases})
        grafted = self._directory / "grafted"
        grafted.mkdir()
        told = self._graft(old, grafted, entries)
        said = [self._said(place) for place in (old, new, grafted)]
        result = Result()
        for number, case in enumerate(self.cases):
            outcome = self._outcome([each.get(number, ["nothing"]) for each in said], case, told)
            result.counts[outcome] += 1
            if outcome not in {"right", "told"}:
                shown = _difference([each.get(number, []) for each in said])
                where = f"seed {self._seed}, case {number} of {self._build}"
                result.faults.append(f"{outcome}: {where}: {shown}\n{case.source(new=False)}")
        return result

    def _outcome(self, said: list[list[str]], case: Case, told: set[str]) -> str:
        old, new, grafted = said
        if grafted == new:
            return "right"
        if case.old not in told:
            return "silent"
        if len(grafted) != len(new):
            return "broken"
        # Where it is told, some copies may be OLD's and some NEW's, but each of them is one.
        texts = zip(grafted, old, new, strict=True)
        mixed = any("-" in mine and mine not in (one, two) for mine, one, two in texts)
        return "mixed" if mixed else "told"

    def _compile(self, place: Path, *, is_new: bool) -> bool:
        if self._build.compiler == "rustc":
            (place / "main.rs").write_text(rust.source(self.cases, new=is_new))
            (place / "texts").write_text(cases.texts(self.cases))
            return self._cc(place, [*self._build.options, "main.rs", "-o", "program"])
        code = place / f"part{self._suffix}"
        code.write_text(cases.source(self.cases, new=is_new))
        main = place / f"main{self._suffix}"
        main.write_text(cases.MAIN)
        (place / "texts").write_text(cases.texts(self.cases))
        options = self._build.options
        kind = self._build.kind
        if kind == "program":
            return self._cc(place, [*options, code.name, main.name, "-o", "program"])
        shared = ["-shared", "-fPIC"] if kind == "library" else ["-c"]
        part = {"library": "libpart.so", "object": "part.o", "archive": "part.o"}[kind]
        made = self._cc(place, [*options, *shared, code.name, "-o", part])
        if made and kind == "archive":
            subprocess.run(["ar", "rcD", "part.a", "part.o"], cwd=place, check=True)
        return made and self._link(place)

    def _link(self, place: Path) -> bool:
        part = {"library": "libpart.so", "object": "part.o", "archive": "part.a"}
        options = [*self._build.options, f"main{self._suffix}", part[self._build.kind]]
        return self._cc(place, [*options, "-Wl,-rpath,$ORIGIN", "-o", "program"])

    def _cc(self, place: Path, arguments: Sequence[str]) -> bool:
        flags = [] if self._build.compiler == "rustc" else ["-w"]
        line = [*self._build.compiler.split(), *flags, *arguments]
        done = subprocess.run(line, cwd=place, capture_output=True, check=False)
        return done.returncode == 0

    def _graft(self, old: Path, grafted: Path, entries: list[tuple[bytes, bytes]]) -> set[str]:
        """Grafts what was built, and says of which paths it was told that they are left."""
        kinds = {"program": "program", "library": "libpart.so", "object": "part.o"}
        name = kinds.get(self._build.kind, "part.a")
        data = (old / name).read_bytes()
        finder = FragmentFinder(entries)
        table = Table(entries)
        made, _ = registered().rewrite(data, name.encode(), table, fragments=finder)
        for file in old.iterdir():
            if not (grafted / file.name).exists():
                (grafted / file.name).write_bytes(file.read_bytes())
                (grafted / file.name).chmod(0o755)
        (grafted / name).write_bytes(made)
        if self._build.kind in {"object", "archive"} and not self._link(grafted):
            raise AssertionError(f"seed {self._seed}: the grafted {name} cannot be linked")
        return {case.old for case in self.cases if self._is_left(made, case.old.encode(), name)}

    @staticmethod
    def _is_left(made: bytes, old: bytes, name: str) -> bool:
        """Whether the proof sees something of a path."""
        finder = FragmentFinder([(old[:32], None)])
        return old[:32] in made or bool(
            finder.find(made) if not name.endswith(".a") else list(finder.seeds(made))
        )

    def _said(self, place: Path) -> dict[int, list[str]]:
        done = subprocess.run(
            [*self._build.run, "./program", "texts"],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=60,
        )
        said: dict[int, list[str]] = {}
        number = -1
        for line in done.stdout.decode("latin-1").split("\n"):
            if match := re.fullmatch(r"== (\d+)", line):
                number = int(match[1])
                said[number] = []
            elif number >= 0:
                said[number].append(line)
        if done.returncode:
            said.setdefault(number, []).append(f"status {done.returncode}")
        return said


def _difference(said: list[list[str]]) -> str:
    old, new, grafted = said
    differing = [each for each in zip(old, new, grafted, strict=False) if each[1] != each[2]]
    differing.sort(key=lambda each: each[2] in each[:2])
    lines = [
        f"\n  OLD     {one}\n  NEW     {two}\n  grafted {three}" for one, two, three in differing
    ]
    return "".join(lines[:2]) or f"{len(new)} lines, {len(grafted)} of the grafted one"


def trials(
    seed: int,
    total: int,
    compilers: Sequence[str],
    *,
    size: int = 8,
    jobs: int = 2,
    watch: Callable[[Result], object] = id,
) -> Result:
    """What becomes of so many cases, or some more.

    Args:
        seed: of the first program; each has the next.
        total: how many cases.
        compilers: taken in turn.
        size: cases in a program.
        jobs: programs at once.
        watch: is given all that is known after each few programs.
    """

    def one(number: int) -> Result | None:
        with tempfile.TemporaryDirectory(prefix="trial-") as directory:
            compiler = compilers[number % len(compilers)]
            return Trial(Path(directory), seed + number, compiler, size).result()

    result = Result()
    with ThreadPoolExecutor(jobs) as pool:
        numbers = iter(range(10 * total // size + 10))
        while result.counts.total() < total:
            batch = [number for number, _ in zip(numbers, range(4 * jobs), strict=False)]
            if not batch:
                break
            for each in pool.map(one, batch):
                if each is not None:
                    result.counts += each.counts
                    result.faults += each.faults
            watch(result)
    return result


def _arguments(line: Iterator[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Grafts programs made at random.")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", action="append", help="a compiler")
    parser.add_argument("--size", type=int, default=8, help="cases in a program")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args(list(line))


def main() -> int:
    """Says what became of the cases, and shows those that are wrong."""
    arguments = _arguments(iter(sys.argv[1:]))
    print(f"seed {arguments.seed}", flush=True)
    compilers = arguments.only or ["gcc", "clang", "g++", "clang++"]
    shown = 0

    def watch(result: Result) -> None:
        nonlocal shown
        print(*result.faults[shown:], f"{dict(result.counts)}", sep="\n", flush=True)
        shown = len(result.faults)

    result = trials(
        arguments.seed,
        arguments.cases,
        compilers,
        size=arguments.size,
        jobs=arguments.jobs,
        watch=watch,
    )
    return bool(result.faults)


if __name__ == "__main__":
    sys.exit(main())
