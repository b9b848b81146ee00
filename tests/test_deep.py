"""Deep searches: the same places in a tree, in bytes and in a NAR, and no false alarms."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.contents import WINDOW
from graft.deep import FRAGMENT, DeepFinder, DeepReference
from graft.formats.store_path import StorePath
from graft.store.objects import TreeObject
from tests.debpkgs.built import small
from tests.debpkgs.store import TOOLS
from tests.fragments.programs import NEW, OLD, compiled, source

PATH = StorePath(f"{OLD}-openssl-3.0.20")
OTHER = StorePath(f"{NEW}-openssl-3.0.22")


def _told(found: Iterator[DeepReference]) -> list[tuple[bytes, str, int, str]]:
    return [(each.file, each.where, each.offset, each.encoding) for each in found]


def test_contents_targets_and_names_are_searched(tmp_path: Path) -> None:
    (tmp_path / OLD[::-1]).write_text("nothing")
    (tmp_path / "link").symlink_to("x" + OLD.encode().hex())
    (tmp_path / "text").write_bytes(bytes(WINDOW - 9) + base64.b64encode(b"..." + OLD.encode()))
    finder = DeepFinder([PATH, OTHER])
    found = list(finder.in_object(TreeObject(str(tmp_path))))
    assert sorted(_told(iter(found))) == [
        (OLD[::-1].encode(), "name", 0, "reversed"),
        (b"link", "target", 1, "hex"),
        (b"text", "contents", WINDOW - 9 + 4, "base64"),
    ]
    assert {each.path for each in found} == {PATH}


def test_a_hash_part_of_an_unknown_path_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(OLD[::-1])
    (found,) = DeepFinder([], [OLD]).in_object(TreeObject(str(tmp_path)))
    assert (found.hash_part, found.path) == (OLD, None)


def test_whole_hash_parts_are_no_deep_places(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\x7fELF" + OLD.encode() + bytes(200))
    assert not list(DeepFinder([PATH]).in_object(TreeObject(str(tmp_path))))


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_a_file_and_its_bytes_have_the_same_places(tmp_path: Path) -> None:
    program = compiled(tmp_path, "gcc -O2", source("openssl-3.0.20"))
    finder = DeepFinder([PATH, OTHER])
    places = finder.in_file(os.fsencode(program))
    assert places == finder.in_bytes(program.read_bytes())
    assert {(place.encoding, place.hash_part) for place in places} == {(FRAGMENT, OLD)}


@pytest.mark.slow
@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_no_path_of_a_real_closure_holds_anything_that_is_spelled_otherwise() -> None:
    built = small()
    with built.checkout() as store:
        closure = store.closure(built.old_root)
        finder = DeepFinder([StorePath(os.path.basename(path)) for path in closure])
        found = [
            (path, place) for path in closure for place in _told(finder.in_object(TreeObject(path)))
        ]
    assert not found
