"""The places of new roots, checked before anything is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import ProfileError, RootLinkError, UsageError
from graft.machine.places import Placement, RootKeeping, RootPlace
from tests.caches import new_cache
from tests.graftable import Graftable
from tests.store_objects import new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _links(it: Graftable, tmp_path: Path, *names: str) -> list[str]:
    """The links that are made for three roots, which are their own grafts here."""
    roots = [it.env, it.app, it.data]
    links = tuple(str(tmp_path / name) for name in names)
    kept = RootKeeping(it.store, roots, Placement(root_links=links)).keep(
        {one: one for one in roots}
    )
    assert [place.root for place in kept] == (roots if names else [])
    assert all(os.readlink(one.link) == it.store.store_dir.path(one.root) for one in kept)
    return [os.path.basename(place.link) for place in kept]


def test_one_link_is_numbered_and_several_are_taken_as_they_are(
    it: Graftable, tmp_path: Path
) -> None:
    assert _links(it, tmp_path) == []
    assert _links(it, tmp_path, "one") == ["one", "one-2", "one-3"]
    assert _links(it, tmp_path, "a", "b", "c") == ["a", "b", "c"]
    for names in (["a", "b"], ["a", "b", "c", "d"]):
        with pytest.raises(RootLinkError, match=f"{len(names)} root links .* for 3 roots"):
            _links(it, tmp_path, *names)


def test_a_profile_gets_one_root(it: Graftable, tmp_path: Path) -> None:
    placement = Placement(profile=str(tmp_path / "mine"))
    with pytest.raises(ProfileError, match="2 roots were given for the profile"):
        RootKeeping(it.store, [it.env, it.app], placement)
    (kept,) = RootKeeping(it.store, [it.env], placement).keep({it.env: it.data})
    assert (kept.kind, kept.link, kept.generation) == ("profile", str(tmp_path / "mine"), 1)
    assert (kept.root, kept.new_root) == (it.env, it.data)


def test_a_place_that_cannot_be_is_an_error_before_anything_is_done(
    it: Graftable, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError):
        RootKeeping(it.store, [it.env], Placement(profile=str(tmp_path / "file")))
    with pytest.raises(RootLinkError):
        RootKeeping(it.store, [it.env], Placement(root_links=(str(tmp_path / "file"),)))


def test_a_cache_keeps_no_roots(it: Graftable, tmp_path: Path) -> None:
    with new_cache(tmp_path / "cache") as cache:
        nothing = RootKeeping(cache, [it.env], Placement())
        assert not nothing
        assert nothing.keep({it.env: it.env}) == []
        for placement in (Placement(profile="mine"), Placement(root_links=("link",))):
            with pytest.raises(UsageError, match="has no roots and no profiles"):
                RootKeeping(cache, [it.env], placement)


def test_a_given_link_is_turned_whatever_it_leads_to_and_a_found_one_only_from_its_root(
    it: Graftable, tmp_path: Path
) -> None:
    given, found, passed = (str(tmp_path / name) for name in ("given", "found", "passed"))
    for link, path in ((given, it.app), (found, it.env), (passed, it.app)):
        it.store.add_root(link, path)
    places = tuple(RootPlace(kind="link", link=link, root=it.env) for link in (found, passed))
    keeping = RootKeeping(it.store, [it.env], Placement(root_links=(given,), places=places))
    assert keeping
    assert [one.link for one in keeping.keep({it.env: it.data})] == [given, found]
    assert [one.link for one in keeping.passed] == [passed]
