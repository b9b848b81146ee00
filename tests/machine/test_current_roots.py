"""All that is in force and leads to OLD: which places that is, and one graft of all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.machine.current_roots import Everywhere, find_everywhere
from graft.machine.places import RootPlace
from graft.machine.record import Provenance
from graft.machine.roots import current_roots
from graft.plan import Plan
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store, opened


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    """A machine below a directory, so that nothing of the real one is in the answers."""
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def _found(it: Graftable) -> Everywhere:
    return find_everywhere(it.store, it.store, [it.old], current_roots(it.store, {}))


def _link(it: Graftable, link: Path, path: StorePath, inside: str = "") -> str:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(it.store.store_dir.path(path) + inside)
    return str(link)


def test_current_generations_and_links_are_turned_and_nothing_else(
    it: Graftable, tmp_path: Path
) -> None:
    system = f"{it.store.location.state_dir}/profiles/system"
    user, result = str(tmp_path / "user"), str(tmp_path / "result")
    for path in (it.env, it.app, it.data, it.env):
        it.store.switch_profile(system, path)
    it.store.switch_profile(user, it.app)
    it.store.switch_profile(str(tmp_path / "other"), it.data)
    it.store.add_root(result, it.env)
    # Who keeps OLD itself wants to have OLD, as to graft once more.
    it.store.add_root(str(tmp_path / "old"), it.old)
    it.store.add_root(str(tmp_path / "derivation"), add_object(it.store, "app.drv", b""))
    _link(it, tmp_path / "machine/run/booted-system", it.app)
    _link(it, tmp_path / "machine/run/current-system", it.env)
    found = _found(it)
    assert found.roots == tuple(sorted([it.env, it.app]))
    assert set(found.places) == {
        RootPlace(kind="profile", link=system, root=it.env),
        RootPlace(kind="profile", link=user, root=it.app),
        RootPlace(kind="link", link=result, root=it.env),
    }
    assert found.left == {}


def test_what_cannot_be_turned_is_told_with_its_reason(it: Graftable, tmp_path: Path) -> None:
    gcroots = Path(it.store.location.state_dir, "gcroots")
    inside = _link(it, gcroots / "inside", it.app, "/bin")
    system = _link(it, tmp_path / "machine/run/current-system", it.env)
    found = _found(it)
    assert (found.roots, found.places) == ((it.app,), ())
    assert found.left.keys() == {inside, system}
    assert "leads inside" in found.left[inside]
    assert "graft it by itself" in found.left[system]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of another user")
def test_even_root_turns_nothing_where_another_user_may_write(
    it: Graftable, tmp_path: Path
) -> None:
    theirs, links = tmp_path / "theirs", []
    (theirs / "deep").mkdir(parents=True)
    for name in ("theirs/deep/result", "result"):
        links.append(str(tmp_path / name))
        it.store.add_root(links[-1], it.env)
    os.chown(theirs, 4711, 4711)
    os.lchown(links[1], 4711, 4711)
    found = _found(it)
    assert (found.roots, found.places) == ((it.env,), ())
    assert {link: "belongs to another user" in why for link, why in found.left.items()} == (
        dict.fromkeys(links, True)
    )


@as_ordinary_user
def test_a_link_of_ones_own_below_directories_of_root_is_turned(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    it = Graftable.build(opened(location))
    link = str(tmp_path / "result")
    it.store.add_root(link, it.env)
    found = _found(it)
    assert found.places == (RootPlace(kind="link", link=link, root=it.env),)
    assert found.left == {}


def test_a_place_that_is_no_longer_there_is_told_with_the_systems_words(
    it: Graftable, tmp_path: Path
) -> None:
    link, profile = str(tmp_path / "result"), str(tmp_path / "mine")
    it.store.add_root(link, it.env)
    it.store.switch_profile(profile, it.env)
    current = current_roots(it.store, {})
    os.unlink(link)
    os.unlink(profile)
    Path(profile).write_text("")
    found = find_everywhere(it.store, it.store, [it.old], current)
    assert (found.roots, found.places) == ((it.env,), ())
    assert found.left[link] == "No such file or directory"
    assert "it is not a symlink" in found.left[profile]


def test_links_that_programs_make_with_other_things_are_left_and_the_remedy_is_told(
    it: Graftable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "machine/root/.local/state"
    profile = home / "nix/profiles/home-manager"
    profile.parent.mkdir(parents=True)
    current = home / "home-manager/gcroots/current-home"
    current.parent.mkdir(parents=True)
    shell = tmp_path / "project/.direnv/flake-profile-a5d5b61aa8a61b7d9d765e1daf971a9a578f1cfa"
    shell.parent.mkdir(parents=True)
    it.store.add_root(str(shell), it.app)
    line = CommandLine(capsys, it.store.url, "apply", "--all-roots")
    _, err = line(f"--replace={it.old}={it.new}", status=2)
    assert "must be changed otherwise" in err
    assert f"run 'direnv reload' in '{tmp_path}/project'" in err
    it.store.switch_profile(str(profile), it.env)
    it.store.add_root(str(current), it.env)
    found = _found(it)
    assert found.places == (RootPlace(kind="profile", link=str(profile), root=it.env),)
    assert found.left.keys() == {str(current), str(shell)}
    assert f"run its activation, '{profile}/activate'" in found.left[str(current)]
    _, err = line(f"--replace={it.old}={it.new}")
    assert "run its activation" in err
    assert os.readlink(current) == it.store.store_dir.path(it.env)


def test_what_was_switched_meanwhile_stays(it: Graftable, tmp_path: Path) -> None:
    profile, result = str(tmp_path / "mine"), str(tmp_path / "result")
    it.store.switch_profile(profile, it.env)
    it.store.add_root(result, it.env)

    def switch(_: Plan) -> None:
        it.store.switch_profile(profile, it.data)

    places = _found(it).places
    done = apply(it.store, [it.env], {it.old: it.new}, places=places, approve=switch)
    full = it.store.store_dir.path
    assert os.path.realpath(profile) == full(it.data)
    assert os.readlink(result) == full(done.plan.new_roots[it.env])
    (warning,) = (one for one in done.warnings if one.kind == "switched-meanwhile")
    assert profile in warning.message
    (graft,) = Provenance(it.store.location, {"HOME": str(tmp_path)}).grafts()
    assert [place.link for place in graft.places] == [result]


def test_what_contradicts_all_roots_is_refused(
    it: Graftable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(capsys, it.store.url, "apply")
    replace = f"--replace={it.old}={it.new}"
    for arguments in (
        [it.env, "--all-roots", replace],
        ["--all-roots", replace, "--profile=mine"],
        ["--all-roots", replace],  # nothing is in force
        ["--all-roots"],
        [replace],
    ):
        assert line(*arguments, status=2)[0] == ""
    it.store.add_root(str(tmp_path / "result"), it.env)
    line("--all-roots", replace, "--dry-run")
    assert line.json("--all-roots", replace, "--add-root=x", status=2)["error"]
    assert os.readlink(tmp_path / "result") == it.store.store_dir.path(it.env)


@pytest.mark.nix
def test_from_hit_to_switched_and_back_in_profiles_that_nix_has_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Graftable.build(new_store(tmp_path))
    full = it.store.store_dir.path
    it.store.close()
    nix, line = RealNix(it.store.location, tmp_path), CommandLine(capsys, it.store.url)
    profiles = f"{it.store.location.state_dir}/profiles"
    system, user, away = f"{profiles}/system", f"{profiles}/per-user/me/env", f"{tmp_path}/away"
    os.makedirs(os.path.dirname(user))
    for profile, path in ((system, it.env), (user, it.env), (away, it.data), (away, it.app)):
        nix.run("nix-env", "-p", profile, "--set", full(path))
    result = str(tmp_path / "result")
    nix.run("nix-store", "--realise", full(it.app), "--add-root", result, "--indirect")
    nix.run("nix-store", "--realise", full(it.new), "--add-root", f"{result}-new", "--indirect")

    def current(profile: str) -> str:
        listed = nix.run("nix-env", "-p", profile, "--list-generations").splitlines()
        return next(one.split()[0] for one in listed if "(current)" in one)

    out, err = line("apply", "--all-roots", f"--replace={full(it.old)}={full(it.new)}")
    assert len(out.splitlines()) == 2
    assert "2 roots in force to be grafted, 4 places to be turned" in err
    places = (system, user, away, result)
    made = set(map(os.path.realpath, places))
    assert made == set(out.splitlines())
    assert [current(profile) for profile in places[:3]] == ["2", "2", "3"]
    hits = line.json("affected", "lib<1.1", status=1)
    assert [one["kind"] for one in hits["generations"]] == ["generation"] * 3
    assert [one["kind"] for one in hits["originals"]] == ["original"] * 2
    assert len(hits["roots"]) == 5
    for profile in places[:3]:
        nix.run("nix-env", "-p", profile, "--delete-generations", "old")
    nix.collect()
    assert all(map(os.path.exists, made))
    nix.run("nix-env", "-p", user, "--set", full(it.env))
    line("status", status=1)
    nix.run("nix-env", "-p", user, "--rollback")
    line("status")

    out, _ = line("ungraft", "lib")
    assert set(out.splitlines()) == set(places)
    assert {os.path.realpath(place) for place in places} == {full(it.env), full(it.app)}
    nix.collect()
    assert not any(map(os.path.exists, made))
    nix.check()
