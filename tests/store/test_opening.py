"""Stores opened by their URLs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from graft.errors import BadStoreUrlError
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.opening import open_local_store, open_sources, open_store, open_target
from graft.store.writable_cache import WritableCache
from tests.caches import STORE, new_cache


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
