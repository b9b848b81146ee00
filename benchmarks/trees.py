"""Whole trees: `graft rewrite SRC DST` against links, copies, and other ways to rewrite."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from graft.kernel.tree import read_tree, remove_tree

from .addressed import make_content_addressed
from .bench import ROOT, Bench, graft_command, have, piped, quietly
from .breakdown import profile, system_calls
from .compiled import compile_hash_files
from .corpora import Mixed, make_mixed, pairs, write_elf, write_map
from .measure import Figure, Report, Table, Target, Way, in_turn

LINKS = "cp -al (links only)"
COPY = "cp -a"
READ = "only reading every file, in C"
START_UP = "start-up: graft rewrite --help"
COUNTS = (1, 10, 100, 1000)
PIPELINE_RUNS = {10: 2, 100: 1}
LONG_RUNS = 5  # from so many on there is time for a hundred pairs, with which sed takes minutes
REFERENCES = 1000


def run(bench: Bench) -> Report:
    report = Report("trees")
    files, size = bench.scaled(32_586, 1500), bench.scaled(1_570_000_000, 60_000_000)
    mixed = make_mixed(bench.memory / "mixed", files, size)
    report.notes.append(str(mixed))
    checks = _Checks(mixed.directory)
    figures = in_turn(_ways(bench, mixed, checks), bench.runs, bench.say)
    seconds, said = make_content_addressed(bench, mixed.directory)
    figures += [Figure("nix store make-content-addressed", (seconds,))] if seconds else []
    report.notes.append(said)
    table = Table("The mixed tree, in memory (tmpfs)", "s", tuple(figures), COPY)
    report.tables.append(table)
    report.targets += _targets(table)
    report.notes.append(checks.confirmed())
    clean = partial(remove_tree, bench.memory / "made")
    command = _graft(bench, mixed, 10)
    shares = profile(bench, f"Where the time of {graft(10)} goes", command, clean)
    report.tables += [shares] if shares else []
    report.notes.append(system_calls(bench, command, mixed.files, clean))
    remove_tree(mixed.directory)
    report.tables.append(_large_file(bench))
    ratio = report.tables[-1].ratio(graft(REFERENCES))
    report.targets.append(Target("one file of 1 GiB, of cp -a", ratio, 1.1))
    return report


def graft(count: int) -> str:
    return f"graft rewrite, {count} pairs"


def replace(count: int) -> str:
    return f"bytes.replace in Python, {count} pairs"


def pipeline(count: int) -> str:
    return f"nix-store --dump | sed | --restore, {count} pairs"


class _Checks:
    """The NAR hash of what each way makes: those that rewrite the same pairs must agree."""

    def __init__(self, source: Path) -> None:
        self._found: dict[object, dict[str, str]] = {0: {"the source": nar_hash(source)}}

    def look(self, name: str, group: object, made: Path) -> None:
        known = self._found.setdefault(group, {})
        if name not in known:
            known[name] = nar_hash(made)
            if len(set(known.values())) != 1:
                raise RuntimeError(f"not all made the same: {known}")

    def confirmed(self) -> str:
        outputs = sum(map(len, self._found.values()))
        by = "nix-store --dump | sha256sum" if have("nix-store") else "graft's own reader"
        return f"{outputs} trees compared by their NAR hashes ({by}): as they must be"


def nar_hash(tree: Path) -> str:
    """SHA-256 of a tree's NAR, by Nix if that is here."""
    if have("nix-store"):
        return piped(f"nix-store --dump {tree} | sha256sum").decode().split()[0]
    digest = hashlib.sha256()
    read_tree(tree, sink=digest.update)
    return digest.hexdigest()


def _graft(bench: Bench, mixed: Mixed, count: int) -> list[str]:
    table = write_map(pairs(count), bench.disk / f"map-{count}")
    return graft_command("rewrite", "--map", table, mixed.directory, bench.memory / "made")


def _ways(bench: Bench, mixed: Mixed, checks: _Checks) -> list[Way]:
    source, made = mixed.directory, bench.memory / "made"

    def way(name: str, group: object, run: Callable[[], object], most_runs: int = 1000) -> Way:
        def after() -> None:
            checks.look(name, group, made)
            remove_tree(made)

        return Way(name, run, after=after, most_runs=most_runs)

    reader = compile_hash_files(bench.disk)
    listed = b"".join(os.fsencode(file) + b"\0" for file in mixed.regular_files())
    ways = [
        Way(START_UP, partial(quietly, graft_command("rewrite", "--help"))),
        Way(READ, partial(quietly, [reader, "1", "read"], listed)),
        way(LINKS, 0, partial(quietly, ["cp", "-al", source, made])),
        way(COPY, 0, partial(quietly, ["cp", "-a", "--reflink=never", source, made])),
        way(
            "tar | tar",
            0,
            partial(piped, f"mkdir {made} && tar -C {source} -cf - . | tar -C {made} -xpf -"),
        ),
    ]
    # References are planted to the first ten only: larger tables find the same.
    ways += [
        way(graft(count), min(count, 10), partial(quietly, _graft(bench, mixed, count)))
        for count in COUNTS
    ]
    script = str(ROOT / "benchmarks" / "replace_bytes.py")
    for count in (1, 10):
        table = bench.disk / f"map-{count}"
        command = [sys.executable, script, str(table), str(source), str(made)]
        ways.append(way(replace(count), count, partial(quietly, command), 3))
    if have("nix-store"):
        for count, most_runs in PIPELINE_RUNS.items():
            if count > 10 and bench.runs < LONG_RUNS:
                continue
            program = bench.disk / f"sed-{count}"
            program.write_text("".join(f"s|{old}|{new}|g\n" for old, new in pairs(count)))
            line = f"nix-store --dump {source} | sed -f {program} | nix-store --restore {made}"
            ways.append(way(pipeline(count), min(count, 10), partial(piped, line), most_runs))
    return ways


def _targets(table: Table) -> list[Target]:
    targets = [
        Target("10 pairs, of cp -al", table.ratio(graft(10), LINKS), 1.35),
        Target("10 pairs, of cp -a", table.ratio(graft(10), COPY), 0.30),
        Target("1000 pairs, of 10 pairs", table.ratio(graft(1000), graft(10)), 1.15),
    ]
    for count, limit in ((10, 20), (100, 100)):
        if pipeline(count) in table:
            times = table.ratio(pipeline(count), graft(count))
            claim = f"times faster than dump | sed | restore at {count} pairs"
            targets.append(Target(claim, times, limit, at_most=False))
    return targets


def _large_file(bench: Bench) -> Table:
    size = bench.scaled(1 << 30, 1 << 26)
    wanted = pairs(REFERENCES)
    file = write_elf(bench.memory / "elf", size, REFERENCES, wanted)
    made = bench.memory / "made"
    table = write_map(wanted, bench.disk / "map")
    clean = partial(remove_tree, made)
    commands: dict[str, list[str | Path]] = {
        COPY: ["cp", "-a", "--reflink=never", file, made],
        graft(REFERENCES): [*graft_command("rewrite", "--map", table), file, made],
        START_UP: [*graft_command("rewrite", "--help")],
    }
    ways = [Way(name, partial(quietly, line), after=clean) for name, line in commands.items()]
    figures = in_turn(ways, bench.scaled(max(9, bench.runs), 2), bench.say)
    title = f"One file of {size / 2**30:g} GiB with {REFERENCES} references, in memory (tmpfs)"
    return Table(title, "s", tuple(figures), COPY)
