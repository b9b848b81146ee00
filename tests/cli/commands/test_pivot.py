"""`graft pivot`: what stands on stdout and stderr, and the exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.store_path import StorePath
from tests.bind_mount import mounted_again, needs_mounts
from tests.cli.lines import CommandLine
from tests.store_objects import add_object, new_store
from tests.ways.pivot.closures import Pivotable


class Line(CommandLine):
    """Runs `graft pivot` on the store of a little closure."""

    def __init__(self, it: Pivotable, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(capsys, it.store.url, "pivot")
        self.it = it
        self.system = it.full(it.system)
        self.targets = [f"--pivot={kind}={target}" for kind, target in it.targets.items()]

    def execute(
        self, *arguments: str, status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """`graft pivot exec`, in a process of its own, which becomes the program."""
        command = [sys.executable, "-m", "graft", *self.words, "exec"]
        done = subprocess.run(
            [*command, *arguments],
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(Pivotable.build(new_store(tmp_path)), capsys)


@pytest.mark.parametrize("command", ["list", "create", "resolve", "exec"])
def test_every_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pivot", command, "--help"]) == 0
    last = " ".join(capsys.readouterr().out.strip().split("\n\n")[-1].split())
    assert last.startswith(f"Example: graft pivot {command}")


def test_list_shows_points_and_candidates(line: Line) -> None:
    it = line.it
    document = line.json("list", line.system)
    assert document["root"] == line.system
    assert document["points"] == sorted(
        [
            {"path": it.full(it.curl), "types": ["cacert", "tzdata"]},
            {"path": it.full(it.clock), "types": ["tzdata"]},
        ],
        key=lambda point: str(point["path"]),
    )
    candidates = {one["path"]: one for one in document["candidates"]}
    assert candidates.keys() == {it.full(it.cacert), it.full(it.tzdata)}
    assert candidates[it.full(it.tzdata)] == {
        "path": it.full(it.tzdata),
        "type": "tzdata",
        "sign": "share/zoneinfo",
        "variables": ["TZDIR", "PYTHONTZPATH"],
    }
    out, err = line("list", line.system)
    rows = [row.split() for row in out.splitlines()[2:]]
    assert [it.full(it.tzdata), "tzdata", "share/zoneinfo", "TZDIR", "PYTHONTZPATH"] in rows
    assert len(rows) == 5
    assert err == "graft: 2 pivot points, 2 candidates without a marker, in 5 paths\n"


def test_list_says_when_there_is_nothing(line: Line) -> None:
    path = line.it.full(add_object(line.it.store, "plain", b""))
    out, err = line("list", path, status=1)
    assert (out, err) == ("", "graft: 0 pivot points, 0 candidates without a marker, in 1 path\n")
    assert line.json("list", path, status=1)["points"] == []


def test_list_says_what_no_variable_reaches(line: Line) -> None:
    path = line.it.full(add_object(line.it.store, "sudo-user", b"/run/wrappers/bin/sudo"))
    out, _ = line("list", path)
    assert out.splitlines()[-1].split() == [path, "setuid-wrappers", "/run/wrappers", "nothing"]


def test_create_makes_a_directory_and_prints_it(line: Line, tmp_path: Path) -> None:
    it = line.it
    made = str(tmp_path / "pivots")
    assert line("create", line.system, *line.targets, "-o", made) == (
        f"{made}\n",
        "graft: 3 links for 2 paths\n",
    )
    assert os.readlink(f"{made}/{it.curl}/cacert") == it.targets["cacert"]
    document = line.json("create", line.system, *line.targets, "-o", made)
    assert document == {
        "version": 1,
        "directory": made,
        "gc_root": None,
        "root": line.system,
        "pivots": it.targets,
        "links": {it.full(it.curl): ["cacert", "tzdata"], it.full(it.clock): ["tzdata"]},
    }


def test_create_makes_a_store_object_with_a_root(line: Line, tmp_path: Path) -> None:
    it = line.it
    document = line.json("create", line.system, *line.targets)
    path = StorePath(os.path.basename(document["directory"]))
    assert it.store.path_infos([path])
    assert it.store.roots() == {document["gc_root"]: path}
    assert document["gc_root"] == f"{it.store.location.state_dir}/gcroots/graft/{path}"
    link = str(tmp_path / "link")
    out, err = line("create", line.system, *line.targets, "--add-root", link)
    assert out == f"{it.full(path)}\n"
    assert f"kept by the root '{link}'" in err
    assert os.readlink(link) == it.full(path)
    assert link in it.store.roots()


@pytest.mark.slow
@needs_mounts
def test_create_writes_into_a_store_that_is_mounted_read_only(line: Line, tmp_path: Path) -> None:
    it = line.it
    link = str(tmp_path / "link")
    command = [sys.executable, "-m", "graft", f"--store={it.store.url}", "pivot", "create"]
    with mounted_again(str(it.store.store_dir), "ro"):
        subprocess.run([*command, line.system, *line.targets, "--add-root", link], check=True)
        assert os.statvfs(it.store.store_dir).f_flag & os.ST_RDONLY
        assert os.readlink(f"{link}/{it.curl}/cacert") == it.targets["cacert"]


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["--pivot=tzdata=/"], "pivot", "type 'cacert', which"),
        (["--pivot=tzdata=/", "--pivot=cacert=/nonexistent"], "pivot", "'/nonexistent' of type"),
        (["--pivot=tzdata"], "pivot", "TYPE=TARGET"),
        (["--pivot=a=/", "--pivot=a=/etc"], "pivot", "two targets"),
        (["--pivot=tzdata=/", "--pivot=cacert=/", "--pivot=x=/"], "pivot", "is of type 'x'"),
        ([], "usage", "--pivot"),
        (["--pivot=tzdata=/", "-o", "/x", "--add-root", "y"], "usage", "--add-root"),
        (["--pivot=tzdata=/", "--add-root", "/etc/passwd"], "root-link", "'/etc/passwd' exists"),
    ],
)
def test_create_refuses_what_makes_no_sense(
    line: Line, arguments: list[str], kind: str, said: str
) -> None:
    document = line.json("create", line.system, *arguments, status=2)
    assert document["error"]["kind"] == kind
    assert said in document["error"]["message"]
    _, err = line("create", line.system, *arguments, status=2)
    assert re.fullmatch(r"graft: error: [^A-Z\n][^\n]*[^.\n]\n", err), err
    assert line.it.store.roots() == {}


def test_resolve_prints_what_a_program_finds(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = line.it
    for name in ("one", "two"):
        line("create", line.system, *line.targets, "-o", str(tmp_path / name))
    monkeypatch.setenv("NIXPKGS_PIVOT_DIRS", f"/nonexistent:{tmp_path}/one:{tmp_path}/two")
    curl = it.full(it.curl)
    places = [f"{tmp_path}/{name}/{it.curl}/cacert" for name in ("one", "two")]
    assert line("resolve", curl, "cacert") == (f"{places[0]}\n", "")
    assert line("resolve", curl, "cacert", "--all") == ("\n".join([*places, ""]), "")
    out, err = line("resolve", curl, "cacert", "--explain")
    assert out == f"{places[0]}\n"
    assert err.splitlines() == [
        f"graft: NIXPKGS_PIVOT_DIRS: '/nonexistent/{it.curl}/cacert' is not there",
        f"graft: NIXPKGS_PIVOT_DIRS: '{places[0]}' is there",
    ]
    document = line.json("resolve", curl, "cacert", "--all")
    assert document["found"] == places
    assert document["marked"]
    assert [step["outcome"] for step in document["steps"]] == ["missing", "found", "found"]


def test_resolve_says_when_there_is_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIXPKGS_PIVOT_DIRS", raising=False)
    it = line.it
    out, err = line("resolve", it.full(it.system), "cacert", "--explain", status=1)
    assert out == ""
    assert err.splitlines() == [
        "graft: NIXPKGS_PIVOT_DIRS names no directory",
        f"graft: '{line.system}' is not marked with 'cacert': it may never look for it",
    ]
    document = line.json("resolve", it.full(it.curl), "fonts", status=1)
    assert document["steps"] == [
        {"origin": "NIXPKGS_PIVOT_DIRS", "place": None, "outcome": "unset"}
    ]
    assert (document["found"], document["marked"]) == ([], False)
    line("resolve", it.full(it.curl), "../x", status=2)


def test_resolve_looks_where_xdg_says(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = line.it
    home, other = tmp_path / "home", tmp_path / "other"
    (home / ".config" / "nix").mkdir(parents=True)
    for made in (f"{home}/.config/nix/pivots", str(other)):
        line("create", line.system, *line.targets, "-o", made)
    (home / ".config" / "nix" / "pivots.conf").write_text(f"relative\n{other}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_DIRS", "not/absolute")
    curl = it.full(it.curl)
    out, err = line("resolve", curl, "tzdata", "--lookup=xdg", "--all", "--explain")
    assert out == f"{home}/.config/nix/pivots/{it.curl}/tzdata\n"
    assert "XDG_CONFIG_DIRS: 'not/absolute' is ignored, for it is not absolute" in err
    out, err = line("resolve", curl, "tzdata", "--lookup=xdg-indirect", "--explain")
    assert out == f"{other}/{it.curl}/tzdata\n"
    assert f"'{home}/.config/nix/pivots.conf' lists directories" in err
    assert "'relative' is ignored" in err


@pytest.fixture
def directory(line: Line, tmp_path: Path) -> str:
    made = str(tmp_path / "pivots")
    line("create", line.system, *line.targets, "-o", made)
    return made


@pytest.mark.slow
def test_exec_runs_with_the_pivots_in_force(line: Line, directory: str) -> None:
    it = line.it
    script = 'echo "$NIXPKGS_PIVOT_DIRS $TZDIR $SSL_CERT_FILE $OTHER"; exit 7'
    done = line.execute(
        *(line.system, "--pivot-dir", directory, "--", "sh", "-c", script),
        status=7,
        NIXPKGS_PIVOT_DIRS="/before",
        OTHER="kept",
    )
    assert done.stdout.split() == [
        f"{directory}:/before",
        f"{it.targets['tzdata']}/share/zoneinfo",
        f"{it.targets['cacert']}/etc/ssl/certs/ca-bundle.crt",
        "kept",
    ]
    assert done.stderr == ""


@pytest.mark.slow
def test_exec_says_which_variables_it_sets(line: Line, directory: str) -> None:
    done = line.execute("-v", line.system, "--pivot-dir", directory, "--", "true")
    lines = done.stderr.splitlines()
    assert f"graft: NIXPKGS_PIVOT_DIRS={directory}" in lines
    zones = f"{line.it.targets['tzdata']}/share/zoneinfo"
    assert f"graft: TZDIR={zones} (tzdata)" in lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (["true"], 0),
        (["no-such-program"], 127),
        (["/no/such/program"], 127),
        (["/"], 126),
        (["/etc/passwd"], 126),
        (["sh", "-c", "kill -9 $$"], -9),
        ([], 125),
    ],
)
def test_exec_ends_with_the_programs_status(
    line: Line, directory: str, program: list[str], status: int
) -> None:
    done = line.execute(line.system, "--pivot-dir", directory, "--", *program, status=status)
    assert done.stdout == ""
    assert bool(done.stderr) == (status > 100)
    assert done.stderr.count("\n") <= 1


@pytest.mark.slow
def test_exec_has_a_status_of_its_own_for_its_own_trouble(line: Line, directory: str) -> None:
    run_true = ["--", "true"]
    for arguments in (
        [line.system, "--pivot-dir", "/nonexistent", *run_true],
        [f"{line.system}x", "--pivot-dir", directory, *run_true],
        [line.system, *run_true],
        [line.system, "--pivot-dir", directory, "--no-such-option", *run_true],
        [line.system, "--pivot-dir", directory],
        [line.system, "true", "--pivot-dir", directory],
        ["--", "true"],
    ):
        done = line.execute(*arguments, status=125)
        assert re.fullmatch(r"graft: error: [^\n]+\n", done.stderr), done.stderr
        assert done.stdout == ""


@pytest.mark.slow
def test_exec_has_no_json_of_its_own(line: Line, directory: str) -> None:
    arguments = [line.system, "--pivot-dir", directory]
    done = line.execute(*arguments, "--json", "--", "echo", status=125)
    assert "--json cannot be given here" in done.stderr
    done = line.execute(*arguments, "--", "echo", "--json", "--", "-q")
    assert done.stdout == "--json -- -q\n"
    # What CMD is given says nothing to graft, even where graft fails.
    done = line.execute(line.system, "--pivot-dir", "/none", "--", "echo", "--json", status=125)
    assert done.stdout == ""


@pytest.mark.slow
def test_exec_warns_of_a_directory_that_was_made_for_something_else(
    line: Line, directory: str, tmp_path: Path
) -> None:
    it = line.it
    other = str(tmp_path / "other")
    line("create", it.full(it.clock), line.targets[1], "-o", other)
    done = line.execute(line.system, "--pivot-dir", other, "--", "true")
    assert re.fullmatch(
        r"graft: warning: 2 pivot points of the closure have no link in '.*': make it again for "
        r"this root\n",
        done.stderr,
    )
    assert f"'{it.curl}/cacert'" in done.stderr
    done = line.execute(it.full(it.cacert), "--pivot-dir", other, "--", "true")
    assert "has nothing for this closure" in done.stderr
    assert line.execute("-q", line.system, "--pivot-dir", other, "--", "true").stderr == ""


@pytest.mark.slow
def test_exec_starts_programs_with_the_signals_of_a_shell(line: Line, directory: str) -> None:
    shell = ["sh", "-c", "grep SigIgn /proc/self/status"]
    done = line.execute(line.system, "--pivot-dir", directory, "--", *shell)
    # Whoever runs the tests may have some ignored; Python gives its own back.
    plain = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout == plain.stdout
