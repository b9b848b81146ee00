"""`graft status` and `graft ungraft`: what they print, and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.real_nix import RealNix
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


def test_grafts_that_do_not_concern_a_name_are_not_denied(line: CommandLine) -> None:
    _, err = line("status", "curl", status=1)
    assert "the grafts in this store's record do not concern 'curl': they replace lib-1.0" in err
    _, err = line("status", "app", status=1)
    assert "no graft replaces 'app'; the graft '" in err
    assert "has made 'app-1' anew" in err
    line("ungraft", "lib")
    assert "there are no grafts" in line("status", "curl", status=1)[1]
    assert "was taken back already" in line("ungraft", "lib", status=2)[1]


def test_the_way_back_is_shown_and_forgotten(line: CommandLine, it: Graftable) -> None:
    line("profile", "delete-generations", "mine", "old")
    out, _ = line("status")
    assert "original kept for the way back: env-1, at most " in out
    assert "it can go when no way back is needed: graft ungraft --forget " in out
    document = line.json("status")
    (graft,) = document["grafts"]
    (kept,) = graft["kept_originals"]
    sizes = it.store.nar_sizes([it.env, it.app, it.old])
    assert kept["path"] == it.store.store_dir.path(it.env)
    assert (kept["bytes"], kept["used_by"]) == (sum(sizes.values()), [])
    it.store.add_root("other", it.env)
    assert "it cannot go yet: " in line("status")[0]
    out, _ = line("ungraft", "lib", "--forget")
    assert out == f"{kept['link']}\n"
    line("status")
    assert line.json("status")["grafts"][0]["kept_originals"] == []
    assert "no original of the graft" in line("ungraft", "lib", "--forget", status=1)[1]
    line("ungraft", "lib", "--forget", "--keep-generations", status=2)


def test_a_link_that_was_made_for_a_graft_goes_with_it(
    line: CommandLine, it: Graftable, tmp_path: Path
) -> None:
    line("apply", it.env, f"--replace={it.old}={it.new}", "--add-root=patched")
    document = line.json("ungraft", "lib")
    assert document["removed_links"] == [str(tmp_path / "patched")]
    assert document["restored"].keys() == {str(tmp_path / "mine")}
    assert not (tmp_path / "patched").is_symlink()


@pytest.mark.nix
def test_what_nix_env_installs_beside_a_graft_does_not_hide_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    tool = add_object(it.store, "tool-1", {"share": {"tool": b"x\n"}})
    it.store.close()
    nix, line = RealNix(it.store.location, tmp_path), CommandLine(capsys, it.store.url)
    profile = f"{it.store.location.state_dir}/profiles/mine"
    nix.run("nix-env", "-p", profile, "-i", full(it.app))
    line("apply", profile, f"--replace={it.old}={it.new}", "--profile", profile)
    nix.run("nix-env", "-p", profile, "-i", full(tool))
    assert f"profile {profile}, generation 3: in force" in line("status")[0]
    line("affected", "lib<1.1", status=1)
    _, err = line("ungraft", "lib", status=1)
    assert f"the graft is not taken back: it is in force in '{profile}'" in err
    assert f"profile {profile}, generation 3: in force" in line("status")[0]
    nix.run("nix-env", "-p", profile, "-i", full(it.app))
    line("status", status=1)
    _, err = line("ungraft", "lib", status=1)  # generation 3 keeps it
    assert f"'{profile}-3-link' still keeps the graft" in err
    assert line("status")[0] == ""
    nix.collect()
    nix.check()


def test_a_name_must_mean_one_graft(line: CommandLine, it: Graftable, tmp_path: Path) -> None:
    line("status", "lib", "app")
    line("status", "nothing", status=1)
    _, err = line("ungraft", "nothing", status=2)
    assert "there is no graft named 'nothing'" in err
    line("apply", it.app, f"--replace={it.old}={it.new}", "--add-root=link")
    _, err = line("ungraft", "lib", status=2)
    assert "there are 2 grafts of 'lib'" in err
