"""A fleet of workers on all of Debian, simulated: nobody has such a store, nor so many machines.

The graph is that of `planning`, with the sizes that the index tells. What a worker takes for a path
is measured here, on paths of a real cache. In input addressing every path is a task of its own; in
content addressing a path waits for its references, whose names it must know. Network, disks and
the work of the one that hands the tasks out are not part of it, nor are paths that are only copied.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from graft.executor import CacheMaker, Compression, Work
from graft.executor.cache_maker import Task
from graft.formats.store_path import StorePath
from graft.plan import Rewrite
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.binary_cache import BinaryCache
from graft.store.writable_cache import WritableCache
from tests.debpkgs import large, missing_tools, small
from tests.debpkgs.graph import Edges
from tests.debpkgs.index import Package, PackageIndexError, index_files, load_index

from .bench import Bench, fresh, have
from .caches import Caches
from .measure import Figure, Report, Table
from .planning import dependents, most_needed, newest_packages, package_references
from .scheduling import list_schedule

WORKERS = (1, 2, 4, 10, 100)
ADDRESSINGS = ("input", "content")

_LIBRARY = "libssl3"  # what is replaced everywhere else


def run(bench: Bench) -> Report:
    report = Report("simulate")
    if (missing := missing_tools()) or not have("nix"):
        tools = ", ".join(missing) or "nix"
        report.notes.append(f"left out, for nothing can be measured without {tools}")
        return report
    try:
        index = load_index(index_files())
    except PackageIndexError as error:
        report.notes.append(f"left out: {error}")
        return report
    samples = _samples(bench)
    rates = Rates.of(samples)
    report.notes.append(
        f"simulated, with rates measured on {len(samples)} real paths of"
        f" {sum(size for size, _ in samples) / 1e6:.0f} MB: {rates}"
    )
    packages = newest_packages(index)
    edges = package_references(index, packages)
    for old in (_LIBRARY, most_needed(edges)):
        if old in packages:
            report.tables.append(_simulated(report, old, packages, edges, rates))
    return report


@dataclass(frozen=True)
class Rates:
    """What one worker takes for a path.

    Attributes:
        seconds: for each path, however small it is.
        size: bytes of NAR a second, decompressed, rewritten, hashed and compressed.
    """

    seconds: float
    size: float

    @classmethod
    def of(cls, samples: Sequence[tuple[int, float]]) -> Rates:
        """The rates that are true of both halves of some paths, the small and the large ones.

        Args:
            samples: of each path the size in bytes and the seconds.
        """
        order = sorted(samples)
        small_ones, large_ones = order[: len(order) // 2], order[len(order) // 2 :]
        (few, little, short), (many, much, long) = (
            (len(part), sum(size for size, _ in part), sum(seconds for _, seconds in part))
            for part in (small_ones, large_ones)
        )
        each = max(0.0, (short * much - long * little) / (few * much - many * little))
        return cls(seconds=each, size=much / (long - many * each))

    def of_path(self, size: int) -> float:
        """Seconds for a path of that size in bytes."""
        return self.seconds + size / self.size

    def __str__(self) -> str:
        return f"{self.size / 1e6:.0f} MB a second, and {1000 * self.seconds:.1f} ms for each path"


def _samples(bench: Bench) -> list[tuple[int, float]]:
    """The size and the seconds of each path of a real set that is rewritten, on one thread."""
    caches = Caches(bench, small() if bench.quick else large())
    samples: list[tuple[int, float]] = []
    for _ in range(bench.runs):
        fresh(caches.target)
        samples += _timed(caches)
    caches.remove()
    return samples


def _timed(caches: Caches) -> list[tuple[int, float]]:
    samples = []
    with ExitStack() as stack:
        source = stack.enter_context(BinaryCache.open(f"file://{caches.source}"))
        url = f"file://{caches.target}"
        target = stack.enter_context(WritableCache.create(url, source.store_dir))
        pairs = [(StorePath(old), StorePath(new)) for old, new in caches.pairs.items()]
        plan = make_plan(source, Graft.of([source.store_dir.parse(caches.root)], pairs))
        work = Work.of([plan], source, target)
        maker = CacheMaker(
            source=source, target=target, search=work.search, compression=Compression()
        )
        for path, item in work.items.items():
            if isinstance(item, Rewrite):
                original = work.originals[item.path]
                task = Task(path=path, item=item, original=original, content_name=None)
                begin = time.perf_counter()
                maker(task)
                samples.append((item.nar_size, time.perf_counter() - begin))
    return samples


def _simulated(
    report: Report, old: str, packages: Mapping[str, Package], edges: Edges, rates: Rates
) -> Table:
    rewritten = dependents(edges, old)
    sizes = {name: 1024 * max(1, packages[name].installed_kib) for name in rewritten}
    seconds = {name: rates.of_path(size) for name, size in sizes.items()}
    waits = {
        "input": {},
        "content": {
            name: [need for need in edges[name] if need in rewritten] for name in rewritten
        },
    }
    figures = []
    for addressing in ADDRESSINGS:
        for workers in WORKERS:
            done = list_schedule(seconds, waits[addressing], workers)
            figures.append(Figure(told(addressing, workers), (done.makespan,)))
        figures.append(Figure(f"critical path, {addressing}", (done.critical_path,)))
    report.notes.append(
        f"{old} replaced: {len(rewritten)} packages are rewritten,"
        f" {sum(sizes.values()) / 1e9:.0f} GB, the largest of them"
        f" {max(sizes.values()) / 1e9:.1f} GB"
    )
    title = f"Simulated: {old} replaced in all of Debian, {len(rewritten)} paths"
    return Table(title, "s", tuple(figures), told("input", max(WORKERS)))


def told(addressing: str, workers: int) -> str:
    return f"{addressing}, {workers} worker{'s' if workers > 1 else ''}"
