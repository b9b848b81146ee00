"""Deep searches: the same places in a tree, in bytes and in a NAR, and no false alarms."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from graft.deep import DeepSearch, HiddenReference
from graft.formats.store_path import StorePath
from graft.reading import search_object
from graft.store.objects import TreeObject
from graft.tree import WINDOW
from tests.debpkgs.built import small
from tests.debpkgs.store import TOOLS
from tests.fragments.programs import NEW, OLD

PATH = StorePath(f"{OLD}-openssl-3.0.20")
OTHER = StorePath(f"{NEW}-openssl-3.0.22")


def hidden(tree: Path | str, search: DeepSearch) -> tuple[HiddenReference, ...]:
    return search_object(TreeObject(str(tree)), search).hidden


def test_contents_targets_and_names_are_searched(tmp_path: Path) -> None:
    (tmp_path / OLD[::-1]).write_text("nothing")
    (tmp_path / "link").symlink_to("x" + OLD.encode().hex())
    (tmp_path / "text").write_bytes(bytes(WINDOW - 9) + base64.b64encode(b"..." + OLD.encode()))
    found = hidden(tmp_path, DeepSearch([PATH, OTHER]))
    assert sorted((each.file, each.where, each.offset, each.encoding) for each in found) == [
        (OLD[::-1].encode(), "name", 0, "reversed"),
        (b"link", "target", 1, "hex"),
        (b"text", "contents", WINDOW - 9 + 4, "base64"),
    ]
    assert {each.path for each in found} == {PATH}


def test_a_hash_part_of_an_unknown_path_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(OLD[::-1])
    (found,) = hidden(tmp_path, DeepSearch([], [OLD]))
    assert (found.hash_part, found.path) == (OLD, None)


def test_whole_hash_parts_are_no_hidden_places(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\x7fELF" + OLD.encode() + bytes(200))
    assert not hidden(tmp_path, DeepSearch([PATH]))


@pytest.mark.slow
@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_no_path_of_a_real_closure_holds_anything_that_is_spelled_otherwise() -> None:
    built = small()
    with built.checkout() as store:
        closure = store.closure(built.old_root)
        search = DeepSearch([StorePath(os.path.basename(path)) for path in closure])
        found = [place for path in closure for place in hidden(path, search) if place.is_spelled]
    assert not found
