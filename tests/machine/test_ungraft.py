"""Grafts taken back: what leads where afterwards, and what Nix's own collector frees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from graft.errors import UngraftError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.machine.originals import Originals
from graft.machine.places import RootPlace
from graft.machine.record import GraftRecord, Provenance
from graft.machine.ungraft import Ungrafted, ungraft
from graft.store.roots.profile import Profile
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store, opened


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


@pytest.fixture
def provenance(it: Graftable) -> Provenance:
    return Provenance(it.store.location, {"HOME": "/nowhere"})


def _ungraft(
    it: Graftable, provenance: Provenance, graft: GraftRecord, *, keep_generations: bool = False
) -> Ungrafted:
    return ungraft(
        it.store,
        it.store,
        provenance,
        graft,
        keep_generations=keep_generations,
        environment={"HOME": "/nowhere"},
    )


def _on_disk(it: Graftable, paths: list[StorePath]) -> list[bool]:
    return [os.path.lexists(it.tree(path)) for path in paths]


@pytest.mark.nix
@pytest.mark.parametrize("inside", [True, False])
def test_nix_collects_what_a_graft_has_made_once_it_is_taken_back(
    it: Graftable, provenance: Provenance, tmp_path: Path, inside: bool
) -> None:
    nix = RealNix(it.store.location, tmp_path)
    directory = f"{it.store.location.state_dir}/profiles" if inside else str(tmp_path)
    profile, link = f"{directory}/mine", str(tmp_path / "patched")
    nix.run("nix-env", "-p", profile, "--set", it.store.store_dir.path(it.env))
    apply(it.store, [it.env], {it.old: it.new}, profile=profile, add_roots=[link])
    (graft,) = provenance.grafts()
    made, originals = list(graft.rewrites.values()), [it.old, it.app, it.env]
    it.store.close()
    nix.collect()
    assert all(_on_disk(it, made + originals))
    it = _opened_again(it)
    done = _ungraft(it, provenance, graft)
    assert done.restored == {profile: it.env}
    assert done.removed == (link,)
    assert not os.path.lexists(link)
    assert done.deleted == (f"{profile}-2-link",)
    assert done.kept_by == {}
    it.store.close()
    nix.collect()
    assert not any(_on_disk(it, [*made, it.new]))
    assert all(_on_disk(it, originals))
    listed = nix.run("nix-env", "-p", profile, "--list-generations").split()
    assert listed[0] == "1"
    assert "(current)" in listed
    nix.check()


def _opened_again(it: Graftable) -> Graftable:
    from dataclasses import replace  # noqa: PLC0415

    return replace(it, store=opened(it.store.location))


def test_a_profile_that_never_had_the_original_gets_a_generation_with_it(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    apply(it.store, [it.env], {it.old: it.new}, profile=profile)
    (graft,) = provenance.grafts()
    _ungraft(it, provenance, graft)
    found = Profile(profile, it.store.store_dir)
    assert [(one.number, one.target) for one in found.generations()] == [
        (2, it.store.store_dir.path(it.env))
    ]
    assert found.current == 2
    assert provenance.grafts()[0].ended is not None


def test_generations_that_the_graft_has_not_made_stay(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    for path in (it.data, it.env):
        it.store.switch_profile(profile, path)
    apply(it.store, [it.env], {it.old: it.new}, profile=profile)
    (graft,) = provenance.grafts()
    done = _ungraft(it, provenance, graft)
    assert (done.restored, done.deleted) == ({profile: it.env}, (f"{profile}-3-link",))
    found = Profile(profile, it.store.store_dir)
    assert ([one.number for one in found.generations()], found.current) == ([1, 2], 2)


def test_generations_may_be_kept_and_then_keep_the_graft(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    apply(it.store, [it.env], {it.old: it.new}, profile=profile)
    (graft,) = provenance.grafts()
    done = _ungraft(it, provenance, graft, keep_generations=True)
    assert done.deleted == ()
    assert done.kept_by == {f"{profile}-1-link": graft.roots[it.env]}


def test_a_profile_that_went_on_to_something_else_stays_there(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    apply(it.store, [it.env], {it.old: it.new}, profile=profile)
    other = add_object(it.store, "env-3", {"bin": {}})
    it.store.switch_profile(profile, other)
    (graft,) = provenance.grafts()
    done = _ungraft(it, provenance, graft)
    assert done.restored == {}
    assert [now.path for now in done.left] == [other]
    assert done.deleted == (f"{profile}-1-link",)
    assert os.readlink(profile) == "mine-2-link"


def test_what_another_graft_stands_upon_is_not_taken_back(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    first = apply(it.store, [it.env], {it.old: it.new}, profile=profile).plan.new_roots[it.env]
    newer = add_object(it.store, "data-2", b"newer")
    apply(it.store, [first], {it.data: newer}, profile=profile)
    below, upon = sorted(provenance.grafts(), key=lambda graft: it.env not in graft.roots)
    with pytest.raises(UngraftError, match=f"the graft '{upon.id}' stands upon '{below.id}'"):
        _ungraft(it, provenance, below)
    assert _ungraft(it, provenance, upon).restored == {profile: first}
    assert _ungraft(it, provenance, below).restored == {profile: it.env}


def test_a_graft_goes_back_with_the_one_it_has_superseded(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    it.store.switch_profile(profile, it.env)
    first = apply(it.store, [it.env], {it.old: it.new}, profile=profile).plan.new_roots[it.env]
    newer = add_object(it.store, "lib-1.2", {"lib": b"newer\n", "self": "{self}/lib"})
    apply(it.store, [first], {it.new: newer}, profile=profile)
    done = _ungraft(it, provenance, provenance.grafts()[0])
    assert (done.restored, len(done.grafts)) == ({profile: it.env}, 2)
    assert os.readlink(profile) == "mine-1-link"
    assert all(graft.ended is not None for graft in provenance.grafts())
    assert done.kept_by == {}


def test_a_graft_that_is_in_something_newer_is_not_taken_back(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    """As after nix-env -i: the newest generation holds the grafted package, and another."""
    profile = str(tmp_path / "mine")
    it.store.switch_profile(profile, it.env)
    plan = apply(it.store, [it.env], {it.old: it.new}, profile=profile).plan
    app = plan.moved[it.app]
    full = it.store.store_dir.path
    more = add_object(it.store, "env-2", {"app": full(app), "x": full(it.data)}, [app, it.data])
    it.store.switch_profile(profile, more)
    (graft,) = provenance.grafts()
    done = _ungraft(it, provenance, graft)
    assert (done.restored, done.in_force) == ({}, {profile: more})
    assert [now.state for now in done.left] == ["in-force"]
    assert provenance.grafts() == [graft]
    assert Originals(it.store.location, {}).kept([graft.id])


@pytest.mark.nix
def test_an_original_is_kept_until_it_is_forgotten(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    link = str(tmp_path / "result")
    it.store.add_root(link, it.env)
    places = [RootPlace(kind="link", link=link, root=it.env)]
    apply(it.store, [it.env], {it.old: it.new}, places=places)
    (graft,) = provenance.grafts()
    originals = Originals(it.store.location, {"HOME": "/nowhere"})
    assert list(originals.kept([graft.id]).values()) == [it.env]
    nix = RealNix(it.store.location, tmp_path)
    it.store.close()
    nix.collect()
    it = _opened_again(it)
    assert all(_on_disk(it, [it.env, it.app, it.old]))
    assert originals.forget([graft.id]).keys() == {
        f"{it.store.location.state_dir}/gcroots/graft-originals/{graft.id}-{it.env}"
    }
    it.store.close()
    nix.collect()
    it = _opened_again(it)
    assert not any(_on_disk(it, [it.env, it.app, it.old]))
    with pytest.raises(UngraftError, match="is not in the store any more"):
        _ungraft(it, provenance, graft)
    assert os.readlink(link) == it.store.store_dir.path(graft.roots[it.env])
    assert provenance.grafts() == [graft]
    it.store.close()


def test_places_that_are_gone_are_in_nobodys_way(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile, link = tmp_path / "place/mine", tmp_path / "patched"
    profile.parent.mkdir()
    outcome = apply(
        it.store, [it.env], {it.old: it.new}, profile=str(profile), add_roots=[str(link)]
    )
    (graft,) = provenance.grafts()
    shutil.rmtree(profile.parent)
    link.unlink()
    (tmp_path / "kept").symlink_to(it.store.store_dir.path(outcome.plan.new_roots[it.env]))
    done = _ungraft(it, provenance, graft)
    assert (done.restored, done.left, done.deleted, done.kept_by) == ({}, (), (), {})
    assert provenance.grafts()[0].ended is not None


def test_the_newest_generation_with_the_original_is_taken_again(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    for path in (it.env, it.data, it.env, it.data):
        it.store.switch_profile(profile, path)
    apply(it.store, [it.env], {it.old: it.new}, profile=profile)
    (graft,) = provenance.grafts()
    assert _ungraft(it, provenance, graft).deleted == (f"{profile}-5-link",)
    found = Profile(profile, it.store.store_dir)
    assert ([one.number for one in found.generations()], found.current) == ([1, 2, 3, 4], 3)


def test_originals_are_protected_before_a_place_is_turned(
    it: Graftable, provenance: Provenance, tmp_path: Path
) -> None:
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(tmp_path / "patched")])
    (graft,) = provenance.grafts()
    it.store.close()
    it = _opened_again(it)
    _ungraft(it, provenance, graft)
    file = Path(it.store.location.state_dir, "temproots", str(os.getpid()))
    assert it.store.store_dir.path(it.env) in file.read_text().split("\0")
