"""Whose rules are known: text, and the types of the registered fix-ups."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups.file_types import TypeProbe


def known(name: bytes, *pieces: bytes) -> bool:
    probe = TypeProbe(name)
    for piece in pieces:
        probe.more(piece)
    probe.more(b"", final=True)
    assert probe.known is not None
    return probe.known


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"empty", b""),
        (b"script", b"#!/bin/sh\n"),
        (b"words", "gr\N{LATIN SMALL LETTER A WITH DIAERESIS}ft".encode()),
        (b"program", b"\x7fELF" + bytes(60)),
        (b"a.gz", gzip.compress(b"text", mtime=0)),
        (b"package.cache", b"\0\1\2\xff"),
    ],
)
def test_text_and_types_of_fixups_are_known(name: bytes, data: bytes) -> None:
    assert known(name, data)


@pytest.mark.parametrize(
    "data",
    [b"text\0", b"\xff\xfetext", b"cut off \xc3", b"x" * 100_000 + b"\0", b"MAGIC\0\1\2\3"],
)
def test_other_bytes_are_of_an_unknown_type(data: bytes) -> None:
    assert not known(b"file", data)


@given(
    st.sampled_from([b"file", b"a.hi", b"a.gz"]),
    st.one_of(
        st.binary(max_size=40),
        st.text(max_size=20).map(str.encode),
        st.binary(max_size=9).map(lambda end: b"x" * 5000 + end),
        st.binary(max_size=9).map(lambda end: b"\x1f\x8b\x08" + end),
    ),
    st.lists(st.integers(0, 5010), max_size=5),
)
def test_where_the_bytes_are_cut_changes_nothing(name: bytes, data: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(ends)]
    assert known(name, *pieces) == known(name, data)
