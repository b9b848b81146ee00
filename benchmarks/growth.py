"""How the cost of a tree grows: with its files, its bytes, its references, and with the pairs.

Timed inside one process, so start-up is in none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from graft.kernel import Table as HashTable
from graft.kernel.tree import copy_tree, remove_tree

from .bench import Bench, fresh
from .corpora import make_canonical, pairs, plant, write_elf
from .measure import Curve, Report, Way, in_turn

FILE = 2048  # bytes
MIB = 1 << 20

Work = Callable[[], object]


def run(bench: Bench) -> Report:
    report = Report("growth")
    report.curves += [_by_files(bench), _by_bytes(bench), _by_references(bench), _by_pairs(bench)]
    return report


def _by_files(bench: Bench) -> Curve:
    def ways(count: int) -> dict[str, Work]:
        table = _table(10)
        return {
            "linked": _copying(bench, _tree(bench.memory / "linked", count, 0), table),
            "patched": _copying(bench, _tree(bench.memory / "patched", count, 1), table),
        }

    counts = (500, 1000) if bench.quick else (1000, 4000, 16_000, 64_000)
    return _curve(bench, f"Files of {FILE} bytes", "files", counts, ways)


def _by_bytes(bench: Bench) -> Curve:
    def ways(size: int) -> dict[str, Work]:
        table = _table(10)
        return {
            "linked": _copying(bench, _file(bench.memory / "linked", size, 0), table),
            "patched": _copying(bench, _file(bench.memory / "patched", size, 1), table),
        }

    sizes = (4, 16) if bench.quick else (16, 64, 256, 1024)
    return _curve(bench, "Size of one file", "MiB", sizes, ways)


def _by_references(bench: Bench) -> Curve:
    def ways(count: int) -> dict[str, Work]:
        return {"patched": _copying(bench, _file(bench.memory / "patched", 64, count), _table(10))}

    counts = (1, 1000) if bench.quick else (1, 100, 1000, 10_000, 100_000)
    return _curve(bench, "References in a file of 64 MiB", "references", counts, ways)


def _by_pairs(bench: Bench) -> Curve:
    def ways(count: int) -> dict[str, Work]:
        file = _file(bench.memory / "patched", 64, 1000)
        return {
            "patched": _copying(bench, file, _table(count)),
            "making the table": partial(HashTable, _entries(count)),
        }

    counts = (1, 1000) if bench.quick else (1, 10, 100, 1000, 10_000, 100_000)
    return _curve(bench, "Pairs, for a file of 64 MiB", "pairs", counts, ways)


def _curve(
    bench: Bench,
    title: str,
    x_label: str,
    numbers: Sequence[int],
    ways: Callable[[int], dict[str, Work]],
) -> Curve:
    lines: dict[str, list[tuple[float, float]]] = {}
    for number in numbers:
        works = [
            Way(name, work, after=partial(remove_tree, bench.memory / "made"))
            for name, work in ways(number).items()
        ]
        for figure in in_turn(works, bench.runs, lambda _: None):
            lines.setdefault(figure.name, []).append((float(number), figure.median))
        for name in ("linked", "patched"):
            remove_tree(bench.memory / name)
        bench.say(f"{title}: {number}")
    return Curve(title, x_label, lines)


def _copying(bench: Bench, source: Path, table: HashTable) -> Work:
    return partial(copy_tree, source, bench.memory / "made", table)


def _table(count: int) -> HashTable:
    return HashTable(_entries(count))


def _entries(count: int) -> list[tuple[bytes, bytes | None]]:
    return [(old.encode(), new.encode()) for old, new in pairs(count)]


def _file(file: Path, size: int, references: int) -> Path:
    return write_elf(file, size * MIB, references, pairs(10))


def _tree(directory: Path, count: int, references: int) -> Path:
    """Directories of 100 files, each file with so many references."""
    fresh(directory)
    random, wanted = Random("growth"), pairs(1)
    for number in range(count):
        place = directory / f"{number // 100}"
        if number % 100 == 0:
            place.mkdir()
        data = bytearray(random.randbytes(FILE))
        plant(data, references, wanted, random)
        (place / f"{number}").write_bytes(data)
    make_canonical(directory)
    return directory
