"""`graft scan --deep`: other spellings, fragments, and copies of libraries."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from graft.store.local import LocalStore
from tests.cli.lines import CommandLine
from tests.fixups.fragments.programs import OLD, compiled, source
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

MESSAGES = [f"message {number} of the library" for number in range(9)]
LIBRARY = b"\x7fELF\0" + b"\0".join(
    message.encode() for message in [*MESSAGES, "version 1.0 of lib"]
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


@pytest.fixture
def scan(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys, store.url, "scan")


def test_a_path_that_is_spelled_otherwise_is_found_only_deeply(
    store: LocalStore, scan: CommandLine
) -> None:
    it = Graftable.build(store)
    full = store.store_dir.path
    encoded = base64.b64encode(f"x{full(it.old)}/lib".encode())
    user = add_object(store, "user-1", {"config": b"path=" + encoded, it.old.hash_part[::-1]: b""})
    assert scan.json(full(user), status=1)["references"] == []
    found = scan.json(full(user), "--deep")["references"]
    told = {(each["file"], each["in"], each["encoding"]) for each in found}
    assert told == {
        (it.old.hash_part[::-1], "name", "reversed"),
        ("config", "contents", "base64"),
    }
    assert {each["reference"] for each in found} == {full(it.old)}
    out, _ = scan(full(user), "--deep", f"--for={it.old}")
    assert "base64" in out


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_what_a_compiler_has_cut_up_is_found_as_fragments(
    tmp_path: Path, scan: CommandLine
) -> None:
    program = compiled(tmp_path, "gcc -O2 -mno-sse", source("z"))
    found = scan.json(str(program), "--deep", f"--for={OLD}")["references"]
    encodings = {each["encoding"] for each in found}
    assert "fragment" in encodings
    assert {each["hash"] for each in found} == {OLD}


def test_copies_of_a_library_are_found_where_nothing_refers_to_it(
    store: LocalStore, scan: CommandLine
) -> None:
    full = store.store_dir.path
    old = add_object(store, "lib-1.0", {"lib": {"lib.so.1": LIBRARY + b"\0"}})
    static = add_object(store, "static-2", {"bin": {"program": b"\0" + LIBRARY + b"\0"}})
    user = add_object(store, "user-1", {"copy": LIBRARY, "link": full(old)}, [old])
    arguments = [full(static), full(user), full(old), "--deep", f"--like={old}"]
    document = scan.json(*arguments, f"--for={static}")
    (copy,) = document["copies"]
    assert (copy["path"], copy["file"], copy["like"]) == (full(static), "bin/program", full(old))
    assert (copy["versioned"], copy["strings"], copy["of"]) == (True, 10, 10)
    out, errors = scan(*arguments, f"--for={static}")
    assert "version 1.0 of lib" in out
    assert "1 copy" in errors
    scan.json(full(user), "--deep", f"--like={old}", f"--for={static}", status=1)


def test_copies_are_sought_only_deeply(store: LocalStore, scan: CommandLine) -> None:
    _, errors = scan(str(store.store_dir), "--like=x", status=2)
    assert "--deep" in errors
