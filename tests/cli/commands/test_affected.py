"""`graft affected`: what it prints, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from graft.quantities import counted
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.running import add_program, running
from tests.store_objects import add_object, opened


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    """A machine below a directory, so that nothing of the real one is in the answers."""
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    it = Graftable.build(opened(location))
    system = f"{location.state_dir}/profiles/system"
    for path in (it.old, it.app, it.data, it.env):
        it.store.switch_profile(system, path)
    it.store.add_root(str(tmp_path / "result"), it.app)
    return it


@pytest.fixture
def line(it: Graftable, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys, it.store.url, "affected")


def test_a_table_tells_who_is_hit_and_by_what(
    it: Graftable, line: CommandLine, tmp_path: Path
) -> None:
    out, err = line("lib<1.1")
    system = f"{it.store.location.state_dir}/profiles/system"
    rows = [tuple(re.split(" {3,}", row.strip())) for row in out.splitlines()]
    assert [row for row in rows if len(row) == 3 and row[0] != "what"] == [
        ("current generation", f"{system} 4", "env-1 → app-1 → lib-1.0"),
        ("root", f"{tmp_path}/result", "app-1 → lib-1.0"),
        ("old generation", f"{system} 2", "app-1 → lib-1.0"),
        ("old generation", f"{system} 1", "lib-1.0"),
    ]
    told = "2 roots in force, 2 older generations affected, of 5 roots, by lib-1.0\n"
    assert told in err
    paths = it.store.path_infos([it.app, it.env]).values()
    cost = f"at most {counted(len(paths), 'path')}, "
    assert f"a graft of all that is in force would rewrite {cost}" in err
    assert f"with the old generations, {cost}" in err


def test_names_paths_and_links_are_understood(
    it: Graftable, line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").symlink_to(it.store.tree(it.data))
    by_name, full = line("lib")[0], it.store.store_dir.path
    assert line(full(it.old), full(it.new))[0] == by_name
    assert line(it.old)[0] == line(f"{full(it.old)}/lib")[0] == line("lib<1.1")[0]
    assert "data-1" in line(str(tmp_path / "lib"))[0]
    assert "data-1" not in by_name
    monkeypatch.chdir(tmp_path)
    assert "data-1" in line("lib")[0]


def test_a_version_that_is_not_in_force_gets_status_1(it: Graftable, line: CommandLine) -> None:
    out, err = line("lib>1.0", status=1)
    assert out == ""
    assert "1 such path in the store, and no root leads there" in err
    out, err = line("lib<1.0", status=1)
    assert out == ""
    assert "in the store, and not asked for: lib-1.0, lib-1.1" in err


def test_a_name_that_nothing_has_gets_status_2_and_the_nearest(line: CommandLine) -> None:
    out, err = line("lbi", status=2)
    assert out == ""
    assert "no valid path of the store has the name 'lbi': did you mean 'lib'?" in err
    document = line.json("lbi", status=2)
    assert document["error"]["kind"] == "unknown-name"
    assert document["error"]["nearest"] == ["lib"]


def test_older_generations_are_listed_and_count_if_asked(
    it: Graftable, line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "result").unlink()
    it.store.switch_profile(f"{it.store.location.state_dir}/profiles/system", it.data)
    out, err = line("lib<1.1", status=1)
    assert out.count("old generation") == 3
    assert "0 roots in force, 3 older generations affected" in err
    assert line("lib<1.1", "--generations")[0] == out
    document = line.json("lib<1.1", status=1)
    assert (document["in_force"], len(document["generations"])) == ([], 3)


def test_the_document_tells_versions(it: Graftable, line: CommandLine) -> None:
    full = it.store.store_dir.path
    document = line.json("lib<=1.0")
    rest = {"by_revision": False, "patches": [], "fixed": False}
    assert document["known"] == [
        {"path": full(path), "name": "lib", "version": version, "asked": asked, **rest}
        for path, version, asked in sorted([(it.old, "1.0", True), (it.new, "1.1", False)])
    ]
    assert document["in_force"] == [one for one in document["roots"] if one["current"]]


def test_an_advisory_is_asked_for(line: CommandLine, tmp_path: Path) -> None:
    events = [{"introduced": "0"}, {"fixed": "1.1"}]
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected = [
        {"package": {"name": "Lib"}, "ranges": ranges},
        {"package": {"name": "curl"}, "ranges": ranges},
    ]
    file = tmp_path / "osv.json"
    file.write_text(json.dumps({"id": "CVE-2026-1", "affected": affected}))
    out, err = line("--advisory", str(file))
    assert out == line("lib<1.1")[0]
    assert "no path of the store is called by: curl" in err
    file.write_text("{}")
    assert "is no advisory" in line("--advisory", str(file), status=2)[1]


def test_the_document_has_chains_costs_and_processes(
    it: Graftable, line: CommandLine, tmp_path: Path
) -> None:
    full = it.store.store_dir.path
    program = add_program(it.store, "sleeper-1", [it.old])
    with running(f"{it.store.tree(program)}/bin/sleep") as pid:
        document = line.json("lib", "--replace", f"{full(it.old)}={full(it.new)}")
    assert document["paths"] == sorted([full(it.old), full(it.new)])
    assert document["unversioned"] == []
    first, second, *_ = document["roots"]
    assert first == {
        "kind": "process",
        "place": f"/proc/{pid}",
        "current": True,
        "chain": [full(program), full(it.old)],
        "reaches": [full(it.old)],
        "pid": pid,
        "program": "sleep",
        "user": Path(it.store.location.state_dir).owner(),
        "unit": first["unit"],
        "uses": ["exe", "maps"],
        "runs_it": False,
    }
    link = Path(it.store.location.state_dir, "profiles/system-4-link")
    assert second == {
        "kind": "generation",
        "place": str(link),
        "current": True,
        "chain": [full(it.env), full(it.app), full(it.old)],
        "reaches": [full(it.old)],
        "profile": str(link.parent / "system"),
        "generation": 4,
        "time": int(link.lstat().st_mtime),
    }
    plan = _plan(it, line, second["chain"][0])
    cost = document["cost"]
    assert cost["current"] == {
        "roots": 2,
        "paths": len(plan["rewrites"]),
        "bytes": plan["bytes_at_most"],
        "planned": True,
    }
    assert cost["all"] == {"roots": 3, "paths": 2, "bytes": plan["bytes_at_most"]}
    assert document["stale"] == []
    assert document["unreadable"]["places"] == []


def _plan(it: Graftable, line: CommandLine, root: str) -> dict[str, list[object]]:
    full = it.store.store_dir.path
    words, line.words = line.words, [*line.words[:-1], "plan"]
    try:
        return line.json(root, f"--replace={full(it.old)}={full(it.new)}")
    finally:
        line.words = words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the thing to ask for"),
        (["lib-1.0<2"], "say 'lib<2' or 'lib-1.0'"),
        (["lib<"], "names no package"),
        (["/etc/passwd"], "does not lead into the store"),
        (["lib", "--replace", "x"], "is not OLD=NEW"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    line: CommandLine, arguments: list[str], told: str
) -> None:
    out, err = line(*arguments, status=2)
    assert out == ""
    assert told in err


def test_paths_without_a_version_and_stale_roots_are_told_of(
    it: Graftable, line: CommandLine, tmp_path: Path
) -> None:
    unversioned = add_object(it.store, "lib", b"")
    (tmp_path / "result").unlink()
    _, err = line("lib<1.1")
    assert f"without a version to compare not counted: {unversioned}" in err
    it.store.add_root(str(tmp_path / "other"), unversioned)
    _, err = line("lib<1.0", status=2)
    assert "whether this machine is hit is not known: lib is in force" in err
    (tmp_path / "other").unlink()
    (tmp_path / "result").unlink(missing_ok=True)
    assert "1 stale root, leading nowhere" in err


@pytest.mark.nix
@pytest.mark.slow
def test_what_the_answer_names_is_what_keeps_a_path_from_the_collector(
    it: Graftable, line: CommandLine, tmp_path: Path
) -> None:
    """As long as anything is affected Nix will not delete the path; then it does."""
    nix = RealNix(it.store.location, tmp_path)
    full = it.store.store_dir.path
    it.store.close()
    while True:
        document = line.json("lib<1.1", status=0)
        nix.run("nix-store", "--delete", full(it.old), status=1)
        place = Path(document["roots"][-1]["place"])
        place.unlink()
        if len(document["roots"]) == 1:
            break
    line("lib<1.1", status=1)
    nix.collect()
    assert not Path(it.store.tree(it.old)).exists()
