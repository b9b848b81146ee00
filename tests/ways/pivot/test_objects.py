"""Pivots as store objects: named by their contents, and kept with all they lead to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import InvalidPathError, StoreError
from graft.jobs.apply import apply
from graft.kernel.tree import remove_tree
from graft.store.api import path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.ways.pivot.directory import read_record
from graft.ways.pivot.objects import add_automatic_root, object_name, register_object
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store
from tests.ways.pivot.closures import Pivotable


@pytest.fixture
def it(tmp_path: Path) -> Pivotable:
    return Pivotable.build(new_store(tmp_path))


def test_it_refers_to_what_it_was_made_from_and_what_it_leads_to(it: Pivotable) -> None:
    path = register_object(it.store, it.pivots())
    info = path_info(it.store, path)
    assert info.references == {it.system, it.curl, it.clock, it.new_cacert, it.new_tzdata}
    assert info.ultimate
    tree = it.store.tree(path)
    assert os.readlink(f"{tree}/{it.curl}/cacert") == it.targets["cacert"]
    assert read_record(tree) == it.pivots()


def test_the_name_is_a_function_of_the_contents(it: Pivotable, tmp_path: Path) -> None:
    path = register_object(it.store, it.pivots())
    assert path == object_name(it.pivots())
    assert path.name == "pivots"
    assert register_object(it.store, it.pivots()) == path
    other = it.pivots(it.targets | {"cacert": "/etc/passwd"})
    assert object_name(other) != path
    assert object_name(replace(it.pivots(), links={})) != path
    assert object_name(replace(it.pivots(), root=it.curl)) != path


def test_links_into_the_store_are_followed(it: Pivotable, tmp_path: Path) -> None:
    link = tmp_path / "result"
    link.symlink_to(it.full(it.new_cacert))
    inner = "/etc/ssl/certs/ca-bundle.crt"
    path = register_object(it.store, it.pivots(it.targets | {"cacert": f"{link}{inner}"}))
    place = f"{it.store.tree(path)}/{it.curl}/cacert"
    assert os.readlink(place) == it.full(it.new_cacert) + inner
    assert it.new_cacert in path_info(it.store, path).references


def test_targets_outside_the_store_stay_as_they_are(it: Pivotable, tmp_path: Path) -> None:
    (tmp_path / "bundle").touch()
    path = register_object(it.store, it.pivots(it.targets | {"cacert": f"{tmp_path}/bundle"}))
    assert os.readlink(f"{it.store.tree(path)}/{it.curl}/cacert") == f"{tmp_path}/bundle"
    assert it.new_cacert not in path_info(it.store, path).references


def test_a_store_that_lies_elsewhere_gets_logical_links(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        it = Pivotable.build(store)
        (tmp_path / "link").symlink_to(store.tree(it.new_cacert))
        path = register_object(store, it.pivots(it.targets | {"cacert": f"{tmp_path}/link"}))
        place = f"{store.tree(path)}/{it.curl}/cacert"
        assert os.readlink(place) == f"/nix/store/{it.new_cacert}"
        assert it.new_cacert in path_info(store, path).references


def test_an_object_that_is_lost_is_an_error(it: Pivotable) -> None:
    path = register_object(it.store, it.pivots())
    remove_tree(it.store.tree(path))
    with pytest.raises(StoreError, match="registered, but not on disk"):
        register_object(it.store, it.pivots())


def test_what_is_gone_since_it_was_looked_at_is_an_error(it: Pivotable) -> None:
    gone = object_name(it.pivots())
    pivots = replace(it.pivots(), targets={**it.targets, "cacert": it.full(gone)})
    with pytest.raises(InvalidPathError):
        register_object(it.store, pivots)


def test_a_graft_of_it_moves_the_names_it_is_made_of(it: Pivotable) -> None:
    path = register_object(it.store, it.pivots())
    outcome = apply(it.store, [path], {it.tzdata: it.new_tzdata})
    assert outcome.succeeded
    moved = outcome.plan.moved
    assert set(os.listdir(it.store.tree(moved[path]))) == {
        "pivots.json",
        moved[it.curl],
        moved[it.clock],
    }
    made = read_record(it.store.tree(moved[path]))
    assert made is not None
    assert (made.root, set(made.links)) == (moved[it.system], {moved[it.curl], moved[it.clock]})


@pytest.mark.nix
@pytest.mark.parametrize("automatic", [True, False])
def test_nixs_collector_keeps_it_and_what_it_leads_to(
    it: Pivotable, tmp_path: Path, automatic: bool
) -> None:
    rubbish = add_object(it.store, "rubbish", b"")
    path = register_object(it.store, it.pivots())
    if automatic:
        link = add_automatic_root(it.store, it.store.location.state_dir, path)
        assert link == f"{it.store.location.state_dir}/gcroots/graft/{path}"
    else:
        link = str(tmp_path / "link")
        it.store.add_root(link, path)
    location = it.store.location
    it.store.close()
    nix = RealNix(location, tmp_path)
    nix.check()
    nix.collect()
    with LocalStore(location=location) as store:
        assert rubbish not in store.valid_paths()
        assert {path, it.new_cacert, it.new_tzdata, it.system, it.curl} <= store.valid_paths()
        assert os.path.exists(f"{link}/{it.curl}/cacert/etc/ssl/certs/ca-bundle.crt")
        os.unlink(link)
    nix.collect()
    with LocalStore(location=location) as store:
        assert not {path, it.new_cacert, it.new_tzdata} & store.valid_paths()
