"""Planning on a graph of real size: every package of Debian's index as a store path.

No files are needed to plan, so the paths are only registered. What a package depends on becomes its
references, the first alternative there is; edges that close a circle are cut.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from operator import sub
from pathlib import Path
from random import Random

from graft import LocalStore
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.store.api import PathInfo
from graft.store.local_store.database import Database
from graft.store.location import Location
from tests.debpkgs.graph import Edges, cut_cycles, reachable, topological
from tests.debpkgs.index import Index, Package, PackageIndexError, index_files, load_index

from .bench import Bench, fresh, graft_command, have
from .measure import Curve, Figure, Report, Table, Target, Way, in_turn
from .peak import peak

SIZES = (1000, 4000, 16_000)
IMPORTS = "start-up: its imports"

# As the command line does it.
_IMPORTS = """
import gc
import sys
from graft.__main__ import OBJECTS_BEFORE_COLLECTION
gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
from graft.formats.store_path import StorePath
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.store.location import Location
"""
_PLANNING = f"""{_IMPORTS}
url, root, old, new = sys.argv[1:]
with LocalStore(location=Location.parse(url, {{}})) as store:
    plan = make_plan(store, Graft.of([StorePath(root)], [(StorePath(old), StorePath(new))]))
assert plan.new_roots[StorePath(root)] != root
"""


def run(bench: Bench) -> Report:
    report = Report("planning")
    if not have("apt-get"):
        report.notes.append("left out, for only apt has the index of Debian's packages")
        return report
    try:
        index = load_index(index_files())
    except PackageIndexError as error:
        report.notes.append(f"left out: {error}")
        return report
    packages = newest_packages(index)
    edges = package_references(index, packages)
    report.notes.append(
        f"{len(packages)} packages, {sum(map(len, edges.values()))} references once circles are cut"
    )
    _plan_all(bench, report, packages, edges)
    return report


def _plan_all(bench: Bench, report: Report, packages: dict[str, Package], edges: Edges) -> None:
    wanted = most_needed(edges)
    peaks: dict[str, list[float]] = {}

    def watched(name: str, command: list[str]) -> float:
        done = peak(command)
        peaks.setdefault(name, []).append(done.memory / 1e6)
        return done.seconds

    ways = [Way(IMPORTS, partial(watched, IMPORTS, [sys.executable, "-c", _IMPORTS]))]
    counts: dict[str, int] = {}
    for size in (*SIZES, len(packages))[: 1 if bench.quick else None]:
        kept = _part(edges, wanted, size)
        index = _registered(bench.memory / f"index-{size}", packages, kept, edges, wanted)
        name = f"planning, {len(kept)} paths"
        counts[name] = len(kept)
        ways.append(Way(name, partial(watched, name, [sys.executable, "-c", _PLANNING, *index])))
    largest = list(counts)[-1]
    url, root, old, new = index
    command = graft_command("--store", url, "-q", "plan", root, f"--replace={old}={new}")
    shown = largest.replace("planning", "graft plan")
    ways.append(Way(shown, partial(watched, shown, command), most_runs=1))

    figures = in_turn(ways, bench.runs, bench.say)
    table = Table("Replacing the package with most dependents", "s", tuple(figures), IMPORTS)
    found = tuple(Figure(name, tuple(values)) for name, values in peaks.items())
    memory = Table("Memory at the peak", "MB", found, IMPORTS)
    report.tables += [table, memory]
    report.notes.append(
        f"{wanted} is replaced; {len(dependents(edges, wanted))} packages lead to it"
    )
    seconds = table.per_run(sub, largest, IMPORTS)
    report.targets.append(Target(f"{largest}, seconds beyond start-up", seconds, 4))
    report.targets.append(Target(f"{largest}, MB of memory", memory.median(largest), 500))
    points = [(float(n), table.per_run(sub, name, IMPORTS)) for name, n in counts.items()]
    report.curves.append(Curve("Planning", "paths in the closure", {"planning": points}))


def newest_packages(index: Index) -> dict[str, Package]:
    """Every package of the index, in its newest version."""
    found = {name: index.candidate(name, {}) for name in index}
    return {name: package for name, package in sorted(found.items()) if package is not None}


def package_references(index: Index, packages: dict[str, Package]) -> Edges:
    """The references of each package, without circles."""
    edges: Edges = {}
    for name, package in packages.items():
        needs: dict[str, None] = {}
        for alternatives in package.depends:
            known = (
                found
                for one in alternatives
                for found in ([one] if one in packages else index.providers(one)[:1])
            )
            first = next(known, None)
            if first is not None and first != name:
                needs.setdefault(first)
        edges[name] = list(needs)
    # What most refer to comes first, so that their edges are not the ones that are cut.
    cut_cycles(edges, sorted(edges))
    return edges


def most_needed(edges: Edges) -> str:
    """The package that most others depend on directly."""
    return Counter(need for needs in edges.values() for need in needs).most_common(1)[0][0]


def dependents(edges: Edges, wanted: str) -> set[str]:
    """The packages that lead to one, however indirectly, without itself."""
    leads: dict[str, bool] = {wanted: True}
    for name in topological(edges):
        leads.setdefault(name, any(leads[need] for need in edges[name]))
    return {name for name, found in leads.items() if found} - {wanted}


def _part(edges: Edges, wanted: str, size: int) -> list[str]:
    """Some packages with all they lead to, about as many as asked for."""
    kept = reachable(edges, wanted)
    order = sorted(edges)
    Random(size).shuffle(order)
    for name in order:
        if len(kept) >= size:
            break
        if name not in kept:
            kept |= reachable(edges, name)
    return sorted(kept)


def _registered(
    directory: Path, packages: dict[str, Package], kept: list[str], edges: Edges, wanted: str
) -> tuple[str, str, str, str]:
    """Makes a store of packages and a root that refers to all: its URL, the root, OLD and NEW."""
    location = Location.of_directories(str(directory / "store"), str(directory / "state"))
    fresh(directory)
    LocalStore.create(location)
    paths = {name: _path(name, packages[name].version) for name in kept}
    new = _path(wanted, packages[wanted].version, "replaced")
    root = _path("everything", "1")
    infos = [
        _info(path, (paths[need] for need in edges[name]), packages[name].installed_kib)
        for name, path in paths.items()
    ]
    infos += [_info(new, (), 1), _info(root, paths.values(), 1)]
    with closing(Database(location.database_dir, location.store_dir, writable=True)) as database:
        database.register(infos)
    return location.url, root, paths[wanted], new


def _path(name: str, version: str, label: str = "") -> StorePath:
    digest = hashlib.sha256(f"{name} {version} {label}".encode()).digest()[:20]
    name = re.sub(r"[^A-Za-z0-9+._?=-]", "-", f"{name}-{version}")
    return StorePath(f"{nix32_encode(digest)}-{name}")


def _info(path: StorePath, references: Iterable[StorePath], kib: int) -> PathInfo:
    return PathInfo(
        path=path,
        nar_hash=hashlib.sha256(path.encode()).digest(),
        nar_size=1024 * max(1, kib),
        references=frozenset(references),
    )
