"""A graft that would leave a reference without its file is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import MissingFileError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of, new_cache
from tests.store_objects import Contents, add_object, opened


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    location = Location.at_root(str(tmp_path / "here"))
    LocalStore.create(location)
    return opened(location)


OLD: Contents = {
    "bin": {"tool": b"tool", "kept": b"kept"},
    "share": {"one": b"", "two": {"deep": b""}},
    "led": "bin/tool",
}


def pair(store: LocalStore, new: Contents) -> tuple[StorePath, StorePath]:
    return add_object(store, "lib-1.0", OLD), add_object(store, "lib-1.1", new)


NEW: Contents = {"bin": {"kept": b"kept"}, "share": {"one": b""}}


def user(store: LocalStore, old: StorePath, contents: Contents) -> StorePath:
    return add_object(store, "user-1", contents, [old])


def listed(error: MissingFileError) -> list[dict[str, str]]:
    missing = error.fields["missing"]
    assert isinstance(missing, list)
    return missing


def graft(
    store: LocalStore, root: StorePath, old: StorePath, new: StorePath, *, allow: bool = False
) -> Outcome:
    return apply(store, [root], {old: new}, allow_missing_files=allow)


def in_text(full: str) -> Contents:
    return {"a.conf": f'tool = "{full}/bin/tool"; other = {full}/bin/kept\n'.encode()}


def in_elf_string(full: str) -> Contents:
    return {"program": b"\x7fNOT\0" + f"{full}/share/two/deep\0/bin\0".encode()}


def in_directories(full: str) -> Contents:
    return {"paths": f"/usr/lib:{full}/share/two:{full}/share\n".encode()}


def at_the_end_of_a_sentence(full: str) -> Contents:
    return {"README": f"It is in {full}/share/two.\n".encode()}


@pytest.mark.parametrize(
    "contents", [in_text, in_elf_string, in_directories, at_the_end_of_a_sentence]
)
def test_a_text_that_names_a_file_which_new_lacks_is_refused(
    store: LocalStore, contents: object
) -> None:
    assert callable(contents)
    old, new = pair(store, NEW)
    root = user(store, old, contents(store.store_dir.path(old)))
    before = store.valid_paths()
    with pytest.raises(MissingFileError, match="has no such file: take a NEW that has it") as found:
        graft(store, root, old, new)
    assert store.valid_paths() == before
    [missing] = listed(found.value)
    assert missing["path"] == store.store_dir.path(root)
    assert missing["reference"].startswith(store.store_dir.path(old) + "/")
    outcome = graft(store, root, old, new, allow=True)
    assert outcome.succeeded
    [warning] = [one for one in outcome.warnings if one.kind == "missing-file"]
    assert warning.path == new


@pytest.mark.parametrize("target", ["{old}/bin/tool", "../../{name}/bin/tool", "{old}/led"])
def test_a_link_that_would_lead_nowhere_is_refused(store: LocalStore, target: str) -> None:
    old, new = pair(store, NEW)
    link = target.format(old=store.store_dir.path(old), name=old)
    root = user(store, old, {"bin": {"tool": link}})
    with pytest.raises(MissingFileError, match=r"user-1/bin/tool' refers to "):
        graft(store, root, old, new)


def test_what_is_there_or_never_was_is_no_matter(store: LocalStore) -> None:
    old, new = pair(store, NEW)
    full = store.store_dir.path(old)
    text = (
        f"{full}/bin/kept {full}/no/such/file {full}/share/$NAME {full}/bin/%s {full} {full}/ "
        f"{full}/share/one, {full}/share. {old}/bin/tool"
    )
    root = user(store, old, {"a": text.encode(), "b": f"{full}/dangling", "c": f"{full}/bin"})
    outcome = graft(store, root, old, new)
    assert outcome.succeeded
    assert [one for one in outcome.warnings if one.kind == "missing-file"] == []


def test_a_reference_through_a_copy_finds_what_the_copy_has(store: LocalStore) -> None:
    old, new = pair(store, NEW)
    full = store.store_dir.path
    middle = add_object(store, "middle-1", {"file": b"", "kept": f"{full(old)}/bin/kept"}, [old])
    root = add_object(
        store, "root-1", {"a": f"{full(middle)}/file {full(middle)}/kept".encode()}, [middle]
    )
    assert graft(store, root, old, new).succeeded


def test_originals_in_a_cache_are_looked_at_as_well(store: LocalStore, tmp_path: Path) -> None:
    old, new = pair(store, NEW)
    full = store.store_dir.path(old)
    large = b"x" * 3_000_000 + f" {full}/bin/tool ".encode() + b"x" * 3_000_000
    root = user(store, old, {"a": large, "b": f"{full}/share/two"})
    with cache_of(store, tmp_path / "cache") as cache, pytest.raises(MissingFileError) as found:
        apply(cache, [root], {old: new}, to=new_cache(tmp_path / "result"))
    assert [one["file"] for one in listed(found.value)] == ["a", "b"]
