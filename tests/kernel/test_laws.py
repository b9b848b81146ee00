"""The laws of the matcher, as properties."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from graft.kernel import Hit, reference
from tests.examples import examples
from tests.kernel.strategies import (
    ALPHABET,
    Entries,
    divisions,
    encoded,
    long_runs,
    tables,
    tables_and_texts,
    texts,
)

Table = type[reference.Table]

# Texts that are dense with hits take a while to draw; that is no sign of a bad strategy.
often = examples(0.6, [HealthCheck.too_slow])
seldom = examples(0.3, [HealthCheck.too_slow])


def by_definition(entries: Entries, text: bytes) -> list[Hit]:
    """The hits as the design's words say, place by place."""
    wanted = [
        (encoded(old[:32], stride), encoded(old, stride), stride, index)
        for index, (old, _) in enumerate(entries)
        for stride in (1, 2, 4)
    ]
    hits = []
    taken = 0
    for offset in range(len(text)):
        for hash_part, whole, stride, index in wanted:
            if text.startswith(hash_part, offset):
                bare = whole == hash_part or not text.startswith(whole, offset)
                length = len(hash_part if bare else whole)
                hits.append(Hit(offset, length, index, stride, bare, offset < taken))
                if offset >= taken:
                    taken = offset + length
    return hits


def replaced(entries: Entries, text: bytes, hits: list[Hit]) -> bytes:
    result = bytearray(text)
    for hit in hits:
        new = entries[hit.index][1]
        if new is not None and not hit.overlapped:
            new = new[:32] if hit.bare else new
            result[hit.offset : hit.offset + hit.length] = encoded(new, hit.stride)
    return bytes(result)


@often
@given(tables_and_texts())
def test_hits_and_result_are_those_of_the_definition(
    table: Table, example: tuple[Entries, bytes]
) -> None:
    entries, text = example
    expected = by_definition(entries, text)
    assert table(entries).find(text) == (expected, len(text))
    assert table(entries).rewrite(text) == (
        replaced(entries, text, expected),
        expected,
        len(text),
    )


@often
@given(tables_and_texts(), st.booleans())
def test_native_equals_reference(
    native: Table, example: tuple[Entries, bytes], final: bool
) -> None:
    entries, text = example
    ours, theirs = native(entries), reference.Table(entries)
    assert (ours.span, len(ours)) == (theirs.span, len(theirs))
    assert ours.find(text, final) == theirs.find(text, final)
    assert ours.rewrite(text, final) == theirs.rewrite(text, final)


@seldom
@given(tables(), st.data(), st.booleans())
def test_native_equals_reference_on_long_runs(
    native: Table, entries: Entries, data: st.DataObject, final: bool
) -> None:
    text = data.draw(long_runs(entries))
    assert native(entries).rewrite(text, final) == reference.Table(entries).rewrite(text, final)


@often
@given(st.data())
def test_however_a_stream_is_divided_the_hits_and_the_bytes_are_the_same(
    table: Table, data: st.DataObject
) -> None:
    entries, text = data.draw(tables_and_texts())
    places = data.draw(divisions(len(text)))
    searcher = table(entries)
    hits: list[Hit] = []
    result = b""
    begin = 0
    for end in [*places[1:-1], len(text)]:
        final = end == len(text)
        piece, found, cut = searcher.rewrite(text[begin:end], final)
        assert (found, cut) == searcher.find(text[begin:end], final)
        assert len(piece) == cut
        assert end - begin - cut < max(1, 2 * searcher.span)
        hits += [hit._replace(offset=hit.offset + begin) for hit in found]
        result += piece
        begin += cut
    whole, expected, _ = searcher.rewrite(text)
    assert hits == expected
    assert result == whole


@often
@given(tables_and_texts(), st.booleans())
def test_in_place_is_written_and_counted_what_rewrite_gives(
    table: Table, example: tuple[Entries, bytes], final: bool
) -> None:
    entries, text = example
    result, hits, cut = table(entries).rewrite(text, final)
    data = bytearray(text)
    settled, references, bare, overlapped = table(entries).rewrite_in_place(data, final)
    assert settled == cut
    assert data == result + text[cut:]
    taking = [hit for hit in hits if not hit.overlapped]
    assert (references, bare) == (len(taking), sum(hit.bare for hit in taking))
    assert overlapped == len(hits) - len(taking)


@seldom
@given(tables(), st.data(), st.booleans())
def test_native_equals_reference_in_place(
    native: Table, entries: Entries, data: st.DataObject, final: bool
) -> None:
    text = data.draw(texts(entries) | long_runs(entries))
    ours, theirs = bytearray(text), bytearray(text)
    assert native(entries).rewrite_in_place(ours, final) == reference.Table(
        entries
    ).rewrite_in_place(theirs, final)
    assert ours == theirs


@often
@given(st.data())
def test_however_a_stream_comes_in_place_it_becomes_what_one_rewrite_makes_of_it(
    table: Table, data: st.DataObject
) -> None:
    entries, text = data.draw(tables_and_texts())
    places = data.draw(divisions(len(text)))
    searcher = table(entries)
    stream = bytearray(text)
    begin = references = bare = overlapped = 0
    for end in [*places[1:-1], len(text)]:
        with memoryview(stream)[begin:end] as window:
            counts = searcher.rewrite_in_place(window, end == len(text))
        begin += counts[0]
        references += counts[1]
        bare += counts[2]
        overlapped += counts[3]
    whole = bytearray(text)
    assert searcher.rewrite_in_place(whole) == (len(text), references, bare, overlapped)
    assert begin == len(text)
    assert stream == whole


@st.composite
def reversible(draw: st.DrawFn) -> tuple[Entries, Entries, bytes]:
    """A table and its inverse, and a text in which nothing can be mistaken for what is written.

    New hash parts begin with a `w`, which is nowhere else in them, and the text has none: thus
    nothing but what was written is a new hash part, and what follows one is not a new name.
    """
    olds = [old for old, _ in draw(tables())]
    tails = draw(
        st.lists(
            st.lists(st.sampled_from(b"xyz"), min_size=31, max_size=31).map(bytes),
            min_size=len(olds),
            max_size=len(olds),
            unique=True,
        )
    )
    forth: Entries = []
    for old, tail in zip(olds, tails, strict=True):
        forth.append((old, b"w" + tail + (b"-" + b"w" * (len(old) - 33) if len(old) > 32 else b"")))
    back: Entries = [(new, old) for old, new in forth if new is not None]
    return forth, back, draw(texts(forth)).replace(b"w", b"v")


@often
@given(reversible())
def test_rewriting_back_restores(table: Table, example: tuple[Entries, Entries, bytes]) -> None:
    forth, back, text = example
    there, hits, _ = table(forth).rewrite(text)
    again, returned, _ = table(back).rewrite(there)
    assert again == text
    assert returned == [hit for hit in hits if not hit.overlapped]


@often
@given(tables_and_texts(), st.booleans())
def test_the_empty_table_changes_nothing(
    table: Table, example: tuple[Entries, bytes], final: bool
) -> None:
    _, text = example
    assert table([]).span == len(table([])) == 0
    assert table([]).rewrite(text, final) == (text, [], len(text))


@often
@given(tables_and_texts())
def test_a_table_that_only_looks_changes_nothing_and_finds_the_same(
    table: Table, example: tuple[Entries, bytes]
) -> None:
    entries, text = example
    result, hits, _ = table([(old, None) for old, _ in entries]).rewrite(text)
    assert result == text
    assert hits == table(entries).find(text)[0]


@often
@given(tables(old=ALPHABET, new=ALPHABET, most=12), st.data())
def test_native_equals_reference_on_all_characters(
    native: Table, entries: Entries, data: st.DataObject
) -> None:
    text = data.draw(texts(entries, ALPHABET))
    assert native(entries).rewrite(text) == reference.Table(entries).rewrite(text)


@cache
def tables_of_size(count: int) -> tuple[Entries, bytes, tuple[bytes, list[Hit], int]]:
    """A table, a text with many of its entries, and what the reference makes of it."""
    random = Random(count)

    def characters(length: int) -> bytes:
        return bytes(ALPHABET[byte & 31] for byte in random.randbytes(length))

    entries: Entries = [(characters(32) + b"-n", characters(32) + b"-m") for _ in range(count)]
    pieces = []
    for kind in range(400):
        stride = random.choice([1, 1, 2, 4])
        pieces.append(encoded(characters(random.randrange(90)), stride) + b"-" * (kind % 3))
        if entries:
            old = random.choice(entries)[0][: random.choice([34, 32, 31])]
            pieces.append(encoded(old, stride))
    text = b"".join(pieces)
    return entries, text, reference.Table(entries).rewrite(text)


@pytest.mark.parametrize("count", [0, 1, 60, 3_000, 100_000])
def test_native_equals_reference_with_few_entries_and_with_many(native: Table, count: int) -> None:
    # From some count on the filter no longer fits the inner caches, and is asked for ahead.
    entries, text, expected = tables_of_size(count)
    assert native(entries).rewrite(text) == expected
    assert (len(expected[1]) > 200) == (count > 0)


def test_a_hash_part_is_found_wherever_it_lies_in_a_longer_text(table: Table) -> None:
    old, new = ALPHABET, ALPHABET[::-1]
    searcher = table([(old, new)])
    for before in range(460):
        for stride in (1, 2, 4):
            text = b"/" * before + encoded(old, stride) + b"/" * (460 - before)
            result, hits, _ = searcher.rewrite(text)
            assert [(hit.offset, hit.stride) for hit in hits] == [(before, stride)]
            assert result == text.replace(encoded(old, stride), encoded(new, stride))
