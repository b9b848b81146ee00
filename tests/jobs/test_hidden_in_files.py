"""What is hidden in files is rewritten in every kind of store, and comes out the same."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from graft.check.changed_contents import changed_contents
from graft.check.foreign_checksums import foreign_checksums
from graft.check.verification import verify
from graft.errors import ContentAddressError, UsageError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome, outcome_document
from graft.plan import Plan, PlanWarning
from graft.store.api import Source, path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.workers import DEFAULT_RESOURCES
from tests.caches import cache_of, new_cache, read_nar
from tests.detached_symbols import with_detached_symbols
from tests.fixups.samples import tar
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import add_object, named_path, opened

PROGRAM = """
#include <stdio.h>
#include <string.h>

int main(int count, char **words)
{
    char where[128];
    strcpy(where, "PATH");
    puts(where);
    return count > 1 ? memcmp(words[1], "PATH", sizeof "PATH" - 1) : 0;
}
"""


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "here"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def page(it: Graftable, lib: StorePath) -> bytes:
    return f"see {it.store.store_dir.path(lib)}/lib, and again {lib}\n".encode() * 9


def tool(it: Graftable, **more: bytes) -> StorePath:
    """A path that holds OLD and itself in a man page."""
    contents = {
        "bin": it.store.store_dir.path(it.old).encode(),
        "a.1.gz": gzip.compress(page(it, it.old), 9, mtime=0),
        "b.1.gz": gzip.compress(b"nothing\n", 9, mtime=0),
        **more,
    }
    return add_object(it.store, "tool-1", contents, [it.old])


def grafted(it: Graftable, root: StorePath, **options: Any) -> Outcome:
    return apply(it.store, [root], {it.old: it.new}, allow_abi_breaks=True, **options)


def nar_hash(store: Source, outcome: Outcome) -> bytes:
    [new] = outcome.plan.new_roots.values()
    return path_info(store, new).nar_hash


def test_a_compressed_page_is_rewritten_and_told(it: Graftable) -> None:
    root = tool(it)
    outcome = grafted(it, root)
    new = outcome.plan.new_roots[root]
    assert outcome.succeeded
    expected = gzip.compress(page(it, it.new), 9, mtime=0)
    assert Path(it.tree(new), "a.1.gz").read_bytes() == expected
    assert Path(it.tree(new), "b.1.gz").samefile(Path(it.tree(root), "b.1.gz"))
    assert outcome_document(outcome)["fixups"] == [
        {
            "path": it.store.store_dir.path(new),
            "file": "a.1.gz",
            "container": [],
            "fixup": "gzip",
            "outcome": "rewritten",
            "reason": None,
        }
    ]
    files = outcome.execution.files
    assert (files.patched, files.linked) == (2, 1)
    assert outcome.execution.bytes_written == len(it.store.store_dir.path(it.new)) + len(expected)
    assert verify(outcome.plan, it.store).holds
    assert it.store.path_infos([new])[new].references == {it.new}


@pytest.mark.nix
def test_stores_and_caches_get_the_same(it: Graftable, tmp_path: Path) -> None:
    root = tool(it)
    outcome = grafted(it, root)
    [new] = outcome.plan.new_roots.values()
    expected = nar_hash(it.store, outcome)
    from_store = new_cache(tmp_path / "from-store")
    assert nar_hash(from_store, grafted(it, root, to=from_store)) == expected
    originals = cache_of(it.store, tmp_path / "originals")
    for target in (new_cache(tmp_path / "from-cache"), _rooted(tmp_path / "there")):
        made = apply(originals, [root], {it.old: it.new}, to=target, allow_abi_breaks=True)
        assert made.succeeded
        assert nar_hash(target, made) == expected
        assert verify(made.plan, originals, target=target).holds
    assert read_nar(from_store, new) == read_nar(new_cache(tmp_path / "from-cache"), new)
    RealNix(it.store.location, tmp_path).check()


@pytest.mark.nix
def test_a_new_name_may_come_from_such_contents(it: Graftable, tmp_path: Path) -> None:
    root = tool(it)
    outcome = grafted(it, root, addressing="content")
    assert outcome.succeeded
    assert [file.file for files in outcome.execution.fixed.values() for file in files] == [
        b"a.1.gz"
    ]
    RealNix(it.store.location, tmp_path).check()


def test_a_page_that_names_its_own_path_has_no_content_address(it: Graftable) -> None:
    own = it.store.store_dir.path(named_path("tool-1", it.store.store_dir))
    inside = gzip.compress(own.encode(), mtime=0)
    root = tool(it, own=b"{self}", **{"own.gz": inside})
    with pytest.raises(ContentAddressError, match=r"its own name inside of the file 'own\.gz'"):
        grafted(it, root, addressing="content")
    outcome = grafted(it, root)
    new = outcome.plan.new_roots[root]
    made = gzip.decompress(Path(it.tree(new), "own.gz").read_bytes())
    assert made.decode() == it.store.store_dir.path(new)


def test_a_fixup_that_is_off_leaves_the_file_alone_under_another_name(it: Graftable) -> None:
    root = tool(it)
    usual = grafted(it, root)
    other = grafted(it, root, fixups=["no-gzip"])
    assert other.plan.fixups == ("no-gzip",)
    assert other.plan.new_roots[root] != usual.plan.new_roots[root]
    assert grafted(it, root, fixups=["gzip"]).plan.new_roots == usual.plan.new_roots
    new = Path(it.tree(other.plan.new_roots[root]))
    assert Path(new, "a.1.gz").samefile(Path(it.tree(root), "a.1.gz"))
    [told] = outcome_document(other)["fixups"]
    assert (told["outcome"], told["reason"]) == ("left-alone", "only --fixup gzip rewrites it")


def told_of(it: Graftable, plan: Plan) -> tuple[PlanWarning, ...]:
    """The warnings of checksums for a result that is there already."""
    changed = changed_contents([plan], it.store, it.store, {}, DEFAULT_RESOURCES)
    proof = verify(plan, it.store, sums=changed.all)
    return foreign_checksums(plan, it.store, it.store, changed, proof.sums)


def test_checksums_of_files_that_change_are_replaced_on_request(it: Graftable) -> None:
    lib = it.store.store_dir.path(it.old).encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in {"bin": lib}.items()}
    digest = hashlib.md5(gzip.compress(page(it, it.old), 9, mtime=0)).digest()
    manifest = json.dumps({**sums, "a.1.gz": base64.b64encode(digest).decode()}).encode()
    root = tool(it, manifest=manifest, image=b"\0" + sums["bin"].encode())
    usual, outcome = grafted(it, root), grafted(it, root, fixups=["checksums"])
    made = Path(it.tree(outcome.plan.new_roots[root]))
    shown = json.loads(Path(made, "manifest").read_bytes())
    assert shown["bin"] == hashlib.sha256(Path(made, "bin").read_bytes()).hexdigest()
    page_digest = hashlib.md5(Path(made, "a.1.gz").read_bytes()).digest()
    assert base64.b64decode(shown["a.1.gz"]) == page_digest
    told = {
        (done["file"], done["outcome"], done["reason"])
        for done in outcome_document(outcome)["fixups"]
        if done["fixup"] == "checksums"
    }
    assert told == {
        ("manifest", "rewritten", None),
        ("image", "left-alone", "the sha256 of 'bin' at 1 is left alone: the file is no text"),
    }
    new = Path(it.tree(usual.plan.new_roots[root]))
    assert Path(new, "manifest").read_bytes() == manifest
    files = {
        "image": [warning.message for warning in outcome.warnings],
        "manifest": [found.message for found in told_of(it, usual.plan)],
    }
    for file, messages in files.items():
        assert any(f"/{file}' holds the" in message for message in messages)
    assert len(told_of(it, outcome.plan)) == 1


@pytest.mark.slow
@pytest.mark.needs("gcc", "objcopy")
def test_a_program_whose_symbols_change_in_another_output_is_told(
    it: Graftable, tmp_path: Path
) -> None:
    program, debug = with_detached_symbols(it.store.store_dir.path(it.old), tmp_path)
    symbols = add_object(it.store, "tool-1-debug", {"tool.debug": debug}, [it.old])
    full = it.store.store_dir.path(symbols).encode()
    contents = {"program": program, "symbols": full}
    root = add_object(it.store, "tool-1", contents, [it.old, symbols])
    [found] = told_of(it, grafted(it, root).plan)
    offset = program.index(zlib.crc32(debug).to_bytes(4, "little"))
    assert f"/program' holds the crc32 that '{symbols}/tool.debug' had" in found.message
    assert f"in .gnu_debuglink at {offset}:" in found.message


def test_a_fixup_that_does_not_exist_is_refused_before_anything_is_done(it: Graftable) -> None:
    with pytest.raises(UsageError, match="there is no fix-up 'gzipp'"):
        grafted(it, it.env, fixups=["gzipp"])


def test_a_file_that_only_looks_compressed_is_not_changed_blindly(it: Graftable) -> None:
    broken = gzip.compress(b"", mtime=0)[:10] + page(it, it.old)
    root = tool(it, **{"c.gz": broken})
    outcome = grafted(it, root)
    new = outcome.plan.new_roots[root]
    assert Path(it.tree(new), "c.gz").read_bytes() == broken
    # What is left is registered, so that no collector takes it away; and it is told.
    assert it.store.path_infos([new])[new].references == {it.new, it.old}
    assert not outcome.succeeded


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_a_string_that_a_compiler_cut_up_is_put_together_anew(
    it: Graftable, tmp_path: Path
) -> None:
    full = it.store.store_dir.path
    source = tmp_path / "cut.c"
    source.write_text(PROGRAM.replace("PATH", full(it.old)))
    subprocess.run(["gcc", "-O2", "-o", tmp_path / "cut", source], check=True)
    root = tool(it, cut=(tmp_path / "cut").read_bytes())
    outcome = grafted(it, root)
    assert outcome.succeeded
    program = tmp_path / "new"
    shutil.copyfile(f"{it.tree(outcome.plan.new_roots[root])}/cut", program)
    program.chmod(0o755)
    shown = subprocess.run([program, full(it.new)], capture_output=True, text=True, check=True)
    assert shown.stdout == full(it.new) + "\n"
    told = [(done["fixup"], done["outcome"]) for done in outcome_document(outcome)["fixups"]]
    assert told == [("gzip", "rewritten"), ("elf", "noted"), ("elf", "rewritten")]


def test_a_checksum_of_a_file_that_changes_changes_with_it(it: Graftable) -> None:
    text = b"x" * 50 + it.store.store_dir.path(it.old).encode()
    member = gzip.compress(text, 9, mtime=0)
    root = tool(it, z=member + gzip.compress(b"more", 9, mtime=0))
    outcome = grafted(it, root)
    made = Path(it.tree(outcome.plan.new_roots[root]), "z").read_bytes()
    assert zlib.decompress(made, 31).endswith(it.store.store_dir.path(it.new).encode())
    assert json.dumps(outcome_document(outcome)["fixups"])


def _rooted(directory: Path) -> LocalStore:
    location = Location.at_root(str(directory))
    LocalStore.create(location)
    return opened(location)


def test_an_image_with_the_files_of_old_is_told_and_makes_no_root(it: Graftable) -> None:
    image = tar([(f"nix/store/{it.old}/lib", b"old\n")])
    root = tool(it, **{"root.tar": image})
    outcome = grafted(it, root)
    assert not outcome.succeeded
    new = outcome.plan.new_roots[root]
    assert Path(it.tree(new), "root.tar").read_bytes() == image
    assert outcome.proof is not None
    assert outcome.proof.verdict == "found"
    places = [residual.place for residual in outcome.proof.residual]
    assert {place.file for place in places if place is not None} == {b"root.tar"}
