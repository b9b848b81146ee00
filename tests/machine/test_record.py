"""The record of grafts: what a job writes down, where, and what is read again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from graft import __version__
from graft.errors import ProvenanceError
from graft.jobs.apply import apply
from graft.machine.record import GraftRecord, PlaceRecord, Provenance, _joined
from graft.store.local import LocalStore
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.store_objects import new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _provenance(store: LocalStore, home: Path) -> Provenance:
    return Provenance(store.location, {"HOME": str(home)})


def test_a_graft_is_written_down_whole(it: Graftable, tmp_path: Path) -> None:
    profile, link = str(tmp_path / "mine"), str(tmp_path / "patched")
    outcome = apply(
        it.store,
        [it.env],
        {it.old: it.new},
        cutoffs=[it.data],
        profile=profile,
        add_roots=[link],
        note="CVE-2026-0001",
    )
    (graft,) = _provenance(it.store, tmp_path).grafts()
    new = outcome.plan.new_roots[it.env]
    assert graft.id == outcome.graft
    assert graft.roots == {it.env: new}
    assert graft.replacements == {it.old: it.new}
    assert graft.cutoffs == {it.data}
    assert graft.rewrites == {it.app: outcome.plan.moved[it.app], it.env: new}
    assert graft.places == (
        PlaceRecord(kind="link", link=link, root=it.env, new_root=new, made=True),
        PlaceRecord(kind="profile", link=profile, root=it.env, new_root=new, generation=1),
    )
    assert (graft.note, graft.ended, graft.tool_version) == ("CVE-2026-0001", None, __version__)
    assert graft.addressing == "input"
    assert graft.bytes_written == outcome.execution.bytes_written


def test_the_same_graft_again_is_the_same_record_with_more_places(
    it: Graftable, tmp_path: Path
) -> None:
    links = [str(tmp_path / name) for name in ("first", "second")]
    for link, note in zip(links, ("why", None), strict=True):
        apply(it.store, [it.env], {it.old: it.new}, add_roots=[link], note=note)
    (graft,) = _provenance(it.store, tmp_path).grafts()
    assert [place.link for place in graft.places] == links
    assert graft.note == "why"


def test_a_graft_that_failed_is_not_written_down(it: Graftable, tmp_path: Path) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new}, cutoffs=[it.app], add_roots=[])
    assert outcome.graft is None
    assert _provenance(it.store, tmp_path).grafts() == []


def test_a_graft_that_was_taken_back_stays_so_and_the_same_again_is_another(
    it: Graftable, tmp_path: Path
) -> None:
    apply(it.store, [it.env], {it.old: it.new})
    provenance = _provenance(it.store, tmp_path)
    (graft,) = provenance.grafts()
    provenance.end(graft, 77)
    taken_back = replace(graft, ended=77)
    assert provenance.grafts() == [taken_back]
    link = str(tmp_path / "link")
    outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[link])
    assert outcome.graft == f"{graft.id}-2"
    first, second = provenance.grafts()
    assert (first, second.ended, second.number) == (taken_back, None, 2)
    assert [place.link for place in second.places] == [link]
    apply(it.store, [it.env], {it.old: it.new})
    assert [one.id for one in provenance.grafts()] == [graft.id, f"{graft.id}-2"]
    provenance.end(second, 78)
    assert apply(it.store, [it.env], {it.old: it.new}).graft == f"{graft.id}-3"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lib", True), ("lib-1.0", True), ("lib-1.1", False), ("app", False), ("li", False)],
)
def test_a_graft_is_known_by_the_names_of_old(it: Graftable, name: str, meant: bool) -> None:
    apply(it.store, [it.env], {it.old: it.new})
    (graft,) = _provenance(it.store, Path("/nowhere")).grafts()
    assert graft.is_named(name) is meant
    for text in (graft.id, it.old, it.store.store_dir.path(it.old)):
        assert graft.is_named(text)


@as_ordinary_user
def test_who_may_not_write_the_state_directory_has_a_record_of_his_own(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    home = tmp_path / "home"
    home.mkdir()
    provenance = _provenance(it.store, home)
    apply(it.store, [it.env], {it.old: it.new}, note="shared")
    (shared,) = provenance.grafts()
    for place in (tmp_path / "state" / "graft", tmp_path / "state" / "graft" / "grafts.sqlite"):
        place.chmod(place.stat().st_mode & ~0o222)
    assert provenance.file.startswith(f"{home}/.local/state/graft/grafts-")
    provenance.record(replace(shared, replacements={it.old: it.data}, note="mine"))
    assert sorted(str(graft.note) for graft in provenance.grafts()) == ["mine", "shared"]
    (tmp_path / "state" / "graft").chmod(0o755)


@as_ordinary_user
def test_a_graft_nobody_can_write_down_is_done_with_a_warning(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    place = tmp_path / "state" / "graft"
    place.mkdir(mode=0o555)
    home = os.environ.get("HOME")
    os.environ["HOME"] = str(tmp_path / "state" / "graft")
    try:
        outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(tmp_path / "link")])
    finally:
        if home is not None:
            os.environ["HOME"] = home
    assert outcome.succeeded
    assert [warning.kind for warning in outcome.warnings] == ["not-recorded"]
    assert (tmp_path / "link").is_symlink()


def _record(it: Graftable) -> GraftRecord:
    return GraftRecord(
        roots={it.env: it.app},
        replacements={it.old: it.new},
        cutoffs=frozenset(),
        rewrites={},
        addressing="input",
        time=1,
        tool_version="0",
        user="root",
    )


def test_a_record_of_a_newer_graft_is_not_touched(it: Graftable, tmp_path: Path) -> None:
    provenance = _provenance(it.store, tmp_path)
    os.makedirs(os.path.dirname(provenance.file))
    with sqlite3.connect(provenance.file) as connection:
        connection.execute("pragma user_version = 3")
    connection.close()
    graft = _record(it)
    for attempt in (provenance.grafts, lambda: provenance.record(graft)):
        with pytest.raises(ProvenanceError, match="was written by a newer graft"):
            attempt()


def test_what_is_no_database_is_an_error_with_its_name(it: Graftable, tmp_path: Path) -> None:
    provenance = _provenance(it.store, tmp_path)
    os.makedirs(os.path.dirname(provenance.file))
    Path(provenance.file).write_text("no database" * 100)
    with pytest.raises(ProvenanceError, match="not a database"):
        provenance.grafts()


def test_two_records_of_one_graft_that_was_taken_back_are_ended(
    it: Graftable, tmp_path: Path
) -> None:
    apply(it.store, [it.env], {it.old: it.new})
    (graft,) = _provenance(it.store, tmp_path).grafts()
    assert graft.ended is None
    ended = replace(graft, ended=graft.time + 5)
    for first, second, expected in (
        (graft, graft, None),
        (graft, ended, None),
        (ended, graft, None),
        (ended, ended, ended.ended),
    ):
        assert _joined(first, second).ended == expected


def test_two_records_of_one_graft_have_the_first_time_the_first_note_and_all_places(
    it: Graftable, tmp_path: Path
) -> None:
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(tmp_path / "one")], note="first")
    (first,) = _provenance(it.store, tmp_path).grafts()
    (place,) = first.places
    other = replace(place, link="/two")
    second = replace(first, note="second", time=first.time - 1, places=(other, place))
    joined = _joined(first, second)
    assert (joined.note, joined.time) == ("first", first.time - 1)
    assert joined.places == (place, other)
    assert _joined(replace(first, note=None), second).note == "second"
    assert _joined(first, replace(second, note=None)).note == "first"
    assert _joined(None, second) == second


def test_an_empty_file_is_no_record_and_becomes_one(it: Graftable, tmp_path: Path) -> None:
    """A run has died while it made the first record."""
    provenance = _provenance(it.store, tmp_path)
    os.makedirs(os.path.dirname(provenance.file))
    Path(provenance.file).write_bytes(b"")
    assert provenance.grafts() == []
    graft = provenance.record(_record(it))
    assert provenance.grafts() == [graft]


def test_a_record_of_the_first_format_is_read_and_written(it: Graftable, tmp_path: Path) -> None:
    link = str(tmp_path / "link")
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[link])
    provenance = _provenance(it.store, tmp_path)
    with sqlite3.connect(provenance.file) as connection:
        connection.execute("alter table place drop column made")
        connection.execute("pragma user_version = 1")
    connection.close()
    (graft,) = provenance.grafts()
    assert [place.made for place in graft.places] == [False]
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[f"{link}-2"])
    (graft,) = provenance.grafts()
    assert [place.made for place in graft.places] == [False, True]


def test_links_and_notes_of_any_bytes_are_written_down(it: Graftable, tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    note = os.fsdecode(b"na\xefve")
    apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(place / "link")], note=note)
    (graft,) = _provenance(it.store, tmp_path).grafts()
    assert [one.link for one in graft.places] == [str(place / "link")]
    assert graft.note == note


def test_a_record_that_cannot_be_kept_is_an_error_that_says_why(
    it: Graftable, tmp_path: Path
) -> None:
    provenance = _provenance(it.store, tmp_path)
    apply(it.store, [it.env], {it.old: it.new})
    (graft,) = provenance.grafts()
    shutil.rmtree(tmp_path / "state/graft")
    (tmp_path / "state/graft").write_text("")
    with pytest.raises(ProvenanceError, match=r"cannot keep a record of grafts in '.*': File exis"):
        provenance.record(graft)


@as_ordinary_user
def test_a_record_of_ones_own_is_below_the_state_home(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    Path(store.location.state_dir).chmod(0o555)
    home, state = str(tmp_path / "home"), str(tmp_path / "own")

    def place(**environment: str) -> str:
        return os.path.dirname(Provenance(store.location, environment).file)

    assert place(HOME=home) == f"{home}/.local/state/graft"
    assert place(HOME=home, XDG_STATE_HOME="") == f"{home}/.local/state/graft"
    assert place(HOME=home, XDG_STATE_HOME=state) == f"{state}/graft"
    assert place(HOME="") == os.path.expanduser("~/.local/state/graft")
    Path(store.location.state_dir).chmod(0o755)


def test_the_name_of_a_graft_has_eight_characters_and_no_counts_to_begin_with(
    it: Graftable,
) -> None:
    graft = _record(it)
    assert len(graft.id) == 8
    assert (graft.bytes_written, graft.bytes_shared) == (0, 0)
