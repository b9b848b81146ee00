"""Profiles, both ways with the real nix-env."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from graft.errors import ProfileError, RootLinkError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local import LocalStore
from graft.store.roots.profile import Generation, Profile, generations_to_delete
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


@pytest.fixture
def paths(store: LocalStore) -> list[StorePath]:
    return [add_object(store, f"env-{number}", {"bin": {}}) for number in range(3)]


def _numbers(profile: str, store: LocalStore) -> list[int]:
    return [found.number for found in Profile(profile, store.store_dir).generations()]


def test_each_switch_is_a_new_generation(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = tmp_path / "mine"
    for number, path in enumerate(paths, 1):
        store.switch_profile(str(profile), path)
        assert os.readlink(profile) == f"mine-{number}-link"
        assert os.readlink(tmp_path / f"mine-{number}-link") == store.store_dir.path(path)
    assert _numbers(str(profile), store) == [1, 2, 3]
    assert not (tmp_path / "mine.lock").exists()


def test_the_newest_generation_is_taken_again_if_it_is_the_same(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    store.switch_profile(profile, paths[0])
    store.switch_profile(profile, paths[0])
    assert _numbers(profile, store) == [1]


def test_a_generation_that_lost_its_root_gets_it_again(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = str(tmp_path / "mine")
    store.switch_profile(profile, paths[0])
    (root,) = Path(store.location.state_dir, "gcroots/auto").iterdir()
    root.unlink()
    store.switch_profile(profile, paths[0])
    assert os.readlink(root) == f"{profile}-1-link"


def test_generation_zero_is_a_generation(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    (tmp_path / "mine-0-link").symlink_to(store.store_dir.path(paths[0]))
    (tmp_path / "mine").symlink_to("mine-0-link")
    profile = Profile(str(tmp_path / "mine"), store.store_dir)
    assert profile.path == str(tmp_path / "mine")
    assert profile.current == 0
    assert _numbers(profile.path, store) == [0]
    store.switch_profile(profile.path, paths[1])
    assert os.readlink(profile.path) == "mine-1-link"
    assert profile.switch_back().number == 0


def test_a_link_that_cannot_be_read_is_not_taken_for_absent(tmp_path: Path) -> None:
    with pytest.raises(RootLinkError, match=r"cannot read the link '.*': File name too long"):
        Profile(str(tmp_path / ("x" * 300)), StoreDir("/nix/store"))


def test_other_files_beside_a_profile_are_not_its_generations(
    store: LocalStore, tmp_path: Path
) -> None:
    for name in ("mine-x-link", "mine-1-link-2", "other-1-link", "mine-1", "xmine-1-link"):
        (tmp_path / name).symlink_to("/nowhere")
    assert _numbers(str(tmp_path / "mine"), store) == []


def test_a_link_to_a_profile_is_that_profile(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = f"{store.location.state_dir}/profiles/default"
    (tmp_path / ".nix-profile").symlink_to(profile)
    store.switch_profile(profile, paths[0])
    store.switch_profile(str(tmp_path / ".nix-profile"), paths[1])
    assert _numbers(profile, store) == [1, 2]
    assert os.readlink(tmp_path / ".nix-profile") == profile


def test_a_link_is_followed_to_the_profile_and_not_further(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    full = store.store_dir.path(paths[0])
    store.switch_profile(str(tmp_path / "mine"), paths[0])
    for name, target in {
        "beside": "mine",
        "result": full,
        "dangling": "nothing",
        "twice": "./beside",
        "other-1-link": full,
        "like": "other-1-link",
    }.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / "below").mkdir()
    (tmp_path / "below/mine").symlink_to("../mine-1-link")
    led = {
        name: os.path.relpath(Profile(str(tmp_path / name), store.store_dir).path, tmp_path)
        for name in ("mine", "beside", "result", "dangling", "twice", "like", "below/mine")
    }
    assert led == {
        "mine": "mine",
        "beside": "mine",
        "result": "result",
        "dangling": "dangling",
        "twice": "mine",
        "like": "other-1-link",
        "below/mine": "mine-1-link",
    }


def test_what_is_no_profile_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "file-1-link").symlink_to("/nix/store/x")
    for profile, said in {
        "file": "is no profile: it is not a symlink",
        "missing/profile": "there is no directory '.*/missing'",
    }.items():
        with pytest.raises(ProfileError, match=said):
            store.check_profile(str(tmp_path / profile))
    no_profile = Profile(str(tmp_path / "file"), store.store_dir)
    with pytest.raises(ProfileError, match="it is not a symlink"):
        no_profile.switch_back(1)
    with pytest.raises(ProfileError, match="it is not a symlink"):
        no_profile.delete(lambda _generations, _current: {1})
    assert sorted(os.listdir(tmp_path))[:2] == ["file", "file-1-link"]
    assert not os.path.islink(tmp_path / "file")
    with pytest.raises(ProfileError, match=r"cannot read the directory '.*/missing'.*: No such"):
        Profile(str(tmp_path / "missing/x"), store.store_dir).generations()


@as_ordinary_user
def test_a_profile_in_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    profile = Profile(str(tmp_path / "mine"), StoreDir("/nix/store"))
    profile.check()
    tmp_path.chmod(0o555)
    with pytest.raises(ProfileError, match="you may not write the directory"):
        profile.check()
    tmp_path.chmod(0o755)


def test_the_way_back_is_to_the_generation_before(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = Profile(str(tmp_path / "mine"), store.store_dir)
    with pytest.raises(ProfileError, match=r"no older .* there are none, and none is the current"):
        profile.switch_back()
    for path in paths:
        profile.switch(path, store.location.state_dir)
    assert [profile.switch_back().number, profile.current] == [2, 2]
    assert [profile.switch_back().number, profile.current] == [1, 1]
    with pytest.raises(ProfileError, match="has no older generation: there are 1, 2, 3, and 1 is"):
        profile.switch_back()
    assert [profile.switch_back(3).number, profile.current] == [3, 3]


_DAYS = [50, 30, 20, 8, 3, 0]
_NOW = 100 * 86_400


@pytest.mark.parametrize(
    ("word", "current", "deleted"),
    [
        ("old", 4, {1, 2, 3, 5, 6}),
        ("1d", 6, {1, 2, 3, 4}),
        ("20d", 6, {1}),
        ("20d", 1, set()),
        ("19d", 6, {1, 2}),
        ("60d", 6, set()),
        ("+1", 6, {1, 2, 3, 4, 5}),
        ("+1", 4, {1, 2, 3}),
        ("+3", 4, {1}),
        ("+9", 6, set()),
        ("+1", None, set()),
        ("5", 6, {5}),
    ],
)
def test_generations_are_chosen_by_age_and_by_number(
    word: str, current: int | None, deleted: set[int]
) -> None:
    generations = [
        Generation(number=number, link="", target="", time=_NOW - days * 86_400)
        for number, days in enumerate(_DAYS, 1)
    ]
    assert generations_to_delete([word], _NOW)(generations, current) == deleted


def test_generations_are_deleted_and_told_in_their_order(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = Profile(str(tmp_path / "mine"), store.store_dir)
    for path in paths:
        profile.switch(path, store.location.state_dir)
    gone = profile.delete(generations_to_delete(["2", "1"], 0))
    assert [(one.number, os.path.lexists(one.link)) for one in gone] == [(1, False), (2, False)]
    assert _numbers(profile.path, store) == [3]


def test_a_profile_among_the_profiles_needs_no_indirect_roots(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    automatic = Path(store.location.state_dir, "gcroots/auto")
    store.switch_profile(f"{store.location.state_dir}/profiles/mine", paths[0])
    assert os.listdir(automatic) == []
    store.switch_profile(str(tmp_path / "mine"), paths[0])
    assert [os.readlink(link) for link in automatic.iterdir()] == [str(tmp_path / "mine-1-link")]


@pytest.mark.nix
@pytest.mark.parametrize("inside", [True, False])
def test_nix_env_reads_rolls_back_and_goes_on_with_the_generations(
    store: LocalStore, paths: list[StorePath], tmp_path: Path, inside: bool
) -> None:
    nix = RealNix(store.location, tmp_path)
    directory = f"{store.location.state_dir}/profiles" if inside else str(tmp_path)
    profile = f"{directory}/mine"
    full = store.store_dir.path
    for path in paths[:2]:
        store.switch_profile(profile, path)
    listed = nix.run("nix-env", "-p", profile, "--list-generations").splitlines()
    assert [line.split()[0] for line in listed] == ["1", "2"]
    assert "(current)" in listed[1]
    nix.run("nix-env", "-p", profile, "--rollback")
    assert os.readlink(profile) == "mine-1-link"
    nix.run("nix-env", "-p", profile, "--set", full(paths[2]))
    assert _numbers(profile, store) == [1, 2, 3]
    nix.collect()
    assert all(os.path.lexists(store.tree(path)) for path in paths)
    nix.run("nix-env", "-p", profile, "--delete-generations", "1", "2")
    nix.collect()
    assert [os.path.lexists(store.tree(path)) for path in paths] == [False, False, True]


def _made(directory: Path, store: LocalStore, path: StorePath, ages: list[int], now: int) -> str:
    """A profile with a generation of each age in days, made as nix-env leaves them."""
    directory.mkdir()
    for number, age in enumerate(ages, 1):
        link = directory / f"mine-{number}-link"
        link.symlink_to(store.store_dir.path(path))
        made = now - age * 86_400 - 60
        os.utime(link, (made, made), follow_symlinks=False)
    (directory / "mine").symlink_to(f"mine-{len(ages)}-link")
    return str(directory / "mine")


@pytest.mark.nix
@pytest.mark.parametrize("current", [2, 4, 6])
@pytest.mark.parametrize(
    "words", [["old"], ["1d"], ["7d"], ["40d"], ["+1"], ["+3"], ["+9"], ["1", "5", "77"]]
)
def test_the_same_generations_are_deleted_as_by_nix_env(
    store: LocalStore, paths: list[StorePath], tmp_path: Path, words: list[str], current: int
) -> None:
    now = int(time.time())
    ages = [50, 30, 20, 8, 3, 0]
    theirs = _made(tmp_path / "theirs", store, paths[0], ages, now)
    ours = _made(tmp_path / "ours", store, paths[0], ages, now)
    nix = RealNix(store.location, tmp_path)
    nix.run("nix-env", "-p", theirs, "--switch-generation", str(current))
    profile = Profile(ours, store.store_dir)
    assert profile.switch_back(current).number == current
    nix.run("nix-env", "-p", theirs, "--delete-generations", *words)
    profile.delete(generations_to_delete(words, now))
    assert sorted(os.listdir(tmp_path / "ours")) == sorted(os.listdir(tmp_path / "theirs"))
    assert os.readlink(ours) == os.readlink(theirs)


@pytest.mark.nix
def test_rolling_back_goes_where_nix_env_goes(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    nix = RealNix(store.location, tmp_path)
    theirs = _made(tmp_path / "theirs", store, paths[0], [9, 5, 1], int(time.time()))
    ours = Profile(_made(tmp_path / "ours", store, paths[0], [9, 5, 1], 0), store.store_dir)
    os.unlink(f"{theirs}-2-link")
    os.unlink(f"{ours.path}-2-link")
    nix.run("nix-env", "-p", theirs, "--rollback")
    assert ours.switch_back().number == 1
    assert os.readlink(theirs) == os.readlink(ours.path) == "mine-1-link"
    nix.run("nix-env", "-p", theirs, "--rollback", status=1)
    with pytest.raises(ProfileError, match="has no older generation"):
        ours.switch_back()


@pytest.mark.nix
def test_nix_env_waits_for_whoever_holds_the_lock_of_a_profile(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    nix = RealNix(store.location, tmp_path)
    profile = Profile(_made(tmp_path / "p", store, paths[0], [2, 1, 0], 0), store.store_dir)
    command = ["nix-env", "-p", profile.path, "--rollback"]
    started: list[subprocess.Popen[str]] = []

    def which(_generations: list[Generation], _current: int | None) -> set[int]:
        process = subprocess.Popen(
            command, env=nix.environment, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        assert process.stderr is not None
        assert "waiting for lock" in process.stderr.readline()
        assert profile.current == 3
        started.append(process)
        return {2}

    profile.delete(which)
    _, said = started[0].communicate()
    assert started[0].returncode == 0, said
    assert profile.current == 1  # two was gone when it had the lock


def test_the_current_generation_is_not_deleted(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = Profile(_made(tmp_path / "p", store, paths[0], [2, 1], 0), store.store_dir)
    with pytest.raises(ProfileError, match=r"generation 2 .* is the current one"):
        profile.delete(generations_to_delete(["1", "2"], 0))
    assert [one.number for one in profile.generations()] == [1, 2]


def test_a_generation_that_is_not_there_is_no_switch(
    store: LocalStore, paths: list[StorePath], tmp_path: Path
) -> None:
    profile = Profile(_made(tmp_path / "p", store, paths[0], [2, 1], 0), store.store_dir)
    with pytest.raises(ProfileError, match="has no generation 7: there are 1, 2, and 2 is"):
        profile.switch_back(7)
    assert profile.current == 2


@pytest.mark.parametrize("words", [["0d"], ["+0"], ["+"], ["d"], ["old", "1"], ["-1"], []])
def test_words_that_say_no_generations_are_refused(words: list[str]) -> None:
    with pytest.raises(ProfileError, match=f"^'{re.escape(''.join(words[:1]))}' says no generatio"):
        generations_to_delete(words, 0)


def test_the_first_word_that_is_no_number_is_named() -> None:
    with pytest.raises(ProfileError, match="'x2' says no generations"):
        generations_to_delete(["1", "x2", "x3"], 0)
