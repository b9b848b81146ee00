"""`graft affected`: what it prints, and its exit status."""

from __future__ import annotations

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
    assert rows[2:] == [
        ("current generation", f"{system} 4", "env-1 → app-1 → lib-1.0"),
        ("root", f"{tmp_path}/result", "app-1 → lib-1.0"),
        ("old generation", f"{system} 2", "app-1 → lib-1.0"),
        ("old generation", f"{system} 1", "lib-1.0"),
    ]
    assert "4 of 5 roots affected, by lib-1.0\n" in err
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


def test_who_is_not_hit_gets_status_1(it: Graftable, line: CommandLine) -> None:
    out, err = line("lib>1.0", status=1)
    assert out == ""
    assert "1 such path in the store, and no root leads there" in err
    out, err = line("nothing", status=1)
    assert out == ""
    assert "nothing of the kind is in the store" in err


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
        (["lib-1.0"], "say 'lib', with bounds"),
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
    assert f"1 path of that name without a version not counted: {unversioned}" in err
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
