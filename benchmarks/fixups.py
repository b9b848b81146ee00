"""What the fix-ups cost: `graft apply`, proof and all, with every file type's on and with none.

*None* is an empty registry, which no option makes: no file is recognised, opened or left alone,
and the proof opens no containers. What remains is the plain rewrite, the check of programs against
their new libraries, registration, and the proof's search of every byte, which looks for fragments
and other spellings all the same. It is the least that `apply` can do: the targets are about that.

*All off* is `--fixup no-NAME` for each: then files are looked into all the same, but stay.

`checksums` is told apart. It is no file type: it replaces the old digests of changed files in the
texts of the same path, which it reads once more for these. The old digests are looked for by the
proof in any case.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from graft.fixups import registered
from graft.kernel.tree import remove_tree
from tests.debpkgs import large, missing_tools, small

from .bench import Bench, processors
from .measure import Figure, Report, Table, Target, Way, in_turn
from .peak import peak
from .replica import Replica

NONE = "without: an empty registry"
OFF = "all fix-ups off: looking inside"
TYPES = "all file types on"
ALL = "all file types on, and checksums"

_EMPTY = """
import graft.fixups
graft.fixups.BUILT_IN = ()
from graft.__main__ import main
main()
"""


def run(bench: Bench) -> Report:
    report = Report("fixups")
    if missing := missing_tools():
        report.notes.append(f"left out, for there is no real store without {', '.join(missing)}")
        return report
    replica = Replica(small() if bench.quick else large(), bench.memory / "replica")
    cpu: dict[str, list[float]] = {}

    def watched(name: str, command: Sequence[str]) -> float:
        took = peak(command)
        cpu.setdefault(name, []).append(took.cpu)
        return took.seconds

    ways = [
        Way(name, partial(watched, name, command), replica.reset)
        for name, command in _commands(replica).items()
    ]
    wall = tuple(in_turn(ways, bench.runs, bench.say))
    report.tables = [
        Table("graft apply and its proof", "s", wall, NONE),
        Table(
            "The same, processor time",
            "s",
            tuple(Figure(name, tuple(values)) for name, values in cpu.items()),
            NONE,
        ),
    ]
    report.targets = [
        Target(f"{TYPES}, times none", report.tables[0].ratio(TYPES), 1.5),
        Target(f"{TYPES}, times none, processor time", report.tables[1].ratio(TYPES), 1.5),
    ]
    report.notes.append(f"{len(replica.closure)} paths; {processors()} threads")
    remove_tree(bench.memory / "replica")
    return report


def _commands(replica: Replica) -> dict[str, list[str]]:
    known = registered().fixups
    off = [f"--fixup=no-{fixup.name}" for fixup in known if fixup.by_default]
    on = [f"--fixup={fixup.name}" for fixup in known if not fixup.by_default]
    types = [option for option in on if option != "--fixup=checksums"]
    plain = replica.command("apply")
    return {
        NONE: [sys.executable, "-c", _EMPTY, *plain[plain.index("graft") + 1 :]],
        OFF: [*plain, *off],
        TYPES: [*plain, *types],
        ALL: [*plain, *on],
    }
