"""Copies of libraries in a closure: where nothing refers to OLD, and not in OLD itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.objects.library_copies import CopyFinder
from tests.caches import cache_of
from tests.store_objects import add_object, new_store

LIBRARY = b"\0version 1.0 of the library\0" + b"\0".join(b"message number %d" % i for i in range(9))


def test_only_paths_that_do_not_refer_to_old_are_told(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    old = add_object(store, "lib-1.0", {"lib.so": LIBRARY + b"\0"})
    static = add_object(store, "static-1", {"program": LIBRARY})
    top = add_object(store, "top-1", {"program": LIBRARY, "to": store.store_dir.path(old)}, [old])
    read: list[int] = []
    (found,) = CopyFinder(store, [old]).in_paths([top, static, old], jobs=1, on_bytes=read.append)
    assert (found.path, found.old, found.copy.file) == (static, old, b"program")
    assert found.copy.versioned
    assert sum(read) == len(LIBRARY)


def test_a_path_is_read_once_whatever_is_sought(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    other = LIBRARY.replace(b"1.0", b"2.0").replace(b"message", b"another text of")
    olds = [
        add_object(store, "lib-1.0", {"lib.so": LIBRARY + b"\0"}),
        add_object(store, "other-2.0", {"lib.so": other + b"\0"}),
    ]
    both = add_object(store, "both-1", {"a": {"program": bytes(2_000_000) + LIBRARY + other}})
    read: list[int] = []
    found = CopyFinder(store, olds).in_paths([both], jobs=1, on_bytes=read.append)
    assert sorted((each.old, each.copy.file) for each in found) == sorted(
        (old, b"a/program") for old in olds
    )
    assert sum(read) == 2_000_000 + len(LIBRARY + other)
    cache = cache_of(store, tmp_path / "cache")
    assert CopyFinder(cache, olds).in_paths([both], jobs=1) == found


def test_an_old_that_is_not_valid_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidPathError, match=r"lib-1\.0"):
        CopyFinder(new_store(tmp_path), [StorePath("0" * 32 + "-lib-1.0")])
