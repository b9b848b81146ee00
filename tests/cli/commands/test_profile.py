"""`graft profile`: what it prints, and its exit status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from tests.cli.lines import CommandLine
from tests.store_objects import add_object, new_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


@pytest.fixture
def paths(store: LocalStore) -> list[StorePath]:
    return [add_object(store, f"env-{number}", {"bin": {}}) for number in range(3)]


@pytest.fixture
def line(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys, store.url)


def test_generations_are_listed_switched_and_deleted(
    line: CommandLine, store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    for path in paths:
        store.switch_profile(profile, path)
    full = [store.store_dir.path(path) for path in paths]
    out, _ = line("profile", "list", profile)
    rows = out.splitlines()[2:]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == list(
        zip("123", full, strict=True)
    )
    assert ["(current)" in row for row in rows] == [False, False, True]
    assert line("profile", "rollback", profile)[0] == f"{full[1]}\n"
    assert line("profile", "switch", profile, "1")[0] == f"{full[0]}\n"
    assert os.readlink(profile) == "mine-1-link"
    assert line("profile", "delete-generations", profile, "old", "--dry-run")[0] == "2\n3\n"
    assert line("profile", "delete-generations", profile, "3")[0] == "3\n"
    document = line.json("profile", "list", profile)
    assert (document["profile"], document["current"]) == (profile, 1)
    assert [one["path"] for one in document["generations"]] == full[:2]


def test_a_profile_that_is_not_there_has_no_generations(line: CommandLine, tmp_path: Path) -> None:
    out, err = line("profile", "list", str(tmp_path / "none"), status=1)
    assert out == ""
    assert "has no generations" in err


def test_a_built_environment_becomes_the_generation_of_a_profile(
    line: CommandLine, store: LocalStore, tmp_path: Path
) -> None:
    tools = [add_object(store, name, {"bin": {name: b""}}) for name in ("awk-1", "sed-1")]
    profile, link = str(tmp_path / "mine"), str(tmp_path / "env")
    line("profile", "build", *tools, status=2)
    first = line("profile", "build", "--profile", profile, tools[0])[0].strip()
    assert os.path.realpath(profile) == first
    document = line.json("profile", "build", "-o", link, "--profile", profile, *tools)
    assert document == {
        "version": 1,
        "path": os.path.realpath(link),
        "link": link,
        "profile": profile,
        "generation": 2,
    }
    assert sorted(os.listdir(f"{profile}/bin")) == ["awk-1", "sed-1"]
