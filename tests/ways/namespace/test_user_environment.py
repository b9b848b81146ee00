"""User environments, held against those that Nix itself builds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graft.errors import InvalidPathError, PackageCollisionError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.local import LocalStore
from graft.ways.namespace import FhsPackage
from graft.ways.namespace.user_environment import register_environment
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import Contents, add_object, named_path, new_store

_BUILD = """
derivation {
  name = "user-environment";
  system = "builtin";
  builder = "builtin:buildenv";
  manifest = builtins.toFile "manifest" "";
  derivations = [ %s ];
}
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def _tree(top: str) -> dict[str, str]:
    """All links and directories of a tree, and where the links lead."""
    found = {}
    for place, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = os.path.join(place, name)
            leads = os.readlink(path) if os.path.islink(path) else "directory"
            found[os.path.relpath(path, top)] = leads
    return found


def _built_by_nix(
    store: LocalStore, packages: list[FhsPackage], directory: Path
) -> dict[str, str] | None:
    """What Nix's own builder makes of packages; None if it refuses."""
    nix = RealNix(store.location, directory)
    full = store.store_dir.path
    words = " ".join(
        f'"true" "{each.priority:.0f}" "1" (builtins.storePath "{full(each.path)}")'
        for each in packages
    )
    done = subprocess.run(
        ["nix-build", "--no-out-link", "-E", _BUILD % words],
        env=nix.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        assert "collision between" in done.stderr or "conflict" in done.stderr, done.stderr
        return None
    found = _tree(done.stdout.strip())
    assert found.pop("manifest.nix")
    return found


def _built(store: LocalStore, packages: list[FhsPackage]) -> dict[str, str] | None:
    try:
        return _tree(store.tree(register_environment(store, packages)))
    except PackageCollisionError:
        return None


_FILES = st.sampled_from([b"one\n", b"two\n"])
_CONTENTS = st.recursive(
    _FILES,
    lambda inner: st.dictionaries(
        st.sampled_from(["bin", "lib", "log", "nix-support", ".hidden", "a"]), inner, max_size=3
    ),
    max_leaves=6,
)
_PACKAGES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["bin", "lib", "info"]), _CONTENTS, max_size=3),
        st.sampled_from([4, 5, 5]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.nix
@pytest.mark.slow
def test_it_is_the_tree_that_nix_builds(tmp_path: Path, store: LocalStore) -> None:
    made = 0
    refused = []

    @settings(max_examples=12, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(_PACKAGES)
    def check(chosen: list[tuple[dict[str, Contents], int]]) -> None:
        nonlocal made
        packages = []
        for contents, priority in chosen:
            made += 1
            packages.append(FhsPackage(add_object(store, f"package-{made}", contents), priority))
        ours = _built(store, packages)
        refused.append(ours is None)
        assert ours == _built_by_nix(store, packages, tmp_path)

    check()
    assert {True, False} == set(refused)


@pytest.mark.nix
def test_links_propagation_and_what_is_left_out_are_as_in_nix(
    store: LocalStore, tmp_path: Path
) -> None:
    full = store.store_dir.path
    base = add_object(store, "base-1", {"share": {"doc": {"base": b"b"}, "info": {"dir": b"x"}}})
    asked = add_object(store, "asked-1", {"bin": {"asked": b"1", "tool": b"asked"}})
    one = add_object(
        store,
        "one-1",
        {
            "bin": {"tool": b"one", "dangling": "/nowhere"},
            "share": f"{full(base)}/share",
            "nix-support": {"propagated-user-env-packages": f" {full(asked)}\n".encode()},
            "manifest.nix": b"",
        },
        [base, asked],
    )
    two = add_object(store, "two-1", {"bin": {"tool": b"two"}, "share": {"doc": {"two": b"2"}}})
    packages = [FhsPackage(one, 5), FhsPackage(two, 6), FhsPackage(base, 7)]
    ours = _built(store, packages)
    assert ours == _built_by_nix(store, packages, tmp_path)
    assert ours is not None
    assert ours["bin/tool"] == f"{full(one)}/bin/tool"
    assert ours["bin/asked"] == f"{full(asked)}/bin/asked"
    assert ours["share/doc/two"] == f"{full(two)}/share/doc/two"


@pytest.mark.nix
def test_nix_takes_it_as_a_profile_and_finds_its_name_right(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Graftable.build(store)
    line = CommandLine(capsys, store.url)
    link, profile = str(tmp_path / "env"), str(tmp_path / "mine")
    out, _ = line("profile", "build", "-o", link, it.app, f"{it.data}:9")
    full = out.strip()
    assert os.readlink(link) == full
    assert line.json("profile", "build", "-o", link, it.app, f"{it.data}:9")["path"] == full
    path = StorePath(full.rpartition("/")[2])
    assert store.path_infos([path])[path].references == {it.app, it.data}
    store.close()
    nix = RealNix(store.location, tmp_path)
    nix.run("nix-env", "-p", profile, "--set", full)
    nix.run("nix", "store", "verify", full)  # its name from its contents needs no signature
    nix.collect()
    assert os.path.lexists(store.tree(it.data))
    nix.check()


def test_a_graft_keeps_every_level_of_it_right(store: LocalStore) -> None:
    it = Graftable.build(store)
    other = add_object(store, "other-1", {"bin": {"other": b"1"}, "lib": {"x": b"y"}})
    app = add_object(
        store, "app-2", {"bin": {"app": store.store_dir.path(it.old).encode()}}, [it.old]
    )
    env = register_environment(store, [FhsPackage(app), FhsPackage(other)])
    outcome = apply(store, [env], {it.old: it.new})
    assert outcome.succeeded
    before, after = (_tree(store.tree(path)) for path in (env, outcome.plan.new_roots[env]))
    new_app = outcome.plan.moved[app]
    assert after == {name: leads.replace(app, new_app) for name, leads in before.items()}
    assert before["bin/app"] != after["bin/app"]
    assert before["lib"] == after["lib"]


def test_what_is_propagated_must_be_valid(store: LocalStore) -> None:
    gone = named_path("gone-1", store.store_dir)
    text = store.store_dir.path(gone).encode()
    package = add_object(
        store, "package-1", {"nix-support": {"propagated-user-env-packages": text}}
    )
    with pytest.raises(InvalidPathError):
        register_environment(store, [FhsPackage(package)])
    assert not any(path.name == "user-environment" for path in store.valid_paths())
