"""Trees piece by piece: in order, and what lies on a border is told once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.errors import TreeError
from graft.objects.file_windows import WINDOW, regular_files, search_file, texts


@dataclass(frozen=True)
class _Word:
    offset: int
    size: int


def _find(data: memoryview) -> Iterator[_Word]:
    text = bytes(data)
    for word in (b"short", b"a longer word"):
        at = text.find(word)
        while at >= 0:
            yield _Word(at, len(word))
            at = text.find(word, at + 1)


def test_what_lies_across_the_border_of_a_window_is_found_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = bytearray(2 * WINDOW + 1000)
    places = {(0, 5), (WINDOW - 3, 5), (WINDOW - 20, 13), (2 * WINDOW - 13, 13), (2 * WINDOW, 5)}
    for at, size in places:
        data[at : at + size] = b"short" if size == 5 else b"a longer word"
    file.write_bytes(data)
    read: list[int] = []
    found = [
        (base + word.offset, word.size)
        for base, word in search_file(os.fsencode(file), _find, 13, read.append)
    ]
    assert sorted(found) == sorted(places)
    assert sum(read) == len(data)


def test_files_and_texts_of_a_tree_are_told_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_text("x")
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("b")
    assert list(regular_files(tmp_path.as_posix())) == [b"a", b"b/file"]
    assert [(text.file, text.where, text.data) for text in texts(tmp_path.as_posix())] == [
        (b"a", "name", b"a"),
        (b"b", "name", b"b"),
        (b"link", "name", b"link"),
        (b"link", "target", b"b"),
        (b"b/file", "name", b"file"),
    ]


def test_a_top_that_is_a_file_or_a_link_is_a_tree_as_well(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("x")
    link.symlink_to("file")
    assert list(regular_files(str(file))) == [b""]
    assert not list(regular_files(str(link)))
    assert [text.data for text in texts(str(link))] == [b"file"]
    assert not list(texts(str(file)))


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="missing"):
        list(search_file(os.fsencode(tmp_path / "missing"), _find, 13))
