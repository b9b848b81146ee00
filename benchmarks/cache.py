"""From one binary cache into another: openssl replaced, against what a shell and Nix's tools do.

The pipeline of `pipeline.sh` copies the closure into a store, rewrites what leads to OLD there, one
path after the other, and copies the result into the other cache. All of it is in memory.
"""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from pathlib import Path

from tests.debpkgs import Built, large, missing_tools, small

from .bench import Bench, graft_command, have, processors
from .caches import Caches
from .measure import Figure, Report, Table, Target, Way, in_turn
from .peak import peak

START_UP = "start-up: graft apply --help"
APPLY = "graft apply"
UNPROVED = f"{APPLY} --prove none"
BATCH = "graft batch"
WORKERS = (1, 2, 4)
FORMS = {form: f"nix copy, dump | sed | --{form}, nix copy" for form in ("restore", "import")}

_LEAST_TIMES = 5
_MOST_MEMORY = 200.0  # MiB
_MOST_SECONDS = 2.0  # of a second run, for 1000 paths


def run(bench: Bench) -> Report:
    report = Report("cache")
    if (missing := missing_tools()) or not have("nix"):
        tools = ", ".join(missing) or "nix"
        report.notes.append(f"left out, for there are no real caches without {tools}")
        return report
    for name, built in (("small", small),) if bench.quick else (("small", small), ("large", large)):
        report.tables += _measured(bench, report, name, built())
    return report


def again(way: str) -> str:
    return f"{way}, again"


def unproved(way: str) -> str:
    return f"{way}, prove = none"


def working(workers: int) -> str:
    return f"{BATCH} --workers {workers}"


def _measured(bench: Bench, report: Report, name: str, built: Built) -> list[Table]:
    caches = Caches(bench, built)
    peaks: dict[str, list[float]] = {}

    def watched(way: str, command: list[str]) -> float:
        done = peak(command)
        peaks.setdefault(way, []).append(done.memory / 2**20)
        return done.seconds

    def graft(way: str, command: list[str]) -> list[Way]:
        """Into an empty cache, and the same again."""
        first, second = (partial(watched, name, command) for name in (way, again(way)))
        return [
            Way(way, first, caches.clean, caches.check),
            Way(again(way), second, after=caches.check),
        ]

    ways = [
        Way(START_UP, partial(watched, START_UP, graft_command("apply", "--help"))),
        *graft(APPLY, caches.command()),
        *graft(UNPROVED, caches.command("--prove", "none")),
        *graft(BATCH, caches.batch()),
        *graft(unproved(BATCH), caches.batch(prove="none")),
    ]
    for workers in WORKERS if have_distributed() else ():
        command = caches.batch("--workers", str(workers))
        ways += graft(working(workers), command)[:1]
    few = 2 if caches.paths > 100 else bench.runs
    for form, way in FORMS.items():
        ways.append(Way(way, partial(caches.pipeline, form), caches.clean, caches.check, few))
    table = Table(
        f"The {name} set, {caches.paths} paths, from a zstd cache into another, in memory (tmpfs)",
        "s",
        tuple(in_turn(ways, bench.runs, bench.say)),
        APPLY,
    )
    memory = Table(
        f"Memory at the peak, {name} set",
        "MiB",
        tuple(Figure(way, tuple(values)) for way, values in peaks.items()),
        START_UP,
    )
    report.targets += _targets(name, caches.paths, table, memory)
    if not have_distributed():
        report.notes.append("dask.distributed is not installed, so nobody worked for a batch")
    report.notes.append(
        f"{name}: {_size(caches.source):.0f} MB of compressed NARs in the source;"
        f" {processors()} processors"
    )
    caches.remove()
    return [table, memory]


def _targets(name: str, paths: int, table: Table, memory: Table) -> list[Target]:
    # The pipeline proves nothing, so there are two ways to look at it.
    targets = [
        Target(
            f"{name} set, {graft}, times faster than {way}",
            table.ratio(way, graft),
            _LEAST_TIMES,
            at_most=False,
        )
        for graft in (APPLY, UNPROVED)
        for way in FORMS.values()
    ]
    most = max(memory.median(figure.name) for figure in memory.figures)
    targets.append(Target(f"{name} set, MiB of memory, whichever way", most, _MOST_MEMORY))
    # A proof reads all of the result, every time; what is to be done is known without it.
    second = again(unproved(BATCH))
    seconds = table.median(second) / paths * 1000
    targets.append(
        Target(f"{name} set, seconds for 1000 paths of {second}", seconds, _MOST_SECONDS)
    )
    return targets


def have_distributed() -> bool:
    return importlib.util.find_spec("distributed") is not None


def _size(directory: Path) -> float:
    return sum(os.path.getsize(file) for file in directory.rglob("*.nar*")) / 1e6
