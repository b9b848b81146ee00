"""Which mounts there are, and which there cannot be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from graft.errors import MountError, ReplacementCycleError
from graft.formats.store_path import StorePath
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.ways.namespace import Mount
from tests.store_objects import Contents, add_object, new_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def _mount(
    store: LocalStore, root: StorePath, replacements: Mapping[StorePath, StorePath]
) -> Mount:
    return Mount.of(make_plan(store, Graft.of([root], replacements.items())), store.location)


def _user_of(store: LocalStore, *used: StorePath, name: str = "root-1") -> StorePath:
    contents: Contents = {f"use{n}": store.store_dir.path(path) for n, path in enumerate(used)}
    return add_object(store, name, contents, used)


def test_chains_end_at_the_last_new(store: LocalStore) -> None:
    one, two, three = (add_object(store, f"lib-{n}", {"n": b"%d" % n}) for n in (1, 2, 3))
    root = _user_of(store, one, two)
    mount = _mount(store, root, {one: two, two: three})
    assert mount.over == {one: three, two: three}
    full, tree = store.store_dir.path, store.tree
    assert mount.view.outside(f"{full(root)}/use0/n") == f"{tree(three)}/n"
    assert mount.options() == [
        *("--dev-bind", "/", "/"),
        *(word for old in sorted([one, two]) for word in ("--ro-bind", tree(three), full(old))),
    ]


def test_a_pair_of_one_path_is_dropped_and_said(store: LocalStore) -> None:
    lib = add_object(store, "lib-1", {"n": b"1"})
    mount = _mount(store, _user_of(store, lib), {lib: lib})
    assert mount.over == {}
    assert [warning.kind for warning in mount.warnings] == ["self-replacement"]


def test_what_root_does_not_lead_to_is_said(store: LocalStore) -> None:
    one, two = (add_object(store, f"lib-{n}", {"n": b"%d" % n}) for n in (1, 2))
    mount = _mount(store, _user_of(store), {one: two})
    assert mount.over == {one: two}
    (warning,) = mount.warnings
    assert (warning.kind, warning.path) == ("unused-replacement", one)
    assert "will not see it" in warning.message


def test_a_circle_of_replacements_is_an_error(store: LocalStore) -> None:
    one, two = (add_object(store, f"lib-{n}", {"n": b"%d" % n}) for n in (1, 2))
    with pytest.raises(ReplacementCycleError):
        _mount(store, _user_of(store, one), {one: two, two: one})


@pytest.mark.parametrize("used", [True, False])
def test_a_wrapper_of_old_would_find_itself(store: LocalStore, *, used: bool) -> None:
    old = add_object(store, "lib-1", {"n": b"1"})
    between = _user_of(store, old, name="between-1")
    wrapper = _user_of(store, between, name="wrapper-1")
    root = _user_of(store, *([old] if used else []))
    with pytest.raises(MountError, match=r"wrapper-1 -> between-1 -> lib-1.*graft apply"):
        _mount(store, root, {old: wrapper})


def test_outputs_that_wrap_each_others_old_are_refused_too(store: LocalStore) -> None:
    old_a, old_b = (add_object(store, f"{n}-1", {"n": n.encode()}) for n in "ab")
    new_a, new_b = _user_of(store, old_b, name="a-2"), _user_of(store, old_a, name="b-2")
    with pytest.raises(MountError, match="itself"):
        _mount(store, _user_of(store, old_a), {old_a: new_a, old_b: new_b})


def test_an_output_may_refer_to_another_ones_old(store: LocalStore) -> None:
    old_out, old_bin = (add_object(store, f"{n}-1", {"n": n.encode()}) for n in ("out", "bin"))
    new_out = add_object(store, "out-2", {"n": b"2"})
    new_bin = _user_of(store, old_out, name="bin-2")
    mount = _mount(store, _user_of(store, old_bin), {old_out: new_out, old_bin: new_bin})
    full = store.store_dir.path
    assert mount.view.outside(f"{full(old_bin)}/use0/n") == f"{store.tree(new_out)}/n"


def test_files_lie_over_files_only(store: LocalStore) -> None:
    file, other = (add_object(store, f"file-{n}", b"%d" % n) for n in (1, 2))
    directory = add_object(store, "directory-1", {"n": b""})
    root = _user_of(store, file, directory)
    assert _mount(store, root, {file: other}).over == {file: other}
    with pytest.raises(MountError, match=r"is a file and '.*' is a directory.*graft apply"):
        _mount(store, root, {file: directory})
    with pytest.raises(MountError, match=r"is a directory and '.*' is a file"):
        _mount(store, root, {directory: file})


def test_nothing_lies_over_a_symlink_but_what_it_leads_to_lies_over_others(
    store: LocalStore,
) -> None:
    directory, old = (add_object(store, f"directory-{n}", {"n": b"%d" % n}) for n in (1, 2))
    link = add_object(store, "link-1", store.store_dir.path(directory), [directory])
    root = _user_of(store, link, old)
    with pytest.raises(MountError, match="is a symlink"):
        _mount(store, root, {link: old})
    mount = _mount(store, root, {old: link})
    assert mount.options()[-2:] == [store.tree(directory), store.store_dir.path(old)]


def test_what_is_not_on_disk_is_an_error(store: LocalStore) -> None:
    one, two = (add_object(store, f"lib-{n}", {"n": b"%d" % n}) for n in (1, 2))
    root = _user_of(store, one)
    os.chmod(store.tree(two), 0o755)
    shutil.rmtree(store.tree(two))
    with pytest.raises(MountError, match=f"{two}.*No such file.*repair"):
        _mount(store, root, {one: two})
