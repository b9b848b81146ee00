"""Scanning what looks like references nearly everywhere."""

from __future__ import annotations

from random import Random

from .bench import Bench
from .corpora import WORST
from .floor import Floor
from .measure import Figure, Report, Table, Target

TARGETS = {10: 2.0, 100_000: 0.5}  # GB/s


def run(bench: Bench) -> Report:
    report = Report("worst")
    floor = Floor(bench, max(TARGETS))
    size = bench.scaled(1 << 26, 1 << 22)
    report.notes.append(f"{size >> 20} MiB of each, in anonymous memory, one thread")
    for name, make in WORST.items():
        file = bench.memory / "input"
        file.write_bytes(make(Random(name), size))
        passes = floor.memory(list(TARGETS), file, rounds=bench.runs)
        rates = {
            label: tuple(one.rate for one in passes if one.hashes == count)
            for label, count in [("only reading", None), *((f"{n} hashes", n) for n in TARGETS)]
        }
        figures = tuple(Figure(label, values) for label, values in rates.items())
        table = Table(name, "GB/s", figures, "only reading")
        report.tables.append(table)
        report.targets += [
            Target(f"{name}, {n} hashes, GB/s", table.median(f"{n} hashes"), limit, at_most=False)
            for n, limit in TARGETS.items()
        ]
        bench.say(name)
    return report
