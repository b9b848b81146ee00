"""Runs the benchmarks, prints their tables, and writes JSON and plots.

    python -m benchmarks [SUITE ...] [--runs N] [--quick] [--output DIR] [--work-dir DIR]

The suites are `scan`, `worst`, `trees`, `memory`, `job`, `cache`, `fixups`, `startup`, `planning`,
`affected`, `simulate`, `filter` and `growth`; all of them if none is named. `docs/performance.py`
puts what was written into the documentation.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from graft.kernel.tree import remove_tree

from . import results
from .bench import ROOT, Bench
from .machine import machine

SUITES = (
    *("scan", "worst", "trees", "memory", "job", "cache", "fixups"),
    *("startup", "planning", "affected", "simulate", "filter", "growth"),
)
_IN_MEMORY = Path("/dev/shm")


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no suite '{min(unknown)}': choose from {', '.join(SUITES)}")
    in_memory = options.work_dir or (_IN_MEMORY if _IN_MEMORY.is_dir() else None)
    known = machine()
    missed = []
    for name in options.suites or SUITES:
        print(f"\n== {name}", flush=True)
        begin = time.monotonic()
        with _Scratch(in_memory) as memory, _Scratch(options.disk_dir) as disk:
            bench = Bench(memory, disk, 2 if options.quick else options.runs, options.quick)
            report = importlib.import_module(f"benchmarks.{name}").run(bench)
        if bench.quick:
            report.targets.clear()  # they are about the large ones
        print(results.tables(report))
        print(f"\n{results.save(report, known, options.output)}; {time.monotonic() - begin:.0f} s")
        missed += [target.claim for target in report.targets if not target.met]
    _plot(options.output)
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {claim}" for claim in missed))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--runs", type=int, default=5, help="of each way; medians are told")
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--work-dir", type=Path, help="instead of /dev/shm")
    parser.add_argument("--disk-dir", type=Path, default=Path("/var/tmp"))
    return parser


class _Scratch:
    """A directory for one suite."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="graft-bench-", dir=self._parent))
        return self._path

    def __exit__(self, *_: object) -> None:
        remove_tree(self._path)


def _plot(directory: Path) -> None:
    try:
        from .plots import draw  # noqa: PLC0415 - matplotlib is optional
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)
        return
    draw(directory)


if __name__ == "__main__":
    sys.exit(main())
