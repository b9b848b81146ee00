"""Stores in the layout of Guix: made, planned over, grafted, and read back by SQLite itself.

No Guix takes part: its database is known from its sources.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from graft.errors import SchemaError
from graft.formats.store_path import StorePath
from graft.kernel.tree import copy_tree
from graft.store.api import PathInfo, path_info
from graft.store.local import LocalStore
from graft.store.local_store.schema import GUIX
from graft.store.location import Location
from graft.store.roots.roots import find_roots
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.registrations import print_registrations
from tests.sri import sri_encode
from tests.store_objects import add_object, named_path, opened

_COLUMNS = {
    "ValidPaths": ["id", "path", "hash", "registrationTime", "deriver", "narSize"],
    "Refs": ["referrer", "reference"],
    "DerivationOutputs": ["drv", "id", "path"],
    "FailedPaths": ["path", "time"],
}


class Guix:
    """A little closure in a store that looks like Guix's, but for the directory it lies in."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.location = Location.of_directories(
            str(directory / "gnu/store"), str(directory / "var/guix")
        )
        assert run(["store", "init", "--schema=guix", self.location.url]) == 0
        assert capsys.readouterr().out == f"{directory}/gnu/store\n"
        self.it = Graftable.build(opened(self.location))

    def __call__(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        assert run([f"--store={self.location.url}", *arguments]) == status
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        document = json.loads(self(*arguments, "--json", status=status)[0])
        assert isinstance(document, dict)
        return document

    def full(self, path: StorePath) -> str:
        return self.it.store.store_dir.path(path)

    @property
    def request(self) -> tuple[str, str]:
        it = self.it
        return self.full(it.env), f"--replace={self.full(it.old)}={self.full(it.new)}"

    def rows(self, statement: str, *values: str) -> list[Any]:
        return rows(self.location, statement, *values)


def rows(location: Location, statement: str, *values: str) -> list[Any]:
    file = Path(location.database_dir, "db.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement, values).fetchall()


@pytest.fixture
def guix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Guix]:
    made = Guix(tmp_path, capsys)
    yield made
    made.it.store.close()


def test_a_new_store_has_the_tables_of_guix(guix: Guix) -> None:
    assert Path(guix.location.database_dir, "schema").read_text() == "7"
    tables = [name for (name,) in guix.rows("select name from sqlite_master where type = 'table'")]
    assert set(tables) - {"sqlite_sequence"} == _COLUMNS.keys()
    for table, columns in _COLUMNS.items():
        assert [row[1] for row in guix.rows(f"pragma table_info({table})")] == columns
    assert guix.rows("select name from sqlite_master where type = 'trigger'") == [
        ("DeleteSelfRefs",)
    ]
    assert guix.rows("pragma journal_mode") == [("wal",)]
    for name in ("profiles", "temproots", "gcroots/auto", "gcroots/profiles"):
        assert Path(guix.location.state_dir, name).is_dir()


def test_plan_apply_verify_and_why_work_in_it(guix: Guix, tmp_path: Path) -> None:
    plan = guix.json("plan", *guix.request)
    assert plan["store_dir"] == f"{tmp_path}/gnu/store"
    link = tmp_path / "patched"
    out, err = guix("apply", *guix.request, "--add-root", str(link))
    assert out.strip() == plan["new_roots"][guix.full(guix.it.env)] == os.readlink(link)
    assert "gone: OLD is proven to be in no byte" in err
    for root, word in ((guix.full(guix.it.env), b"old\n"), (str(link), b"new\n")):
        printed = subprocess.run([f"{root}/bin/run"], capture_output=True, check=True).stdout
        assert printed == word * 2
    document = guix.json("verify", *guix.request)
    assert (document["residual"], document["problems"]) == ([], [])
    chains = guix.json("why", str(link), guix.full(guix.it.new))["chains"]
    assert [len(chain) for chain in chains] == [3]
    guix("why", str(link), guix.full(guix.it.old), status=1)


def test_what_is_registered_is_what_guix_would_have_written(guix: Guix) -> None:
    document = guix.json("apply", *guix.request)
    new_root = document["new_roots"][guix.full(guix.it.env)]
    ((text, size, deriver),) = guix.rows(
        "select hash, narSize, deriver from ValidPaths where path = ?", new_root
    )
    store = guix.it.store
    info = path_info(store, store.store_dir.parse(new_root))
    nar = hashlib.sha256()
    copy = f"{store.location.state_dir}/copy"
    report = copy_tree(new_root, copy, None, sink=nar.update, links=False)
    assert (text, size, deriver) == (f"sha256:{nar.hexdigest()}", report.nar_size, None)
    assert (info.nar_hash, info.nar_size) == (nar.digest(), report.nar_size)
    assert (info.ultimate, info.signatures, info.content_address) == (False, (), None)
    (referenced,) = guix.rows(
        "select b.path from Refs join ValidPaths a on referrer = a.id "
        "join ValidPaths b on reference = b.id where a.path = ?",
        new_root,
    )
    assert referenced == (document["paths"][guix.full(guix.it.app)],)
    assert guix.rows("pragma foreign_key_check") == []
    assert guix.rows("pragma integrity_check") == [("ok",)]


def test_what_the_tables_have_no_room_for_is_left_out(guix: Guix) -> None:
    store = guix.it.store
    path = named_path("signed-1", store.store_dir)
    with store.making([path]) as making:
        report = copy_tree(store.tree(guix.it.data), making.staging(path), None)
        making.finish(
            PathInfo(
                path=path,
                nar_hash=bytes(32),
                nar_size=report.nar_size,
                ultimate=True,
                signatures=("key:c2lnbmF0dXJl",),
                content_address=f"fixed:r:{sri_encode(bytes(32))}",
            )
        )
    info = path_info(store, path)
    assert (info.ultimate, info.signatures, info.content_address) == (False, (), None)
    assert info.nar_size == report.nar_size


def test_self_references_go_with_their_path(guix: Guix) -> None:
    path = add_object(guix.it.store, "self-1", b"{self}")
    file = Path(guix.location.database_dir, "db.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute("delete from ValidPaths where path = ?", (guix.full(path),))
        connection.commit()
    assert guix.it.store.path_infos([path]) == {}
    assert guix.rows("pragma foreign_key_check") == []


def test_new_names_depend_on_the_store_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = set()
    for name in ("one", "two"):
        guix = Guix(tmp_path / name, capsys)
        new_root = guix.json("plan", *guix.request)["new_roots"][guix.full(guix.it.env)]
        names.add(os.path.basename(new_root))
        guix.it.store.close()
    assert len(names) == 2


def test_the_same_command_again_resumes_what_was_killed(guix: Guix) -> None:
    killer = (
        "import os, signal, sys; from graft.cli import run; "
        "from graft.store.local_store.database import Database; register = Database.register\n"
        "def once(self, *given):\n"
        "    register(self, *given); os.kill(os.getpid(), signal.SIGKILL)\n"
        "Database.register = once; run(sys.argv[1:])"
    )
    command = [f"--store={guix.location.url}", "apply", *guix.request, "--jobs=1"]
    killed = subprocess.run([sys.executable, "-c", killer, *command], check=False)
    assert killed.returncode == -signal.SIGKILL
    document = guix.json("apply", *guix.request)
    assert document["rewritten_paths"] + document["resumed_paths"] == 2
    assert document["resumed_paths"] >= 1
    again = guix.json("apply", *guix.request)
    assert (again["rewritten_paths"], again["resumed_paths"]) == (0, 2)
    # The locks of who was killed stay, and mean nothing, as with Nix.
    names = {name for name in os.listdir(guix.location.real_store_dir) if name[-5:] != ".lock"}
    assert names - guix.it.store.valid_paths() == {".links"}


def test_a_broken_graft_is_found_and_repaired(guix: Guix) -> None:
    new_root = guix.json("apply", *guix.request)["new_roots"][guix.full(guix.it.env)]
    Path(new_root).chmod(0o755)
    Path(new_root, "bin").unlink()
    problems = guix.json("verify", *guix.request, status=1)["problems"]
    assert [problem["path"] for problem in problems] == [new_root]
    guix("apply", *guix.request, status=1)
    guix("apply", *guix.request, "--repair")
    assert guix.json("verify", *guix.request)["problems"] == []
    assert Path(new_root, "bin").is_symlink()


def test_profiles_and_roots_lie_where_guix_looks_for_them(guix: Guix, tmp_path: Path) -> None:
    profile = Path(guix.location.state_dir, "profiles/per-user/me/guix-profile")
    profile.parent.mkdir(parents=True)
    link = tmp_path / "result"
    out, _ = guix("apply", *guix.request, "--profile", str(profile), "--add-root", str(link))
    new_root = guix.it.store.store_dir.parse(out.strip())
    assert os.readlink(profile) == "guix-profile-1-link"
    expected = {f"{profile}-1-link": new_root, str(link): new_root}
    for found in (
        guix.it.store.roots(),
        dict(find_roots(guix.it.store.store_dir, guix.location.state_dir)),
    ):
        kept = {link for link, path in found.items() if path == guix.it.env}
        assert {os.path.basename(os.path.dirname(link)) for link in kept} <= {"graft-originals"}
        assert {link: path for link, path in found.items() if link not in kept} == expected


def test_a_profile_is_found_turned_and_taken_back(guix: Guix) -> None:
    """Its link is absolute, as Guix makes it, and generation 0 the empty one."""
    it, profiles = guix.it, Path(guix.location.state_dir, "profiles/per-user/me")
    profiles.mkdir(parents=True)
    profile = profiles / "guix-profile"
    for number, path in enumerate([it.data, it.env]):
        Path(f"{profile}-{number}-link").symlink_to(guix.full(path))
    profile.symlink_to(f"{profile}-1-link")
    asked = ("affected", "lib<1.1")
    (hit,) = guix.json(*asked)["roots"]
    assert (hit["profile"], hit["generation"], hit["current"]) == (str(profile), 1, True)
    out, _ = guix("apply", "--all-roots", f"--replace={guix.full(it.old)}={guix.full(it.new)}")
    assert os.path.realpath(profile) == out.strip()
    hits = guix.json(*asked, "--generations")["roots"]
    (hit,) = [one for one in hits if one.get("profile")]
    assert (hit["generation"], hit["current"]) == (1, False)
    guix.json(*asked, status=1)
    guix("status")
    assert guix("ungraft", "lib")[0] == f"{profile}\n"
    assert os.path.realpath(profile) == guix.full(it.env)


def test_trees_in_the_making_are_temporary_roots_by_their_own_names(guix: Guix) -> None:
    """Guix's collector asks for the whole name of what is not valid, not for its hash part."""
    store = guix.it.store
    path = named_path("made-1", store.store_dir)
    with store.making([path]) as making:
        roots = Path(guix.location.state_dir, "temproots", str(os.getpid()))
        texts = roots.read_bytes().split(b"\0")
        assert os.fsencode(making.staging(path)) in texts
        assert os.fsencode(making.staging(path) + "-old") in texts


@pytest.mark.nix
def test_nix_takes_the_database_for_its_own_of_that_version(guix: Guix, tmp_path: Path) -> None:
    """A newer Nix upgrades version 7, with statements that need each of its tables and columns."""
    guix("apply", *guix.request)
    store = guix.it.store
    infos = store.path_infos(store.valid_paths()).values()
    text = print_registrations(infos, store.store_dir)
    store.close()
    nix = RealNix(guix.location, tmp_path)
    assert nix.run("nix-store", "--dump-db") == text
    nix.check()
    assert Path(guix.location.database_dir, "schema").read_text() == "10"
    assert guix.rows("select name from sqlite_master where name = 'FailedPaths'") == []
    assert guix("verify", *guix.request)[0] == ""


@pytest.mark.parametrize(
    "url", ["/srv/x", "local?root=/srv/x", "local?store=/nix/store&state=/srv/x"]
)
def test_the_directory_of_nix_never_has_the_tables_of_guix(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = url.replace("/srv", str(tmp_path))
    assert run(["store", "init", "--schema=guix", url]) == 2
    assert "schema" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_old_nix_in_its_own_directory_is_a_foreign_schema(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path))
    LocalStore.create(location)
    Path(location.database_dir, "schema").write_text(str(GUIX.version))
    with pytest.raises(SchemaError):
        LocalStore(location=location)


def test_init_makes_a_store_of_nix_if_nothing_else_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"local?store={tmp_path}/gnu/store&state={tmp_path}/var/guix"
    assert run(["store", "init", url]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/gnu/store\n"
    location = Location.parse(url, {})
    assert Path(location.database_dir, "schema").read_text() == "10"
    assert "ca" in [row[1] for row in rows(location, "pragma table_info(ValidPaths)")]
