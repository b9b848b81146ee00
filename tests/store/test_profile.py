"""Profiles, both ways with the real nix-env."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import ProfileError
from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.store.profile import Profile
from tests.objects import add_object, new_store
from tests.real_nix import RealNix


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


def test_what_is_no_profile_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for profile in ("file", "missing/profile"):
        with pytest.raises(ProfileError):
            store.check_profile(str(tmp_path / profile))


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
    nix.run("nix-store", "--gc")
    assert all(os.path.lexists(store.tree(path)) for path in paths)
    nix.run("nix-env", "-p", profile, "--delete-generations", "1", "2")
    nix.run("nix-store", "--gc")
    assert [os.path.lexists(store.tree(path)) for path in paths] == [False, False, True]
