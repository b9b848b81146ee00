"""Local stores: made, opened by the real Nix, written into, and left whole by errors."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from graft.errors import (
    SchemaError,
    StoreError,
    StoreMissingError,
    StorePermissionError,
    UsageError,
)
from graft.formats.store_path import StorePath
from graft.kernel.tree import copy_tree
from graft.store.api import PathInfo, path_info
from graft.store.local import LocalStore
from graft.store.local_store.database import Database
from graft.store.local_store.schema import GUIX, NIX, Schema
from graft.store.location import Location
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, named_path, new_store, opened


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def _listing(store: LocalStore) -> set[str]:
    return set(os.listdir(store.location.real_store_dir)) - {".links"}


def test_what_is_registered_is_read_back(store: LocalStore) -> None:
    one = add_object(store, "one-1", b"1")
    two = add_object(store, "two-1", {"link": store.store_dir.path(one)}, [one])
    info = path_info(store, two)
    assert info.references == {one}
    assert info.ultimate
    assert info.deriver is None
    assert info.content_address is None
    assert info.signatures == ()
    assert time.time() - 60 < info.registration_time <= time.time()
    with LocalStore(location=store.location) as again:
        assert again.path_infos([one, two]) == store.path_infos([one, two])


def test_a_great_many_paths_are_asked_for_at_once(store: LocalStore) -> None:
    path = add_object(store, "one-1", b"1")
    unknown = [named_path(f"unknown-{number}", store.store_dir) for number in range(2500)]
    assert store.path_infos([*unknown, path]).keys() == {path}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"store": "/x"}, r"LocalStore\(store='/x'\) lacks 'state'"),
        ({"state": "/x"}, r"LocalStore\(state='/x'\) lacks 'store'"),
        ({"root": "/x", "state": "/x"}, "lacks 'store'"),
        ({"root": "/x", "store": "/x", "state": "/x"}, "two places"),
        ({"root": "/x", "location": Location.at_root("/x")}, "two places"),
    ],
)
def test_a_place_that_is_half_or_twice_given_is_an_error(
    arguments: dict[str, Any], match: str, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine's own store is there: it must not be opened in the place of another.
    monkeypatch.setenv("NIX_STORE_DIR", store.location.store_dir)
    monkeypatch.setenv("NIX_STATE_DIR", store.location.state_dir)
    with LocalStore() as machine:
        assert machine.location == store.location
    with pytest.raises(UsageError, match=match):
        LocalStore(**arguments)


@pytest.mark.nix
@pytest.mark.parametrize("rooted", [True, False])
def test_nix_opens_a_new_store_and_what_is_written_into_it(tmp_path: Path, rooted: bool) -> None:
    if rooted:
        location = Location.at_root(str(tmp_path / "root"))
        LocalStore.create(location)
        store = opened(location)
    else:
        store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    assert nix.run("nix-store", "--gc", "--print-dead") == ""
    one = add_object(store, "one-1", {"bin": {"x": b"#!/bin/sh\n# {self}\n"}, "empty": {}})
    two = add_object(store, "two-1", {"link": store.store_dir.path(one)}, [one])
    full = store.store_dir.path
    assert nix.run("nix-store", "-qR", full(two)).split() == [full(one), full(two)]
    assert nix.run("nix-store", "-q", "--references", full(one)).split() == [full(one)]
    assert nix.run("nix-store", "-q", "--hash", full(two)).strip() == subprocess.run(
        ["nix-hash", "--type", "sha256", "--to-base32", path_info(store, two).nar_hash.hex()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip().join(["sha256:", ""])
    nix.run("nix", "store", "verify", full(one), full(two))
    nix.check()
    # And the other way round: what Nix adds is what graft reads.
    file = tmp_path / "file"
    file.write_text("contents")
    added = store.store_dir.parse(nix.run("nix-store", "--add", str(file)).strip())
    nar = subprocess.run(["nix-store", "--dump", str(file)], capture_output=True, check=True).stdout
    info = path_info(store, added)
    assert info.nar_hash == hashlib.sha256(nar).digest()
    assert info.nar_size == len(nar)
    assert info.content_address is not None
    assert info.content_address.startswith("fixed:r:sha256:")


def test_a_tree_that_is_not_registered_is_made_again(store: LocalStore, tmp_path: Path) -> None:
    path = named_path("half-1", store.store_dir)
    Path(store.tree(path)).mkdir()
    Path(store.tree(path), "half-written").write_text("")
    left_over = Path(store.location.real_store_dir, f"{path.hash_part}-graft")
    left_over.mkdir(mode=0o555)
    assert add_object(store, "half-1", {"whole": b"yes"}) == path
    assert os.listdir(store.tree(path)) == ["whole"]
    assert _listing(store) == {path}


@pytest.mark.parametrize(("schema", "rooted"), [(NIX, False), (GUIX, True)])
def test_temporary_names_are_roots_where_the_collector_goes_by_whole_names(
    schema: Schema, rooted: bool, tmp_path: Path
) -> None:
    location = Location.of_directories(str(tmp_path / "store"), str(tmp_path / "state"))
    LocalStore.create(location, schema)
    store = opened(location)
    path = named_path("one-1", store.store_dir)
    names = [f"{path.hash_part}-{name}" for name in ("graft", "graft-old", "graft-original")]
    with store.making([path]) as making:
        assert making.staging(path) == f"{location.real_store_dir}/{names[0]}"
        assert making._aside(path) == f"{location.real_store_dir}/{names[1]}"
        assert making.unpacked(path) == f"{location.real_store_dir}/{names[2]}"
        files = list((tmp_path / "state/temproots").iterdir())
        roots = [root for file in files for root in file.read_text().split("\0")[:-1]]
        assert roots == ([f"{store.store_dir}/{name}" for name in names] if rooted else [])


def test_bytes_are_on_the_disk_before_paths_are_valid(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    register = Database.register

    def registering(self: Database, infos: Sequence[PathInfo], outputs: Any) -> None:
        done.append("registered")
        register(self, infos, outputs)

    monkeypatch.setattr(Database, "register", registering)
    monkeypatch.setattr(
        "graft.store.local_store.making.sync_file_system", lambda _place: done.append("synced")
    )
    add_object(store, "one-1", b"")
    assert done == ["synced", "registered"]
    with store.making([named_path("one-1", store.store_dir)]):
        pass
    assert done == ["synced", "registered"]


def test_what_a_repair_replaces_is_not_there_again(store: LocalStore) -> None:
    path = add_object(store, "one-1", b"before")
    source = Path(store.location.state_dir, "file")
    source.write_bytes(b"after")
    with store.making([path], repair=[path]) as making:
        assert Path(store.tree(path)).read_bytes() == b"before"
        copy_tree(source, making.staging(path), None)
        making.finish(PathInfo(path=path, nar_hash=bytes(32), nar_size=1))
        assert Path(store.tree(path)).read_bytes() == b"after"
    assert _listing(store) == {path}


def test_an_error_leaves_no_tree_and_registers_nothing(store: LocalStore) -> None:
    first, second = named_path("a-1", store.store_dir), named_path("b-1", store.store_dir)
    source = Path(store.location.state_dir, "tree")
    source.mkdir()
    with pytest.raises(ZeroDivisionError), store.making([first, second]) as making:
        digest = hashlib.sha256()
        report = copy_tree(source, making.staging(first), None, sink=digest.update)
        making.finish(PathInfo(path=first, nar_hash=digest.digest(), nar_size=report.nar_size))
        copy_tree(source, making.staging(second), None)
        raise ZeroDivisionError
    assert store.path_infos([first, second]) == {}
    assert _listing(store) == set()


def test_an_error_in_a_repair_brings_back_what_was_there(store: LocalStore) -> None:
    path = add_object(store, "one-1", b"before")
    source = Path(store.location.state_dir, "file")
    source.write_bytes(b"after")
    with pytest.raises(ZeroDivisionError), store.making([path], repair=[path]) as making:
        copy_tree(source, making.staging(path), None)
        making.finish(PathInfo(path=path, nar_hash=bytes(32), nar_size=1))
        raise ZeroDivisionError
    assert Path(store.tree(path)).read_bytes() == b"before"
    assert _listing(store) == {path}


def test_an_interrupt_after_the_commit_leaves_what_is_valid(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Database.register

    def interrupted(self: Database, infos: Sequence[PathInfo], outputs: Any) -> None:
        register(self, infos, outputs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "register", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_object(store, "one-1", b"whole")
    path = named_path("one-1", store.store_dir)
    assert path in store.path_infos([path])
    assert Path(store.tree(path)).read_bytes() == b"whole"


def test_a_reference_that_is_not_valid_is_refused(store: LocalStore) -> None:
    missing = named_path("missing-1", store.store_dir)
    with pytest.raises(StoreError, match="not valid"):
        add_object(store, "one-1", b"", [missing])
    assert store.path_infos([named_path("one-1", store.store_dir)]) == {}


def test_a_valid_path_that_is_lost_from_the_disk_is_told(store: LocalStore) -> None:
    path = add_object(store, "lost-1", b"")
    os.unlink(store.tree(path))
    with store.making([path]) as making:
        assert list(making.missing) == []
        assert list(making.lost) == [path]
    with store.making([path], repair=[path]) as making:
        assert list(making.missing) == [path]


def test_a_store_is_made_only_once(store: LocalStore) -> None:
    with pytest.raises(StoreError, match="already"):
        LocalStore.create(store.location)


def test_a_store_is_made_in_directories_that_are_there(tmp_path: Path) -> None:
    location = Location.of_directories(str(tmp_path / "store"), str(tmp_path / "state"))
    for place in ("store/.links", "state/db", "state/profiles", "state/gcroots/auto"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "state/gcroots/profiles").symlink_to(tmp_path / "elsewhere")
    LocalStore.create(location)
    assert opened(location).valid_paths() == set()
    assert os.readlink(tmp_path / "state/gcroots/profiles") == str(tmp_path / "elsewhere")


def test_a_place_where_no_store_can_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    location = Location.of_directories(str(tmp_path / "file/store"), str(tmp_path / "state"))
    with pytest.raises(StoreError, match=r"cannot make a store in '.*/file/store.*': Not a dir"):
        LocalStore.create(location)


def test_a_store_keeps_its_profiles_as_roots_and_the_lock_of_its_collector(
    store: LocalStore,
) -> None:
    state = Path(store.location.state_dir)
    assert os.readlink(state / "gcroots/profiles") == str(state / "profiles")
    assert (state / "gc.lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a store of somebody else's: as root")
def test_new_files_belong_to_the_owner_of_the_store(store: LocalStore) -> None:
    assert store.owner == (os.geteuid(), os.getegid())
    os.chown(store.location.real_store_dir, 65534, 100)
    os.chown(store.location.database_dir, 0, 65533)
    assert store.owner == (65534, 65533)


def test_roots_are_links_to_valid_paths_in_the_order_of_the_links(
    store: LocalStore, tmp_path: Path
) -> None:
    paths = [add_object(store, f"one-{number}", b"") for number in range(3)]
    for name, path in zip("cab", paths, strict=True):
        store.add_root(str(tmp_path / name), path)
    Path(tmp_path / "gone").symlink_to(store.tree(StorePath(f"{'0' * 32}-gone")))
    Path(store.location.state_dir, "gcroots/gone").symlink_to(tmp_path / "gone")
    names = [str(tmp_path / name) for name in "abc"]
    assert list(store.roots().items()) == list(zip(names, [*paths[1:], paths[0]], strict=True))


def test_a_missing_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError):
        LocalStore(root=str(tmp_path))
    Path(tmp_path, "nix/store").mkdir(parents=True)
    with pytest.raises(StoreMissingError):
        LocalStore(root=str(tmp_path))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("6", "'6'"),
        ("11", "'11'"),
        ("", "'unknown'"),
        ("ten", "'ten'"),
        ("1" * 40, f"'{'1' * 32}'"),
    ],
)
def test_a_foreign_schema_is_an_error(store: LocalStore, text: str, shown: str) -> None:
    Path(store.location.database_dir, "schema").write_text(text)
    with pytest.raises(SchemaError, match=f"schema version {shown}, and graft knows only 10"):
        LocalStore(location=store.location)


def test_rows_of_schema_migrations_are_tolerated(store: LocalStore) -> None:
    with sqlite3.connect(Path(store.location.database_dir, "db.sqlite")) as connection:
        connection.execute("create table SchemaMigrations (migration text primary key not null)")
        connection.execute("insert into SchemaMigrations values ('20220326-ca-derivations')")
    connection.close()
    path = add_object(store, "one-1", b"")
    with LocalStore(location=store.location) as again:
        assert path in again.path_infos([path])


def test_a_broken_database_is_an_error(store: LocalStore) -> None:
    store.close()
    database = Path(store.location.database_dir, "db.sqlite")
    for file in database.parent.glob("db.sqlite*"):
        file.unlink()
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="cannot be used: file is not a database"):
        LocalStore(location=store.location)


def test_a_path_keeps_its_registration_time_when_it_is_made_again(store: LocalStore) -> None:
    path = add_object(store, "one-1", b"")
    with sqlite3.connect(Path(store.location.database_dir, "db.sqlite")) as connection:
        connection.execute("update ValidPaths set registrationTime = 7")
    connection.close()
    info = path_info(store, path)
    with store.making([path], repair=[path]) as making:
        source = Path(store.location.state_dir, "file")
        source.write_bytes(b"other")
        copy_tree(source, making.staging(path), None)
        making.finish(
            PathInfo(path=path, nar_hash=bytes(32), nar_size=1, references=info.references)
        )
    again = path_info(store, path)
    assert again.registration_time == 7
    assert again.nar_hash == bytes(32)
    assert Path(store.tree(path)).read_bytes() == b"other"
    assert _listing(store) == {StorePath(path)}


@as_ordinary_user
def test_the_first_part_that_may_not_be_written_is_named(*, tmp_path: Path) -> None:
    store = new_store(tmp_path)
    location = store.location
    store.check_writable()
    for part in (location.real_store_dir, location.database_dir):
        mode = os.stat(part).st_mode
        os.chmod(part, 0o555)
        with (
            LocalStore(location=location) as again,
            pytest.raises(StorePermissionError, match=part),
        ):
            again.check_writable()
        os.chmod(part, mode)
