"""What a hit is and what is written over it, example by example."""

from __future__ import annotations

import mmap
import sys
import tempfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from hashlib import shake_128
from itertools import product

import pytest

from graft.errors import BadTableError
from graft.kernel import Hit, reference
from tests.kernel.strategies import ALPHABET, Entries, encoded

Table = type[reference.Table]

A = b"0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r"
B = b"zyxwvsrqpnmlkjihgfdcba9876543210"
C = b"c" * 32


def pseudo_random_characters(seed: bytes, count: int) -> bytes:
    return bytes(ALPHABET[byte & 31] for byte in shake_128(seed).digest(count))


def taking(hits: list[Hit]) -> list[tuple[int, int]]:
    return [(hit.offset, hit.length) for hit in hits if not hit.overlapped]


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("before", [*range(70), 4095, 4096, 4100])
def test_a_hash_part_is_found_at_every_offset(table: Table, stride: int, before: int) -> None:
    text = b"/" * before + encoded(A, stride) + b"/"
    assert table([(A, B)]).rewrite(text) == (
        b"/" * before + encoded(B, stride) + b"/",
        [Hit(before, 31 * stride + 1, 0, stride, bare=True, overlapped=False)],
        len(text),
    )


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(
    ("before", "after"), [(1, 1), (31, 0), (0, 31), (4064, 40), (4096, 4096), (9000, 1)]
)
def test_a_hash_part_is_found_inside_a_longer_run(
    table: Table, stride: int, before: int, after: int
) -> None:
    text = encoded(b"s" * before + A + b"s" * after, stride)
    result, hits, _ = table([(A, B)]).rewrite(text)
    assert result == encoded(b"s" * before + B + b"s" * after, stride)
    assert taking(hits) == [(before * stride, 31 * stride + 1)]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("before", range(9))
def test_the_byte_order_is_not_looked_at(table: Table, codec: str, before: int) -> None:
    old, new = (b"%b-name" % part for part in (A, B))
    text = b"\xff" * before + f"/nix/store/{old.decode()}/bin".encode(codec)
    result, hits, _ = table([(old, new)]).rewrite(text)
    assert result == text[:before] + f"/nix/store/{new.decode()}/bin".encode(codec)
    assert [hit.bare for hit in hits] == [False]


@pytest.mark.parametrize("gap", [b"\0\0", b"\0\0\0\0", b"\1", b"\0\0\1", b" "])
def test_no_other_gap_between_characters_makes_a_hit(table: Table, gap: bytes) -> None:
    text = gap.join(A[i : i + 1] for i in range(32))
    assert table([(A, B)]).rewrite(text) == (text, [], len(text))


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("changed", range(32))
def test_every_character_counts(table: Table, stride: int, changed: int) -> None:
    text = encoded(A[:changed] + b"-" + A[changed + 1 :], stride)
    assert table([(A, B)]).find(text) == ([], len(text))


@pytest.mark.parametrize("stride", [2, 4])
def test_every_gap_counts(table: Table, stride: int) -> None:
    text = encoded(A, stride)
    for place in range(len(text)):
        if place % stride:
            changed = text[:place] + b"\1" + text[place + 1 :]
            assert table([(A, B)]).find(changed) == ([], len(text))


def test_upper_case_is_no_hash_part(table: Table) -> None:
    assert table([(A, B)]).find(A.upper()) == ([], 32)


def test_encodings_meet_in_one_text(table: Table) -> None:
    text = A + encoded(A, 2) + encoded(A, 4) + A
    result, hits, _ = table([(A, B)]).rewrite(text)
    assert result == B + encoded(B, 2) + encoded(B, 4) + B
    assert [hit.stride for hit in hits] == [1, 2, 4, 1]


def test_a_run_may_begin_with_the_last_character_of_another(table: Table) -> None:
    # The last character of the wide hash part is the first of the plain one.
    plain = A[-1:] + B[1:]
    text = encoded(A, 2) + plain[1:]
    assert table([(plain, C)]).rewrite(text)[0] == encoded(A[:-1] + b"c", 2) + C[1:]
    _, hits, _ = table([(A, B), (plain, C)]).rewrite(text)
    assert [(hit.offset, hit.overlapped) for hit in hits] == [(0, False), (62, True)]


def test_replacement_is_simultaneous(table: Table) -> None:
    text = b"/".join([A, B, C, A])
    assert table([(A, B), (B, A)]).rewrite(text)[0] == b"/".join([B, A, C, B])
    assert table([(A, B), (B, C)]).rewrite(text)[0] == b"/".join([B, C, C, B])


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_name_that_follows_in_the_same_encoding_is_taken(table: Table, stride: int) -> None:
    searcher = table([(A + b"-hello-2.10", B + b"-hello-9.99")])
    for after in (b"", b"/bin", b"x", b"-dev"):
        text = encoded(A + b"-hello-2.10" + after, stride)
        result, hits, _ = searcher.rewrite(text)
        assert result == encoded(B + b"-hello-9.99" + after, stride)
        assert hits == [Hit(0, 42 * stride + 1, 0, stride, bare=False, overlapped=False)]


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(
    "follows", [b"", b"/", b"-", b"-hello-2.1", b"-hello-2.11", b"_hello-2.10", b"-hellO-2.10"]
)
def test_where_the_name_does_not_follow_only_the_hash_part_changes(
    table: Table, stride: int, follows: bytes
) -> None:
    text = encoded(A + follows, stride)
    result, hits, _ = table([(A + b"-hello-2.10", B + b"-hello-9.99")]).rewrite(text)
    assert result == encoded(B + follows, stride)
    assert hits == [Hit(0, 31 * stride + 1, 0, stride, bare=True, overlapped=False)]


@pytest.mark.parametrize(("stride", "other"), [(1, 2), (2, 1), (2, 4), (4, 2), (4, 1)])
def test_a_name_in_another_encoding_is_not_taken(table: Table, stride: int, other: int) -> None:
    text = encoded(A, stride) + bytes(stride - 1) + encoded(b"-hello", other)
    result, hits, _ = table([(A + b"-hello", B + b"-howdy")]).rewrite(text)
    assert result == encoded(B, stride) + text[31 * stride + 1 :]
    assert [hit.bare for hit in hits] == [True]


def test_a_dash_that_is_not_in_its_place_belongs_to_no_name(table: Table) -> None:
    for text in (encoded(A, 2) + b"-\0h", encoded(A, 2) + b"\1-\0h", encoded(A, 4) + b"\0\0-"):
        assert [hit.bare for hit in table([(A + b"-h", B + b"-x")]).find(text)[0]] == [True]


def test_the_leftmost_hit_wins_and_an_overlapped_one_takes_nothing(table: Table) -> None:
    period = b"0123456789abcdfg"
    first, second = period * 2, (period[8:] + period[:8]) * 2
    text = (period * 4)[:56]
    result, hits, _ = table([(first, B), (second, C)]).rewrite(text)
    assert [(hit.offset, hit.index, hit.overlapped) for hit in hits] == [
        (0, 0, False),
        (8, 1, True),
        (16, 0, True),
        (24, 1, True),
    ]
    assert result == B + text[32:]
    result, hits, _ = table([(first, B), (second, C)]).rewrite(period * 5)
    assert taking(hits) == [(0, 32), (32, 32)]
    assert result == B + B + period


def test_a_hash_part_inside_a_name_that_is_taken_is_overlapped(table: Table) -> None:
    entries: Entries = [(A + b"-" + B, B + b"-" + A), (B, C)]
    result, hits, _ = table(entries).rewrite(A + b"-" + B + B)
    assert result == B + b"-" + A + C
    assert [(hit.offset, hit.overlapped) for hit in hits] == [(0, False), (33, True), (65, False)]


def test_a_run_of_one_character_is_taken_piece_by_piece(table: Table) -> None:
    for count in (31, 32, 63, 64, 65, 5000):
        result, hits, _ = table([(C, A)]).rewrite(b"c" * count)
        assert result == A * (count // 32) + b"c" * (count % 32)
        assert len(hits) == max(0, count - 31)
        assert taking(hits) == [(place, 32) for place in range(0, count - 31, 32)]


def test_an_entry_without_a_replacement_takes_bytes_and_keeps_them(table: Table) -> None:
    result, hits, _ = table([(C, None), (C[1:] + b"d", A)]).rewrite(C + b"d" + C[1:] + b"d")
    assert result == C + b"d" + A
    assert [hit.overlapped for hit in hits] == [False, True, False]


def test_hash_parts_that_agree_in_most_characters_are_told_apart(table: Table) -> None:
    entries: Entries = [
        (A[:place] + bytes([character]) + A[place + 1 :], None)
        for place, character in product(range(32), b"wxyz")
    ]
    text = b"/".join(old for old, _ in entries) + b"/" + A
    hits, _ = table(entries).find(text)
    assert [hit.index for hit in hits] == list(range(len(entries)))


@pytest.mark.parametrize("count", [1, 2, 10, 1000, 5000])
def test_tables_of_any_size_find_each_of_their_entries(table: Table, count: int) -> None:
    olds = pseudo_random_characters(b"old", 32 * count)
    news = pseudo_random_characters(b"new", 32 * count)
    entries: Entries = [
        (olds[32 * i : 32 * i + 32] + b"-p", news[32 * i : 32 * i + 32] + b"-q")
        for i in range(count)
    ]
    text = b"/".join(old for old, _ in entries) + b"/" + pseudo_random_characters(b"none", 4000)
    result, hits, _ = table(entries).rewrite(text)
    assert [(hit.index, hit.bare) for hit in hits] == [(i, False) for i in range(count)]
    assert result == b"/".join(new or b"" for _, new in entries) + text[-4001:]


def test_native_equals_reference_where_hits_stand_shoulder_to_shoulder(native: Table) -> None:
    parts = [pseudo_random_characters(b"%d" % i, 32) for i in range(300)]
    entries: Entries = list(zip(parts[:200], parts[100:], strict=True))
    for stride in (1, 2, 4):
        text = encoded(b"".join(parts), stride)
        assert native(entries).rewrite(text) == reference.Table(entries).rewrite(text)


@pytest.mark.parametrize("name", [b"", b"-glibc-2.40"])
def test_the_cut_leaves_what_cannot_be_judged_yet(table: Table, name: bytes) -> None:
    searcher = table([(A + name, B + name)])
    span = 4 * (32 + len(name)) - 3
    assert searcher.span == span
    assert searcher.find(b"", final=False) == ([], 0)
    assert searcher.find(b"/" * (span - 1), final=False) == ([], 0)
    assert searcher.find(b"/" * span, final=False) == ([], 1)
    assert searcher.find(b"/" * 1000, final=False) == ([], 1001 - span)
    # The limit lies one byte before the hit's end: it is left with all that follows.
    text = b"/" * 500 + A + name + b"/" * (span - 2)
    assert searcher.find(text, final=False) == ([], 500)
    hit = Hit(500, 32 + len(name), 0, 1, bare=not name, overlapped=False)
    assert searcher.find(text + b"/", final=False) == ([hit], 500 + hit.length)


def test_an_overlapped_hit_may_reach_over_the_cut(table: Table) -> None:
    period = b"0123456789abcdfg"
    searcher = table([(period * 2, B)])
    text = period * 3 + b"/" * (searcher.span - 17)
    hits, cut = searcher.find(text, final=False)
    assert cut == 32
    assert [(hit.offset, hit.overlapped) for hit in hits] == [(0, False), (16, True)]


@pytest.mark.parametrize("size", [100, 5000])
def test_any_contiguous_buffer_will_do(table: Table, size: int) -> None:
    searcher = table([(A, B)])
    text = (A + b"/" * size)[: size // 4 * 4]
    expected = searcher.rewrite(text)
    assert searcher.rewrite(bytearray(text)) == expected
    assert searcher.rewrite(memoryview(b"//" + text)[2:]) == expected
    assert searcher.rewrite(array("I", text)) == expected
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as window:
            assert searcher.rewrite(window) == expected
            assert searcher.find(window) == expected[1:]


def test_what_is_no_contiguous_buffer_is_refused(table: Table) -> None:
    with pytest.raises(BufferError):
        table([(A, B)]).find(memoryview(A * 2)[::2])
    with pytest.raises(TypeError):
        table([(A, B)]).find("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_buffer_is_neither_changed_nor_kept(table: Table, size: int) -> None:
    data = bytearray(A + b"/" * size)
    result = table([(A, B)]).rewrite(data)[0]
    assert data == A + b"/" * size
    assert type(result) is bytes
    data.clear()  # BufferError if it were still held
    assert result == B + b"/" * size


def test_hits_have_names(table: Table) -> None:
    (hit,) = table([(A, B)]).find(b"//" + A)[0]
    assert type(hit) is Hit
    assert (hit.offset, hit.length, hit.index, hit.stride) == (2, 32, 0, 1)
    assert hit.bare is True
    assert hit.overlapped is False


def test_a_table_gives_back_what_it_holds(table: Table) -> None:
    before = sys.getrefcount(Hit)
    for _ in range(50):
        table([(A, B)]).rewrite(A * 200)
    assert sys.getrefcount(Hit) == before


def test_one_table_serves_many_threads(table: Table) -> None:
    searcher = table([(A, B), (B, A)])
    texts = [pseudo_random_characters(b"%d" % i, 20_000) + A + B for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(searcher.rewrite, texts)) == [searcher.rewrite(t) for t in texts]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([(A[:31], B[:31])], "neither a hash part nor one with a dash and a name"),
        ([(A[:31] + b"e", B)], "neither"),
        ([(A.upper(), B)], "neither"),
        ([(A, b"u" * 32)], "neither"),
        ([(A + b"name", B + b"name")], "neither"),
        ([(A + b"-", B + b"-")], "neither"),
        ([(A + b"\n", B + b"\n")], "neither"),
        ([(A + b"-x", B + b"/x")], "neither"),
        ([(A + b"-name", B + b"-longer")], "differ in length"),
        ([(A + b"-name", B)], "differ in length"),
        ([(A, B), (A, C)], "has the hash part of"),
        ([(A, B), (A, B)], "has the hash part of"),
        ([(A + b"-one", None), (A + b"-other", None)], "has the hash part of"),
    ],
)
def test_entries_that_make_no_table_are_refused(
    table: Table, entries: Entries, sentence: str
) -> None:
    with pytest.raises(BadTableError, match=sentence) as caught:
        table(entries)
    assert caught.value.fields["entry"] in {
        base.decode() for pair in entries for base in pair if base
    }


def test_new_hash_parts_may_agree(table: Table) -> None:
    assert table([(A, C), (B, C)]).rewrite(A + b"/" + B)[0] == C + b"/" + C


def test_what_is_behind_the_cut_stays_for_the_next_call(table: Table) -> None:
    searcher = table([(A, B)])
    data = bytearray(b"/" * 1000 + A + b"/" * 50)
    assert searcher.rewrite_in_place(data, final=False) == (958, 0, 0, 0)
    assert data == b"/" * 1000 + A + b"/" * 50
    assert searcher.rewrite_in_place(data) == (1082, 1, 1, 0)
    assert data == b"/" * 1000 + B + b"/" * 50


@pytest.mark.parametrize("size", [100, 5000])
def test_any_writable_buffer_is_rewritten_in_place(table: Table, size: int) -> None:
    searcher = table([(A, B)])
    text = (A + b"/" * size)[: size // 4 * 4]
    expected = (len(text), 1, 1, 0)
    words = array("I", text)
    assert searcher.rewrite_in_place(words) == expected
    assert words.tobytes() == searcher.rewrite(text)[0]
    inner = bytearray(b"//" + text)
    assert searcher.rewrite_in_place(memoryview(inner)[2:]) == expected
    assert inner == b"//" + searcher.rewrite(text)[0]
    inner.clear()  # BufferError if it were still held


def test_what_cannot_be_written_to_is_refused(table: Table) -> None:
    searcher = table([(A, B)])
    for buffer in (A, memoryview(bytearray(A)).toreadonly(), memoryview(bytearray(A * 2))[::2]):
        with pytest.raises(BufferError):
            searcher.rewrite_in_place(buffer)
    with pytest.raises(TypeError):
        searcher.rewrite_in_place("text")  # type: ignore[arg-type]
