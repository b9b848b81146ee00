"""Names behind a hash part in an escaped spelling: changed in it, or told."""

from __future__ import annotations

import pytest

from graft.kernel import Table
from graft.objects.escaped_names import NameFinder

OLD = b"qfxj33vp13g8xmvr71kdchhrh9bck01f"
NEW = b"mpcaj8a1xyzs16j4fpc1gmd77012vi1g"


def finder(old: bytes = b"-dep-1.0", new: bytes = b"-dep-1.1") -> NameFinder:
    entries = [(OLD + old, NEW + new)]
    return NameFinder(Table(entries), entries)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb"-dep-1\.0", rb"-dep-1\.1"),
        (rb"\-dep\-1.0", rb"\-dep\-1.1"),
        (rb"-dep-1\\.0", rb"-dep-1\\.1"),
        (rb"\x2ddep\x2d1.0", rb"\x2ddep\x2d1.1"),
        (b"%2Ddep%2D1%2E0", b"%2Ddep%2D1%2E1"),
        (b"&#45;dep&#45;1.0", b"&#45;dep&#45;1.1"),
        (b"-dep-1[.]0", b"-dep-1[.]1"),
        (b"-de\r\n p-1.0", b"-de\r\n p-1.1"),
        (b"=\n-dep-1.0", b"=\n-dep-1.1"),
        (b"\n-dep-1=\n.0", b"\n-dep-1=\n.1"),
    ],
)
def test_a_name_changes_in_the_spelling_it_has(old: bytes, new: bytes) -> None:
    found = finder().find(b"s|/nix/store/" + OLD + old + b"/bin|")
    assert found is not None
    assert found.offsets == (13,)
    assert found.contents == b"s|/nix/store/" + NEW + new + b"/bin|"


@pytest.mark.parametrize(
    "text",
    [b"\0" + OLD + rb"-dep-1\.0", OLD + rb"-dep-1\.0 and " + OLD + b"-dep-1.0\0"],
)
def test_a_name_in_a_file_that_is_no_text_is_told_only(text: bytes) -> None:
    found = finder().find(text)
    assert found is not None
    assert found.contents is None


def test_a_name_whose_new_spelling_is_not_known_is_told_only() -> None:
    found = finder(b"-dep-1.0", b"-dep-1a0").find(OLD + rb"-dep-1\.0")
    assert found is not None
    assert found.contents is None


@pytest.mark.parametrize(
    "text", [OLD, OLD + b".narinfo", OLD + b"-dep-1.0", OLD + b"-other-2.0", OLD + rb"-dep-2\.0"]
)
def test_a_hash_part_alone_or_before_another_name_is_none(text: bytes) -> None:
    assert finder().find(text) is None
