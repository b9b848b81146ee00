"""What an ordinary user can do: everything in a store of their own, read in root's."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.local import LocalStore
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import new_store, opened

pytestmark = pytest.mark.slow

# As another user Python's own files may be out of reach: what is loaded late is loaded now.
for _module in [
    "encodings.ascii",
    "networkx",
    "rich.console",
    "rich.table",
    *(f"graft.cli.commands.{name}" for name in ("apply", "plan", "scan", "verify", "why")),
]:
    importlib.import_module(_module)


@dataclass(frozen=True)
class Called:
    """The command line on the little closure, in this process."""

    it: Graftable
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        location = self.it.store.location
        url = f"--store=local?store={location.real_store_dir}&state={location.state_dir}"
        returned = run([url, *arguments])
        out, err = self.capsys.readouterr()
        assert returned == status, err
        return out, err

    def full(self, path: StorePath) -> str:
        return self.it.store.store_dir.path(path)

    @property
    def job(self) -> list[str]:
        it = self.it
        return [self.full(it.env), f"--replace={self.full(it.old)}={self.full(it.new)}"]


def _snapshot(*directories: str) -> list[tuple[str, int, int, float]]:
    """Everything below the directories, with what a write would change."""
    found = []
    for directory in directories:
        for place, names, files in os.walk(directory):
            for name in [*names, *files]:
                status = os.lstat(os.path.join(place, name))
                entry = os.path.join(place, name)
                found.append((entry, status.st_mode, status.st_size, status.st_mtime))
    return sorted(found)


@pytest.mark.nix
@as_ordinary_user
def test_the_whole_job_works_in_a_store_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with new_store(tmp_path) as store:
        call = Called(Graftable.build(store), capsys)
    link, profile = tmp_path / "patched", tmp_path / "profile"
    out, _ = call("apply", *call.job, "--add-root", str(link), "--profile", str(profile), "--json")
    new_root = json.loads(out)["new_roots"][call.full(call.it.env)]
    done = subprocess.run([f"{link}/bin/run"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "new"
    assert os.path.realpath(profile) == new_root
    assert os.stat(new_root).st_uid == os.geteuid()
    nix = RealNix(store.location, tmp_path)
    nix.check()
    nix.run("nix", "store", "verify", "-r", new_root)
    call("verify", *call.job, "--json")


@pytest.fixture
def foreign(tmp_path: Path) -> Graftable:
    """A grafted store that the user of the test may read: root's, or one without permissions."""
    with new_store(tmp_path) as store:
        it = Graftable.build(store)
        apply(store, [it.env], {it.old: it.new})
    if os.geteuid() != 0:
        for directory in ("store", "state/db", "state/temproots", "state"):
            (tmp_path / directory).chmod(0o555)
        for file in ("db.sqlite", "big-lock", "schema"):
            (tmp_path / "state/db" / file).chmod(0o444)
    return it


_CHANGES: dict[str, list[str]] = {
    "as it is": [],
    "the store out of sight": ["store"],
    "the state out of sight": ["state"],
    "the database out of sight": ["state/db"],
    "the schema unreadable": ["state/db/schema"],
    "the database unreadable": ["state/db/db.sqlite"],
    "the locks unreadable": ["state/db/big-lock", "state/gc.lock"],
}


@pytest.fixture(params=list(_CHANGES))
def closed(request: pytest.FixtureRequest, foreign: Graftable, tmp_path: Path) -> Graftable:
    """The same store, with less to be read."""
    for file in _CHANGES[request.param]:
        (tmp_path / file).chmod(0)
    return foreign


@as_ordinary_user
def test_a_foreign_store_is_refused_in_one_line_that_says_what_to_do(
    tmp_path: Path, closed: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Called(closed, capsys)
    before = _snapshot(str(tmp_path))
    link = tmp_path / "patched"
    out, err = call("apply", *call.job, "--add-root", str(link), status=2)
    assert out == ""
    assert err.startswith("graft: error: you may not ")
    assert "run as" in err
    assert len(err.splitlines()) == 1
    out, _ = call("apply", *call.job, "--json", status=2)
    assert json.loads(out)["error"]["kind"] == "store-permission"
    assert _snapshot(str(tmp_path)) == before


@pytest.fixture
def only_locks_closed(tmp_path: Path) -> Graftable:
    """A store whose directories are the user's, but not its locks and its database."""
    with new_store(tmp_path) as store:
        it = Graftable.build(store)
    for directory in ("store", "state/db", "state/temproots", "state"):
        (tmp_path / directory).chmod(0o777)
    for file in ("state/db/big-lock", "state/gc.lock"):
        (tmp_path / file).chmod(0)
    (tmp_path / "state/db/db.sqlite").chmod(0o444)
    return it


@as_ordinary_user
def test_files_of_somebody_else_in_ones_own_directories_are_told(
    tmp_path: Path, only_locks_closed: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Called(only_locks_closed, capsys)
    before = set(os.listdir(tmp_path / "store"))
    _, err = call("apply", *call.job, status=2)
    assert f"you may not write '{tmp_path}/state/db/" in err
    assert len(err.splitlines()) == 1
    assert set(os.listdir(tmp_path / "store")) == before
    call("plan", *call.job, "--json")


@as_ordinary_user
def test_a_foreign_store_can_be_read(
    tmp_path: Path, foreign: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Called(foreign, capsys)
    before = _snapshot(str(tmp_path))
    plan = json.loads(call("plan", *call.job, "--json")[0])
    assert len(plan["rewrites"]) == 2
    call("apply", *call.job, "--dry-run", "--json")
    env, old = call.full(foreign.env), call.full(foreign.old)
    assert old in call("-v", "why", env, old)[0]
    assert foreign.old in call("scan", foreign.tree(foreign.app), "--for", old, "--json")[0]
    assert json.loads(call("verify", *call.job, "--json")[0])["residual"] == []
    assert _snapshot(str(tmp_path)) == before


@pytest.fixture
def in_use(foreign: Graftable) -> LocalStore:
    """The store opened by its owner, with what was written last still in the write-ahead log."""
    return opened(foreign.store.location)


@as_ordinary_user
def test_a_foreign_store_that_is_in_use_can_be_read(
    tmp_path: Path,
    foreign: Graftable,
    in_use: LocalStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = Called(foreign, capsys)
    assert len(json.loads(call("plan", *call.job, "--json")[0])["rewrites"]) == 2
