"""The initrd of a NixOS system is cut off, and the plan says so."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.plan import Plan
from graft.plan.making import make_plan
from graft.plan.nixos_system import initrds_of_systems
from graft.plan.request import Graft
from graft.store.local import LocalStore
from tests.archives import File, Folder, Link, Node
from tests.caches import add_nar, new_cache
from tests.nixos_systems import System, add_system, system_contents
from tests.store_objects import Contents, add_object, new_store


@dataclass(frozen=True, slots=True)
class Libraries:
    store: LocalStore
    old: StorePath
    new: StorePath


@pytest.fixture
def it(tmp_path: Path) -> Libraries:
    store = new_store(tmp_path)
    old = add_object(store, "lib-1.0", {"lib.so": b"hole"})
    return Libraries(store, old, add_object(store, "lib-1.1", {"lib.so": b"fixed"}))


def _planned(it: Libraries, root: StorePath, **options: bool) -> Plan:
    return make_plan(it.store, Graft.of([root], [(it.old, it.new)], **options))


def _warned(plan: Plan) -> dict[StorePath | None, str]:
    return {w.path: w.message for w in plan.warnings if w.kind == "initrd-cutoff"}


def _read(it: Libraries, path: StorePath, file: str) -> str:
    return (Path(it.store.tree(path)) / file).read_text()


def test_the_initrd_of_a_system_stays_as_it_is(it: Libraries) -> None:
    system = add_system(it.store, it.old)
    plan = _planned(it, system.path)
    assert plan.cutoffs == {system.initrd}
    assert system.initrd not in plan.moved
    assert {system.path, system.modules} <= plan.moved.keys()


def test_the_plan_says_so_and_that_it_holds_old(it: Libraries) -> None:
    system = add_system(it.store, it.old)
    warned = _warned(_planned(it, system.path))
    assert warned.keys() == {system.initrd}
    assert "it still holds OLD" in warned[system.initrd]
    assert it.store.store_dir.path(system.path) in warned[system.initrd]


def test_of_an_initrd_that_does_not_show_old_it_says_that_it_may_hold_it(it: Libraries) -> None:
    compressed = add_object(it.store, "compressed", {"initrd": b"\x28\xb5\x2f\xfd"})
    plan = _planned(it, add_system(it.store, it.old, initrd=compressed).path)
    assert "it may still hold" in _warned(plan)[compressed]
    assert [warning.kind for warning in plan.warnings] == ["initrd-cutoff"]


def test_the_systems_of_specialisations_have_theirs_cut_off(it: Libraries) -> None:
    inner = add_system(it.store, it.old, name="nixos-system-host-inner")
    sharing = add_system(it.store, it.old, name="nixos-system-host-sharing", initrd=inner.initrd)
    outer = add_system(it.store, it.old, specialisations={"one": inner, "two": sharing})
    plan = _planned(it, outer.path)
    assert plan.cutoffs == {outer.initrd, inner.initrd}
    assert {inner.path, sharing.path, outer.path} <= plan.moved.keys()
    assert _warned(plan).keys() == plan.cutoffs


def test_it_can_be_told_not_to(it: Libraries) -> None:
    system = add_system(it.store, it.old)
    plan = _planned(it, system.path, initrd_cutoff=False)
    assert plan.cutoffs == set()
    assert system.initrd in plan.moved
    assert _warned(plan) == {}


def test_an_initrd_that_is_replaced_is_replaced(it: Libraries) -> None:
    system = add_system(it.store, it.old)
    other = add_object(it.store, "initrd-of-nixos-system-host-25.05", {"initrd": b"new"})
    plan = make_plan(it.store, Graft.of([system.path], [(it.old, it.new), (system.initrd, other)]))
    assert plan.cutoffs == set()
    assert plan.moved[system.initrd] == other
    assert [warning.kind for warning in plan.warnings] == []


@pytest.mark.parametrize("missing", ["init", "nixos-version", "kernel", "initrd"])
def test_what_lacks_a_part_of_a_system_is_none(it: Libraries, missing: str) -> None:
    assert (
        initrds_of_systems(it.store, [add_system(it.store, it.old, without=[missing]).path]) == {}
    )


def test_a_root_of_another_kind_is_none(it: Libraries) -> None:
    strange: dict[str, Contents] = {
        "init": b"",
        "nixos-version": b"",
        "kernel": b"",
        "initrd": {"initrd": b""},
    }
    roots = [
        it.old,
        add_object(it.store, "file", b"text"),
        add_object(it.store, "link", "/nowhere"),
        add_object(it.store, "directory-for-initrd", strange),
        add_object(it.store, "initrd-elsewhere", {**strange, "initrd": "/boot/initrd"}),
        add_object(it.store, "initrd-relative", {**strange, "initrd": "kernel"}),
        add_object(it.store, "initrd-inside", {**strange, "initrd": "{self}/kernel"}),
        add_object(it.store, "initrd-none", {**strange, "initrd": f"{it.store.store_dir}/x"}),
    ]
    assert initrds_of_systems(it.store, roots) == {}


def test_specialisations_that_lead_in_a_circle_end(it: Libraries) -> None:
    inner = add_system(it.store, it.old, name="nixos-system-host-inner")
    directory = Path(it.store.tree(inner.path)) / "specialisation"
    directory.parent.chmod(0o755)
    directory.chmod(0o755)
    (directory / "itself").symlink_to(it.store.store_dir.path(inner.path))
    assert initrds_of_systems(it.store, [inner.path]) == {inner.initrd: inner.path}


def test_a_grafted_system_names_one_initrd_everywhere_and_is_proven(it: Libraries) -> None:
    system = add_system(it.store, it.old)
    outcome = apply(it.store, [system.path], {it.old: it.new})
    assert outcome.succeeded
    assert outcome.proof is not None
    assert {residual.path for residual in outcome.proof.residual} == {system.initrd}
    assert all(residual.acknowledged for residual in outcome.proof.residual)
    new = outcome.plan.new_roots[system.path]
    full = it.store.store_dir.path
    boot = json.loads(_read(it, new, "boot.json"))["org.nixos.bootspec.v1"]
    assert boot["initrd"] == f"{full(system.initrd)}/initrd"
    assert boot["initrd"] == os.readlink(f"{it.store.tree(new)}/initrd")
    assert boot["toplevel"] == full(new)
    modules = os.readlink(f"{it.store.tree(new)}/kernel-modules")
    assert Path(f"{modules}/lib/modules").read_text() == full(it.new)
    assert full(it.new) in _read(it, new, "activate")


def _command(it: Libraries, *words: str) -> int:
    url = f"local?store={it.store.store_dir}&state={it.store.location.state_dir}"
    return run(["--store", url, *words])


def _plan_arguments(it: Libraries, system: System) -> list[str]:
    full = it.store.store_dir.path
    return ["plan", full(system.path), "--replace", f"{full(it.old)}={full(it.new)}"]


def test_a_plan_file_keeps_what_was_decided(
    it: Libraries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = add_system(it.store, it.old)
    file = str(tmp_path / "plan.json")
    for options, cutoffs in (([], [system.initrd]), (["--no-initrd-cutoff"], [])):
        assert _command(it, *_plan_arguments(it, system), *options, "-o", file) == 0
        capsys.readouterr()
        assert _command(it, "--json", "plan", file) == 0
        again = json.loads(capsys.readouterr().out)
        assert again["cutoffs"] == [it.store.store_dir.path(path) for path in cutoffs]
        kinds = {warning["kind"] for warning in again["warnings"]}
        assert ("initrd-cutoff" in kinds) == bool(cutoffs)


def _node(contents: Contents) -> Node:
    if isinstance(contents, bytes):
        return File(contents)
    if isinstance(contents, str):
        return Link(contents.encode())
    return Folder({name.encode(): _node(inner) for name, inner in contents.items()})


@pytest.mark.parametrize(("name", "known"), [("nixos-system-host-24.05", True), ("other", False)])
def test_a_system_in_a_cache_is_known_by_its_name_and_its_archive(
    tmp_path: Path, name: str, known: bool
) -> None:
    cache = new_cache(tmp_path / "cache")
    full = cache.store_dir.path
    library = add_nar(cache, "lib-1.0", File(b"hole")).path
    initrd = add_nar(cache, "initrd", _node({"initrd": full(library).encode()}), [library]).path
    contents = system_contents(
        full(library),
        kernel=full(library),
        initrd=full(initrd),
        modules=full(library),
        library=full(library),
        specialisations={},
    )
    system = add_nar(cache, name, _node(contents), [library, initrd]).path
    assert initrds_of_systems(cache, [system]) == ({initrd: system} if known else {})
