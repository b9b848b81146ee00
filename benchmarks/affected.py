"""Who is hit, on a machine with a large store and many generations.

Nothing of the store is on disk but its database and its links: no file of a path is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

from graft import LocalStore
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.store.api import PathInfo
from graft.store.local_store.database import Database
from graft.store.location import Location
from graft.store.roots.roots import replace_symlink

from .bench import Bench, graft_command
from .measure import Figure, Report, Table, Target, Way, in_turn
from .peak import peak

PATHS = 10_000
GENERATIONS = 100
_REFERENCES = 12  # of a path, the mean of a system's closure
_PACKAGES_OF_SYSTEM = 300
START = "graft --version"


def run(bench: Bench) -> Report:
    report = Report("affected")
    paths = bench.scaled(PATHS, 500)
    generations = bench.scaled(GENERATIONS, 5)
    top = bench.memory / "machine"
    deepest, shallow = make_machine(top, paths, generations)
    store = ("--store", str(top))
    commands = {
        START: graft_command("--version"),
        "the path all others lead to": graft_command(*store, "-q", "affected", deepest),
        "a package below a version": graft_command(*store, "-q", "affected", "package0<2"),
        "a path that few lead to": graft_command(*store, "-q", "affected", shallow),
        "all of it planned": graft_command(
            *store, "-q", "affected", f"--replace={deepest}={_path('package0', '2')}"
        ),
    }
    memory: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}

    def watched(name: str, command: list[str]) -> float:
        done = peak(command)
        memory[name].append(done.memory / 1e6)
        processor[name].append(done.cpu)
        return done.seconds

    ways = [Way(name, partial(watched, name, command)) for name, command in commands.items()]
    figures = in_turn(ways, bench.runs, bench.say)
    table = Table("Who is hit", "s", tuple(figures), START)
    report.tables += [
        table,
        Table("Who is hit, time of processors", "s", _figures(processor), START),
        Table("Memory at the peak of who is hit", "MB", _figures(memory), START),
    ]
    report.notes.append(
        f"{paths} paths, {generations} generations of a system, {len(os.listdir('/proc'))} entries "
        "of /proc"
    )
    report.targets += [
        Target(f"graft affected, {name}, seconds", table.median(name), 3)
        for name in list(commands)[1:4]
    ]
    return report


def _figures(values: Mapping[str, Sequence[float]]) -> tuple[Figure, ...]:
    return tuple(Figure(name, tuple(measured)) for name, measured in values.items())


def make_machine(top: Path, paths: int, generations: int) -> tuple[StorePath, StorePath]:
    """A machine below `top`: its store, and a system profile.

    Returns:
        A path that all others lead to, and one that only the last system leads to.
    """
    location = Location.at_root(str(top))
    LocalStore.create(location)
    random = Random(paths)
    made = [_path("package0", "1")]
    infos = [_info(made[0], ()), _info(_path("package0", "2"), ())]
    for number in range(1, paths - generations):
        # Most of what a path refers to is used by many: the libraries at the bottom.
        wanted = {made[0]}
        wanted |= {made[int(number * random.random() ** 4)] for _ in range(_REFERENCES - 1)}
        made.append(_path(f"package{number}", f"1.{number % 7}"))
        infos.append(_info(made[-1], wanted))
    profile = f"{location.state_dir}/profiles/system"
    shallow = made.pop()
    for number in range(1, generations + 1):
        system = _path(f"nixos-system-host-{number}", "24.05")
        packages = set(random.sample(made, min(_PACKAGES_OF_SYSTEM, len(made) // 2)))
        infos.append(_info(system, packages | ({shallow} if number == generations else set())))
        replace_symlink(f"{profile}-{number}-link", location.store_dir.path(system))
    replace_symlink(profile, f"system-{generations}-link")
    (top / "run").mkdir()
    for name in ("current-system", "booted-system"):
        replace_symlink(str(top / "run" / name), location.store_dir.path(system))
    with closing(Database(location.database_dir, location.store_dir, writable=True)) as database:
        database.register(infos)
    return made[0], shallow


def _path(name: str, version: str) -> StorePath:
    digest = hashlib.sha256(f"{name} {version}".encode()).digest()[:20]
    return StorePath(f"{nix32_encode(digest)}-{name}-{version}")


def _info(path: StorePath, references: Iterable[StorePath]) -> PathInfo:
    return PathInfo(
        path=path,
        nar_hash=hashlib.sha256(path.encode()).digest(),
        nar_size=1024 * 1024,
        references=frozenset(references),
    )
