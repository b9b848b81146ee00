"""`graft scan`: references in stores, files and directories."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

UNKNOWN = "0123456789abcdfghijklmnpqrsvwxyz"


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _scan(
    capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0
) -> list[dict[str, Any]]:
    assert run(["scan", *arguments, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["version", "references"]
    references = document["references"]
    assert isinstance(references, list)
    return references


def test_every_reference_of_a_store_path_is_found(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    full = it.store.store_dir.path
    found = _scan(capsys, "--store", it.store.url, full(it.app))
    assert {(each["file"], each["in"], each["reference"]) for each in found} == {
        ("bin/run", "contents", full(it.old)),
        ("lib", "target", full(it.old)),
        ("share/own", "contents", full(it.app)),
    }
    first = next(each for each in found if each["file"] == "bin/run")
    text = Path(it.tree(it.app), "bin/run").read_text()
    assert text[first["offset"] :].startswith(it.old)
    assert first["hash"] == it.old.hash_part
    assert first["encoding"] == "ascii"


def test_only_what_is_asked_for_is_found(
    it: Graftable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    full = it.store.store_dir.path
    link = tmp_path / "link"
    link.symlink_to(full(it.old))
    for wanted in (full(it.old), it.old, it.old.hash_part, str(link)):
        found = _scan(capsys, "--store", it.store.url, full(it.app), "--for", wanted)
        assert {each["hash"] for each in found} == {it.old.hash_part}
    assert _scan(capsys, "--store", it.store.url, full(it.app), "--for", it.new, status=1) == []


def test_no_store_is_needed_for_what_speaks_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / f"{UNKNOWN}-name").write_bytes(UNKNOWN.encode("utf-16-be"))
    store = ["--store", "/nowhere/at/all"]
    found = _scan(capsys, *store, str(tree), "--for", UNKNOWN)
    assert {(each["in"], each["encoding"], each["offset"]) for each in found} == {
        ("name", "ascii", 0),
        ("contents", "utf-16", 1),
    }
    assert {each["path"] for each in found} == {str(tree)}
    assert run(["scan", *store, str(tree)]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_an_unknown_path_is_found_after_the_store_directory(
    it: Graftable, capsys: pytest.CaptureFixture[str], tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "file"
    text = f"x{it.store.store_dir}/{UNKNOWN}-gone-1"
    file.write_bytes(b"y" * 262_120 + text.encode(encoding))
    (found,) = _scan(capsys, "--store", it.store.url, str(file))
    assert (found["hash"], found["reference"]) == (UNKNOWN, None)
    file.write_bytes(f"/other/store/{UNKNOWN}-gone-1".encode(encoding))
    assert _scan(capsys, "--store", it.store.url, str(file), status=1) == []


def test_a_link_is_the_path_it_leads_to_and_names_are_printed_safely(
    it: Graftable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    full = it.store.store_dir.path
    name = os.fsdecode(b"caf\xe9")
    odd = add_object(it.store, "odd-1", {name: full(it.old).encode()}, [it.old])
    link = tmp_path / "result"
    link.symlink_to(full(odd))
    (found,) = _scan(capsys, "--store", it.store.url, str(link))
    assert (found["path"], found["file"]) == (full(odd), "caf%E9")
    assert run(["scan", "-v", "--store", it.store.url, str(link)]) == 0
    out = capsys.readouterr().out
    assert f"{odd}/caf%E9" in out
    assert full(it.old) in out


def test_a_missing_path_is_an_error(it: Graftable, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--store", it.store.url, "/nowhere/at/all"]) == 2
    assert capsys.readouterr().err.startswith("graft: error: there is no '/nowhere/at/all'")
