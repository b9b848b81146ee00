"""What stands of grafts: where they are in force, what keeps them, and what they cost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.machine.record import Provenance
from graft.machine.status import Standing, leads_to, standing_of
from graft.store.roots.profile import Profile
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _standing(it: Graftable) -> list[Standing]:
    return standing_of(it.store, Provenance(it.store.location, {"HOME": "/nowhere"}).grafts())


def _apply(
    it: Graftable, root: StorePath, old: StorePath, new: StorePath, profile: str
) -> StorePath:
    outcome = apply(it.store, [root], {old: new}, profile=profile)
    assert outcome.succeeded
    return outcome.plan.new_roots[root]


def test_a_profile_that_leads_to_the_graft_has_it_in_force(it: Graftable, tmp_path: Path) -> None:
    profile = str(tmp_path / "mine")
    it.store.switch_profile(profile, it.env)
    new = _apply(it, it.env, it.old, it.new, profile)
    (one,) = _standing(it)
    (now,) = one.places
    assert (one.state, now.state, now.path, now.generation) == ("in-force", "in-force", new, 2)
    assert now.exactly
    kept = f"{it.store.location.state_dir}/gcroots/graft-originals/{one.graft.id}-{it.env}"
    assert one.keep_originals == {f"{profile}-1-link": it.env, kept: it.env}
    assert one.keep_grafts == {f"{profile}-2-link": new}
    assert one.valid == set(one.graft.rewrites.values())


def test_a_profile_rolled_back_or_rebuilt_with_old_undoes_the_graft(
    it: Graftable, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    _apply(it, it.env, it.old, it.new, profile)
    full = it.store.store_dir.path
    rebuilt = add_object(it.store, "env-2", {"bin": f"{full(it.app)}/bin"}, [it.app])
    it.store.switch_profile(profile, rebuilt)
    (one,) = _standing(it)
    assert (one.state, one.places[0].path) == ("undone", rebuilt)
    Profile(profile, it.store.store_dir).switch_back()
    assert _standing(it)[0].state == "in-force"


def test_a_rebuild_without_old_replaces_the_graft(it: Graftable, tmp_path: Path) -> None:
    profile = str(tmp_path / "mine")
    _apply(it, it.env, it.old, it.new, profile)
    it.store.switch_profile(profile, add_object(it.store, "env-3", {"bin": {}}))
    assert _standing(it)[0].state == "replaced"


def test_a_graft_inside_of_something_larger_is_in_force_there(
    it: Graftable, tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    new = _apply(it, it.env, it.old, it.new, profile)
    system = add_object(it.store, "system-1", {"env": it.store.store_dir.path(new)}, [new])
    it.store.switch_profile(profile, system)
    (now,) = _standing(it)[0].places
    assert (now.state, now.exactly) == ("in-force", False)


def test_a_graft_upon_a_graft_has_both_in_force(it: Graftable, tmp_path: Path) -> None:
    profile = str(tmp_path / "mine")
    first = _apply(it, it.env, it.old, it.new, profile)
    newer = add_object(it.store, "data-2", b"newer")
    _apply(it, first, it.data, newer, profile)
    below, upon = sorted(_standing(it), key=lambda one: it.env not in one.graft.roots)
    assert (below.state, upon.state) == ("in-force", "in-force")
    assert [now.exactly for one in (below, upon) for now in one.places] == [False, True]


def test_a_graft_of_the_same_package_in_its_place_supersedes_it(
    it: Graftable, tmp_path: Path
) -> None:
    """Made anew upon the first one, or from the original again, with another output."""
    profile = str(tmp_path / "mine")
    first = _apply(it, it.env, it.old, it.new, profile)
    newer = add_object(it.store, "lib-1.2", {"lib": b"newer\n", "self": "{self}/lib"})
    _apply(it, first, it.new, newer, profile)
    outcome = apply(it.store, [it.env], {it.old: newer}, profile=profile)
    (one,) = _standing(it)
    assert len(one.succession.grafts) == 3
    assert one.state == "in-force"
    assert outcome.graft in {graft.id for graft in one.succession.grafts}
    # In another place it is a graft of its own.
    apply(it.store, [it.app], {it.old: it.new}, add_roots=[str(tmp_path / "link")])
    assert len(_standing(it)) == 2


def test_a_place_is_judged_by_what_it_leads_to(it: Graftable, tmp_path: Path) -> None:
    """As after nix-env -i: no generation of graft's own, but the grafted package is in it."""
    profile = str(tmp_path / "mine")
    _apply(it, it.env, it.old, it.new, profile)
    (graft,) = (one.graft for one in _standing(it))
    app = graft.rewrites[it.app]
    for names, state in (
        ([app, it.data], "in-force"),
        ([app, it.app], "both"),
        ([it.app, it.data], "undone"),
        ([it.new], "replaced"),  # a rebuild with the fix
        ([it.data], "replaced"),
    ):
        it.store.switch_profile(
            profile,
            add_object(
                it.store,
                "env-9",
                {str(at): it.store.store_dir.path(one) for at, one in enumerate(names)},
                names,
                salt=str(names),
            ),
        )
        (now,) = _standing(it)[0].places
        assert (now.state, now.exactly) == (state, False)


def test_a_graft_turned_round_is_undone(it: Graftable, tmp_path: Path) -> None:
    profile = str(tmp_path / "mine")
    first = _apply(it, it.env, it.old, it.new, profile)
    _apply(it, first, it.new, it.old, str(tmp_path / "other"))
    back = Profile(str(tmp_path / "other"), it.store.store_dir).generations()[-1].target
    it.store.switch_profile(profile, it.store.store_dir.parse(back))
    states = {one.graft.roots.get(it.env): one.state for one in _standing(it)}
    assert states[first] == "undone"


def test_old_below_a_cutoff_is_no_fault_of_a_place(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path
    both = add_object(it.store, "both-1", {"a": full(it.app), "b": full(it.old)}, [it.app, it.old])
    outcome = apply(
        it.store,
        [both],
        {it.old: it.new},
        cutoffs=[it.app],
        profile=str(tmp_path / "mine"),
    )
    assert outcome.succeeded
    assert _standing(it)[0].state == "in-force"


def test_a_graft_of_something_else_in_its_place_replaces_it(it: Graftable, tmp_path: Path) -> None:
    profile = str(tmp_path / "mine")
    _apply(it, it.env, it.old, it.new, profile)
    data = add_object(it.store, "data-2", b"other")
    other = add_object(it.store, "env-2", it.store.store_dir.path(it.data), [it.data])
    new = _apply(it, other, it.data, data, profile)
    first, second = sorted(_standing(it), key=lambda one: it.env not in one.graft.roots)
    assert (first.state, second.state) == ("replaced", "in-force")
    assert [now.path for now in first.places] == [new]


def test_a_link_that_is_gone_says_so(it: Graftable, tmp_path: Path) -> None:
    link = str(tmp_path / "patched")
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[link])
    assert _standing(it)[0].state == "in-force"
    os.unlink(link)
    (one,) = _standing(it)
    assert (one.state, one.places[0].path) == ("gone", None)
    assert one.keep_grafts == {}


def test_a_graft_whose_places_are_gone_is_gone_though_a_root_keeps_its_paths(
    it: Graftable, tmp_path: Path
) -> None:
    link = str(tmp_path / "patched")
    outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[link])
    os.unlink(link)
    it.store.add_root(str(tmp_path / "kept"), outcome.plan.new_roots[it.env])
    (one,) = _standing(it)
    assert one.keep_grafts.keys() == {str(tmp_path / "kept")}
    assert one.state == "gone"


def test_the_cost_of_a_path_that_is_a_file_or_a_link_is_told(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path(it.old)
    file = add_object(it.store, "file-1", f"{full}\n".encode(), [it.old])
    link = add_object(it.store, "link-1", full, [it.old])
    apply(it.store, [file, link], {it.old: it.new}, add_roots=[str(tmp_path / "patched")])
    (one,) = _standing(it)
    new = it.store.tree(one.graft.rewrites[file])
    assert one.bytes >= os.lstat(new).st_blocks * 512 > 0


def test_files_that_are_the_originals_own_cost_nothing(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path
    heavy = add_object(
        it.store, "heavy-1", {"same": bytes(100_000), "lib": full(it.old).encode()}, [it.old]
    )
    profiles = [str(tmp_path / name) for name in ("linked", "copied")]
    costs = []
    for profile, links in zip(profiles, (True, False), strict=True):
        root = add_object(it.store, f"root-{links}", {"heavy": full(heavy)}, [heavy])
        # Each of its own, so that the second is not there already.
        new = add_object(it.store, f"lib-1.{links:d}x", {"lib": profile.encode()})
        apply(it.store, [root], {it.old: new}, links=links, profile=profile)
        (cost,) = (one.bytes for one in _standing(it) if root in one.graft.roots)
        costs.append(cost)
    linked, copied = costs
    assert copied - linked >= 100_000
    assert 0 < linked < 50_000


def test_all_that_leads_to_a_path_is_found(it: Graftable) -> None:
    assert leads_to(it.store, [it.old]) == {it.old, it.app, it.env}
    assert leads_to(it.store, [StorePath(f"{'0' * 32}-nothing")]) == set()


def test_the_cost_is_the_blocks_of_each_new_file_once(it: Graftable, tmp_path: Path) -> None:
    _apply(it, it.env, it.old, it.new, str(tmp_path / "mine"))
    (one,) = _standing(it)
    own: dict[int, int] = {}
    for old, new in one.graft.rewrites.items():
        before = {os.lstat(file).st_ino for file in _every_file(it.store.tree(old))}
        made = {file: os.lstat(file) for file in _every_file(it.store.tree(new))}
        own |= {
            status.st_ino: status.st_blocks * 512
            for status in made.values()
            if status.st_ino not in before
        }
    assert one.bytes == sum(own.values()) > 0


def _every_file(tree: str) -> list[str]:
    walk = os.walk(tree)
    return [
        tree,
        *(os.path.join(top, name) for top, below, files in walk for name in below + files),
    ]
