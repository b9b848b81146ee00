"""The command: `python -m tests.mutants`."""

from __future__ import annotations

import argparse
import os
import random
import sys

import pytest

from tests import mutants as package
from tests.mutants import KEPT, ROOMS, ROOT
from tests.mutants.equivalent import reason_of, stale
from tests.mutants.faults import Mutant, mutants
from tests.mutants.lines import COVERAGE, LineTests, prepare
from tests.mutants.trial import Trials

ALIVE = KEPT / "alive.txt"


def main() -> int:
    parser = argparse.ArgumentParser(description=package.__doc__)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--count", type=int, default=100, help="of each room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="only those that lived the last time")
    parser.add_argument("--at-least", type=float, default=0.9, help="share that must be killed")
    given = parser.parse_args()
    if not COVERAGE.exists():
        prepare()
    lines = LineTests()
    lived = ALIVE.read_text(encoding="utf-8").splitlines() if given.again else None
    chosen = {}
    for room in given.rooms.split(","):
        every = mutants([room])
        if lived is not None:
            every = [mutant for mutant in every if str(mutant) in lived]
        chance = random.Random(f"{given.seed} {room}")
        chosen[room] = chance.sample(every, min(given.count, len(every)))
    work = [
        (mutant, lines.of(mutant))
        for mutants_of_room in chosen.values()
        for mutant in mutants_of_room
    ]
    files = sorted({name.partition("::")[0] for _, names in work for name in names})
    os.chdir(ROOT)
    trials = Trials(work, len(os.sched_getaffinity(0)))
    options = ["-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider"]
    pytest.main([*options, "-o", "tmp_path_retention_policy=none", *files], [trials])
    alive: list[str] = []
    worst = 1.0
    for room, of_room in chosen.items():
        killed = 0
        for mutant in of_room:
            dead = trials.killed[mutant]
            killed += bool(dead)
            if not dead:
                alive.append(str(mutant))
                print(alive[-1], _note(mutant, dead))
        share = killed / max(1, len(of_room))
        worst = min(worst, share)
        print(f"{room}: {killed} of {len(of_room)} killed ({share:.0%}), seed {given.seed}")
    for mutant in trials.hung:
        print(mutant, "(its tests came to no end)")
    for one in stale(chosen, [mutant for mutant, dead in trials.killed.items() if dead]):
        print(f"graft/{one.file}: {one.line} {one.text}: listed as equivalent, and is not")
    ALIVE.write_text("".join(f"{line}\n" for line in alive), encoding="utf-8")
    return int(worst < given.at_least)


def _note(mutant: Mutant, dead: bool | None) -> str:
    if (reason := reason_of(mutant)) is not None:
        return f"(equivalent: {reason})"
    return "(no test runs it)" if dead is None else ""


if __name__ == "__main__":
    sys.exit(main())
