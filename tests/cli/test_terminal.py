"""Streams that take no more, terminals of other encodings, and names that would command them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graft.cli import run
from graft.cli.terminal import escaped, painted
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

GRAFT = [sys.executable, "-m", "graft"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本 → é", "日本 → é"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\nb\tc\r", r"a\x0ab\x09c\x0d"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("txt.\u202egpj.exe\u2066\u200f", r"txt.\u202egpj.exe\u2066\u200f"),
        (os.fsdecode(b"caf\xe9"), "caf%E9"),
    ],
)
def test_no_name_commands_a_terminal(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_name_is_escaped_wherever_it_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    add = {"a\x1b[31m\u202eb\nc": full(it.old).encode()}
    odd = add_object(it.store, "odd-1", add, [it.old])
    url = f"--store={it.store.url}"
    assert run([url, "scan", full(odd)]) == 0
    assert run([url, "why", full(odd), "\x1b[31mx\ny"]) == 2
    assert run([url, "apply", "no\x1bsuch", "--replace", f"{full(it.old)}={full(it.new)}"]) == 2
    out, err = capsys.readouterr()
    assert r"a\x1b[31m\u202eb\x0ac" in out
    assert r"\x1b[31mx\x0ay" in err
    assert not {"\x1b", "\u202e"} & set(out + err)
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "0"}, False),
    ],
)
def test_colours_are_asked_for(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert painted("x", "red", io.StringIO()) == ("\x1b[31mx\x1b[0m" if coloured else "x")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_encoding_takes_every_text(encoding: str, tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    done = subprocess.run(
        [*GRAFT, f"--store={it.store.url}", "why", full(it.env), full(it.old)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    first, second, _ = done.stdout.decode(encoding).splitlines()
    between = "·" if encoding == "latin-1" else "-"
    assert first == f"env 1 {between} {it.env[:6]}~"
    assert second.startswith("`- app 1")
    assert done.stderr == b""


LINES = [["--version"], ["version"], ["help"], ["apply", "--help"], ["nosuch", "--json"]]


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_a_full_disk_behind_stdout_is_one_line_with_status_two(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*GRAFT, *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr.endswith(b"graft: error: cannot write to stdout: No space left on device\n")
    assert done.stderr.count(b"\n") == 1 + ("nosuch" in arguments)


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_a_closed_pipe_ends_as_any_program_does(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            [*GRAFT, *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr.count(b"\n") == ("nosuch" in arguments)


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_closed_streams_are_no_traceback(arguments: list[str]) -> None:
    closed = ["sh", "-c", '"$@" >&-', "sh", *GRAFT, *arguments]
    done = subprocess.run(closed, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(b"graft: error: cannot write to stdout: Bad file descriptor\n")
    closed = ["sh", "-c", '"$@" 2>&- <&-', "sh", *GRAFT, *arguments]
    done = subprocess.run(closed, stdout=subprocess.PIPE, check=False)
    assert done.returncode == (2 if "nosuch" in arguments else 0)
    assert done.stdout != b""


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    pair = f"--replace={full(it.old)}={full(it.new)}"
    apply = [*GRAFT, f"--store={it.store.url}", "apply", "-vv", full(it.env), pair]
    subprocess.run(["sh", "-c", '"$@" >&- 2>&- <&-', "sh", *apply], check=False)
    done = subprocess.run(apply, check=True, capture_output=True, text=True)
    assert "0 paths written" in done.stderr
