"""The texts of a changed file whose digests may name an entry of a cache."""

from __future__ import annotations

import hashlib

from graft.check.digested_texts import digested_text, moving_texts
from graft.kernel import Table

OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0"
TABLE = Table([(OLD, None)])
PATH = b"/nix/store/" + OLD + b"/share"


def test_paths_their_urls_strings_and_lines_are_among_them() -> None:
    data = b'one\nhome = "' + PATH + b' and more",\n'
    assert moving_texts(data, TABLE) == {
        PATH,
        b"file://" + PATH,
        PATH + b" and more",
        b'home = "' + PATH + b' and more",',
        b'home = "' + PATH + b' and more",\n',
    }


def test_a_binary_file_and_a_file_without_a_path_have_none() -> None:
    assert moving_texts(b"\0" + PATH, TABLE) == set()
    assert moving_texts(b"nothing\n", TABLE) == set()


def test_a_text_has_the_digests_that_caches_use() -> None:
    text = digested_text(PATH)
    assert text.old["md5"] == hashlib.md5(PATH, usedforsecurity=False).digest()
    assert set(text.old) == {"md5", "sha1", "sha256"}
