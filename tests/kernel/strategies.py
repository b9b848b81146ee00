"""Tables, and texts that are dense with their hits, near misses and overlaps."""

from __future__ import annotations

from itertools import accumulate
from typing import TypeAlias

from hypothesis import strategies as st

from graft.formats.hashing import NIX32_ALPHABET

Entries: TypeAlias = list[tuple[bytes, bytes | None]]

ALPHABET = NIX32_ALPHABET.encode()
STRIDES = st.sampled_from([1, 2, 4])


def encoded(text: bytes, stride: int) -> bytes:
    """The text with stride - 1 NUL bytes between each two characters, none after the last."""
    return bytes(stride - 1).join(text[i : i + 1] for i in range(len(text)))


def characters(alphabet: bytes, *, least: int = 0, most: int = 40) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map(bytes)


def hash_parts(alphabet: bytes = b"01ab") -> st.SearchStrategy[bytes]:
    """Hash parts that overlap themselves and each other: few characters, often with a period."""
    periods = st.sampled_from([1, 2, 3, 8, 16, 32]).flatmap(
        lambda length: characters(alphabet, least=length, most=length)
    )
    return periods.map(lambda period: (period * 32)[:32])


@st.composite
def tables(
    draw: st.DrawFn, *, old: bytes = b"01ab", new: bytes = b"01ab", most: int = 5
) -> Entries:
    """1 to `most` entries; hash parts and names of the characters `old` and `new`."""
    entries: Entries = []
    for old_base in draw(st.lists(hash_parts(old), min_size=1, max_size=most, unique=True)):
        new_base = draw(hash_parts(new))
        old_name = new_name = b""
        if length := draw(st.integers(0, 12)):
            old_name = b"-" + draw(characters(old, least=length, most=length))
            new_name = b"-" + draw(characters(new, least=length, most=length))
        replacement = draw(st.sampled_from([new_base + new_name] * 2 + [None]))
        entries.append((old_base + old_name, replacement))
    return entries


@st.composite
def fragments(draw: st.DrawFn, entries: Entries, alphabet: bytes) -> bytes:
    """A piece of text: more often than not a reference, whole, cut, or overlapping the next."""
    stride = draw(STRIDES)
    kind = draw(st.integers(0, 9))
    if kind <= 6 and entries:
        whole = draw(st.sampled_from(entries))[0]
        other = draw(st.sampled_from(entries))[0]
        if kind == 3:
            whole = whole[draw(st.integers(0, 8)) :]
        elif kind == 4:
            whole = whole[: draw(st.integers(24, len(whole)))]
        elif kind == 5:
            whole = whole[: draw(st.integers(1, 32))] + other
        elif kind == 6:
            whole = whole[:32] + other[draw(st.integers(0, 31)) : 32] + other
        return encoded(whole, stride)
    if kind == 7:
        return encoded(
            draw(st.sampled_from([b"0", b"a", b"01"])) * draw(st.integers(0, 70)), stride
        )
    if kind == 8:
        return draw(st.binary(max_size=9) | st.integers(0, 9).map(bytes))
    return encoded(draw(characters(alphabet + b"-", most=60)), stride)


def texts(entries: Entries, alphabet: bytes = b"01ab") -> st.SearchStrategy[bytes]:
    return st.lists(fragments(entries, alphabet), min_size=1, max_size=8).map(b"".join)


@st.composite
def long_runs(draw: st.DrawFn, entries: Entries) -> bytes:
    """A run longer than what a kernel may look at in one go, of entries and other characters."""
    pieces = []
    count = 0
    while count < 12_000:
        filling = draw(st.sampled_from([b"0", b"a", b"01", b"z"])) * draw(st.integers(0, 3000))
        pieces += [filling, draw(st.sampled_from(entries))[0][:32]]
        count += len(filling) + 32
    stride = draw(STRIDES)
    return bytes(draw(st.integers(0, 9))) + encoded(b"".join(pieces), stride)


@st.composite
def tables_and_texts(draw: st.DrawFn) -> tuple[Entries, bytes]:
    entries = draw(tables())
    return entries, draw(texts(entries))


def divisions(length: int) -> st.SearchStrategy[list[int]]:
    """Where to cut a text of that length: ascending, with 0 and the length."""
    steps = st.one_of(
        st.lists(st.integers(0, 300), max_size=30),
        st.integers(1, 400).map(lambda step: [step] * (length // step)),
    )
    return steps.map(
        lambda sizes: [0, *(place for place in accumulate(sizes) if place < length), length]
    )
