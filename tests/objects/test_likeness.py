"""Copies of libraries: found in what was linked statically, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.objects.library_copies import MANY, Copy, Likeness, StringTable

ZLIB = StorePath("0" * 32 + "-zlib-1.2.13.dfsg-1")
MESSAGES = [f"the library's message number {number} of many" for number in range(10)]
VERSION = "parser 1.2.13 of the zlib library"


def _copies(likeness: Likeness, tree: str) -> list[Copy]:
    return [copy for _, copy in StringTable([likeness]).in_tree(tree, [0])]


def _library(directory: Path, *strings: str) -> str:
    (directory / "lib").mkdir(parents=True)
    data = b"\x7fELF\0" + b"".join(string.encode() + b"\0" for string in strings)
    (directory / "lib" / "libz.so.1").write_bytes(data)
    return str(directory)


@pytest.fixture
def likeness(tmp_path: Path) -> Likeness:
    symbols = ["a_symbol_that_has_no_space", "short text"]
    return Likeness(ZLIB, _library(tmp_path / "old", VERSION, *MESSAGES, *symbols))


def test_a_string_with_the_version_is_enough(likeness: Likeness, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(bytes(5) + VERSION.encode() + b"\0")
    (copy,) = _copies(likeness, str(program))
    assert (copy.file, copy.offset, copy.text) == (b"", 5, VERSION)
    assert (copy.versioned, copy.strings, copy.of) == (True, 1, 11)


@pytest.mark.parametrize(("number", "found"), [(MANY - 1, False), (MANY, True)])
def test_other_strings_must_be_many(
    likeness: Likeness, tmp_path: Path, number: int, found: bool
) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0".join(message.encode() for message in MESSAGES[:number]))
    copies = _copies(likeness, str(program))
    assert bool(copies) == found
    assert not any(copy.versioned for copy in copies)


def test_one_string_many_times_is_one_string(likeness: Likeness, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(MESSAGES[0] * MANY)
    assert not (_copies(likeness, str(tmp_path / "text")))


def test_strings_of_what_everything_has_say_nothing(tmp_path: Path) -> None:
    common = _library(tmp_path / "libc", *MESSAGES)
    old = _library(tmp_path / "old", VERSION, *MESSAGES)
    assert Likeness(ZLIB, old, [common]).strings == [VERSION.encode()]


def test_a_path_without_libraries_is_like_nothing(likeness: Likeness, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(VERSION)
    empty = Likeness(ZLIB, str(tmp_path / "script"))
    assert not empty.strings
    assert not (_copies(empty, str(tmp_path / "script")))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("openssl-3.0.20", "3.0.20"),
        ("openssl-3.0.20-1.deb12u2", "3.0.20"),
        ("zlib1g-1.2.13.dfsg-1", "1.2.13"),
        ("openssl-1.1.1w-bin", "1.1.1w"),
        ("source", None),
    ],
)
def test_the_version_is_that_of_the_name(tmp_path: Path, name: str, version: str | None) -> None:
    assert Likeness(StorePath("0" * 32 + f"-{name}"), str(tmp_path)).version == version


_PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <zlib.h>
int main(void) {
  unsigned char packed[99], text[99];
  unsigned long size = sizeof packed, length = sizeof text;
  compress(packed, &size, (const unsigned char *)"hello", 6);
  uncompress(text, &length, packed, size);
  return puts((char *)text) < 0;
}
"""


def _system_library(name: str) -> Path:
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return Path(found).resolve()


@pytest.mark.slow
@pytest.mark.needs("gcc", "libz.a", "strip")
def test_a_program_that_is_linked_with_zlib_statically_holds_a_copy_and_another_does_not(
    tmp_path: Path,
) -> None:
    archive, shared = _system_library("libz.a"), _system_library("libz.so")
    version = shared.name.partition(".so.")[2]
    old = tmp_path / "old" / "lib"
    old.mkdir(parents=True)
    (old / shared.name).write_bytes(shared.read_bytes())
    likeness = Likeness(StorePath("0" * 32 + f"-zlib-{version}"), str(old.parent))
    code = tmp_path / "program.c"
    code.write_text(_PROGRAM)
    made = tmp_path / "made"
    made.mkdir()
    for name, libraries in (("static", ["-static", archive]), ("dynamic", [shared])):
        subprocess.run(["gcc", "-O2", "-o", made / name, code, *libraries], check=True)
        subprocess.run(["strip", made / name], check=True)
    (copy,) = _copies(likeness, str(made))
    assert copy.file == b"static"
    assert copy.versioned
    assert version in copy.text
    assert copy.strings >= MANY
