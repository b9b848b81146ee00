"""Which changed files of an object have types that nobody knows, as a tree and as a NAR."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest

from graft.errors import TreeError
from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel import Table
from graft.kernel.tree import read_tree
from graft.objects.reading import ObjectSearch, WrittenPaths
from graft.objects.search import DeepSearch
from graft.objects.unknown_types import _in_archive, unknown_files
from graft.store.objects import TreeObject
from tests.store_objects import add_object, new_store

OLD = StorePath("5m2xq8k1w7vz0a9bhcdyrgfnpi3l4js6-old")
NEW = StorePath("0123456789abcdfghijklmnpqrsvwxyz-new")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "object"
    (top / "d").mkdir(parents=True)
    reference = f"/nix/store/{NEW}".encode()
    (top / "d" / "binary").write_bytes(b"\1\0" + reference)
    (top / "d" / "late").write_bytes(bytes(3 << 20) + reference)
    (top / "d" / "wide").write_bytes(str(NEW).encode("utf-16"))
    (top / "program").write_bytes(b"\x7fELF" + bytes(60) + reference)
    (top / "text").write_bytes(reference)
    (top / "unchanged").write_bytes(b"\1\0\2")
    (top / str(NEW)).write_bytes(b"\1\0 only its name has changed")
    (top / "link").symlink_to(os.fsdecode(reference))
    return top


UNKNOWN = [b"d/binary", b"d/late", b"d/wide"]


def test_changed_files_of_unknown_types_are_named(tree: Path) -> None:
    assert unknown_files(TreeObject(str(tree)), [NEW]) == UNKNOWN


@pytest.mark.parametrize("window", [65536, 1 << 20])
def test_an_archive_tells_the_same_as_its_tree(tree: Path, window: int) -> None:
    dump = bytearray()
    read_tree(tree, sink=dump.extend)
    archive = Window(BytesIO(dump).readinto, len, window)
    table = Table([(NEW.hash_part.encode(), None)])
    assert _in_archive(archive, table) == UNKNOWN


def test_an_object_that_is_one_file_is_named_by_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\0" + str(NEW).encode())
    assert unknown_files(TreeObject(str(file)), [NEW]) == [b""]


def test_a_missing_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TreeError):
        unknown_files(TreeObject(str(tmp_path / "none")), [NEW])


def test_a_search_of_a_rewritten_tree_tells_them_and_reads_it_once(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path(NEW).encode()
    path = add_object(store, "made-1", {"binary": b"\0" + full, "text": full})
    search = ObjectSearch(store, DeepSearch([OLD]))
    written = WrittenPaths([NEW], search)
    found = search.search(path, with_digest=False, on_bytes=lambda _: None, written=written)
    assert found.places == ()
    Path(store.tree(path)).chmod(0o755)
    Path(store.tree(path), "binary").unlink()
    assert search.unknown_files(path, written) == [b"binary"]
    again = ObjectSearch(store, DeepSearch([OLD]))
    assert again.unknown_files(path, written) == []
