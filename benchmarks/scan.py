"""Scanning: the matcher against only reading the same bytes, and against other matchers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from graft.kernel import NAME
from graft.kernel import Table as HashTable
from graft.kernel.tree import WINDOW, read_tree

from .bench import Bench
from .corpora import pairs, write_elf
from .floor import Floor, Pass
from .measure import Report, Table, Target, Way, in_turn

COUNTS = (1, 10, 1000, 100_000)
PEER_COUNTS = (10, 1000)
READ = "only reading"
REFERENCES = 1000
ROUNDS = 3  # in one run: a pass takes so little time that something else may fill it


def run(bench: Bench) -> Report:
    report = Report("scan")
    size = bench.scaled(1 << 30, 1 << 26)
    wanted = pairs(COUNTS[-1])
    file = write_elf(bench.memory / "elf", size, REFERENCES, wanted[:1])
    floor = Floor(bench, COUNTS[-1])
    report.notes.append(f"{size / 2**30:g} GiB of ELF files, {REFERENCES} references; {NAME}")

    found: dict[str, int] = {}
    ways = [*_memory_ways(floor, file, found), *_peer_ways(file, found, report)]
    figures = in_turn(ways, bench.runs, bench.say)
    table = Table("In anonymous memory, one thread", "GB/s", tuple(figures), READ)
    report.tables.append(table)
    rates = [table.ratio(graft(count)) for count in COUNTS]
    report.targets += [
        Target(f"{graft(count)}, of reading", rate, 0.9, at_most=False)
        for count, rate in zip(COUNTS, rates, strict=True)
    ]
    report.targets.append(
        Target("the slowest of these, of the fastest", min(rates) / max(rates), 0.9, at_most=False)
    )
    if len(set(found.values())) != 1:
        raise RuntimeError(f"not all have found the same references: {found}")
    report.notes.append(f"all of them find the same {set(found.values()).pop()} references")

    report.tables.append(_through_files(bench, floor, file))
    report.targets += [
        Target(
            f"{graft(count)}, of a bare read loop",
            report.tables[1].ratio(graft(count)),
            0.9,
            at_most=False,
        )
        for count in COUNTS
    ]
    return report


def _medians(passes: list[Pass]) -> dict[str, float]:
    labels = {_label(one) for one in passes}
    return {
        label: statistics.median(one.rate for one in passes if _label(one) == label)
        for label in labels
    }


def graft(count: int) -> str:
    return f"graft, {count} hashes"


def _label(one: Pass) -> str:
    return READ if one.hashes is None else graft(one.hashes)


def _memory_ways(floor: Floor, file: Path, found: dict[str, int]) -> list[Way]:
    rates: dict[str, float] = {}

    def measure() -> None:
        passes = floor.memory(COUNTS, file, ROUNDS)
        rates.update(_medians(passes))
        for one in passes:
            if one.hashes is not None:
                found[_label(one)] = one.hits

    names = [READ, *map(graft, COUNTS)]
    return [
        Way(name, partial(rates.__getitem__, name), measure if name == READ else lambda: None)
        for name in names
    ]


def _peer_ways(file: Path, found: dict[str, int], report: Report) -> list[Way]:
    """Other matchers, through their Python packages: one call that searches all bytes."""
    ways = []
    data = file.read_bytes()
    for package, prepare in (("hyperscan", _hyperscan), ("ahocorasick-rs", _ahocorasick)):
        for count in PEER_COUNTS:
            wanted = [old.encode() for old, _ in pairs(count)]
            try:
                search = prepare(wanted)
            except ImportError:
                report.notes.append(f"{package} is not installed, and was left out")
                break
            name = f"{package}, {count} hashes"
            most_runs = 2 if package == "ahocorasick-rs" and count > 10 else 1000
            rate = partial(_rate, search, data, name, found)
            ways.append(Way(name, rate, most_runs=most_runs))
    return ways


def _rate(search: Callable[[bytes], int], data: bytes, name: str, found: dict[str, int]) -> float:
    begin = perf_counter()
    found[name] = search(data)
    return len(data) / (perf_counter() - begin) / 1e9


def _hyperscan(wanted: list[bytes]) -> Callable[[bytes], int]:
    import hyperscan  # noqa: PLC0415 - it need not be installed

    database = hyperscan.Database()
    database.compile(
        expressions=wanted,
        ids=list(range(len(wanted))),
        elements=len(wanted),
        flags=[0] * len(wanted),
        literal=True,
    )

    def search(data: bytes) -> int:
        hits = 0

        def hit(*_: Any) -> None:
            nonlocal hits
            hits += 1

        database.scan(data, match_event_handler=hit)
        return hits

    return search


def _ahocorasick(wanted: list[bytes]) -> Callable[[bytes], int]:
    import ahocorasick_rs  # noqa: PLC0415 - it need not be installed

    automaton = ahocorasick_rs.BytesAhoCorasick(wanted)
    return lambda data: len(automaton.find_matches_as_indexes(data))


def _through_files(bench: Bench, floor: Floor, file: Path) -> Table:
    rates: dict[str, float] = {}

    def measure() -> None:
        rates.update(_medians(floor.files(COUNTS, file, WINDOW, ROUNDS)))

    names = [READ, *map(graft, COUNTS)]
    ways = [
        Way(name, partial(rates.__getitem__, name), measure if name == READ else lambda: None)
        for name in names
    ]
    table = HashTable([(old.encode(), new.encode()) for old, new in pairs(10)])
    size = file.stat().st_size

    def whole() -> float:
        begin = perf_counter()
        read_tree(file, table=table)
        return size / (perf_counter() - begin) / 1e9

    ways.append(Way("graft's walk of a tree, 10 hashes", whole))
    title = f"From a file in memory (tmpfs), {WINDOW // 1024} KiB a call"
    return Table(title, "GB/s", tuple(in_turn(ways, bench.runs, bench.say)), READ)
