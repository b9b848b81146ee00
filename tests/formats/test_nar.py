from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats import nar


def text(*words: bytes) -> bytes:
    return b"".join(
        len(word).to_bytes(8, "little") + word + b"\0" * ((8 - len(word) % 8) % 8) for word in words
    )


def test_archive_of_an_empty_file_is_the_manuals() -> None:
    archive = nar.MAGIC + nar.regular_head(0, executable=False) + nar.regular_tail(0)
    assert archive == text(b"nix-archive-1", b"(", b"type", b"regular", b"contents", b"", b")")
    assert archive.startswith(b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\x01\0\0\0\0\0\0\0(\0")


def test_executable_mark_stands_before_the_contents() -> None:
    assert nar.regular_head(3, executable=True) + b"abc" + nar.regular_tail(3) == text(
        b"(", b"type", b"regular", b"executable", b"", b"contents", b"abc", b")"
    )


def test_directory_is_its_entries_in_between() -> None:
    entry = nar.entry_head(b"a") + nar.symlink_object(b"b") + nar.ENTRY_TAIL
    link = [b"(", b"type", b"symlink", b"target", b"b", b")"]
    assert nar.DIRECTORY_HEAD + entry + nar.DIRECTORY_TAIL == text(
        b"(", b"type", b"directory", b"entry", b"(", b"name", b"a", b"node", *link, b")", b")"
    )


@given(st.binary(max_size=40))
def test_strings_are_padded_to_eight_bytes(value: bytes) -> None:
    encoded = nar.encode_string(value)
    assert encoded == text(value)
    assert len(encoded) % 8 == 0


@given(st.integers(0, 2**40))
def test_padding_fills_up_to_eight_with_nul_bytes(length: int) -> None:
    padding = nar.padding(length)
    assert (length + len(padding)) % 8 == 0
    assert len(padding) < 8
    assert not padding.strip(b"\0")


@pytest.mark.nix
def test_archive_of_a_symlink_is_that_of_nix(tmp_path: Path) -> None:
    target = b"/nix/store/\xff\n and more"
    (tmp_path / "link").symlink_to(target.decode("utf-8", "surrogateescape"))
    dumped = subprocess.run(
        ["nix-store", "--dump", tmp_path / "link"], check=True, capture_output=True
    ).stdout
    assert nar.symlink_archive(target) == dumped


@pytest.mark.nix
def test_nix_restores_what_was_put_together(tmp_path: Path) -> None:
    archive = (
        nar.MAGIC
        + nar.DIRECTORY_HEAD
        + nar.entry_head(b"run")
        + nar.regular_head(5, executable=True)
        + b"hello"
        + nar.regular_tail(5)
        + nar.ENTRY_TAIL
        + nar.DIRECTORY_TAIL
    )
    restored = tmp_path / "restored"
    subprocess.run(["nix-store", "--restore", restored], input=archive, check=True)
    assert (restored / "run").read_bytes() == b"hello"
    assert (restored / "run").stat().st_mode & 0o111
