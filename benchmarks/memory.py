"""Memory at the peak: however large a file, a tree or a stream is, it must not matter."""

from __future__ import annotations

import shlex
import struct
from functools import partial
from pathlib import Path

from graft.kernel.tree import remove_tree

from .bench import Bench, fresh, graft_command
from .corpora import pairs, write_elf, write_map
from .measure import Report, Table, Target, Way, in_turn
from .peak import peak

HELP = "graft --help"
LIMIT = 64  # MiB above what HELP takes


def run(bench: Bench) -> Report:
    report = Report("memory")
    table = write_map(pairs(10), bench.disk / "map")
    made = bench.memory / "made"
    rewrite = graft_command("rewrite", "--map", table)
    size = bench.scaled(4 << 30, 1 << 28)
    count = bench.scaled(100_000, 5000)
    sparse, many = _sparse_file(bench.memory / "sparse", size), _many(bench.memory / "many", count)

    def mib(command: list[str], fed_by: str = "true") -> float:
        return peak(command, fed_by).memory / 2**20

    ways = [
        Way(HELP, partial(mib, graft_command("--help"))),
        Way(
            f"a file of {size / 2**30:g} GiB",
            partial(mib, [*rewrite, str(sparse), str(made)]),
            after=partial(remove_tree, made),
        ),
        Way(
            f"{count} files",
            partial(mib, [*rewrite, str(many), str(made)]),
            after=partial(remove_tree, made),
        ),
        Way(
            f"a NAR of {size / 2**30:g} GiB, from a pipe to a pipe",
            partial(mib, rewrite, archive_of(bench, size)),
        ),
    ]
    figures = in_turn(ways, min(bench.runs, 3), bench.say)
    found = Table("Memory at the peak", "MiB", tuple(figures), HELP)
    report.tables.append(found)
    report.targets += [
        Target(f"{figure.name}, MiB above graft --help", figure.median - found.median(HELP), LIMIT)
        for figure in figures
        if figure.name != HELP
    ]
    return report


def archive_of(bench: Bench, size: int) -> str:
    """A shell command that prints the NAR of one file: real ELF, with references, repeated."""
    part = bench.memory / "part"
    block = min(size, 1 << 28)
    if not part.exists():
        write_elf(part, block, 250, pairs(10))
    head, tail = bench.disk / "head", bench.disk / "tail"
    words = (b"nix-archive-1", b"(", b"type", b"regular", b"contents")
    head.write_bytes(b"".join(map(_string, words)) + struct.pack("<Q", size))
    tail.write_bytes(_string(b")"))
    return shlex.join(map(str, ["cat", head, *[part] * (size // block), tail]))


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text + bytes(-len(text) % 8)


def _sparse_file(file: Path, size: int) -> Path:
    """Holes, but for a reference at the end: the file must be copied and changed."""
    with open(file, "wb") as stream:
        stream.seek(size - 4096)
        stream.write(f"/nix/store/{pairs(1)[0][0]}/lib".encode().ljust(4096, b"\0"))
    return file


def _many(directory: Path, count: int) -> Path:
    fresh(directory)
    text = f"/nix/store/{pairs(1)[0][0]}/lib".encode()
    for number in range(count):
        place = directory / f"{number // 1000}"
        if number % 1000 == 0:
            place.mkdir()
        (place / f"{number}").write_bytes(text if number % 5 == 0 else b"%d\n" % number)
    return directory
