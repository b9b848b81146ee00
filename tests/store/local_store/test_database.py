"""The database on its own: each question answered as the real `nix-store --query` answers it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from graft.errors import StoreError
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.plan.closure import Closure
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.local_store.database import Database
from graft.store.location import Location
from graft.store.memory import MemoryStore
from tests.debpkgs.built import Built, small
from tests.debpkgs.store import TOOLS, PrivateStore
from tests.registrations import print_registrations
from tests.store.printed_roots import printed_roots
from tests.store_objects import add_object, named_path, new_store
from tests.tools import need


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


@pytest.fixture
def database(store: LocalStore) -> Iterator[Database]:
    directory = store.location.database_dir
    with closing(Database(directory, store.store_dir, writable=False)) as database:
        yield database


def test_referrers_are_what_refers_to_a_path_itself_included(store: LocalStore) -> None:
    low = add_object(store, "low-1", {"own": b"{self}"})
    one = add_object(store, "one-1", b"", [low])
    two = add_object(store, "two-1", b"", [low, one])
    missing = named_path("missing-1", store.store_dir)
    assert store.referrers([low, one, two, missing]) == {
        low: {low, one, two},
        one: {two},
        two: set(),
        missing: set(),
    }
    assert store.referrers([]) == {}


def _delete(store: LocalStore, path: StorePath) -> None:
    """As a collector does it."""
    file = os.path.join(store.location.database_dir, "db.sqlite")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("pragma foreign_keys = on")
        full = store.store_dir.path(path)
        connection.execute("delete from ValidPaths where path = ?", (full,))


def test_an_open_database_sees_what_others_delete_and_register_anew(
    store: LocalStore, database: Database
) -> None:
    low, other = add_object(store, "low-1", b""), add_object(store, "other-1", b"")
    high = add_object(store, "high-1", b"", [low])
    before = database.path_infos([high, low])
    assert before[high].references == {low}
    _delete(store, high)
    assert database.path_infos([high, low]) == {low: before[low]}
    store._database.register([replace(before[high], references=frozenset({other, high}))])
    assert database.path_infos([high])[high].references == {other, high}


def test_a_path_that_is_deleted_while_it_is_asked_for_is_not_valid(
    store: LocalStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = add_object(store, "low-1", b"")
    high = add_object(store, "high-1", b"", [low])
    read_paths = Database._read_paths

    def deleted_before(database: Database, numbers: Iterable[int]) -> None:
        _delete(store, high)
        _delete(store, low)
        read_paths(database, numbers)

    monkeypatch.setattr(Database, "_read_paths", deleted_before)
    assert database.path_infos([high]) == {}


def test_referrers_of_a_great_many_paths_are_asked_for_at_once(store: LocalStore) -> None:
    low = add_object(store, "low-1", b"")
    one = add_object(store, "one-1", b"", [low])
    unknown = [named_path(f"unknown-{number}", store.store_dir) for number in range(2500)]
    found = store.referrers([*unknown, low])
    assert len(found) == 2501
    assert found[low] == {one}


def test_a_path_that_is_no_derivation_has_neither_outputs_nor_derivers(
    store: LocalStore, database: Database
) -> None:
    path = add_object(store, "one-1", b"")
    assert database.outputs(path) == {}
    assert database.derivers(path) == set()
    assert database.outputs(named_path("missing-1", store.store_dir)) == {}


@dataclass(frozen=True)
class Asked:
    """The small set's store as graft and as Nix see it."""

    built: Built
    nix: PrivateStore
    store: LocalStore
    database: Database

    def query(self, *arguments: str) -> list[str]:
        return self.nix.run("nix-store", "--query", *arguments).splitlines()

    def each(self, answer: Callable[[StorePath], object], *query: str) -> None:
        """Compares the answers for all valid paths, in one command."""
        paths = sorted(self.store.valid_paths())
        full = [self.store.store_dir.path(path) for path in paths]
        assert [answer(path) for path in paths] == self.query(*query, *full)

    def told(self, query: str, paths: Iterable[StorePath]) -> list[list[str]]:
        """What Nix tells of each path, sorted: where it would mix the answers of one command."""

        def one(path: StorePath) -> list[str]:
            return sorted(self.query(query, self.store.store_dir.path(path)))

        with ThreadPoolExecutor() as threads:
            return list(threads.map(one, paths))

    def full(self, paths: Iterable[StorePath]) -> list[str]:
        return sorted(map(self.store.store_dir.path, paths))

    @property
    def outputs(self) -> list[StorePath]:
        return sorted(path for path in self.store.valid_paths() if not path.is_derivation)


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    need(TOOLS)
    built = small()
    with built.checkout() as nix:
        location = Location.of_directories(str(nix.store_dir), str(nix.state_dir))
        with (
            LocalStore(location=location) as store,
            closing(Database(location.database_dir, store.store_dir, writable=False)) as database,
        ):
            yield Asked(built, nix, store, database)


@pytest.mark.nix
def test_valid_paths_are_those_nix_knows(asked: Asked) -> None:
    valid = asked.store.valid_paths()
    known = asked.nix.run("nix", "path-info", "--all").split()
    assert asked.full(valid) == sorted(known)
    assert len(asked.outputs) > 100
    assert len(valid) > len(asked.outputs)


@pytest.mark.nix
def test_hashes_sizes_and_derivers_are_those_nix_tells(asked: Asked) -> None:
    infos = asked.store.path_infos(asked.store.valid_paths())
    full = asked.store.store_dir.path
    asked.each(lambda path: f"sha256:{nix32_encode(infos[path].nar_hash)}", "--hash")
    asked.each(lambda path: str(infos[path].nar_size), "--size")

    def deriver(path: StorePath) -> str:
        found = infos[path].deriver
        return full(found) if found is not None else "unknown-deriver"

    asked.each(deriver, "--deriver")


@pytest.mark.nix
def test_references_and_referrers_are_those_nix_tells(asked: Asked) -> None:
    valid = sorted(asked.store.valid_paths())
    infos, referrers = asked.store.path_infos(valid), asked.store.referrers(valid)
    some = valid[::4]  # the dump of the database has all references, each with its referrer
    assert [asked.full(referrers[path]) for path in some] == asked.told("--referrers", some)
    references = [asked.full(infos[path].references) for path in some]
    assert references == asked.told("--references", some)


@pytest.mark.nix
def test_closures_are_those_nix_walks(asked: Asked) -> None:
    valid = sorted(asked.store.valid_paths())
    everything = Closure.of(asked.store, valid)
    some = valid[::4]
    requisites = [asked.full(everything.requisites([path])) for path in some]
    assert requisites == asked.told("--requisites", some)


@pytest.mark.nix
def test_outputs_and_derivers_are_those_nix_tells(asked: Asked) -> None:
    derivations = sorted(asked.store.valid_paths() - set(asked.outputs))
    outputs = [asked.database.outputs(derivation) for derivation in derivations]
    assert [asked.full(found.values()) for found in outputs] == asked.told("--outputs", derivations)
    for derivation, found in zip(derivations, outputs, strict=True):
        assert all(derivation in asked.database.derivers(output) for output in found.values())
    for path, info in asked.store.path_infos(asked.outputs).items():
        if info.deriver is not None:
            assert info.deriver in asked.database.derivers(path)


@pytest.mark.nix
def test_all_roots_are_those_nix_prints(asked: Asked, tmp_path: Path) -> None:
    old, new = map(asked.store.store_dir.parse, (asked.built.old_root, asked.built.new_root))
    asked.store.add_root(str(tmp_path / "result"), old)
    asked.store.switch_profile(str(asked.nix.state_dir / "profiles/system"), old)
    asked.store.switch_profile(str(asked.nix.state_dir / "profiles/system"), new)
    asked.store.add_root(str(tmp_path / "stale"), new)
    (tmp_path / "stale").unlink()
    ours = "".join(
        f"{link} -> {asked.store.store_dir.path(path)}\n"
        for link, path in asked.store.roots().items()
    )
    assert ours.count("\n") >= 5
    assert ours == printed_roots(["nix-store", "--gc", "--print-roots"], asked.nix.env)


@pytest.mark.nix
def test_the_roots_of_a_path_are_those_nix_tells(asked: Asked, tmp_path: Path) -> None:
    old = asked.store.store_dir.parse(asked.built.old_root)
    asked.store.add_root(str(tmp_path / "result"), old)
    roots = asked.store.roots()
    # Nix goes from a derivation to its outputs as well: it keeps the derivations of what it keeps.
    full = asked.store.store_dir.path

    def compare(path: StorePath) -> None:
        keeping, waiting = {path}, [path]
        while waiting:
            found = waiting.pop()
            above = asked.store.referrers([found])[found]
            if found.is_derivation:
                outputs = asked.database.outputs(found).values()
                above |= asked.store.path_infos(outputs).keys()
            waiting += above - keeping
            keeping |= above
        ours = {f"{link} -> {full(root)}" for link, root in roots.items() if root in keeping}
        told = printed_roots(["nix-store", "--query", "--roots", full(path)], asked.nix.env)
        assert set(told.splitlines()) == ours

    for path in sorted(asked.store.valid_paths())[::10]:
        compare(path)


@pytest.mark.nix
def test_the_dump_of_the_database_is_byte_for_byte_that_of_nix(asked: Asked) -> None:
    text = asked.nix.run("nix-store", "--dump-db")
    infos = asked.store.path_infos(asked.store.valid_paths())
    store_dir = asked.store.store_dir
    assert print_registrations(infos.values(), store_dir) == text


@pytest.mark.nix
def test_the_plan_over_the_exported_graph_names_the_same_paths(
    asked: Asked, tmp_path: Path
) -> None:
    texts = []
    for name, exported in (("old", asked.built.old_root), ("new", asked.built.new_root)):
        expression = tmp_path / f"{name}.nix"
        expression.write_text(
            "derivation {\n"
            f'  name = "{name}"; system = builtins.currentSystem; builder = "/bin/sh";\n'
            '  args = [ "-c" "while read -r line; do echo \\"$line\\"; done < graph > $out" ];\n'
            f'  exportReferencesGraph = [ "graph" (builtins.storePath "{exported}") ];\n'
            "}\n"
        )
        built = asked.nix.run("nix-build", "--no-out-link", str(expression)).strip()
        texts.append(Path(built).read_text())
    memory = MemoryStore.of_references_graph("".join(texts), asked.store.store_dir)
    root, new_root = map(asked.store.store_dir.parse, (asked.built.old_root, asked.built.new_root))
    closure = Closure.of(asked.store, [root, new_root])
    assert memory.valid_paths() == closure.infos.keys()
    pairs = [
        (asked.store.store_dir.parse(old), asked.store.store_dir.parse(new))
        for old, new in asked.built.replacements.items()
    ]
    ours = Plan.of(Closure.of(memory, [root, new_root]), pairs, roots=[root])
    theirs = Plan.of(closure, pairs, roots=[root])
    assert ours.moved == theirs.moved
    assert len(ours.moved) > 10


def test_sizes_are_those_registered_of_valid_paths(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    paths = [add_object(store, f"sized-{number}", bytes(number)) for number in (1, 1000)]
    gone = named_path("gone-1", store.store_dir)
    assert store.nar_sizes([*paths, gone]) == {
        path: info.nar_size for path, info in store.path_infos(paths).items()
    }
    assert store.nar_sizes([]) == {}


def _columns(store: LocalStore, path: StorePath, *names: str) -> tuple[object, ...]:
    file = Path(store.location.database_dir, "db.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        row: tuple[object, ...] = connection.execute(
            f"select {', '.join(names)} from ValidPaths where path = ?",
            (store.store_dir.path(path),),
        ).fetchone()
    return row


def test_all_that_is_registered_stands_in_its_columns_as_nix_writes_it(
    store: LocalStore, database: Database
) -> None:
    deriver = named_path("one-1.drv", store.store_dir)
    full = PathInfo(
        path=named_path("full-1", store.store_dir),
        nar_hash=bytes(32),
        nar_size=7,
        deriver=deriver,
        registration_time=9,
        ultimate=True,
        signatures=("a:1", "b:2"),
        content_address="text:x",
    )
    bare = PathInfo(path=named_path("bare-1", store.store_dir), nar_hash=bytes(32), nar_size=7)
    store._database.register([full, bare])
    names = ("hash", "registrationTime", "deriver", "narSize", "ultimate", "sigs", "ca")
    digest = f"sha256:{'0' * 64}"
    assert _columns(store, full.path, *names) == (
        *(digest, 9, store.store_dir.path(deriver), 7, 1, "a:1 b:2", "text:x"),
    )
    assert _columns(store, bare.path, *names) == (digest, 0, None, 7, None, None, None)
    assert database.path_infos([full.path, bare.path]) == {full.path: full, bare.path: bare}


def test_what_an_old_nix_did_not_write_down_is_empty(store: LocalStore, database: Database) -> None:
    path = add_object(store, "one-1", b"")
    with closing(sqlite3.connect(Path(store.location.database_dir, "db.sqlite"))) as connection:
        connection.execute("update ValidPaths set narSize = null, ultimate = null, deriver = ''")
        connection.execute("update ValidPaths set sigs = '', ca = ''")
        connection.commit()
    (info,) = database.path_infos([path]).values()
    assert (info.nar_size, info.ultimate, info.deriver) == (0, False, None)
    assert (info.signatures, info.content_address) == ((), None)
    assert database.nar_sizes([path]) == {path: 0}


def test_a_hash_that_is_none_is_an_error_that_names_the_path(
    store: LocalStore, database: Database
) -> None:
    path = add_object(store, "one-1", b"")
    with closing(sqlite3.connect(Path(store.location.database_dir, "db.sqlite"))) as connection:
        connection.execute("update ValidPaths set hash = 'sha256:x'")
        connection.commit()
    with pytest.raises(StoreError, match=f"has a broken hash for '.*{path}'"):
        database.path_infos([path])


def test_referrers_are_told_by_a_database_that_was_not_asked_before(
    store: LocalStore, database: Database
) -> None:
    low, other = add_object(store, "low-1", b""), add_object(store, "other-1", b"")
    high = add_object(store, "high-1", b"", [low])
    assert database.referrers([low, other, high]) == {low: {high}, other: set(), high: set()}


def test_nothing_is_registered_of_what_was_interrupted(
    store: LocalStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: str) -> None:
        raise KeyboardInterrupt

    low = add_object(store, "low-1", b"")
    path = named_path("one-1", store.store_dir)
    info = PathInfo(path=path, nar_hash=bytes(32), nar_size=1, references=frozenset({low}))
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "_insert_reference", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store._database.register([info])
    assert database.valid_paths() == {low}
    store._database.register([info])
    assert database.valid_paths() == {low, path}


def test_threads_ask_one_database(store: LocalStore, database: Database) -> None:
    path = add_object(store, "one-1", b"")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(database.path_infos, [path]).result().keys() == {path}
