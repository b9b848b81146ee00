"""The filter: `graft rewrite` between two pipes, against `cat` between the same."""

from __future__ import annotations

import shlex
from functools import partial

from .bench import Bench, graft_command, piped
from .corpora import pairs, write_elf, write_map
from .measure import Report, Table, Target, Way, in_turn
from .memory import archive_of

CAT = "cat"
RAW, NAR = "graft rewrite, of bytes", "graft rewrite, of a NAR"


def run(bench: Bench) -> Report:
    report = Report("filter")
    size = bench.scaled(4 << 30, 1 << 28)
    archive = archive_of(bench, size)
    part = write_elf(bench.memory / "bytes", 1 << 28, 250, pairs(10))
    stream = shlex.join(map(str, ["cat", *[part] * (size // (1 << 28))]))
    rewrite = shlex.join(
        graft_command("rewrite", "--map", write_map(pairs(10), bench.disk / "map"))
    )
    lines = {
        CAT: f"{stream} | cat | cat > /dev/null",
        RAW: f"{stream} | {rewrite} | cat > /dev/null",
        NAR: f"{archive} | {rewrite} | cat > /dev/null",
    }
    ways = [Way(name, partial(piped, line)) for name, line in lines.items()]
    figures = in_turn(ways, bench.runs, bench.say)
    table = Table(f"{size / 2**30:g} GiB from a pipe to a pipe", "s", tuple(figures), CAT)
    report.tables.append(table)
    report.targets += [
        Target(f"{name}, of cat's rate", table.ratio(CAT, name), 0.5, at_most=False)
        for name in (RAW, NAR)
    ]
    return report
