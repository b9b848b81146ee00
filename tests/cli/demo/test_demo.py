"""The demo runs with what a machine has: with a compiler or without, as any user."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import graft
from graft import kernel
from graft.cli import run
from graft.cli.demo import find_compiler
from graft.cli.demo.builder import output_paths
from graft.cli.demo.programs import recipes
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local import LocalStore
from tests.tools import need

pytestmark = pytest.mark.slow


def environment(variant: str, tmp_path: Path) -> dict[str, str]:
    """An environment with nothing in it but, for the compiled variant, a compiler."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    path = os.environ["PATH"] if variant == "compiled" else str(tmp_path / "no-programs")
    kept = {name: os.environ[name] for name in ["GRAFT_KERNEL"] if name in os.environ}
    return {
        "PATH": path,
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(Path(graft.__file__).parent.parent),
        **kept,
    }


def demo(
    variant: str, tmp_path: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    if variant == "compiled" and find_compiler() is None:
        need(["gcc", "stdio.h"])
    return subprocess.run(
        [sys.executable, "-m", "graft", "demo", *arguments],
        env={**environment(variant, tmp_path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True, kw_only=True)
class KeptDemo:
    """A demo whose store stayed, for tests that only look at it."""

    variant: str
    place: Path
    document: dict[str, Any]

    @property
    def steps(self) -> dict[str, tuple[int, str]]:
        """Status and output of each command; the first, where one is run twice."""
        found: dict[str, tuple[int, str]] = {}
        for step in self.document["steps"]:
            found.setdefault(step["command"], (step["status"], step["output"]))
        return found

    @contextmanager
    def store(self) -> Iterator[LocalStore]:
        with LocalStore(store=str(self.place / "store"), state=str(self.place / "state")) as store:
            yield store

    @property
    def paths(self) -> dict[str, StorePath]:
        made = recipes(compiled=self.variant == "compiled")
        return output_paths(made, StoreDir(str(self.place / "store")), self.document["compiler"])


@pytest.fixture(scope="module", params=["compiled", "scripts"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeptDemo:
    directory = tmp_path_factory.mktemp(request.param)
    done = demo(request.param, directory, str(directory / "place"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return KeptDemo(
        variant=request.param, place=directory / "place", document=json.loads(done.stdout)
    )


def test_the_hole_is_there_before_and_gone_after(kept: KeptDemo) -> None:
    assert next(iter(kept.document)) == "version"
    assert kept.document["version"] == 1
    assert (kept.document["compiler"] is None) == (kept.variant == "scripts")
    steps = kept.steps
    assert steps["./system/sw/bin/notes --version"] == (0, "notes 2.3, with parse 1.0\n")
    assert steps["./system/sw/bin/notes ../password"] == (0, "hunter2\n")
    assert steps["./patched/sw/bin/notes --version"] == (0, "notes 2.3, with parse 1.1\n")
    refusal = "notes: '../password' is not the name of a note\n"
    assert steps["./patched/sw/bin/notes ../password"] == (1, refusal)
    assert (
        steps["./system/sw/bin/notes todo"]
        == steps["./patched/sw/bin/notes todo"]
        == (0, "buy milk\nupdate parse\n")
    )


def test_the_chain_to_the_hole_is_of_six_objects(kept: KeptDemo) -> None:
    status, output = kept.steps["graft why ./system parse"]
    names = [line.strip(" └─").partition(" ·")[0] for line in output.splitlines()]
    assert status == 0
    assert names == [
        "system 1",
        "environment",
        "notes-wrapped 2.3",
        "notes 2.3",
        "shelf 0.4",
        "parse 1.0",
    ]


def test_the_second_apply_writes_nothing(kept: KeptDemo) -> None:
    first, second = (
        step["output"]
        for step in kept.document["steps"]
        if step["command"].startswith("graft apply")
    )
    assert "5 paths written, 2 of 7 shared" in first
    assert "0 paths written, 5 were there already" in second
    assert "OLD is proven to be in no byte" in second


def test_every_command_can_be_pasted_into_a_shell(kept: KeptDemo, tmp_path: Path) -> None:
    steps = [step for step in kept.document["steps"] if "store init" not in step["command"]]
    assert [step["command"].split()[0] for step in steps[:2]] == ["cd", "export"]
    setting = "; ".join(step["command"] for step in steps[:2])
    graft_here = f'graft() {{ {shlex.quote(sys.executable)} -m graft "$@"; }}'
    for step in steps[2:]:
        done = subprocess.run(
            ["/bin/sh", "-c", f"{graft_here}\n{setting}\n{step['command']}"],
            env=environment("scripts", tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == step["status"], step
        if not step["command"].startswith(("graft apply", "graft plan", "graft compare")):
            assert done.stdout == step["output"]


def test_objects_are_registered_with_exactly_their_inputs(kept: KeptDemo) -> None:
    made = recipes(compiled=kept.variant == "compiled")
    paths = kept.paths
    with kept.store() as store:
        infos = store.path_infos(paths.values())
    assert len(infos) == len(made)
    for recipe in made:
        info = infos[paths[recipe.name]]
        assert info.references - {info.path} == {paths[name] for name in recipe.inputs}
        assert info.ultimate
    # The program knows where its own files are, so the graft has a self-reference to change.
    assert paths["notes-2.3"] in infos[paths["notes-2.3"]].references


def test_everything_in_the_store_is_canonical(kept: KeptDemo) -> None:
    objects = [name for name in os.listdir(kept.place / "store") if not name.startswith(".")]
    assert len(objects) == 8 + 8 + 5  # objects, their derivations, and grafted ones
    for name in objects:
        for directory, names, files in os.walk(kept.place / "store" / name):
            for entry in [".", *names, *files]:
                status = os.lstat(os.path.join(directory, entry))
                assert int(status.st_mtime) == 1
                assert stat.S_ISLNK(status.st_mode) or stat.S_IMODE(status.st_mode) in {
                    0o444,
                    0o555,
                }


def test_a_directory_that_was_named_stays_with_its_links(kept: KeptDemo) -> None:
    assert sorted(os.listdir(kept.place)) == [
        "parse-1.0",
        "parse-1.1",
        "patched",
        "state",
        "store",
        "system",
        "ways.html",
    ]
    assert (kept.place / "ways.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("variant", ["compiled", "scripts"])
def test_without_a_directory_nothing_is_left_but_the_page(variant: str, tmp_path: Path) -> None:
    done = demo(variant, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hunter2" in done.stdout
    [page] = (tmp_path / "tmp").iterdir()
    assert str(page) in done.stdout
    assert "</html>" in page.read_text()


def test_all_ways_have_figures_in_the_end(kept: KeptDemo) -> None:
    [(status, output)] = [
        result for command, result in kept.steps.items() if command.startswith("graft compare")
    ]
    assert status == 0
    reached = dict(re.findall(r"^(graft|pivot|mount|rebuild) .*? (\d) of 5 ", output, re.MULTILINE))
    mounts = "mount is not available" not in output
    assert reached == {"graft": "5", "pivot": "3", "rebuild": "5"} | (
        {"mount": "5"} if mounts else {}
    )
    assert "5 derivations to build" in output


@pytest.mark.nix
def test_nix_builds_the_demo_from_its_derivations(kept: KeptDemo, tmp_path: Path) -> None:
    need(["nix-store"])
    variables = {
        **os.environ,
        "NIX_STORE_DIR": str(kept.place / "store"),
        "NIX_STATE_DIR": str(kept.place / "state"),
        "NIX_CONFIG": "build-users-group =\nsandbox = false\n",
    }
    for name in ("parse-1.1", "shelf-0.4", "system-1"):
        path = str(kept.place / "store" / kept.paths[name])
        asked = ["nix-store", "--query", "--deriver", path]
        asked_done = subprocess.run(
            asked, env=variables, check=True, capture_output=True, text=True
        )
        derivation = asked_done.stdout.strip()
        built = subprocess.run(
            ["nix-store", "--realise", "--check", derivation],
            env=variables,
            check=False,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr
        assert built.stdout.strip() == path


def test_the_reference_kernel_tells_the_same_story(tmp_path: Path) -> None:
    statuses = []
    for name in ["reference", kernel.NAME.split()[0]]:
        done = demo("scripts", tmp_path, "--json", GRAFT_KERNEL=name)
        assert done.returncode == 0, done.stderr
        steps = json.loads(done.stdout)["steps"]
        statuses.append([step["status"] for step in steps])
    assert statuses[0] == statuses[1]


@pytest.mark.parametrize("name", ["empty", "c++=~"])
def test_an_empty_directory_is_used_and_the_way_to_go_on_said(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    place.mkdir()
    done = demo("scripts", tmp_path, str(place))
    assert done.returncode == 0
    assert f"  cd {place}\n" in done.stdout


def test_the_store_may_be_had_without_the_story(tmp_path: Path) -> None:
    done = demo("scripts", tmp_path, "--store-only", str(tmp_path / "place"))
    assert (done.returncode, done.stderr) == (0, "")
    links = {"parse-1.0", "parse-1.1", "system"}
    assert set(os.listdir(tmp_path / "place")) == {*links, "state", "store"}
    assert "patched" not in done.stdout
    assert demo("scripts", tmp_path, "--store-only").returncode == 2


def test_a_directory_that_is_not_empty_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").touch()
    assert run(["demo", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"graft: error: the directory '{tmp_path}' is not empty: name an empty or a new one\n"
    )
    assert os.listdir(tmp_path) == ["mine"]


def test_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").touch()
    assert run(["demo", str(tmp_path / "mine"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "usage"


@pytest.mark.parametrize("name", ["a b", "a:b", "a'b", "a$b", "ü"])
def test_a_directory_no_program_can_name_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", str(tmp_path / name)]) == 2
    assert "have" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_store_cannot_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--store", "/somewhere"]) == 2
    assert "leave --store out" in capsys.readouterr().err


def test_a_compiler_that_does_not_work_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None


def test_names_come_from_what_objects_are_made_of() -> None:
    store_dir = StoreDir("/nix/store")
    scripts = output_paths(recipes(compiled=False), store_dir, None)
    assert scripts == output_paths(recipes(compiled=False), store_dir, None)
    assert set(scripts.values()).isdisjoint(
        output_paths(recipes(compiled=False), StoreDir("/gnu/store"), None).values()
    )
    compiled = output_paths(recipes(compiled=True), store_dir, "/usr/bin/cc")
    assert scripts["system-1"] != compiled["system-1"]


def test_it_needs_no_privileges(tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("there is no way to another user; without root the other tests show it")
    nobody = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    # A checkout may be where only root can read, as below /root; that is all that this one may do.
    nobody += [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    nobody += ["--bounding-set=-all,+dac_read_search"]
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        variables = {**environment("scripts", tmp_path), "TMPDIR": directory}
        done = subprocess.run(
            [*nobody, sys.executable, "-m", "graft", "demo"],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert os.listdir(directory)[0].startswith("graft-demo-")


@pytest.mark.nix
def test_the_real_nix_agrees_with_the_store(tmp_path: Path) -> None:
    place = tmp_path / "place"
    assert demo("compiled", tmp_path, str(place)).returncode == 0
    nix = {
        **os.environ,
        "NIX_STORE_DIR": str(place / "store"),
        "NIX_STATE_DIR": str(place / "state"),
        "NIX_LOG_DIR": str(place / "log"),
        "NIX_CONF_DIR": str(place / "conf"),
        "NIX_REMOTE": "",
    }

    def nix_store(*arguments: str) -> list[str]:
        done = subprocess.run(
            ["nix-store", *arguments], env=nix, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    nix_store("--verify", "--check-contents")
    patched = nix_store("-qR", str(place / "patched"))
    assert len(patched) == 7
    assert not any(path.endswith("-parse-1.0") for path in patched)
    nix_store("--gc")
    assert all(map(os.path.exists, patched))
    new_root = os.readlink(place / "patched")
    (place / "patched").unlink()
    nix_store("--gc")
    assert not os.path.exists(new_root)
    assert os.path.exists(os.readlink(place / "system"))
