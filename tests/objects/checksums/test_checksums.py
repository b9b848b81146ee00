"""Checksums of changed files: found in every spelling, and replaced in an order that holds."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import TreeError
from graft.formats.digests import ALGORITHMS, Digests
from graft.formats.hashing import nix32_encode
from graft.objects.checksums import (
    ChangedFile,
    ChecksumFinder,
    digests_of,
    repair_tree,
    search_tree,
)
from tests.sri import sri_encode

BEFORE, AFTER = b"what it held", b"what it holds"

SPELLED: dict[str, tuple[str, Callable[[str, bytes], str]]] = {
    "hex": ("hex", lambda _, digest: digest.hex()),
    "upper hex": ("hex", lambda _, digest: digest.hex().upper()),
    "base64": ("base64", lambda _, digest: base64.b64encode(digest).decode()),
    "unpadded": ("base64", lambda _, digest: base64.b64encode(digest).decode().rstrip("=")),
    "sri": ("sri", lambda name, digest: sri_encode(digest, name)),
    "nix32": ("nix32", lambda _, digest: nix32_encode(digest)),
}


def _digest(name: str, data: bytes) -> bytes:
    if name == "blake2b-256":
        return hashlib.blake2b(data, digest_size=32).digest()
    return hashlib.new(name, data).digest()


def _digests(data: bytes) -> Digests:
    digests = {name: _digest(name, data) for name in ALGORITHMS}
    return {**digests, "crc32": zlib.crc32(data).to_bytes(4, "big")}


def _changed(data: bytes = BEFORE, name: str = "lib/it") -> ChangedFile:
    return ChangedFile(name=name, old=_digests(data))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("spelling", SPELLED)
@given(data=st.binary(min_size=1, max_size=9), before=st.sampled_from([b"", b"sum: ", b"\0\xff"]))
def test_every_digest_is_found_in_every_spelling(
    algorithm: str, spelling: str, data: bytes, before: bytes
) -> None:
    expected, spell = SPELLED[spelling]
    digest = _digests(data)[algorithm]
    text = before + spell(algorithm, digest).encode() + b"\n"
    files = [_changed(), _changed(data)]
    (found,) = ChecksumFinder(files).find(text)
    assert (found.index, found.algorithm, found.spelling) == (1, algorithm, expected)
    new = _digests(AFTER)
    end = found.offset + found.size
    replaced = text[: found.offset] + found.respelled(new) + text[end:]
    assert replaced == before + spell(algorithm, new[algorithm]).encode() + b"\n"


def test_base64_of_urls_is_found_where_it_is_another() -> None:
    data = next(
        data
        for data in (b"%d" % number for number in range(99))
        if b"/" in base64.b64encode(_digests(data)["sha512"])
    )
    text = base64.urlsafe_b64encode(_digests(data)["sha512"])
    (found,) = ChecksumFinder([_changed(data)]).find(text)
    assert found.spelling == "base64url"
    assert found.respelled(_digests(data)) == text.rstrip(b"=")


def test_the_digests_of_an_empty_file_say_nothing() -> None:
    text = hashlib.sha256(b"").hexdigest().encode()
    assert not list(ChecksumFinder([_changed(b"")]).find(text))


def test_no_digest_is_found_in_others() -> None:
    chance = random.Random(3)
    files = [_changed(chance.randbytes(8)) for _ in range(200)]
    others = b"\n".join(
        spell(name, chance.randbytes(len(digest))).encode()
        for name, digest in _digests(b"").items()
        if name in ALGORITHMS
        for _, spell in SPELLED.values()
        for _ in range(50)
    )
    assert not list(ChecksumFinder(files).find(others))


def test_a_files_digests_are_those_of_its_contents(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3_000_000))
    assert digests_of(str(file)) == _digests(bytes(3_000_000))
    with pytest.raises(TreeError, match="missing"):
        digests_of(str(tmp_path / "missing"))


class Tree:
    """A tree in which `lib/it` was changed, and some files hold checksums."""

    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "lib").mkdir(parents=True)
        (top / "lib" / "it").write_bytes(AFTER)
        self.changed = {b"lib/it": _changed()}

    def write(self, name: str, contents: bytes) -> bytes:
        (self.top / name).write_bytes(contents)
        return contents

    def read(self, name: str) -> bytes:
        return (self.top / name).read_bytes()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def _hex(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def test_a_checksum_of_a_file_that_is_changed_for_its_checksums_is_right_in_the_end(
    tree: Tree,
) -> None:
    manifest = tree.write("a-manifest", b"it: " + _hex(BEFORE) + b"\n")
    index = tree.write("0-index", b"manifest: " + _hex(manifest) + b"\nit: " + _hex(BEFORE))
    tree.write("z-sum", b"index: " + _hex(index))
    repair = repair_tree(str(tree.top), tree.changed, name="h-tree")
    assert tree.read("a-manifest") == b"it: " + _hex(AFTER) + b"\n"
    new_manifest = tree.read("a-manifest")
    assert tree.read("0-index") == b"manifest: " + _hex(new_manifest) + b"\nit: " + _hex(AFTER)
    assert tree.read("z-sum") == b"index: " + _hex(tree.read("0-index"))
    assert repair.rewritten == (b"a-manifest", b"0-index", b"z-sum")
    assert {place.outcome for place in repair.places} == {"replaced"}
    assert [place.of for place in repair.places] == [
        "h-tree/a-manifest",
        "lib/it",
        "lib/it",
        "h-tree/0-index",
    ]
    assert {file.name: file.new for file in repair.changed}["lib/it"] == _digests(AFTER)


def test_files_that_hold_each_others_checksums_are_left_and_reported(tree: Tree) -> None:
    # Digests that are held by what they are digests of cannot be made: the old ones are claimed.
    first = tree.write("first", b"second: " + _hex(b"old second"))
    second = tree.write("second", b"first: " + _hex(b"old first"))
    changed = {
        b"first": _changed(b"old first", "first"),
        b"second": _changed(b"old second", "second"),
    }
    repair = repair_tree(str(tree.top), changed)
    assert (tree.read("first"), tree.read("second")) == (first, second)
    assert [place.outcome for place in repair.places] == ["cycle", "cycle"]
    assert not repair.rewritten


def test_a_binary_file_is_left_and_reported(tree: Tree) -> None:
    binary = tree.write("binary", b"\0" + _hex(BEFORE))
    repair = repair_tree(str(tree.top), tree.changed)
    assert tree.read("binary") == binary
    assert [(place.file, place.offset, place.outcome) for place in repair.places] == [
        (b"binary", 1, "binary")
    ]


def test_checksums_of_other_trees_files_are_replaced_by_those_they_have_now(tree: Tree) -> None:
    tree.write("sums", b"other: " + _hex(b"other"))
    other = ChangedFile(name="other", old=_digests(b"other"), new=_digests(b"another"))
    repair_tree(str(tree.top), {}, [other])
    assert tree.read("sums") == b"other: " + _hex(b"another")


def test_a_file_that_is_a_hard_link_is_replaced_and_the_original_stays(tree: Tree) -> None:
    sums = tree.write("sums", _hex(BEFORE))
    (tree.top / "sums").chmod(0o444)
    os.utime(tree.top / "sums", (1, 1))
    os.utime(tree.top, (1, 1))
    original = tree.top.parent / "original"
    os.link(tree.top / "sums", original)
    tree.top.chmod(0o555)
    repair_tree(str(tree.top), tree.changed)
    assert original.read_bytes() == sums
    assert tree.read("sums") == _hex(AFTER)
    status, top = (tree.top / "sums").stat(), tree.top.stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o444, 1)
    assert (top.st_mode & 0o777, top.st_mtime) == (0o555, 1)


def test_a_search_changes_nothing(tree: Tree) -> None:
    sums = tree.write("sums", b"md5 " + hashlib.md5(BEFORE).hexdigest().encode())
    read: list[int] = []
    (place,) = search_tree(str(tree.top), [_changed()], on_bytes=read.append)
    assert (place.file, place.offset, place.algorithm, place.spelling) == (b"sums", 4, "md5", "hex")
    assert (place.of, place.outcome) == ("lib/it", "reported")
    assert tree.read("sums") == sums
    assert sum(read) == len(sums) + len(AFTER)
