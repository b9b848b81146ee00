"""Garbage collector roots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import RootLinkError, StoreError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.roots.roots import (
    add_root,
    check_root_link,
    find_roots,
    find_stale_links,
    replace_symlink,
)
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store.printed_roots import printed_roots
from tests.store_objects import add_object, new_store, opened

STORE = StoreDir("/nix/store")
PATH = StorePath("0123456789abcdfghijklmnpqrsvwxyz-hello-1.0")


def test_what_a_killed_process_left_of_a_link_goes_with_the_next_change(tmp_path: Path) -> None:
    (tmp_path / ".result.graft").symlink_to("/left-over")
    replace_symlink(str(tmp_path / "result"), "/target")
    assert os.listdir(tmp_path) == ["result"]
    assert os.readlink(tmp_path / "result") == "/target"


def test_a_root_is_a_link_and_an_indirect_root_of_it(tmp_path: Path) -> None:
    link = tmp_path / "result"
    add_root(str(link), PATH, STORE, str(tmp_path / "state"))
    assert os.readlink(link) == STORE.path(PATH)
    (automatic,) = (tmp_path / "state/gcroots/auto").iterdir()
    assert os.readlink(automatic) == str(link)


def test_a_root_replaces_a_link_into_the_store(tmp_path: Path) -> None:
    link = tmp_path / "result"
    link.symlink_to("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-old")
    add_root(str(link), PATH, STORE, str(tmp_path / "state"))
    assert os.readlink(link) == STORE.path(PATH)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["result", "state"]


def test_a_link_among_the_roots_needs_no_indirect_root(tmp_path: Path) -> None:
    roots = tmp_path / "gcroots"
    roots.mkdir()
    add_root(str(roots / "mine"), PATH, STORE, str(tmp_path))
    assert [entry.name for entry in roots.iterdir()] == ["mine"]


def test_nothing_but_a_link_into_the_store_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "elsewhere").symlink_to("/etc/passwd")
    for link, said in {
        "file": "exists and is no link into the store",
        "elsewhere": "exists and is no link into the store",
        "missing/link": "there is no directory '.*/missing'",
    }.items():
        with pytest.raises(RootLinkError, match=said):
            check_root_link(str(tmp_path / link), STORE)
        with pytest.raises(RootLinkError, match=said):
            add_root(str(tmp_path / link), PATH, STORE, str(tmp_path / "state"))
    with pytest.raises(RootLinkError, match="may not lie in the store"):
        check_root_link("/nix/store/link", STORE)
    assert (tmp_path / "file").read_text() == "precious"


@as_ordinary_user
def test_a_link_in_a_directory_that_may_not_be_written_is_no_root(tmp_path: Path) -> None:
    check_root_link(str(tmp_path / "link"), STORE)
    tmp_path.chmod(0o555)
    with pytest.raises(RootLinkError, match="you may not write the directory"):
        check_root_link(str(tmp_path / "link"), STORE)
    tmp_path.chmod(0o755)


def test_a_link_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(RootLinkError, match=r"cannot make the link '.*/directory': Is a directory"):
        replace_symlink(str(tmp_path / "directory"), "target")
    assert os.listdir(tmp_path) == ["directory"]
    with pytest.raises(RootLinkError, match=r"cannot make the link '.*': No such file"):
        replace_symlink(str(tmp_path / "missing/link"), "target")


def test_roots_that_cannot_be_looked_for_are_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot look for roots in .*: File name too long"):
        list(find_roots(STORE, f"/{'x' * 300}"))


def test_a_place_that_is_left_out_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    unreadable: list[str] = []
    assert list(find_roots(STORE, str(tmp_path), unreadable.append)) == []
    assert unreadable == []
    said = [f"cannot read potential root '{tmp_path}/{name}'" for name in ("gcroots", "profiles")]
    assert caplog.messages == said


def _state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    (state / "gcroots/auto").mkdir(parents=True)
    (state / "profiles").mkdir()
    (state / "gcroots/profiles").symlink_to(state / "profiles")
    return state


def _found(state: Path) -> dict[str, StorePath]:
    return dict(find_roots(STORE, str(state)))


def test_links_into_the_store_are_roots_at_any_depth(tmp_path: Path) -> None:
    state = _state(tmp_path)
    deep = state / "gcroots/a/b"
    deep.mkdir(parents=True)
    for link in (state / "gcroots/direct", deep / "deep", state / "profiles/p-1-link"):
        link.symlink_to(STORE.path(PATH))
    (state / "gcroots/inside").symlink_to(f"{STORE.path(PATH)}/bin/hello")
    assert _found(state) == {
        str(state / place): PATH
        for place in ("gcroots/direct", "gcroots/inside", "gcroots/a/b/deep", "profiles/p-1-link")
    }


def test_an_indirect_root_is_the_link_it_leads_to(tmp_path: Path) -> None:
    state = _state(tmp_path)
    add_root(str(tmp_path / "result"), PATH, STORE, str(state))
    (state / "gcroots/auto/relative").symlink_to("../../../other")
    (tmp_path / "other").symlink_to(STORE.path(PATH))
    assert _found(state) == {str(tmp_path / name): PATH for name in ("result", "other")}


def test_a_profile_is_the_root_of_its_current_generation(tmp_path: Path) -> None:
    state = _state(tmp_path)
    (state / "profiles/p-1-link").symlink_to(STORE.path(PATH))
    (state / "profiles/p").symlink_to("p-1-link")
    assert _found(state) == {str(state / "profiles/p-1-link"): PATH}


def test_a_stale_indirect_root_is_left_out_and_left_alone(tmp_path: Path) -> None:
    state = _state(tmp_path)
    add_root(str(tmp_path / "result"), PATH, STORE, str(state))
    (tmp_path / "result").unlink()
    assert _found(state) == {}
    assert len(list((state / "gcroots/auto").iterdir())) == 1


def test_what_leads_elsewhere_is_no_root(tmp_path: Path) -> None:
    state = _state(tmp_path)
    (tmp_path / "far").symlink_to(STORE.path(PATH))
    (tmp_path / "near").symlink_to(tmp_path / "far")
    (tmp_path / "loop").symlink_to("loop")
    for name, target in {
        "two-links-away": str(tmp_path / "near"),
        "a-directory": str(tmp_path),
        "a-loop": str(tmp_path / "loop"),
        "out-of-the-store": "/nix/store/../etc",
        "the-store": "/nix/store",
        "a-slash": "/nix/store/",
        "beside-the-store": f"/nix/stores/{PATH}",
        "no-store-path": "/nix/store/.links/x",
    }.items():
        (state / "gcroots" / name).symlink_to(target)
    (state / "gcroots/README").write_text("")
    assert _found(state) == {}


def test_a_file_with_the_name_of_a_store_path_is_a_root(tmp_path: Path) -> None:
    state = _state(tmp_path)
    (state / "gcroots" / PATH).write_text("")
    assert _found(state) == {str(state / "gcroots" / PATH): PATH}


def test_there_may_be_no_directory_of_roots(tmp_path: Path) -> None:
    assert _found(tmp_path) == {}


@as_ordinary_user
def test_a_directory_that_may_not_be_read_is_skipped(tmp_path: Path) -> None:
    state = _state(tmp_path)
    private = state / "gcroots/private"
    private.mkdir()
    (private / "root").symlink_to(STORE.path(PATH))
    (state / "gcroots/root").symlink_to(STORE.path(PATH))
    private.chmod(0)
    assert _found(state) == {str(state / "gcroots/root"): PATH}


@pytest.mark.nix
@pytest.mark.parametrize("rooted", [True, False])
def test_the_roots_of_a_store_are_those_nix_prints(tmp_path: Path, *, rooted: bool) -> None:
    if rooted:
        location = Location.at_root(str(tmp_path / "root"))
        LocalStore.create(location)
        store = opened(location)
    else:
        store = new_store(tmp_path)
    one, two = add_object(store, "one-1", b"1"), add_object(store, "two-1", b"2")
    alias = add_object(store, "alias-1", store.store_dir.path(two), [two])
    state, full = Path(store.location.state_dir), store.store_dir.path
    (tmp_path / b"na\xefve\nname".decode(errors="surrogateescape")).symlink_to(full(one))
    (state / "gcroots/nested").mkdir()
    store.add_root(str(tmp_path / "result"), one)
    store.add_root(str(state / "gcroots/direct"), two)
    for _ in range(2):
        store.switch_profile(str(state / "profiles/p"), one)
        store.switch_profile(str(state / "profiles/p"), two)
    store.switch_profile(str(tmp_path / "mine"), alias)
    gone = STORE.path(PATH).replace(STORE, store.store_dir)
    for name, target in {
        "nested/inside": f"{full(one)}/bin",
        "nested/gone": gone,
        "relative": f"../../{two}",
        "into-the-real-store": store.tree(two),
        "a-link-in-the-real-store": store.tree(alias),
        "strange": str(tmp_path / "na\udcefve\nname"),
        "twice": str(tmp_path / "result"),
        "dotted": f"{tmp_path}/./x/../result",
        "out": f"{store.store_dir}/../etc",
        "the-store": f"{store.store_dir}/",
        "links": f"{store.store_dir}/.links/x",
    }.items():
        (state / "gcroots" / name).symlink_to(target)
    (state / "gcroots" / two).write_text("")
    (state / "gcroots/README").write_text("")
    ours = "".join(f"{link} -> {full(path)}\n" for link, path in store.roots().items())
    nix = RealNix(store.location, tmp_path)
    where = ["--store", str(tmp_path / "root")] if rooted else []
    assert ours == printed_roots(["nix-store", *where, "--gc", "--print-roots"], nix.environment)
    assert len(store.roots()) > 8


def test_indirect_roots_whose_links_are_gone_are_stale(tmp_path: Path) -> None:
    state = _state(tmp_path)
    assert find_stale_links(str(state)) == []
    for name in ("kept", "gone"):
        add_root(str(tmp_path / name), PATH, STORE, str(state))
    (tmp_path / "gone").unlink()
    (state / "gcroots/auto/file").write_text("")
    ((link, target),) = find_stale_links(str(state))
    assert target == str(tmp_path / "gone")
    assert os.readlink(link) == target
    assert find_stale_links(str(tmp_path / "none")) == []


@as_ordinary_user
def test_what_may_not_be_read_is_told_of(tmp_path: Path) -> None:
    state = _state(tmp_path)
    for name in ("gcroots/private", "home"):
        (tmp_path / "state" / name).mkdir()
    (state / "home/result").symlink_to(STORE.path(PATH))
    (state / "gcroots/auto/result").symlink_to(state / "home/result")
    for name in ("gcroots/private", "home"):
        (state / name).chmod(0)
    unreadable: list[str] = []
    assert list(find_roots(STORE, str(state), unreadable.append)) == []
    assert sorted(unreadable) == [f"{state}/gcroots/private", f"{state}/home/result"]
    assert find_stale_links(str(state)) == []


@pytest.mark.nix
def test_the_collector_removes_the_links_that_are_stale(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "one-1", b"1")
    for name in ("kept", "gone"):
        store.add_root(str(tmp_path / name), path)
    (tmp_path / "gone").unlink()
    state = Path(store.location.state_dir)
    stale = {link for link, _ in find_stale_links(str(state))}
    before = set(map(str, (state / "gcroots/auto").iterdir()))
    RealNix(store.location, tmp_path).collect("--gc", "--print-roots")
    assert before - set(map(str, (state / "gcroots/auto").iterdir())) == stale
    assert len(stale) == 1
