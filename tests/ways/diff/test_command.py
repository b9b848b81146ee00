"""`graft diff`: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graft.store.local import LocalStore
from graft.store.location import Location
from tests.derivations import Nix
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

PACKAGES = """
  lib = script "lib-1" "echo {version}";
  tool = script "tool" "${{lib}}/bin/lib-1";
"""


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    nix = Nix.under(tmp_path)
    nix.build(PACKAGES.format(version=0), "tool")
    return nix


def graft(store: LocalStore, *arguments: str, status: int = 0) -> str:
    url = f"--store=local?store={store.store_dir}&state={store.location.state_dir}"
    command = [sys.executable, "-m", "graft", url, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.nix
def test_what_it_prints_is_a_replacements_file(nix: Nix) -> None:
    old, root = map(nix.full, nix.build(PACKAGES.format(version=1), "lib", "tool"))
    new, patched = map(nix.full, nix.build(PACKAGES.format(version=2), "lib", "tool"))
    done = nix.graft("diff", root, patched, "-o", str(nix.directory / "fix.json"))
    assert (done.returncode, done.stdout) == (0, f"# lib-1 (environment)\n{old} {new}\n")
    assert done.stderr == "graft: 1 package to replace, 1 path derived\n"
    (nix.directory / "fix.txt").write_text(done.stdout)
    planned = [
        json.loads(nix.graft("plan", root, "--replacements", file, "--json").stdout)["rewrites"]
        for file in ("fix.txt", "fix.json")
    ]
    assert planned[0] == planned[1]
    assert [one["references"] for one in planned[0]] == [{old: new}]


@pytest.mark.nix
def test_the_same_set_has_no_difference(nix: Nix) -> None:
    [root] = map(nix.full, nix.build(PACKAGES.format(version=1), "tool"))
    document = json.loads(nix.graft("diff", root, root, "--json").stdout)
    assert [key for key, value in document.items() if value] == ["version"]


@pytest.mark.nix
def test_an_expression_is_compared_by_attributes(nix: Nix) -> None:
    files = []
    for name, version in (("base", 1), ("patched", 2)):
        nix.build(PACKAGES.format(version=version))
        file = nix.directory / f"{name}.nix"
        (nix.directory / "expression.nix").rename(file)
        files.append(str(file))
    [package] = json.loads(nix.graft("diff", *files, "-A", "lib", "--json").stdout)["packages"]
    assert (package["attribute"], package["changes"]) == ("lib", ["environment"])
    error = nix.graft("diff", *files, "-A", "nothing")
    assert error.returncode == 2
    assert "cannot evaluate" in error.stderr
    assert "nothing" in error.stderr
    Path(files[0]).write_text("[ { a = 1; } ]")
    assert "make 0 derivations" in nix.graft("diff", *files, "-A", "0").stderr


@pytest.mark.nix
def test_a_store_below_a_root_is_where_it_is_instantiated(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    files = []
    for version in ("1", "2"):
        file = tmp_path / f"{version}.nix"
        file.write_text(
            f'derivation {{ name = "x-{version}"; system = "x"; builder = "/bin/sh"; }}'
        )
        files.append(str(file))
    command = [sys.executable, "-m", "graft", f"--store={tmp_path}/root", "diff", *files]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [pair] = json.loads(done.stdout)["replacements"].items()
    assert [path[44:] for path in pair] == ["x-1", "x-2"]


def test_two_things_without_anything_in_common_cannot_be_paired(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    one, other = (add_object(store, name, {"file": b"x"}) for name in ("one-1", "other-1"))
    full = store.store_dir.path
    said = graft(store, "diff", full(one), full(other), status=1)
    assert f"# only in the base: {full(one)}" in said
    assert f"# only in the patched: {full(other)}" in said
    assert f"nothing of '{full(one)}' could be paired with anything of '{full(other)}'" in said


def test_without_derivations_the_closures_are_compared(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    out = graft(it.store, "apply", full(it.env), f"--replace={full(it.old)}={full(it.new)}")
    new_root = next(line for line in out.splitlines() if line.startswith("/"))
    document = json.loads(graft(it.store, "-q", "diff", full(it.env), new_root, "--json"))
    assert document["replacements"] == {full(it.old): full(it.new)}
    assert [one["old"] for one in document["derived"]] == sorted(map(full, [it.app, it.env]))


def test_what_is_no_set_is_an_error(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    env = it.store.store_dir.path(it.env)
    (tmp_path / "empty").mkdir()
    (tmp_path / "list").write_text("one one-1.0\n")
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "x.nix").write_text("{")
    for name, message in {
        "nothing": "is neither a path in the store",
        "empty": "holds no derivations and no links to store paths",
        "list": "line 1: no path of a derivation",
        "x.json": "is not json",
    }.items():
        assert message in graft(it.store, "diff", env, str(tmp_path / name), status=2)
    command = [sys.executable, "-m", "graft", f"--store={it.store.location.url}", "diff"]
    done = subprocess.run(
        [*command, env, str(tmp_path / "x.nix")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/nonexistent"},
    )
    assert done.returncode == 2
    assert "'nix-env' is not installed: instantiate it where Nix is" in done.stderr
