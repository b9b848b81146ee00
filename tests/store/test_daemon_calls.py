"""The calls of Nix's programs: programs that write their arguments down stand in the PATH."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graft.errors import ProfileError, RootLinkError
from graft.formats.store_path import StorePath
from graft.store.daemon import DaemonStore
from graft.store.objects import NarObject
from tests.archives import File
from tests.caches import written
from tests.graftable import Graftable
from tests.store_objects import new_store

_PROGRAM = f"""#!{sys.executable} -IS
import json, os, sys
link = sys.argv[sys.argv.index("--add-root") + 1] if "--add-root" in sys.argv else None
if link:
    os.symlink(sys.argv[sys.argv.index("--realise") + 1], link)
with open(os.path.join(os.path.dirname(sys.argv[0]), "calls"), "a") as calls:
    words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    calls.write(json.dumps({{"words": words, "in": os.getcwd(), **os.environ}}) + "\\n")
"""


class Calls:
    """The calls of a test's programs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        for name in ("nix", "nix-env", "nix-store"):
            (directory / name).write_text(_PROGRAM)
            (directory / name).chmod(0o755)

    @property
    def all(self) -> list[dict[str, Any]]:
        file = self._directory / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def words(self) -> list[list[str]]:
        return [call["words"] for call in self.all]


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path / "programs")


@contextmanager
def _opened(it: Graftable, tmp_path: Path, *lines: str, **more: str) -> Iterator[DaemonStore]:
    (tmp_path / "nix.conf").write_text("".join(f"{line}\n" for line in lines))
    environment = {"PATH": str(tmp_path / "programs"), "NIX_CONF_DIR": str(tmp_path), **more}
    with DaemonStore(it.store.location, environment) as daemon:
        yield daemon


@pytest.fixture
def daemon(it: Graftable, calls: Calls, tmp_path: Path) -> Iterator[DaemonStore]:
    with _opened(it, tmp_path, "trusted-users = nobody-at-all") as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("remote", "named"),
    [(None, "daemon"), ("", "daemon"), ("auto", "daemon"), ("unix:///x", "unix:///x")],
)
def test_programs_speak_with_the_daemon_of_the_store(
    remote: str | None, named: str, it: Graftable, calls: Calls, tmp_path: Path
) -> None:
    given = {"NIX_STORE_DIR": "/other", "MINE": "mine", "EMPTY": ""}
    with _opened(it, tmp_path, **given | ({} if remote is None else {"NIX_REMOTE": remote})) as one:
        one.check_writable()
    (call,) = calls.all
    assert call["words"][:3] == ["nix", "store", "ping"]
    assert (call["NIX_REMOTE"], call["MINE"], call["EMPTY"]) == (named, "mine", "")
    assert call["NIX_STORE_DIR"] == it.store.store_dir
    assert call["NIX_STATE_DIR"] == it.store.location.state_dir


def _receive(daemon: DaemonStore) -> StorePath:
    with daemon.receiving() as cache:
        info = written(cache, "new-1", File(b"new"))
        cache.register([info])
    return info.path


@pytest.mark.parametrize("trusted", [True, False])
def test_new_paths_are_copied_from_a_temporary_cache_with_their_signatures_checked(
    trusted: bool, it: Graftable, calls: Calls, tmp_path: Path
) -> None:
    line = "trusted-users = *" if trusted else "trusted-users = nobody-at-all"
    with _opened(it, tmp_path, line) as daemon:
        path = _receive(daemon)
    (call,) = calls.all
    words = call["words"]
    assert words[:2] == ["nix", "copy"]
    assert words[words.index("--from") + 1] == f"file://{call['in']}"
    assert "--no-recursive" in words
    assert ("--no-check-sigs" in words) == trusted
    assert words[-1] == it.store.store_dir.path(path)
    assert not os.path.exists(call["in"])


def test_a_temporary_directory_that_no_url_can_name_is_the_current_one(
    daemon: DaemonStore, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a b"))
    _receive(daemon)
    (call,) = calls.all
    assert call["words"][call["words"].index("--from") + 1] == "file:///proc/self/cwd"
    assert os.path.dirname(call["in"]) == str(tmp_path / "a b")


def test_paths_of_the_store_are_valid_in_the_temporary_cache_and_not_new(
    daemon: DaemonStore, it: Graftable
) -> None:
    with daemon.receiving() as cache:
        info = written(cache, "new-1", File(b"new"), [it.env])
        cache.register([info])
        assert cache.path_infos([it.env, info.path]).keys() == {it.env, info.path}
        assert cache.store_object(it.env) == it.store.store_object(it.env)
        assert isinstance(cache.store_object(info.path), NarObject)
        assert list(cache.new_paths) == [info.path]


def test_nothing_is_copied_after_an_error(daemon: DaemonStore, calls: Calls) -> None:
    with pytest.raises(ZeroDivisionError), daemon.receiving() as cache:
        cache.register([written(cache, "new-1", File(b"new"))])
        raise ZeroDivisionError
    assert calls.words == []


def test_roots_and_profiles_are_made_by_nixs_programs(
    daemon: DaemonStore,
    it: Graftable,
    calls: Calls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    full = it.store.store_dir.path(it.env)
    daemon.add_root("link", it.env)
    daemon.switch_profile("profile", it.env)
    assert calls.words == [
        ["nix-store", "--realise", full, "--add-root", f"{tmp_path}/link", "--indirect"],
        ["nix-env", "--profile", f"{tmp_path}/profile", "--set", full],
    ]


def test_places_are_checked_before_a_program_is_called(
    daemon: DaemonStore, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RootLinkError):
        daemon.check_root_link(str(tmp_path / "file"))
    with pytest.raises(ProfileError):
        daemon.check_profile(str(tmp_path / "file"))
    daemon.check_root_link(str(tmp_path / "link"))
    daemon.check_profile(str(tmp_path / "profile"))
    assert calls.words == []


def test_a_closed_store_leaves_no_directory_and_no_descriptor(
    it: Graftable, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    it.store.close()  # SQLite closes a database that is open twice only with the second one
    before = os.listdir("/proc/self/fd")
    with _opened(it, tmp_path) as daemon:
        daemon.check_writable()
        _receive(daemon)
    assert os.listdir(tmp_path / "temporary") == []
    assert os.listdir("/proc/self/fd") == before
