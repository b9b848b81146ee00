"""Profiles found by their generations."""

from __future__ import annotations

import os
from pathlib import Path

from graft.formats.store_path import StoreDir
from graft.store.roots.profile import find_profiles, profile_of_generation
from tests.ordinary_user import as_ordinary_user

STORE = StoreDir("/nix/store")


def _link(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to("/nix/store/x")


def _found(directory: Path) -> dict[str, list[int]]:
    unreadable: list[str] = []
    found = {
        os.path.relpath(profile.path, directory): [one.number for one in profile.generations()]
        for profile in find_profiles(str(directory), STORE, unreadable.append)
    }
    assert unreadable == []
    return found


def test_profiles_are_found_at_any_depth_with_or_without_a_current_generation(
    tmp_path: Path,
) -> None:
    for name in (
        *("system-9-link", "system-10-link", "per-user/me/profile-1-link"),
        *("per-user/me/home-manager-3-link", "a-1-link-1-link", "default", "x-link", "-1-link"),
    ):
        _link(tmp_path / name)
    (tmp_path / "system").symlink_to("system-9-link")
    (tmp_path / "file-1-link").write_text("")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "per-user")
    assert _found(tmp_path) == {
        "a-1-link": [1],
        "system": [9, 10],
        "per-user/me/home-manager": [3],
        "per-user/me/profile": [1],
    }


def test_where_there_are_no_profiles_none_are_found(tmp_path: Path) -> None:
    assert _found(tmp_path / "none") == {}
    (tmp_path / "file").write_text("")
    assert _found(tmp_path / "file") == {}


def test_the_profile_of_a_generation_is_told_by_the_name_of_its_link() -> None:
    found = profile_of_generation("/p/mine-3-link", STORE)
    assert found is not None
    assert found.path == "/p/mine"
    assert profile_of_generation("/p/result", STORE) is None
    assert profile_of_generation("/p-1-link/result", STORE) is None


@as_ordinary_user
def test_a_directory_that_may_not_be_read_is_told_of(tmp_path: Path) -> None:
    _link(tmp_path / "private/p-1-link")
    _link(tmp_path / "q-1-link")
    (tmp_path / "private").chmod(0)
    unreadable: list[str] = []
    found = [profile.path for profile in find_profiles(str(tmp_path), STORE, unreadable.append)]
    assert found == [str(tmp_path / "q")]
    assert unreadable == [str(tmp_path / "private")]
