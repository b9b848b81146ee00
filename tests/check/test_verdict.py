"""What a proof may say: gone, not found, found; and what makes it say less."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from graft.check.proof_document import proof_document
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from tests.graftable import Graftable
from tests.objects.test_library_copies import LIBRARY
from tests.store_objects import Contents, add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def above(it: Graftable, files: dict[str, Contents], *references: StorePath) -> StorePath:
    """A root above the environment, with files of its own."""
    full = it.store.store_dir.path
    files = {"env": full(it.env), **files}
    return add_object(it.store, "root-1", files, [it.env, *references])


def grafted(it: Graftable, root: StorePath, **how: object) -> Outcome:
    outcome = apply(it.store, [root], {it.old: it.new}, **how)  # type: ignore[arg-type]
    assert outcome.proof is not None
    return outcome


def verdict(outcome: Outcome) -> str:
    assert outcome.proof is not None
    return outcome.proof.verdict


def test_old_is_gone_where_all_was_read_and_known(it: Graftable) -> None:
    outcome = grafted(it, it.env, strict=True)
    assert (verdict(outcome), outcome.succeeded) == ("gone", True)


def test_a_file_that_cannot_be_looked_into_makes_it_not_found(
    it: Graftable, tmp_path: Path
) -> None:
    root = above(it, {"image": b"hsqs" + bytes(200)})
    link = tmp_path / "link"
    outcome = grafted(it, root, add_roots=[str(link)], strict=True)
    assert outcome.proof is not None
    ((path, unread),) = outcome.proof.unread
    assert (path, unread.file) == (outcome.plan.moved[root], b"image")
    assert (verdict(outcome), outcome.succeeded) == ("not-found", False)
    assert not link.is_symlink()
    assert grafted(it, root, add_roots=[str(link)]).succeeded
    assert link.is_symlink()


def test_a_changed_file_of_an_unknown_type_makes_it_not_found(it: Graftable) -> None:
    where = it.store.store_dir.path(it.env).encode()
    root = above(it, {"table": b"TBL\0\1\0" + where, "other": b"TBL\0\1\0", "text": where})
    outcome = grafted(it, root)
    assert outcome.proof is not None
    assert outcome.proof.unknown == ((outcome.plan.moved[root], b"table"),)
    assert (verdict(outcome), outcome.succeeded) == ("not-found", True)
    assert not grafted(it, root, strict=True).succeeded


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_member_of_an_unknown_type_makes_it_not_found(
    it: Graftable, packed: bool
) -> None:
    where = it.store.store_dir.path(it.env).encode()

    def archive(contents: bytes) -> bytes:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            info = tarfile.TarInfo("member")
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
        return gzip.compress(made.getvalue()) if packed else made.getvalue()

    root = above(it, {"table": archive(b"TBL\0\1\0" + where), "text": archive(where)})
    outcome = grafted(it, root)
    assert outcome.proof is not None
    assert outcome.proof.unknown == ((outcome.plan.moved[root], b"table"),)
    assert verdict(outcome) == "not-found"


def test_a_name_in_an_escaped_spelling_changes_in_a_container(it: Graftable) -> None:
    other = add_object(it.store, "lib-1.1", {"lib": b"new\n", "self": b"{self}/lib\n"}, salt="2")
    where = it.store.store_dir.path(it.old).replace(".", r"\.").encode()
    root = add_object(it.store, "root-1", {"rule.gz": gzip.compress(where)}, [it.old])
    outcome = apply(it.store, [root], {it.old: other}, allow_missing_files=True)
    new = Path(it.store.tree(outcome.plan.moved[root]), "rule.gz").read_bytes()
    expected = it.store.store_dir.path(other).replace(".", r"\.").encode()
    assert gzip.decompress(new) == expected


def test_shared_paths_that_were_not_read_make_it_not_found(it: Graftable) -> None:
    outcome = grafted(it, it.env, scope="rewritten")
    assert outcome.proof is not None
    assert outcome.proof.unsearched == 1
    assert verdict(outcome) == "not-found"


def test_old_is_found_and_may_be_allowed(it: Graftable) -> None:
    hidden = it.store.store_dir.path(it.old).encode()
    page = add_object(it.store, "page-1", {"text": hidden})
    root = above(it, {"page": it.store.store_dir.path(page)}, page)
    outcome = grafted(it, root)
    assert (verdict(outcome), outcome.succeeded) == ("found", False)
    allowed = grafted(it, root, allowed=["*-page-1/*"], strict=True)
    assert (verdict(allowed), allowed.succeeded) == ("found", True)


def test_what_is_allowed_is_no_excuse_for_what_is_unread(it: Graftable) -> None:
    page = add_object(
        it.store,
        "page-1",
        {"text": it.store.store_dir.path(it.old).encode(), "image": b"hsqs" + bytes(200)},
    )
    root = above(it, {"page": it.store.store_dir.path(page)}, page)
    assert grafted(it, root, allowed=["*-page-1/*"]).succeeded
    assert not grafted(it, root, allowed=["*-page-1/*"], strict=True).succeeded


def test_other_outputs_and_versions_of_the_package_are_told(it: Graftable) -> None:
    output = add_object(it.store, "lib-1.0-bin", {"a": b"a\n"})
    version = add_object(it.store, "lib-0.9", {"a": b"a\n"})
    alike = add_object(it.store, "libb-1.0", {"a": b"a\n"})
    full = it.store.store_dir.path
    files: dict[str, Contents] = {path.name: full(path) for path in (output, version, alike)}
    outcome = grafted(it, above(it, files, output, version, alike))
    assert outcome.proof is not None
    document = proof_document(outcome.proof, full)
    told = document["remaining"]
    assert isinstance(told, list)
    assert sorted(told, key=lambda each: each["why"]) == [
        {"path": full(output), "name": "lib", "why": "other-output"},
        {"path": full(version), "name": "lib", "why": "other-version"},
    ]
    assert document["verdict"] == "gone"


def test_static_copies_are_told_by_every_apply_that_proves_the_closure(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    library = b"\x7fELF\2\1\1" + bytes(64) + LIBRARY
    old = add_object(store, "lib-1.0", {"lib.so": library + b"\0"})
    new = add_object(store, "lib-1.1", {"lib.so": library + b"\1"})
    static = add_object(store, "static-1", {"program": library, "text": b"none\n"})
    root = add_object(store, "root-1", {"a": full(old), "b": full(static)}, [old, static])
    outcome = apply(store, [root], {old: new})
    assert outcome.proof is not None
    assert [(each.path, each.why) for each in outcome.proof.remaining] == [(static, "static-copy")]
    assert [each.path for each in outcome.warnings if each.kind == "static-copy"] == [static]


def test_a_name_that_could_not_change_makes_it_not_found_in_a_second_run_too(
    it: Graftable,
) -> None:
    full = it.store.store_dir.path(it.old).encode()
    # In a file that is no text, the escaped name is told only.
    spelled = full.replace(b"-lib-1.0", rb"-lib\x2d1.0") + b"\n"
    root = above(it, {"text.gz": gzip.compress(b"no text\0" + spelled, mtime=0)}, it.old)
    for _ in range(2):
        outcome = grafted(it, root)
        assert outcome.proof is not None
        assert (outcome.plan.moved[root], b"text.gz") in outcome.proof.unknown
        assert verdict(outcome) == "not-found"


def test_an_escaped_name_in_a_container_changes_with_its_hash_part(it: Graftable) -> None:
    full = it.store.store_dir.path
    old, new = (full(path).encode() for path in (it.old, it.new))
    pattern = old.replace(b"1.0", rb"1\.0")
    root = above(it, {"text.gz": gzip.compress(b"s|" + pattern + b"|x|\n", mtime=0)}, it.old)
    outcome = grafted(it, root)
    made = Path(it.tree(outcome.plan.moved[root]), "text.gz").read_bytes()
    assert gzip.decompress(made) == b"s|" + new.replace(b"1.1", rb"1\.1") + b"|x|\n"
    assert verdict(outcome) == "gone"
