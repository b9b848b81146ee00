"""Sums that files keep of their own bytes: found in the original, and right after a change."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.fixups import registered
from graft.fixups.guards import Guard, find_guards, renewed
from graft.kernel import Table
from graft.kernel.crc32c import crc32c, reference_crc32c

ONES = 0xFFFFFFFF
OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0"
NEW = b"m9n8b7v6c5x4z3l2k1j0h9g8f7d6s5a4-lib-1.1"

SUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4),
    "crc32c": lambda data: (crc32c(data, ONES) ^ ONES).to_bytes(4),
    "adler32": lambda data: zlib.adler32(data).to_bytes(4),
    "adler32 of V8": lambda data: zlib.adler32(data, 0).to_bytes(4),
    "xxh32": lambda data: xxhash.xxh32(data).digest(),
    "xxh64": lambda data: xxhash.xxh64(data).digest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha384": lambda data: hashlib.sha384(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
}


def _at_end(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return body + sum_of(body)


def _before_the_end(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return body + sum_of(body) + b"TRAILER."


def _behind_a_magic(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return b"MAGIC\0\1\2" + sum_of(body) + body


def _at_head(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return sum_of(body) + body


def _zeroed(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    magic = b"MAGIC\0\1\2"
    size = len(sum_of(b""))
    return magic + sum_of(magic + bytes(size) + body) + body


def _reversed(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return body + sum_of(body)[::-1]


def _hex(body: bytes, sum_of: Callable[[bytes], bytes]) -> bytes:
    return body + sum_of(body).hex().encode() + b"\n"


LAYOUTS = {
    "at the end": (_at_end, 4, 64),
    "before the end": (_before_the_end, 4, 64),
    "behind a magic": (_behind_a_magic, 4, 64),
    "at the head": (_at_head, 4, 64),
    "zeroed": (_zeroed, 4, 64),
    "in the other order": (_reversed, 4, 8),
    "as text": (_hex, 16, 64),
}
KINDS = [
    (name, layout)
    for name, sum_of in SUMS.items()
    for layout, (_, least, most) in LAYOUTS.items()
    if least <= len(sum_of(b"")) <= most
]


@given(body=st.binary(min_size=40, max_size=300), kind=st.sampled_from(KINDS), at=st.integers(0))
@settings(max_examples=100, deadline=None)
def test_a_sum_is_right_after_the_graft(body: bytes, kind: tuple[str, str], at: int) -> None:
    name, layout = kind
    cut = at % len(body)
    made, sum_of = LAYOUTS[layout][0], SUMS[name]
    before = made(b"\xff\0" + body[:cut] + OLD + body[cut:], sum_of)
    after = made(b"\xff\0" + body[:cut] + NEW + body[cut:], sum_of)
    new, _ = registered().rewrite(before, b"file.bin", Table([(OLD, NEW)]))
    assert new == after


@given(body=st.binary(min_size=1, max_size=300))
@settings(max_examples=50, deadline=None)
def test_a_file_without_a_sum_is_as_plain_rewriting_makes_it(body: bytes) -> None:
    data = b"\0" + body + OLD + body + b"end"
    table = Table([(OLD, NEW)])
    new, outcomes = registered().rewrite(data, b"file.bin", table)
    assert new == table.rewrite(data)[0]
    assert not outcomes


def test_two_sums_one_of_which_has_the_other_are_both_right() -> None:
    rest = bytes(8) + OLD + bytes(40)
    signed = hashlib.sha1(rest, usedforsecurity=False).digest() + rest
    data = b"dex\n035\0" + zlib.adler32(signed).to_bytes(4, "little") + signed
    new, [outcome] = registered().rewrite(data, b"classes.dex", Table([(OLD, NEW)]))
    assert outcome.outcome == "rewritten"
    assert new[12:32] == hashlib.sha1(new[32:], usedforsecurity=False).digest()
    assert new[8:12] == zlib.adler32(new[12:]).to_bytes(4, "little")


def test_sums_of_each_other_are_left_alone() -> None:
    guards = [Guard("crc32", 0, 4, 4, 60, "big"), Guard("adler32", 4, 4, 0, 60, "big", "zeroed")]
    data = bytes(range(60))
    assert renewed(guards, data) is None


def test_without_the_fix_up_a_sum_stays_that_of_the_original() -> None:
    data = _at_end(b"\0" + OLD + bytes(20), SUMS["crc32"])
    table = Table([(OLD, NEW)])
    new, _ = registered(("no-guards",)).rewrite(data, b"file.bin", table)
    assert new == table.rewrite(data)[0]


@pytest.mark.parametrize("data", [b"", b"1", bytes(100), b"\xff" * 100])
def test_what_is_trivial_has_no_sum(data: bytes) -> None:
    assert find_guards(data) == ()


@given(data=st.binary(max_size=100), register=st.integers(0, ONES))
def test_crc32c_of_the_kernel_is_the_specified_one(data: bytes, register: int) -> None:
    assert crc32c(data, register) == reference_crc32c(data, register)


def test_crc32c_is_the_one_of_rfc_3720() -> None:
    assert crc32c(bytes(32), ONES) ^ ONES == 0x8A9136AA


@pytest.mark.parametrize("kind", sorted(SUMS.keys() - {"adler32 of V8"}))
def test_a_container_that_ends_with_a_sum_of_itself_is_left_alone_and_told(kind: str) -> None:
    table = Table([(OLD, NEW)])
    packed = gzip.compress(b"/nix/store/" + OLD + b"/lib", mtime=0)
    data = _at_end(packed, SUMS[kind])
    new, outcomes = registered().rewrite(data, b"a.gz", table)
    assert new == data
    assert [each.outcome for each in outcomes] == ["left-alone"]
    assert "it ends with the" in (outcomes[0].reason or "")
    assert registered().rewrite(packed + b"other", b"a.gz", table)[0] != packed + b"other"
