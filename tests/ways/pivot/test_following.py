"""Links in store objects lead where the kernel would lead them, if the store were where it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graft.kernel.tree import remove_tree
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.ways.pivot.following import follow
from graft.ways.pivot.points import pivot_types
from tests.store_objects import add_object, close_stores, named_path, new_store
from tests.ways.pivot.test_points import marked


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def test_links_are_followed_in_a_store_that_lies_elsewhere(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        other = add_object(store, "other", {"dir": {"file": b""}})
        full = store.store_dir.path
        assert full(other).startswith("/nix/store/")
        path = add_object(store, "links", {"a": "{self}/b", "b": f"{full(other)}/dir"})
        place = follow(store, path, "a/file", leave=True)
        assert place == f"{store.tree(other)}/dir/file"
        assert follow(store, path, "a/file") is None
        assert follow(store, path, "a/nothing", leave=True) is None
    close_stores()


def test_an_object_that_is_a_link_is_followed(store: LocalStore) -> None:
    target = add_object(store, "target", marked("cacert"))
    alias = add_object(store, "alias", store.store_dir.path(target))
    place = follow(store, alias, "nix-support/pivots/cacert", leave=True)
    assert place == f"{store.tree(target)}/nix-support/pivots/cacert"
    assert pivot_types(store, alias) == ()


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """One store for all examples, which put what they need into it."""
    directory = tmp_path_factory.mktemp("kept")
    location = Location.of_directories(f"{directory}/store", f"{directory}/state")
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        yield store


_NAMES = ["a", "b", "c"]
_WORDS = [*_NAMES, ".", "..", "", "{one}", "{two}"]
_PARTS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=5)
_TARGETS = _PARTS.map("/".join) | _PARTS.map(lambda parts: "/".join(["{store}", *parts]))
_TREES = st.dictionaries(
    st.sampled_from(_NAMES),
    st.none() | _TARGETS | st.dictionaries(st.sampled_from(_NAMES), st.none() | _TARGETS),
)


@given(one=_TREES, two=_TREES, name=st.lists(st.sampled_from(_NAMES), max_size=3).map("/".join))
@example(one={"a": "b/../c", "b": "{store}/{two}/a", "c": None}, two={"a": {}, "c": None}, name="a")
@example(one={"a": "a"}, two={}, name="a")
@example(one={"a": "b/../c", "b": None, "c": None}, two={}, name="a")
@example(one={"a": "b/", "b": None}, two={}, name="a")
@example(one={"a": "../{two}/b", "b": None}, two={"b": "../{one}/b"}, name="a")
def test_links_lead_where_the_kernel_says(
    kept_store: LocalStore, one: dict[str, object], two: dict[str, object], name: str
) -> None:
    store_dir = kept_store.store_dir
    paths = [named_path(text, store_dir) for text in ("one", "two")]
    names = {"store": str(store_dir), "one": paths[0], "two": paths[1]}
    trees = [kept_store.tree(path) for path in paths]
    for place, tree in zip(trees, (one, two), strict=True):
        remove_tree(place)
        _make(place, tree, names)
    place = f"{trees[0]}/{name}".rstrip("/")
    expected = os.path.realpath(place) if os.path.exists(place) else None
    assert follow(kept_store, paths[0], name, leave=True) == expected
    own = expected is not None and f"{expected}/".startswith(f"{trees[0]}/")
    assert follow(kept_store, paths[0], name) == (expected if own else None)


def _make(place: str, tree: object, names: dict[str, str]) -> None:
    """Makes a directory, a file for None, or a link."""
    if isinstance(tree, dict):
        os.mkdir(place)
        for name, inner in tree.items():
            _make(f"{place}/{name}", inner, names)
    elif isinstance(tree, str):
        os.symlink(tree.format(**names) or ".", place)
    else:
        Path(place).touch()
