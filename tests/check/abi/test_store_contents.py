"""What the loader could see in an object, in a tree and in a NAR."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.check.abi.nar_contents import NarContents
from graft.check.abi.object_contents import Broken, Script, parsed, script
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.tree_contents import TreeContents
from graft.errors import CorruptCacheError
from graft.formats.elf.dynamic import Elf
from graft.formats.store_path import StorePath
from graft.formats.window import SIZE
from graft.store.objects import TreeObject
from tests.caches import cache_of
from tests.store_objects import add_object, new_store


def _compare(tree: TreeContents | NarContents, nar: TreeContents | NarContents) -> None:
    files = dict(tree.files())
    assert files == dict(nar.files())
    for name, thing in files.items():
        assert nar.thing(name) == thing
        if isinstance(thing, Elf):
            assert nar.imports(name) == tree.imports(name)
            assert nar.exports(name) == tree.exports(name)
            assert nar.data(name) == tree.data(name)


def test_a_nar_shows_what_its_tree_does(tmp_path: Path) -> None:
    program = Path(os.path.realpath(sys.executable)).read_bytes()
    store = new_store(tmp_path)
    path = add_object(
        store,
        "all-sorts",
        {
            "bin": {"program": program, "script": b"#! /bin/sh -e\n", "odd": b"#!relative\n"},
            "broken": b"\x7fELF" + program[4:500],
            "directory": {"empty": b"", "three": b"\x7fEL", "link": "../bin"},
            # So that heads lie at the ends of windows as well.
            **{f"x{size}": program[: SIZE + size] for size in (-700, -350, 0)},
            "z": b"#!/bin/sh\n",
        },
    )
    with cache_of(store, tmp_path / "cache") as cache, StoreContents(cache) as contents:
        nar = contents[path]
        tree = TreeContents(TreeObject(store.tree(path)))
        assert isinstance(nar, NarContents)
        _compare(tree, nar)
        kinds = {name: type(thing) for name, thing in tree.files()}
        assert kinds.pop(b"bin/program") is Elf
        assert kinds.pop(b"bin/script") is kinds.pop(b"z") is Script
        assert kinds[b"broken"] is Broken
        for name in (b"", b"bin", b"directory/link", b"directory/three", b"bin/odd", b"no", b"z/z"):
            assert tree.thing(name) == nar.thing(name)


def test_a_nar_that_cannot_be_read_is_an_error_each_time(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path: StorePath = add_object(store, "one", {"bin": b"#!/bin/sh\n"})
    with cache_of(store, tmp_path / "cache") as cache, StoreContents(cache) as contents:
        for file in (tmp_path / "cache" / "nar").iterdir():
            file.write_bytes(b"")
        for _ in range(2):
            with pytest.raises(CorruptCacheError):
                _ = contents[path]


@given(st.binary(max_size=600))
def test_any_bytes_are_looked_into_without_a_traceback(data: bytes) -> None:
    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    assert not isinstance(parsed(read, len(data)), Elf)
    found = script(b"#!" + data)
    assert found is None or found.interpreter.startswith(b"/")
