"""Garbage collector roots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import RootLinkError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.roots import add_root, check_root_link

STORE = StoreDir("/nix/store")
PATH = StorePath("0123456789abcdfghijklmnpqrsvwxyz-hello-1.0")


def test_a_root_is_a_link_and_an_indirect_root_of_it(tmp_path: Path) -> None:
    link = tmp_path / "result"
    add_root(str(link), PATH, STORE, str(tmp_path / "state"))
    assert os.readlink(link) == STORE.path(PATH)
    (automatic,) = (tmp_path / "state/gcroots/auto").iterdir()
    assert os.readlink(automatic) == str(link)


def test_a_root_replaces_a_link_into_the_store(tmp_path: Path) -> None:
    link = tmp_path / "result"
    link.symlink_to("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-old")
    add_root(str(link), PATH, STORE, str(tmp_path / "state"))
    assert os.readlink(link) == STORE.path(PATH)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["result", "state"]


def test_a_link_among_the_roots_needs_no_indirect_root(tmp_path: Path) -> None:
    roots = tmp_path / "gcroots"
    roots.mkdir()
    add_root(str(roots / "mine"), PATH, STORE, str(tmp_path))
    assert [entry.name for entry in roots.iterdir()] == ["mine"]


def test_nothing_but_a_link_into_the_store_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "elsewhere").symlink_to("/etc/passwd")
    for link in ("file", "elsewhere", "missing/link"):
        with pytest.raises(RootLinkError):
            check_root_link(str(tmp_path / link), STORE)
    with pytest.raises(RootLinkError):
        check_root_link("/nix/store/link", STORE)
    assert (tmp_path / "file").read_text() == "precious"
