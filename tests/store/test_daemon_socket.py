"""Whether Nix's daemon is the one to write into a store, and where it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.store.daemon_socket import daemon_socket, is_for_daemon
from graft.store.local import LocalStore
from graft.store.local_store.schema import GUIX
from graft.store.location import Location
from tests.ordinary_user import as_ordinary_user
from tests.store_objects import new_store, opened

LOCATION = Location.of_directories("/s", "/t")


@pytest.mark.parametrize(
    ("environment", "socket"),
    [
        ({}, "/t/daemon-socket/socket"),
        ({"NIX_DAEMON_SOCKET_PATH": "/own"}, "/own"),
        ({"NIX_DAEMON_SOCKET_PATH": ""}, "/t/daemon-socket/socket"),
        ({"NIX_REMOTE": "daemon"}, "/t/daemon-socket/socket"),
        ({"NIX_REMOTE": "unix://"}, "/t/daemon-socket/socket"),
        ({"NIX_REMOTE": "unix:///x?root=/y"}, "/x"),
        ({"NIX_REMOTE": "unix:///x", "NIX_DAEMON_SOCKET_PATH": "/own"}, "/x"),
    ],
)
def test_the_daemon_listens_where_the_environment_says(
    environment: dict[str, str], socket: str
) -> None:
    assert daemon_socket(LOCATION, environment) == socket


@pytest.mark.parametrize("remote", ["", "auto", "daemon", "unix:///x"])
def test_a_user_who_may_write_needs_no_daemon(remote: str, tmp_path: Path) -> None:
    store = new_store(tmp_path)
    (tmp_path / "state/daemon-socket").mkdir()
    (tmp_path / "state/daemon-socket/socket").touch()
    assert not is_for_daemon(store, {"NIX_REMOTE": remote})


@as_ordinary_user
def test_a_user_who_may_not_write_has_the_daemon_that_is_there_or_named(tmp_path: Path) -> None:
    location = new_store(tmp_path).location
    Path(location.real_store_dir).chmod(0o555)
    store = opened(location)
    nobody = {name: is_for_daemon(store, {"NIX_REMOTE": name}) for name in ("", "auto", "ssh://x")}
    assert nobody == {"": False, "auto": False, "ssh://x": False}
    assert is_for_daemon(store, {"NIX_REMOTE": "daemon"})
    assert is_for_daemon(store, {"NIX_REMOTE": "unix:///x"})
    (tmp_path / "state/daemon-socket").mkdir()
    (tmp_path / "state/daemon-socket/socket").touch()
    assert is_for_daemon(store, {})
    assert is_for_daemon(store, {"NIX_REMOTE": "auto"})
    assert not is_for_daemon(store, {"NIX_REMOTE": "ssh://x"})
    Path(location.real_store_dir).chmod(0o755)


@as_ordinary_user
def test_the_daemon_of_guix_is_not_asked(tmp_path: Path) -> None:
    location = Location.of_directories(str(tmp_path / "store"), str(tmp_path / "state"))
    LocalStore.create(location, GUIX)
    (tmp_path / "state/daemon-socket").mkdir()
    (tmp_path / "state/daemon-socket/socket").touch()
    Path(location.real_store_dir).chmod(0o555)
    assert not is_for_daemon(opened(location), {"NIX_REMOTE": "daemon"})
    Path(location.real_store_dir).chmod(0o755)


@as_ordinary_user
def test_a_store_below_a_root_has_no_daemon(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path))
    LocalStore.create(location)
    Path(location.real_store_dir).chmod(0o555)
    assert not is_for_daemon(opened(location), {"NIX_REMOTE": "daemon"})
    Path(location.real_store_dir).chmod(0o755)
