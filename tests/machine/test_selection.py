"""Words and advisories, and the store paths that they mean."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from graft.errors import BadFormatError, InvalidPathError, UnknownNameError
from graft.formats.advisory import AdvisoryEntry, parse_advisory
from graft.formats.store_path import StorePath
from graft.machine.selection import Selection, select
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.local_store.database import Database
from tests.plan.graphs import path
from tests.store_objects import add_object, named_path, new_store

_BUILT = ("ssl-3.0.20-1", "ssl-3.0.20-1-bin", "ssl-3.1", "glibc-2.39-52", "web-1", "zlib-1.3")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with the outputs of a derivation that is gone, and of one that is there."""
    store = new_store(tmp_path)
    for name in _BUILT:
        deriver = named_path("ssl-3.0.20-1.drv", store.store_dir) if "20-1" in name else None
        add_object(store, name, {"lib": {f"lib{name[:3]}.so.3": b""}}, deriver=deriver)
    add_object(store, "env", {"lib": {"libssl.so.3": "/nix/store/x/lib/libssl.so.3"}})
    return store


def _named(store: LocalStore, *names: str) -> set[StorePath]:
    return {named_path(name, store.store_dir) for name in names}


_OLD = {"ssl-3.0.20-1", "ssl-3.0.20-1-bin"}


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("ssl", {*_OLD, "ssl-3.1"}),
        ("ssl-3.0.20", _OLD),
        ("ssl=3.0.20", _OLD),
        ("ssl==3.0.20-1", _OLD),
        ("ssl-3.0.20-1", _OLD),
        ("ssl-3.0.20-1-bin", {"ssl-3.0.20-1-bin"}),
        ("ssl<=3.0.20", _OLD),
        ("ssl<3.1", _OLD),
        ("ssl >= 3.0, < 3.2", {*_OLD, "ssl-3.1"}),
        ("glibc<=2.39", {"glibc-2.39-52"}),
        ("ssl-3.0.20-1.drv^bin", {"ssl-3.0.20-1-bin"}),
        ("ssl-3.0.20-1.drv^*", _OLD),
        ("libssl.so.3", {*_OLD, "ssl-3.1"}),
        ("libssl.so", {*_OLD, "ssl-3.1"}),
        ("libzli.so.3", {"zlib-1.3"}),
    ],
)
def test_a_word_means_paths(store: LocalStore, word: str, names: set[str]) -> None:
    if ".drv" in word:
        base, _, outputs = word.partition("^")
        word = f"{named_path(base, store.store_dir)}^{outputs}"
    assert select(store, [word]).asked == _named(store, *names)


def test_a_path_its_base_name_and_its_hash_part_mean_it(store: LocalStore, tmp_path: Path) -> None:
    (it,) = _named(store, "ssl-3.1")
    (tmp_path / "link").symlink_to(store.tree(it))
    full = store.store_dir.path(it)
    for word in (it, full, f"{full}/lib", f"{full}^out", it.hash_part, it[:6], it[:20]):
        if "^" not in word:
            assert select(store, [word]).asked == {it}
    assert select(store, [str(tmp_path / "link")]).asked == {it}
    (output,) = _named(store, "ssl-3.0.20-1")
    assert select(store, [f"{output}^bin"]).asked == _named(store, "ssl-3.0.20-1-bin")
    with pytest.raises(InvalidPathError, match="the outputs there are"):
        select(store, [f"{output}^doc"])


def test_a_name_that_is_there_has_versions_and_is_no_error(store: LocalStore) -> None:
    chosen = select(store, ["ssl<3"])
    assert chosen.asked == frozenset()
    assert chosen.known == _named(store, *_OLD, "ssl-3.1")
    assert chosen.outside == ("ssl<3",)


def test_a_version_that_only_revisions_have_is_told(store: LocalStore) -> None:
    assert select(store, ["ssl<=3.0.20", "zlib"]).by_revision == _named(store, *_OLD)
    assert select(store, ["ssl<3.1"]).by_revision == frozenset()


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("sssl", "ssl"),
        ("SSL", "ssl"),
        ("libssl", "ssl"),
        ("zlb<1.4", "zlib"),
        ("glib-2.80", "glibc"),
        ("qq", None),
        ("libnothing.so.1", None),
        ("0123456789", None),
    ],
)
def test_a_name_that_nothing_has_is_unknown(
    store: LocalStore, word: str, nearest: str | None
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        select(store, ["zlib", word])
    assert f"'{word}'" in caught.value.message
    near = caught.value.fields["nearest"]
    assert isinstance(near, list)
    assert near[:1] == ([nearest] if nearest else [])


@pytest.mark.parametrize("word", ["ssl<", "ssl-3<4", "ssl<3=", "a b"])
def test_a_word_without_sense_is_refused(store: LocalStore, word: str) -> None:
    with pytest.raises(BadFormatError):
        select(store, [word])


def test_a_deleted_path_that_a_process_holds_is_there(store: LocalStore) -> None:
    held = path("ssl-0.9")
    assert select(store, ["ssl<1"], held={held}).asked == {held}
    assert select(store, [held], held={held}).asked == {held}


def test_a_row_that_is_no_store_path_is_told_and_left_out(
    store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    location = store.location
    with closing(Database(location.database_dir, location.store_dir, writable=True)) as database:
        database._connection.execute(
            "insert into ValidPaths(path, hash, registrationTime, narSize) values (?, ?, 1, 1)",
            (f"{location.store_dir}/4w6hv3912fjvanj4c9n83f3ahpql6ilj-", "sha256:" + "0" * 64),
        )
    for _ in range(2):
        assert select(store, ["zlib"]).asked == _named(store, "zlib-1.3")
    assert caplog.text.count("4w6hv3912fjvanj4c9n83f3ahpql6ilj-'") == 1
    assert len(store.bad_rows) == 1


def _derivation(store: LocalStore, name: str, patches: str) -> tuple[StorePath, StorePath]:
    """A derivation with patches, and its output."""
    output = named_path(name, store.store_dir)
    text = (
        f'Derive([("out","{store.store_dir.path(output)}","","")],[],[],"x86_64-linux","/bin/sh",'
        f'[],[("name","{name}"),("patches","{patches}")])'
    )
    derivation = add_object(store, f"{name}.drv", text.encode())
    return derivation, add_object(store, name, b"", deriver=derivation)


def _entry(name: str, **rest: object) -> AdvisoryEntry:
    values: dict[str, object] = {"vulnerabilities": ("CVE-2026-1111",), "ranges": (), **rest}
    return AdvisoryEntry(name=name, **values)  # type: ignore[arg-type]


def _osv(name: str, *events: dict[str, str], **rest: object) -> tuple[AdvisoryEntry, ...]:
    affected = {
        "package": {"name": name, "ecosystem": "X"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    document = {"id": "GHSA-x", "aliases": ["CVE-2026-1111"], "affected": [affected], **rest}
    return parse_advisory(json.dumps(document), "f")


def test_an_advisory_means_its_versions(store: LocalStore) -> None:
    chosen = select(store, [], _osv("SSL", {"introduced": "0"}, {"fixed": "3.1"}))
    assert chosen.asked == _named(store, *_OLD)
    assert chosen.known == _named(store, *_OLD, "ssl-3.1")
    add_object(store, "python3.11-my-package-2", b"")
    chosen = select(store, [], _osv("My_Package", {"introduced": "1"}, {"last_affected": "2"}))
    assert chosen.asked == _named(store, "python3.11-my-package-2")


def test_a_patch_that_names_the_vulnerability_fixes_a_path(store: LocalStore) -> None:
    _, fixed = _derivation(store, "tool-1", "/nix/store/x-cve-2026-1111.patch /nix/store/y-other")
    _, open_ = _derivation(store, "tool-2", "/nix/store/x-CVE-2026-1112.patch")
    chosen = select(store, [], _osv("tool", {"introduced": "0"}))
    assert chosen.asked == {open_}
    assert chosen.fixed == {fixed}
    assert chosen.patches == {fixed: {"CVE-2026-1111"}, open_: {"CVE-2026-1112"}}
    # Without an advisory nobody knows which vulnerability is meant: the patches are only told.
    named = select(store, ["tool"])
    assert named.asked == {fixed, open_}
    assert named.patches == chosen.patches


def test_the_json_of_vulnix_means_what_was_built(store: LocalStore) -> None:
    derivation, built = _derivation(store, "tool-1", "/nix/store/x-CVE-2026-1111.patch")
    other = add_object(store, "tool-1", b"other", salt="other")
    full = store.store_dir.path(derivation)

    def chosen(*vulnerabilities: str, derivation: str) -> Selection:
        entry = _entry("tool", vulnerabilities=vulnerabilities, every=True, derivation=derivation)
        return select(store, [], [entry])

    assert chosen("CVE-2026-2", derivation=full).asked == {built}
    assert chosen("CVE-2026-1111", derivation=full).fixed == {built}
    assert chosen("CVE-2026-1111", "CVE-2026-2", derivation=full).asked == {built}
    assert other not in chosen("CVE-2026-2", derivation=full).known


def test_an_advisory_of_packages_that_are_not_there_is_no_answer(store: LocalStore) -> None:
    with pytest.raises(UnknownNameError, match="no package of the advisory is in the store: curl"):
        select(store, [], _osv("curl", {"introduced": "0"}))
    both = (*_osv("curl", {"introduced": "0"}), *_osv("zlib", {"introduced": "0"}))
    chosen = select(store, [], both)
    assert chosen.asked == _named(store, "zlib-1.3")
    assert chosen.unknown == ("curl",)


def test_an_advisory_that_gives_only_commits_leaves_it_open(store: LocalStore) -> None:
    affected = {"package": {"name": "zlib"}, "ranges": [{"type": "GIT", "events": []}]}
    entries = parse_advisory(json.dumps({"id": "CVE-2026-1", "affected": [affected]}), "f")
    chosen = select(store, [], entries)
    assert chosen.unversioned == _named(store, "zlib-1.3")
    assert "commits" in chosen.open["zlib"]


def test_a_derivation_that_was_never_built_means_nothing(store: LocalStore) -> None:
    name = "unbuilt-1.drv"
    derivation = named_path(name, store.store_dir)
    location = store.location
    info = PathInfo(path=derivation, nar_hash=bytes(32), nar_size=1, references=frozenset())
    with closing(Database(location.database_dir, location.store_dir, writable=True)) as database:
        database.register([info])
    chosen = select(store, ["unbuilt"])
    assert chosen.known == chosen.asked == frozenset()
    assert chosen.outside == ("unbuilt",)
    assert select(store, [derivation]).asked == frozenset()
