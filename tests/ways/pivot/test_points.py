"""Which paths are marked as looking something up, and which only seem to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.store.local import LocalStore
from graft.ways.pivot.points import PivotPoint, find_points, pivot_types
from tests.store_objects import Contents, add_object, new_store


def marked(*types: str, **more: Contents) -> Contents:
    """An object with markers, as package authors make them."""
    return {"nix-support": {"pivots": dict.fromkeys(types, b"")}, **more}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def test_a_path_has_the_types_of_its_markers(store: LocalStore) -> None:
    both = add_object(store, "both", marked("tzdata", "cacert"))
    plain = add_object(store, "plain", {"bin": b""})
    one = add_object(store, "one", marked("cacert"))
    points = find_points(store, [both, plain, one])
    assert points == sorted(
        [
            PivotPoint(path=both, types=("cacert", "tzdata")),
            PivotPoint(path=one, types=("cacert",)),
        ],
        key=lambda point: point.path,
    )


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_environment_that_links_its_packages_markers_is_not_marked(
    store: LocalStore, depth: int
) -> None:
    full = store.store_dir.path(add_object(store, "package", marked("cacert")))
    environment: list[Contents] = [
        {"nix-support": f"{full}/nix-support"},
        {"nix-support": {"pivots": f"{full}/nix-support/pivots"}},
        {"nix-support": {"pivots": {"cacert": f"{full}/nix-support/pivots/cacert"}}},
    ]
    path = add_object(store, "environment", environment[depth])
    assert pivot_types(store, path) == ()


def test_a_marker_may_be_a_link_to_what_is_built_in(store: LocalStore) -> None:
    full = store.store_dir.path(add_object(store, "nss-cacert", {"bundle": b""}))
    path = add_object(store, "curl", {"nix-support": {"pivots": {"cacert": f"{full}/bundle"}}})
    assert pivot_types(store, path) == ("cacert",)


@pytest.mark.parametrize("target", ["other", "{self}/share/other", "../share/../share/other"])
def test_links_inside_a_path_are_followed(store: LocalStore, target: str) -> None:
    contents: Contents = {
        "nix-support": {"pivots": "{self}/share/markers"},
        "share": {"markers": target, "other": {"tzdata": b""}},
    }
    assert pivot_types(store, add_object(store, "package", contents)) == ("tzdata",)


@pytest.mark.parametrize(
    "contents",
    [
        b"a file",
        {"nix-support": b"a file"},
        {"nix-support": {"pivots": b"a file"}},
        {"nix-support": {"pivots": {}}},
        {"nix-support": {"pivots": "nowhere"}},
        {"nix-support": {"pivots": "../nix-support/pivots"}},
        {"nix-support": "../../../../../.."},
        {"nix-support": {"pivots": {".hidden": b""}}},
    ],
)
def test_what_is_no_marker_is_left_out(store: LocalStore, contents: Contents) -> None:
    assert pivot_types(store, add_object(store, "package", contents)) == ()
