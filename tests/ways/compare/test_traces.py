from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.ways.compare.traces import STRACE, opened_files


def opened(trace: bytes, directory: str = "/") -> list[bytes]:
    return list(opened_files(trace, directory))


def traced(tmp_path: Path, *command: str) -> set[bytes]:
    """What really running a command under strace says it opened."""
    trace = tmp_path / "trace"
    subprocess.run([*STRACE, f"--output={trace}", "--", *command], check=True, cwd=tmp_path)
    return set(opened(trace.read_bytes(), str(tmp_path)))


def test_an_open_is_told_by_the_path_of_its_descriptor() -> None:
    line = b'7 openat(AT_FDCWD</tmp>, "x", O_RDONLY) = 3</nix/store/abc-x/lib>\n'
    assert opened(line) == [b"/nix/store/abc-x/lib"]


def test_a_deleted_file_was_opened_as_well() -> None:
    assert opened(b'7 open("x", O_RDONLY) = 3</tmp/x>(deleted)\n') == [b"/tmp/x"]


def test_lines_of_other_forms_are_passed_over() -> None:
    assert opened(b'7 openat(1, "x", O_RDONLY) = 3\n+++ exited\n\n7 mkdir("x") = 0\n') == []


@given(st.binary(max_size=300))
def test_any_trace_is_read(trace: bytes) -> None:
    for file in opened(trace):
        assert isinstance(file, bytes)


def test_a_script_is_executed_with_its_interpreters(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/bin/sh -e\n")
    outer.write_text(f"#! {inner} argument\n")
    line = b'7 execve("./outer", ["outer"], 0x7ff /* 1 var */) = 0\n'
    shell = os.path.realpath("/bin/sh")
    assert opened(line, str(tmp_path)) == [bytes(outer), bytes(inner), os.fsencode(shell)]


def test_scripts_that_interpret_each_other_are_followed_no_further_than_by_the_kernel(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{script}\n")
    assert set(opened(b'7 execve("%b", [], 0x0) = 0\n' % bytes(script))) == {bytes(script)}


NAMES = [
    b"plain",
    b'quote" and > < [x]',
    b"back\\slash",
    b"line\nend\ttab\x01",
    b"\xff\xc3\xa4",
    b"7\x017",
]


@pytest.mark.slow
@pytest.mark.needs("strace")
@pytest.mark.parametrize("name", NAMES)
def test_strace_tells_of_every_name(tmp_path: Path, name: bytes) -> None:
    file = os.path.join(bytes(tmp_path), name)
    with open(file, "wb"):
        pass
    assert file in traced(tmp_path, "cat", os.fsdecode(file))


@pytest.mark.slow
@pytest.mark.needs("strace")
def test_strace_tells_of_children_links_and_relative_names(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").touch()
    (tmp_path / "link").symlink_to("directory/file")
    program = "import os, subprocess; subprocess.run(['sh', '-c', 'cd directory && cat ../link'])"
    found = traced(tmp_path, sys.executable, "-c", program)
    assert bytes(tmp_path / "directory" / "file") in found
    assert bytes(tmp_path / "link") not in found


@pytest.mark.slow
@pytest.mark.needs("strace")
def test_what_could_not_be_opened_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    found = traced(tmp_path, "sh", "-c", "cat there missing || true")
    assert bytes(tmp_path / "there") in found
    assert bytes(tmp_path / "missing") not in found
