"""`graft status` and `graft ungraft`: what they print, and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


@pytest.fixture
def line(
    it: Graftable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    line = CommandLine(capsys, it.store.url)
    it.store.switch_profile(str(tmp_path / "mine"), it.env)
    line(
        "apply",
        "mine",
        f"--replace={it.old}={it.new}",
        "--profile=mine",
        "--note=CVE-2026-4711: lib forgets",
    )
    return line


def test_from_in_force_to_undone_to_taken_back(line: CommandLine, it: Graftable) -> None:
    out, _ = line("status")
    assert "in force" in out
    assert "note: CVE-2026-4711: lib forgets" in out
    assert "lib-1.0 → lib-1.1" in out
    line("profile", "rollback", "mine")
    out, _ = line("status", status=1)
    assert "generation 1: undone: it leads to OLD again" in out
    line("profile", "switch", "mine", "2")
    out, _ = line("ungraft", "lib")
    assert out.endswith("/mine\n")
    out, err = line("status")
    assert (out, "there are no grafts" in err) == ("", True)
    out, _ = line("status", "--all")
    assert "taken back" in out


def test_a_rebuild_that_has_old_is_none(line: CommandLine, it: Graftable) -> None:
    full = it.store.store_dir.path
    good = add_object(it.store, "env-2", {"lib": full(it.new)}, [it.new])
    assert "the rebuild is there" in line("status", "--rebuilt", full(good))[0]
    out, _ = line("status", "--rebuilt", full(it.env), status=1)
    assert "the rebuild still has lib-1.0" in out
    document = line.json("status", "--rebuilt", full(it.env), status=1)
    assert document["grafts"][0]["old_in_rebuilt"] == [full(it.old)]


def test_others_are_told(line: CommandLine, it: Graftable) -> None:
    assert it.store.store_dir.path(it.old) in line("status", "--nixos-option")[0]
    document = json.loads(line("status", "--vex", "--author=me")[0])
    assert document["author"] == "me"
    assert document["statements"][0]["vulnerability"]["name"] == "CVE-2026-4711"
    line("status", "--author=me", status=2)
    line("ungraft", "lib")
    for option in ("--vex", "--nixos-option"):
        out, err = line("status", option, status=1)
        assert (out, "no graft is in force" in err) == ("", True)


def test_a_name_must_mean_one_graft(line: CommandLine, it: Graftable, tmp_path: Path) -> None:
    line("status", "lib", "app")
    line("status", "nothing", status=1)
    _, err = line("ungraft", "nothing", status=2)
    assert "there is no graft named 'nothing'" in err
    line("apply", it.app, f"--replace={it.old}={it.new}", "--add-root=link")
    _, err = line("ungraft", "lib", status=2)
    assert "there are 2 grafts of 'lib'" in err
