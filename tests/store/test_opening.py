"""Stores opened by their URLs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from graft.errors import BadStoreUrlError
from graft.formats.signature import SecretKey
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.opening import (
    open_local_store,
    open_sources,
    open_store,
    open_target,
    trusted_keys,
)
from graft.store.writable_cache import WritableCache
from tests.caches import STORE, new_cache
from tests.ordinary_user import as_ordinary_user
from tests.store_objects import new_store


def test_sources_are_asked_in_the_order_of_their_priorities(tmp_path: Path) -> None:
    LocalStore.create(Location.at_root(str(tmp_path / "local")))
    for name, line in (("low", "Priority: 10\n"), ("high", "Priority: 40\n"), ("same", "")):
        new_cache(tmp_path / name).close()
        with open(tmp_path / name / "nix-cache-info", "a") as info:
            info.write(line)
    urls = [f"file://{tmp_path}/{name}" for name in ("high", "low")]
    urls += [f"file://{tmp_path}/same?priority=10", str(tmp_path / "local")]
    with ExitStack() as opened:
        found = [store.url for store in open_sources(urls, os.environ, opened)]
    names = ["local", "low", "same", "high"]
    assert [os.path.basename(url.replace("%2F", "/")) for url in found] == names


def test_a_cache_that_may_be_written_is_opened_so(tmp_path: Path) -> None:
    new_cache(tmp_path).close()
    with open_store(f"file://{tmp_path}", {}) as store:
        assert isinstance(store, WritableCache)


def test_a_target_that_is_no_cache_yet_is_made_one(tmp_path: Path) -> None:
    with open_target(f"file://{tmp_path}/new", {}, STORE) as target:
        assert target.valid_paths() == set()
        assert (tmp_path / "new" / "nix-cache-info").exists()


def test_what_needs_trees_refuses_a_cache() -> None:
    with pytest.raises(BadStoreUrlError, match="needs a store on this machine"):
        open_local_store("https://cache.example.org", {})


@as_ordinary_user
def test_the_daemon_writes_into_the_machines_store_for_users_who_may_not(tmp_path: Path) -> None:
    location = new_store(tmp_path).location
    environment = {
        "NIX_STORE_DIR": location.real_store_dir,
        "NIX_STATE_DIR": location.state_dir,
        "NIX_REMOTE": "daemon",
    }
    with open_target("auto", environment, location.store_dir) as target:
        assert isinstance(target, LocalStore)
    Path(location.real_store_dir).chmod(0o555)
    with open_target("auto", environment, location.store_dir) as target:
        assert isinstance(target, DaemonStore)
    with open_target(location.url, environment, location.store_dir) as target:
        assert isinstance(target, LocalStore)
    Path(location.real_store_dir).chmod(0o755)


def test_keys_are_those_given_or_else_those_of_the_configuration(tmp_path: Path) -> None:
    given, configured = (str(SecretKey.generate(f"k-{number}").public_key) for number in range(2))
    (tmp_path / "nix.conf").write_text(f"trusted-public-keys = {configured}\n")
    environment = {"NIX_CONF_DIR": str(tmp_path), "NIX_USER_CONF_FILES": ""}
    with new_cache(tmp_path / "cache") as cache:
        texts = list(map(str, trusted_keys([given], [cache], environment)))
        assert texts == [given]
        assert list(map(str, trusted_keys([], [cache], environment))) == [configured]
        assert trusted_keys([""], [cache], environment) == []
    store = new_store(tmp_path)
    assert trusted_keys([], [store], {"NIX_CONF_DIR": "/dev/null"}) == []
    assert list(map(str, trusted_keys([f"{given}\n{configured}"], [store], {}))) == [
        given,
        configured,
    ]
