"""Hashes modulo self-references, held against the rule written out on the whole bytes."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from graft.formats.hash_modulo import HashModulo, SelfReferences

PART = "0123456789abcdfghijklmnpqrsvwxyz"
PERIODIC = "ab" * 16  # overlaps itself at every second place

rules = st.sampled_from(get_args(SelfReferences))


def plain(data: bytes, hash_part: str, rule: SelfReferences) -> bytes:
    """The rule as a sentence: zeros for each one from the left, then where they were."""
    wanted = hash_part.encode()
    zeroed = data.replace(wanted, bytes(32))
    offsets = [match.start() for match in re.finditer(wanted, data)]
    behind = "".join(f"|{offset}" for offset in offsets) if rule == "positions" else ""
    return hashlib.sha256(zeroed + behind.encode()).digest()


def in_pieces(data: bytes, cuts: list[int], hash_part: str, rule: SelfReferences) -> HashModulo:
    sink = HashModulo(hash_part, rule)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        sink.update(memoryview(data)[begin:end])
    return sink


@st.composite
def texts(draw: st.DrawFn, hash_part: str) -> bytes:
    """Bytes with whole and broken hash parts in them, next to each other as well."""
    wanted = hash_part.encode()
    some = st.sampled_from([wanted, wanted[:31], wanted[1:], wanted[:2], b"\0", b"|7"])
    return b"".join(draw(st.lists(some | st.binary(max_size=40), max_size=12)))


@given(texts(PART), st.lists(st.integers(0, 400), max_size=8), rules)
def test_any_pieces_give_the_hash_of_the_whole(
    data: bytes, cuts: list[int], rule: SelfReferences
) -> None:
    sink = in_pieces(data, cuts, PART, rule)
    assert sink.digest() == plain(data, PART, rule)
    assert sink.count == data.count(PART.encode())


@given(texts(PERIODIC), st.lists(st.integers(0, 400), max_size=8), rules)
def test_of_overlapping_self_references_the_first_counts(
    data: bytes, cuts: list[int], rule: SelfReferences
) -> None:
    assert in_pieces(data, cuts, PERIODIC, rule).digest() == plain(data, PERIODIC, rule)


@given(texts(PART), rules)
def test_the_hash_does_not_depend_on_the_hash_part(data: bytes, rule: SelfReferences) -> None:
    other = data.replace(PART.encode(), PERIODIC.encode())
    if other.count(PERIODIC.encode()) == data.count(PART.encode()):
        assert plain(other, PERIODIC, rule) == in_pieces(data, [], PART, rule).digest()


def test_only_one_rule_tells_a_self_reference_from_zeros() -> None:
    data, zeros = f"a {PART} b".encode(), b"a " + bytes(32) + b" b"
    for rule, differs in (("positions", True), ("zeroed", False)):
        one, other = HashModulo(PART, rule), HashModulo(PART, rule)  # type: ignore[arg-type]
        one.update(data)
        other.update(zeros)
        assert (one.digest() != other.digest()) is differs


def test_the_digest_may_be_asked_for_before_the_end() -> None:
    sink = HashModulo(PART, "positions")
    sink.update(PART.encode()[:20])
    assert sink.digest() == hashlib.sha256(PART.encode()[:20]).digest()
    sink.update(PART.encode()[20:])
    assert sink.digest() == hashlib.sha256(bytes(32) + b"|0").digest()
