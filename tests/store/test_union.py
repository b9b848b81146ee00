"""Several stores read as one: the first that has a path gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import StoreError
from graft.store.union import UnitedStore
from tests.archives import File
from tests.caches import add_nar, cache_of, new_cache
from tests.store_objects import add_object, new_store


def test_a_path_comes_from_the_first_store_that_has_it(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    one, two = add_object(store, "one-1", b"1"), add_object(store, "two-1", b"2")
    cache = cache_of(store, tmp_path / "cache")
    only = add_nar(cache, "only-1", File(b"3")).path
    united = UnitedStore(store, cache)
    assert united.valid_paths() == {one, two, only}
    assert united.path_infos([one, only]).keys() == {one, only}
    assert united.path_infos([one])[one] == store.path_infos([one])[one]
    assert united.store_object(one) == store.store_object(one)
    assert type(united.store_object(only)) is type(cache.store_object(only))
    turned = UnitedStore(cache, store)
    assert type(turned.store_object(two)) is type(cache.store_object(two))


def test_an_argument_means_the_path_of_the_first_store(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    path = add_object(store, "one-1", b"1")
    cache = cache_of(store, tmp_path / "cache")
    link = tmp_path / "link"
    link.symlink_to(store.tree(path))
    assert UnitedStore(store, cache).resolve(str(link)) == path


def test_stores_of_other_directories_are_not_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="different store directories"):
        UnitedStore(new_store(tmp_path / "store"), new_cache(tmp_path / "cache"))


def test_the_first_store_speaks_for_all_but_for_their_trust(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    path = add_object(store, "one-1", b"1")
    cache = cache_of(store, tmp_path / "cache")
    united, turned = UnitedStore(store, cache), UnitedStore(cache, store)
    assert (united.priority, turned.priority) == (store.priority, cache.priority)
    assert store.priority != cache.priority
    assert (united.is_trusted, UnitedStore(store, store).is_trusted) == (False, True)
    assert united.url == f"{store.url}' and '{cache.url}"
    assert united.store_dir == store.store_dir
    assert type(turned.store_object(path)) is type(cache.store_object(path))
    united.protect(iter([path]))
    assert store._temporary_roots is not None
